//! Where directives come from: the configuration file, the files that it includes, the state file, the environment,
//! standard input, the command line.

use super::error::{ConfigError, Place, Wrong};
use super::pattern;
use crate::quoting;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One line that says something.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    /// Where it stands.
    pub at: Place,
    /// In which kind of place that is.
    pub layer: Layer,
    /// Its words; the first two are in lower case when they are names of directives.
    pub words: Vec<String>,
    /// As it was written.
    text: Box<str>,
}

/// The kinds of places. Of two settings the one in the later layer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// A file that the configuration includes: never written to.
    Include,
    /// The configuration file.
    File,
    /// The file named by `sentinel state-file`.
    State,
    /// The environment, standard input and the command line.
    Arguments,
}

const MAX_FILE: usize = 64 << 20;
const MAX_INCLUDES: usize = 16;

/// Lines that all files together may have: a pattern that includes its own file doubles them sixteen times.
const MAX_LINES: usize = 4 << 20;

impl Directive {
    /// An error at this directive. Passwords in it are hidden.
    pub(crate) fn error(&self, wrong: Wrong) -> ConfigError {
        let line = match without_secrets(self.words.clone()) {
            shown if shown == self.words => self.text.to_string(),
            shown => quoting::join(&shown),
        };
        ConfigError { at: self.at.clone(), line, wrong: wrong.into() }
    }
}

/// The words of a line as they may be shown.
fn without_secrets(mut words: Vec<String>) -> Vec<String> {
    const SECRET: [&str; 8] = [
        "requirepass",
        "masterauth",
        "primaryauth",
        "auth-pass",
        "sentinel-pass",
        "user",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
    ];
    let secret = |word: &String| SECRET.iter().any(|name| word.eq_ignore_ascii_case(name));
    let token = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("consul"))
        && words.get(2).is_some_and(|word| word.eq_ignore_ascii_case("token"));
    if token {
        words.truncate(4);
        words.iter_mut().skip(3).for_each(|word| *word = "***".into());
    } else if let Some(name) = words.iter().take(2).position(secret) {
        words.truncate(name + 2);
        words.iter_mut().skip(name + 1).for_each(|word| *word = "***".into());
    }
    words.iter_mut().for_each(hide_credentials);
    words
}

/// Takes a user and a password out of an address: `http://user:password@host`.
fn hide_credentials(word: &mut String) {
    let from = word.find("://").map_or(0, |at| at + 3);
    let place = word[from..].find('/').map_or(word.len(), |at| from + at);
    if let Some(at) = word[from..place].rfind('@')
        && (from > 0 || word[..at].contains(':'))
    {
        word.replace_range(from..from + at, "***");
    }
}

/// A source with all that it includes, read to its end.
pub(crate) struct Source {
    /// Its bytes, without what it includes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub directives: Vec<Directive>,
}

/// Reads a file with all that it includes.
pub(crate) fn read(path: &Path, layer: Layer) -> Result<Source, ConfigError> {
    let bytes = read_bytes(path)?;
    let mut collector = Collector::default();
    collector.take(&bytes, layer, 0, &|line| Place::File(path.to_owned(), line))?;
    Ok(Source { bytes, directives: collector.directives })
}

/// Reads bytes as those of a file; what they include is not looked for.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse(path: &Path, bytes: &[u8], layer: Layer) -> Result<Source, ConfigError> {
    let mut collector = Collector::default();
    collector.take(bytes, layer, MAX_INCLUDES, &|line| Place::File(path.to_owned(), line))?;
    Ok(Source { bytes: bytes.to_vec(), directives: collector.directives })
}

/// Reads what is piped into standard input.
pub(crate) fn read_input() -> Result<Source, ConfigError> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_FILE as u64).read_to_end(&mut bytes).map_err(|error| {
        ConfigError::about_file("-", Wrong::new(format!("standard input cannot be read: {}", plain(&error))))
    })?;
    let mut collector = Collector::default();
    collector.take(&bytes, Layer::Arguments, 0, &Place::Input)?;
    Ok(Source { bytes, directives: collector.directives })
}

/// Reads what the environment says in `CONSENTINEL_DIRECTIVES`.
pub(crate) fn read_environment(text: &str) -> Result<Vec<Directive>, ConfigError> {
    let mut collector = Collector::default();
    collector.take(text.as_bytes(), Layer::Arguments, 0, &Place::Environment)?;
    Ok(collector.directives)
}

/// Reads lines that stand for the command line; the number of the first is `first`.
pub(crate) fn read_lines(text: &str, first: usize) -> Result<Vec<Directive>, ConfigError> {
    let mut collector = Collector::default();
    collector.take(text.as_bytes(), Layer::Arguments, 0, &|line| {
        Place::Arguments(line.saturating_add(first) - 1)
    })?;
    Ok(collector.directives)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| {
        let what = format!("Fatal error, can't open config file '{}': {}", path.display(), plain(&error));
        ConfigError::about_file(path, Wrong::as_theirs(what).hint("Check the path and its permissions."))
    })?;
    if bytes.len() > MAX_FILE {
        let wrong = Wrong::new(format!("the file is longer than {} MB", MAX_FILE >> 20));
        return Err(ConfigError::about_file(path, wrong.hint("This is no configuration file.")));
    }
    Ok(bytes)
}

/// What the system says about an error, without its number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Takes in lines, and the files that they include.
#[derive(Default)]
struct Collector {
    directives: Vec<Directive>,
    /// Where relative paths start after the last `dir`: a `dir` counts from its line on.
    dir: PathBuf,
    lines: usize,
}

impl Collector {
    fn take(
        &mut self,
        bytes: &[u8],
        layer: Layer,
        depth: usize,
        place: &dyn Fn(usize) -> Place,
    ) -> Result<(), ConfigError> {
        for (index, line) in bytes.split(|c| *c == b'\n').enumerate() {
            let words = words_of(line).map_err(|error| unreadable(place(index + 1), line, error))?;
            if words.is_empty() {
                continue;
            }
            self.lines += 1;
            let text = String::from_utf8_lossy(line.trim_ascii()).into();
            let directive = Directive { at: place(index + 1), layer, words, text };
            if self.lines > MAX_LINES {
                return Err(directive.error(Wrong::new("the files include each other without end")));
            }
            match directive.words.as_slice() {
                [name, file] if name == "include" => self.include(&directive, file, depth)?,
                [name, dir] if name == "dir" => {
                    self.dir.push(dir);
                    self.directives.push(directive);
                }
                // The word alone only says that this is a sentinel.
                [name] if name == "sentinel" => {}
                _ => self.directives.push(directive),
            }
        }
        Ok(())
    }

    fn include(&mut self, directive: &Directive, file: &str, depth: usize) -> Result<(), ConfigError> {
        if depth >= MAX_INCLUDES {
            return Err(directive.error(Wrong::new("files include each other too deeply")));
        }
        let layer = if directive.layer == Layer::File { Layer::Include } else { directive.layer };
        let file = self.dir.join(file);
        let files = match pattern::is_pattern(&file) {
            true => pattern::expand(&file),
            false => vec![file],
        };
        for file in files {
            let inner = read_bytes(&file).map_err(|error| directive.error(*error.wrong))?;
            self.take(&inner, layer, depth + 1, &|line| Place::File(file.clone(), line))?;
        }
        Ok(())
    }
}

fn unreadable(at: Place, line: &[u8], error: quoting::LexError) -> ConfigError {
    let words = String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect();
    let wrong = Wrong::new(error.to_string());
    let wrong = match error {
        quoting::LexError::Quote => wrong
            .theirs("Unbalanced quotes in configuration line")
            .hint("Put a value with spaces or quotes between double quotes, with \\\" for a quote inside."),
        quoting::LexError::NotText | quoting::LexError::Nul => {
            wrong.hint("The file was damaged, or is no configuration file: restore it from a backup.")
        }
    };
    ConfigError { at, line: without_secrets(words).join(" "), wrong: wrong.into() }
}

/// The words of one line of a file: none when it is empty or a comment.
pub(crate) fn words_of(line: &[u8]) -> Result<Vec<String>, quoting::LexError> {
    let line = line.trim_ascii();
    if line.is_empty() || line[0] == b'#' {
        return Ok(Vec::new());
    }
    // Also where the original would pass over the rest of the line: a file with such bytes was not closed in order.
    if line.contains(&0) {
        return Err(quoting::LexError::Nul);
    }
    Ok(normalised(quoting::split(line)?))
}

/// Names of directives are the same in upper and lower case.
fn normalised(mut words: Vec<String>) -> Vec<String> {
    if let Some(first) = words.first_mut() {
        first.make_ascii_lowercase();
        if first == "sentinel"
            && let Some(second) = words.get_mut(1)
        {
            second.make_ascii_lowercase();
        }
    }
    words
}
