//! What can be wrong with a configuration, said so that the operator knows what to do.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// Where the line stands.
    pub at: Place,
    /// The line as it was written; empty when the trouble is not one line's.
    pub line: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Where a directive was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file, at a line; line zero means the file as a whole.
    File(PathBuf, usize),
    /// On the command line.
    Arguments,
    /// In what Consul is told by the environment and everything else together.
    Consul,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, 0) => write!(f, "{}", path.display()),
            Place::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Place::Arguments => f.write_str("the command line"),
            Place::Consul => f.write_str("the settings for Consul"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { at, line, what, hint } = self;
        writeln!(f, "{at}: {what}")?;
        if !line.is_empty() {
            writeln!(f, "    {line}")?;
        }
        if !hint.is_empty() {
            writeln!(f, "  {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with the words of one directive, before it is known where they stand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Wrong {
    /// Something is wrong, and nothing more can be said.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Wrong { what: what.into(), hint: String::new() }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}
