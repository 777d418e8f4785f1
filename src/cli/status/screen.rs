//! Where the page goes: a terminal, or a pipe.

use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Screen {
    /// Columns.
    pub width: usize,
    /// Lines; nothing where lines are only added.
    pub height: Option<usize>,
    /// Whether colour is wanted.
    pub colour: bool,
}

/// What a page is wide where nobody says otherwise.
const USUAL_WIDTH: usize = 80;

impl Screen {
    /// As it is now: a window may have changed.
    pub(in crate::cli) fn look() -> Screen {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let size = tcgetwinsize(&out).ok().filter(|size| is_terminal && size.ws_col > 0 && size.ws_row > 0);
        let says_no = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Screen {
            width: size.map_or(USUAL_WIDTH, |size| usize::from(size.ws_col)),
            height: size.filter(|_| !dumb).map(|size| usize::from(size.ws_row)),
            colour: is_terminal && !dumb && !says_no("NO_COLOR"),
        }
    }

    /// Adds a text. False when nobody reads any more.
    pub(in crate::cli) fn add(self, text: &str) -> bool {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }

    /// Puts a page in the place of the one before, in one write: nothing flickers, and nothing is left of the other.
    pub(super) fn replace(self, page: &str, first: bool) -> bool {
        let mut out = String::with_capacity(page.len() + 256);
        out.push_str(if first { "\x1b[H\x1b[2J" } else { "\x1b[H" });
        out.push_str(&fit(page, self.height.unwrap_or(usize::MAX)));
        out.push_str("\x1b[J");
        self.add(&out)
    }
}

/// As many lines as there is room for. Each clears what it does not fill.
fn fit(page: &str, height: usize) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let room = height.saturating_sub(1).max(1);
    let shown = if lines.len() > room { &lines[..room - 1] } else { &lines[..] };
    let mut text: String = shown.iter().map(|line| format!("{line}\x1b[K\n")).collect();
    if shown.len() < lines.len() {
        text += &format!("... {} more lines\x1b[K\n", lines.len() - shown.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_too_long_says_so() {
        assert_eq!(fit("a\nb\n", 3), "a\x1b[K\nb\x1b[K\n");
        assert_eq!(fit("a\nb\nc\nd\n", 3), "a\x1b[K\n... 3 more lines\x1b[K\n");
    }
}
