//! Patterns as Redis knows them: `*`, `?`, `[a-z]`, `[^x]`, `\` for the next character itself.

/// Whether a text matches a pattern. Time is bounded by the product of the two lengths.
///
/// ```
/// use consentinel_core::glob_matches;
/// assert!(glob_matches("+sw?tch-*", "+switch-master"));
/// assert!(!glob_matches("[^+-]*", "+sdown"));
/// ```
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    glob_matches_bytes(pattern.as_bytes(), text.as_bytes())
}

/// The same for what need not be text.
pub fn glob_matches_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(next) = pattern.get(p).and_then(|_| one(pattern, p, text[t])) {
            p = next;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte against the element of the pattern that begins at `at`; where the next element begins, if it does.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        b'[' => {
            let (matches, next) = class(pattern, at + 1, byte);
            matches.then_some(next)
        }
        literal => (literal == byte).then_some(at + 1),
    }
}

fn class(pattern: &[u8], mut at: usize, byte: u8) -> (bool, usize) {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    while at < pattern.len() && pattern[at] != b']' {
        if pattern[at] == b'\\' && at + 1 < pattern.len() {
            at += 1;
            found |= pattern[at] == byte;
        } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' && pattern[at + 2] != b']' {
            let (low, high) = (pattern[at].min(pattern[at + 2]), pattern[at].max(pattern[at + 2]));
            found |= (low..=high).contains(&byte);
            at += 2;
        } else {
            found |= pattern[at] == byte;
        }
        at += 1;
    }
    (found != negated, (at + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text) in
            [("*", ""), ("h[ae]llo", "hallo"), ("a\\*b", "a*b"), ("*a*b*", "xaybz"), ("[a-c]x", "bx")]
        {
            assert!(glob_matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("h[ae]llo", "hillo"), ("a?", "a"), ("*b", "ba"), ("[", "[")] {
            assert!(!glob_matches(pattern, text), "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "[\\\\\\[\\]*?^a-c-]{0,20}", text in "[a-c]{0,20}") {
            let _ = glob_matches(&pattern, &text);
        }
    }
}
