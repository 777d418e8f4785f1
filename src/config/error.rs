//! What can be wrong with a configuration: in the words that operators and tools look for, and what to do.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
///
/// It shows itself as the original does, so that what greps for `FATAL CONFIG FILE ERROR` finds it; what is
/// wrong exactly, where, and what to do, comes below.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// Where the line stands.
    pub at: Place,
    /// The line as it was written, without its secrets; empty when the trouble is not one line's.
    pub line: String,
    /// What is wrong with it.
    pub wrong: Box<Wrong>,
}

/// Where a directive was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file, at a line; line zero means the file as a whole.
    File(PathBuf, usize),
    /// In the environment's `CONSENTINEL_DIRECTIVES`, at a line.
    Environment(usize),
    /// On standard input, at a line.
    Input(usize),
    /// On the command line; the number is the one that the original counts: its lines come after the file's.
    Arguments(usize),
    /// In what Consul is told by the environment and everything else together.
    Consul,
}

impl Place {
    fn line(&self) -> Option<usize> {
        match self {
            Place::File(_, 0) | Place::Consul => None,
            Place::File(_, line) | Place::Environment(line) | Place::Input(line) | Place::Arguments(line) => {
                Some(*line)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, 0) => write!(f, "{}", path.display()),
            Place::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Place::Environment(line) => write!(f, "{}, line {line}", super::DIRECTIVES_VARIABLE),
            Place::Input(line) => write!(f, "standard input, line {line}"),
            Place::Arguments(_) => f.write_str("on the command line"),
            Place::Consul => f.write_str("the settings for Consul"),
        }
    }
}

impl ConfigError {
    /// Something about a file as a whole.
    pub(crate) fn about_file(path: impl Into<PathBuf>, wrong: Wrong) -> Self {
        ConfigError { at: Place::File(path.into(), 0), line: String::new(), wrong: wrong.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { at, line, wrong } = self;
        let Wrong { theirs, what, hint } = &**wrong;
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Redis {}) ***", super::COMPATIBLE_WITH)?;
        if let Some(number) = at.line() {
            writeln!(f, "Reading the configuration file, at line {number}")?;
            writeln!(f, ">>> '{}'", Shown(line))?;
        }
        match theirs.as_str() {
            "" => writeln!(f, "{}\n  ({at})", Shown(what))?,
            theirs if theirs == what => writeln!(f, "{}\n  ({at})", Shown(what))?,
            theirs => writeln!(f, "{}\n  ({at}: {})", Shown(theirs), Shown(what))?,
        }
        if !hint.is_empty() {
            writeln!(f, "  {}", Shown(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Text from a file on its way to a terminal: no control characters, and not without end.
pub(super) struct Shown<'a>(pub &'a str);

const MOST_SHOWN: usize = 600;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (count, c) in self.0.chars().enumerate() {
            match c {
                _ if count >= MOST_SHOWN => return f.write_str("..."),
                '\t' => f.write_char(c)?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What is wrong with the words of one directive, before it is known where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What the original says about it; empty where it has no words for it.
    pub theirs: String,
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Wrong {
    /// Something is wrong, and nothing more can be said.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Wrong { what: what.into(), ..Wrong::default() }
    }

    /// Something is wrong for which the original's words are as good as ours.
    pub(crate) fn as_theirs(theirs: impl Into<String>) -> Self {
        let theirs = theirs.into();
        Wrong { what: theirs.clone(), theirs, hint: String::new() }
    }

    /// Adds what the original says.
    pub(crate) fn theirs(mut self, theirs: impl Into<String>) -> Self {
        self.theirs = theirs.into();
        self
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}
