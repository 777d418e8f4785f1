//! The command line as lines of configuration: `--port 26380 --sentinel announce-port 7`.
//!
//! The rules are the original's, of 7.0: behind a name alone the next word is its value, also when it begins with two
//! dashes; a name with its value in one word (`"--port 26380"`) is complete; `--sentinel` and `--save` may stand
//! without a value.

use crate::quoting;

/// What the words after the configuration file say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// As lines, one directive each.
    pub lines: String,
    /// Whether standard input is to be read, too.
    pub input: bool,
}

/// Reads the words after the configuration file; `alone` when there is none.
pub(super) fn read(words: &[String], alone: bool) -> Said {
    let mut said = Said::default();
    let mut beginnings = Beginnings::new();
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).map(String::as_str);
        if word == "-" && (next.is_none() || alone && index == 0) {
            said.input = true;
        } else if beginnings.next(word, next) {
            if !said.lines.is_empty() {
                said.lines.push('\n');
            }
            said.lines.push_str(&word[2..]);
            said.lines.push(' ');
            if beginnings.complete && word.eq_ignore_ascii_case("--save") {
                said.lines.push_str("\"\"");
            }
        } else {
            quoting::push_quoted(&mut said.lines, word);
            said.lines.push(' ');
        }
    }
    said
}

/// Tells, word by word, where directives begin.
#[derive(Debug)]
pub(crate) struct Beginnings {
    /// Whether the last directive has all that it needs, so that two dashes begin another.
    complete: bool,
}

impl Beginnings {
    /// At the first word.
    pub(crate) fn new() -> Self {
        Beginnings { complete: true }
    }

    /// Whether this word begins a directive; `next` follows it.
    pub(crate) fn next(&mut self, word: &str, next: Option<&str>) -> bool {
        let begins = self.complete && word.starts_with("--");
        let another = next.is_none_or(|next| next.starts_with("--"));
        let may_be_alone = ["--save", "--sentinel"].iter().any(|name| word.eq_ignore_ascii_case(name));
        let bare = quoting::split(word.as_bytes()).is_ok_and(|parts| parts.len() == 1);
        self.complete = !begins || !bare || another && may_be_alone;
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words, false).lines.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn a_name_takes_all_values_up_to_the_next_name() {
        assert_eq!(lines(&["--port", "1", "--bind", "a", "b"]), ["port 1", "bind a b"]);
        assert_eq!(lines(&["--sentinel", "monitor", "m", "h", "1", "2"]), ["sentinel monitor m h 1 2"]);
    }

    #[test]
    fn the_first_value_may_begin_with_dashes() {
        assert_eq!(lines(&["--requirepass", "--secret", "--port", "1"]), ["requirepass --secret", "port 1"]);
        assert_eq!(lines(&["--port 1", "--bind", "a"]), ["port 1", "bind a"]);
    }

    #[test]
    fn sentinel_and_save_may_stand_alone() {
        assert_eq!(lines(&["--sentinel", "--port", "1"]), ["sentinel", "port 1"]);
        assert_eq!(lines(&["--save", "--port", "1", "--sentinel"]), ["save \"\"", "port 1", "sentinel"]);
    }

    #[test]
    fn a_value_with_spaces_stays_one_value() {
        assert_eq!(lines(&["--dir", "a b"]), ["dir \"a b\""]);
        assert_eq!(lines(&["--dir", ""]), ["dir \"\""]);
    }

    #[test]
    fn a_dash_at_the_end_or_in_place_of_the_file_asks_for_standard_input() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(read(&words(&["--port", "1", "-"]), false).input);
        assert!(read(&words(&["-", "--port", "1"]), true).input);
        let value = read(&words(&["-", "--port", "1"]), false);
        assert_eq!((value.input, value.lines.as_str()), (false, "- \nport 1 "));
    }

    proptest! {
        #[test]
        fn every_value_arrives_as_it_was_given(
            first in "(?s).{0,12}", more in proptest::collection::vec("(?s)[^-].{0,11}", 0..4)
        ) {
            let words: Vec<String> = ["--name".to_owned(), first.clone()].into_iter().chain(more.clone()).collect();
            let said = read(&words, false);
            prop_assume!(!said.input);
            let expected: Vec<String> = ["name".to_owned(), first].into_iter().chain(more).collect();
            prop_assert_eq!(quoting::split(said.lines.as_bytes()), Ok(expected));
        }
    }
}
