//! Patterns as Redis has them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that is meant as such.

/// Whether a text matches a pattern. Takes time in proportion to the product of their lengths at most.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when a later part does not fit: the last star, and the text that it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => {
                p += length;
                t += 1;
            }
            None => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    p = after;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// How much of the pattern the character has used up, if it fits.
fn one(pattern: &[u8], c: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == c).then_some(2),
        [b'[', class @ ..] => {
            let (fits, length) = in_class(class, c);
            fits.then_some(1 + length)
        }
        [plain, ..] => (*plain == c).then_some(1),
    }
}

/// Whether the character is in the class whose opening bracket was read, and how long the rest of the class is.
fn in_class(class: &[u8], c: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at.min(class.len())..] {
            // A class that is not closed ends with the pattern.
            [] => return (found != negated, class.len()),
            [b'\\', escaped, ..] => {
                found |= *escaped == c;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [from, b'-', to, ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&c);
                at += 3;
            }
            [plain, ..] => {
                found |= *plain == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let yes = [
            ("*", ""),
            ("*", "+sdown"),
            ("+s*n", "+sdown"),
            ("?sdown", "-sdown"),
            ("[+-]sdown", "+sdown"),
            ("[^-]odown", "+odown"),
            ("[a-c]x", "bx"),
            ("[c-a]x", "bx"),
            ("a\\*b", "a*b"),
            ("**a**", "xax"),
            ("[abc", "c"),
            ("h[\\]]", "h]"),
        ];
        let no = [("", "a"), ("a", ""), ("+s*n", "+sdow"), ("[^+]x", "+x"), ("a\\*b", "axb"), ("?", ""), ("[a-c]", "d")];
        assert!(yes.iter().all(|(pattern, text)| matches(pattern, text)));
        assert!(no.iter().all(|(pattern, text)| !matches(pattern, text)));
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(200), &"b".repeat(20_000)));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[\\[\\]\\\\*?^a-c-]{0,20}", text in "[a-c]{0,20}") {
            let _ = matches(&pattern, &text);
        }

        #[test]
        fn a_text_matches_itself(text in "[a-z+-]{0,20}") {
            prop_assert!(matches(&text, &text));
        }
    }
}
