//! The words of a configuration line, with Redis's quoting.
//!
//! A word is bare, or in double quotes (with `\n`, `\r`, `\t`, `\a`, `\b`, `\\`, `\"` and `\xHH`), or in single
//! quotes (with `\'`). After a closing quote comes a space or the end of the line.

use std::borrow::Cow;
use std::fmt::Write;

/// A text of somebody else, harmless to whoever looks at it: what would move a terminal's cursor, or turn the direction of what
/// is read, is shown as `\u{1b}`. Line breaks stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| match c {
        '\n' | '\r' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => true,
        c => c.is_control(),
    };
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Why a line cannot be split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LexError {
    /// A quote is open at the end of the line.
    #[error("a quote is not closed, or something follows the closing quote without a space")]
    Quote,
    /// The bytes are no text.
    #[error("the line is not valid UTF-8")]
    NotText,
    /// No text has this byte.
    #[error("the line has NUL bytes in it")]
    Nul,
}

/// Splits a line into its words.
pub(crate) fn split(line: &[u8]) -> Result<Vec<String>, LexError> {
    let words = split_bytes(line)?;
    words.into_iter().map(|word| String::from_utf8(word).map_err(|_| LexError::NotText)).collect()
}

/// Splits an inline command into its words, which may be any bytes.
pub(crate) fn split_bytes(line: &[u8]) -> Result<Vec<Vec<u8>>, LexError> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], LexError> {
    loop {
        match rest {
            [] => return Ok(rest),
            [c, tail @ ..] if c.is_ascii_whitespace() => return Ok(tail),
            [b'"', tail @ ..] => return double_quoted(tail, word),
            [b'\'', tail @ ..] => return single_quoted(tail, word),
            [c, tail @ ..] => {
                word.push(*c);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], LexError> {
    loop {
        rest = match rest {
            [] => return Err(LexError::Quote),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) * 16 + hex(*low));
                tail
            }
            [b'\\', c, tail @ ..] => {
                word.push(match c {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [b'"', tail @ ..] => return after_quote(tail),
            [c, tail @ ..] => {
                word.push(*c);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], LexError> {
    loop {
        rest = match rest {
            [] => return Err(LexError::Quote),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return after_quote(tail),
            [c, tail @ ..] => {
                word.push(*c);
                tail
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Result<&[u8], LexError> {
    match rest {
        [] => Ok(rest),
        [c, ..] if c.is_ascii_whitespace() => Ok(rest),
        _ => Err(LexError::Quote),
    }
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).map_or(0, |value| value as u8)
}

/// Writes words as one line that `split` reads back, quoting only what needs it.
pub(crate) fn join<S: AsRef<str>>(words: &[S]) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        push_quoted(&mut line, word.as_ref());
    }
    line
}

/// Writes one word so that `split` reads it back, quoted where it needs that.
pub(super) fn push_quoted(line: &mut String, word: &str) {
    let bare = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\');
    // A word that starts with '#' could turn the line into a comment.
    if !word.is_empty() && word.bytes().all(bare) && !word.starts_with('#') {
        line.push_str(word);
        return;
    }
    line.push('"');
    for c in word.bytes() {
        match c {
            b'"' | b'\\' => line.extend(['\\', c as char]),
            b' ' => line.push(' '),
            _ if c.is_ascii_graphic() => line.push(c as char),
            _ => write!(line, "\\x{c:02x}").expect("writing to a string cannot fail"),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_at_spaces_and_quotes_keep_them_together() {
        let words = split(b"  sentinel auth-pass\tmine \"a b\\x41\\n\" 'it\\'s'  ").expect("well formed");
        assert_eq!(words, ["sentinel", "auth-pass", "mine", "a bA\n", "it's"]);
    }

    #[test]
    fn an_empty_word_needs_quotes() {
        assert_eq!(split(b"logfile \"\"").expect("well formed"), ["logfile", ""]);
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert_eq!(split(b"dir \"/data"), Err(LexError::Quote));
        assert_eq!(split(b"dir \"/data\"x"), Err(LexError::Quote));
        assert_eq!(split(b"dir '"), Err(LexError::Quote));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&line);
        }

        #[test]
        fn what_is_joined_is_split_again(words in proptest::collection::vec("(?s).{0,20}", 1..6)) {
            prop_assert_eq!(split(join(&words).as_bytes()), Ok(words));
        }
    }
}
