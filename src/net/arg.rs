//! An argument of a command. What a client sends need not be text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// One argument, as it came. It reads as text, in which what is no text is replaced; where it is said back to the client,
/// [`Arg::bytes`] has it unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arg<'a> {
    text: Cow<'a, str>,
    /// What was sent, where that is no text.
    raw: Option<Cow<'a, [u8]>>,
}

/// The name and the arguments of a command.
pub(crate) type Args<'a> = Vec<Arg<'a>>;

impl Arg<'_> {
    /// What was sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// The number that it is, written as Redis wants numbers: no plus, no space, no needless zero.
    pub(crate) fn number(&self) -> Option<i64> {
        let digits = self.text.strip_prefix('-').unwrap_or(&self.text);
        let canonical = digits.starts_with(|c: char| ('1'..='9').contains(&c)) || &*self.text == "0";
        if canonical { self.text.parse().ok() } else { None }
    }

    /// As far as it belongs into an error.
    pub(crate) fn short(&self) -> &[u8] {
        &self.bytes()[..self.bytes().len().min(128)]
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        match String::from_utf8_lossy(bytes) {
            text @ Cow::Borrowed(_) => Arg { text, raw: None },
            text => Arg { text, raw: Some(Cow::Borrowed(bytes)) },
        }
    }
}

impl From<Vec<u8>> for Arg<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Arg { text: Cow::Owned(text), raw: None },
            Err(error) => {
                let bytes = error.into_bytes();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Arg { text: Cow::Owned(text), raw: Some(Cow::Owned(bytes)) }
            }
        }
    }
}

impl Deref for Arg<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Arg<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Display for Arg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_keeps_its_bytes() {
        let arg = Arg::from(&b"a\xff"[..]);
        assert_eq!((&*arg, arg.bytes()), ("a\u{fffd}", &b"a\xff"[..]));
        assert_eq!(Arg::from(b"a\xff".to_vec()), arg);
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        for (text, number) in [("0", Some(0)), ("-12", Some(-12)), ("9223372036854775807", Some(i64::MAX))] {
            assert_eq!(Arg::from(text.as_bytes()).number(), number, "{text}");
        }
        for text in ["", "-", "-0", "007", "+1", " 1", "1 ", "9223372036854775808", "1.0", "a"] {
            assert_eq!(Arg::from(text.as_bytes()).number(), None, "{text}");
        }
    }
}
