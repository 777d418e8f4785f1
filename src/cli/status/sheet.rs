//! Lines of text for a terminal or a pipe: columns that line up, colour where it is wanted, and nothing wider than the
//! page.

use crate::ink::Ink;

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    text: String,
    ink: Ink,
}

impl Piece {
    pub(super) fn new(text: impl Into<String>, ink: Ink) -> Piece {
        Piece { text: clean(&text.into()), ink }
    }
}

impl<T: Into<String>> From<T> for Piece {
    fn from(text: T) -> Piece {
        Piece::new(text, Ink::Plain)
    }
}

/// What others have named may hold anything, and is not to rule our terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A row of a table.
pub(super) type Row = Vec<Piece>;

/// A page.
pub(super) struct Sheet {
    width: usize,
    colour: bool,
    text: String,
}

/// Narrower than this nothing is broken any more.
const NARROWEST: usize = 40;

impl Sheet {
    pub(super) fn new(width: usize, colour: bool) -> Sheet {
        Sheet { width: width.max(NARROWEST), colour, text: String::new() }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line, broken between words; what follows the first line is set in further.
    pub(super) fn line(&mut self, indent: usize, pieces: &[Piece]) {
        self.flow(indent, indent + 2, pieces);
    }

    /// Rows whose columns line up. The last column may be broken.
    pub(super) fn table(&mut self, indent: usize, rows: &[Row], right: &[usize]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |row: &Row, column: usize| match row.len() > column + 1 {
            true => row[column].text.chars().count(),
            // The last piece of a row may reach over the columns that it leaves out.
            false => 0,
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| rows.iter().map(|row| length(row, column)).max().unwrap_or(0))
            .collect();
        for row in rows {
            let mut pieces = Vec::new();
            let mut at = indent;
            for (column, piece) in row.iter().enumerate() {
                if column + 1 == row.len() {
                    pieces.push(piece.clone());
                    break;
                }
                let pad = " ".repeat(widths[column] - piece.text.chars().count());
                let text = &piece.text;
                let text =
                    if right.contains(&column) { format!("{pad}{text}  ") } else { format!("{text}{pad}  ") };
                at += widths[column] + 2;
                pieces.push(Piece { text, ink: piece.ink });
            }
            self.flow(indent, at, &pieces);
        }
    }

    /// Writes pieces one after the other. Where the line is full it goes on at `hang`, unless that leaves no room.
    fn flow(&mut self, indent: usize, hang: usize, pieces: &[Piece]) {
        let hang = if hang + NARROWEST / 2 > self.width { indent + 2 } else { hang };
        let mut at = indent;
        self.text.push_str(&" ".repeat(indent));
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.iter().enumerate() {
            let mut open = String::new();
            // Only the last piece holds sentences; the others are columns.
            if index < last {
                at += piece.text.chars().count();
                self.write(&piece.text, piece.ink);
                continue;
            }
            for word in piece.text.split_inclusive(' ') {
                let length = word.trim_end().chars().count();
                if at + length > self.width && at > hang {
                    self.write(open.trim_end(), piece.ink);
                    open.clear();
                    self.trim();
                    self.text.push('\n');
                    self.text.push_str(&" ".repeat(hang));
                    at = hang;
                }
                open.push_str(word);
                at += word.chars().count();
            }
            self.write(open.trim_end(), piece.ink);
        }
        self.trim();
        self.text.push('\n');
    }

    fn trim(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
    }

    fn write(&mut self, text: &str, ink: Ink) {
        ink.push(text, self.colour, &mut self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_is_broken() {
        let mut sheet = Sheet::new(40, false);
        let rows = vec![
            vec!["SERVER".into(), "LAG".into(), "STATE".into()],
            vec!["10.0.0.1:1".into(), "1000".into(), "has no link to the master".into()],
            vec!["x".into(), "only a sentence".into()],
        ];
        sheet.table(2, &rows, &[1]);
        let expected = "  SERVER       LAG  STATE\n  10.0.0.1:1  1000  has no link to the\n                    master\n  x           only a sentence\n";
        assert_eq!(sheet.finish(), expected);
    }

    #[test]
    fn a_word_that_is_wider_than_the_page_stands_alone() {
        let mut sheet = Sheet::new(40, false);
        let long = "x".repeat(60);
        sheet.line(0, &[format!("see {long} there").into()]);
        assert_eq!(sheet.finish(), format!("see\n  {long}\n  there\n"));
    }

    #[test]
    fn colour_is_only_where_it_is_wanted_and_nobody_else_can_bring_it() {
        let page = |colour| {
            let mut sheet = Sheet::new(80, colour);
            sheet.line(0, &[Piece::new("evil\x1b[2J", Ink::Bad)]);
            sheet.finish()
        };
        assert_eq!(page(false), "evil?[2J\n");
        assert_eq!(page(true), "\x1b[1;31mevil?[2J\x1b[0m\n");
    }
}
