//! Text with a little colour, cut to the width that there is.

use crate::ink::Ink;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Colours.
    pub colour: bool,
    /// More than ASCII.
    pub unicode: bool,
}

impl Look {
    /// As the environment says: <https://no-color.org>, and the locale.
    pub(super) fn from_environment() -> Look {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
        let unicode = ["utf-8", "utf8"].iter().any(|word| locale.to_lowercase().contains(word));
        Look { colour: variable("NO_COLOR").is_none(), unicode }
    }

    /// One or the other.
    pub(super) fn choose<'a>(self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode { unicode } else { ascii }
    }
}

/// A line, in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(Ink, String)>);

impl Row {
    /// An empty one.
    pub(super) fn new() -> Self {
        Row::default()
    }

    /// Goes on with text.
    pub(super) fn put(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// Goes on at a column; at least a blank further.
    pub(super) fn to(self, column: usize) -> Self {
        let blanks = column.saturating_sub(self.width()).max(1);
        self.put(Ink::Plain, " ".repeat(blanks))
    }

    /// Ends with text at the right edge.
    pub(super) fn right(self, width: usize, ink: Ink, text: &str) -> Self {
        let column = width.saturating_sub(text.chars().count());
        self.to(column).put(ink, text)
    }

    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// As text that is no wider than that.
    pub(super) fn render(&self, width: usize, look: Look) -> String {
        let (mut line, mut left) = (String::new(), width);
        for (ink, text) in &self.0 {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            ink.push(&text, look.colour, &mut line);
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_to_the_width_and_colours_do_not_count() {
        let row = Row::new().put(Ink::Good, "four").to(6).put(Ink::Plain, "five5");
        let (plain, colour) = (Look { colour: false, unicode: true }, Look { colour: true, unicode: true });
        assert_eq!(row.render(80, plain), "four  five5");
        assert_eq!(row.render(8, plain), "four  fi");
        assert_eq!(row.render(3, colour), "\x1b[32mfou\x1b[0m");
    }

    #[test]
    fn the_right_edge_is_kept() {
        let row = Row::new().put(Ink::Plain, "a").right(10, Ink::Plain, "end");
        assert_eq!(row.render(10, Look { colour: false, unicode: false }), "a      end");
    }
}
