//! How a piece of text looks on a terminal.

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As everything.
    #[default]
    Plain,
    /// A heading: what is to be seen first.
    Strong,
    /// What is of less interest.
    Faint,
    /// Well.
    Good,
    /// To be watched.
    Warning,
    /// Not well.
    Bad,
    /// To be copied or pressed.
    Key,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Plain => "",
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Warning => "33",
            Ink::Bad => "1;31",
            Ink::Key => "1;36",
        }
    }

    /// Puts a text behind others, in this ink where colour is wanted. Blanks have no colour.
    pub(crate) fn push(self, text: &str, colour: bool, to: &mut String) {
        let code = self.code();
        match !colour || code.is_empty() || text.trim().is_empty() {
            true => to.push_str(text),
            false => to.extend(["\x1b[", code, "m", text, "\x1b[0m"]),
        }
    }
}
