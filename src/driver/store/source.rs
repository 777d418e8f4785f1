//! Where directives come from: the configuration file, the files that it includes, the state file, the command line.

use super::error::{ConfigError, Place, Wrong};
use super::lexer;
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
    /// The command line.
    Arguments,
}

const MAX_FILE: usize = 64 << 20;
const MAX_INCLUDES: usize = 16;

impl Directive {
    /// An error at this directive. Passwords in it are hidden.
    pub(crate) fn error(&self, wrong: Wrong) -> ConfigError {
        let words = without_secrets(self.words.clone());
        ConfigError { at: self.at.clone(), line: lexer::join(&words), what: wrong.what, hint: wrong.hint }
    }
}

/// The words of a line as they may be shown.
fn without_secrets(mut words: Vec<String>) -> Vec<String> {
    const SECRET: [&str; 5] = ["requirepass", "auth-pass", "sentinel-pass", "user", "tls-key-file-pass"];
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
    words
}

/// Reads a file with all that it includes.
pub(crate) fn read(path: &Path, layer: Layer) -> Result<(Vec<u8>, Vec<Directive>), ConfigError> {
    let bytes = read_bytes(path)?;
    let mut directives = Vec::new();
    collect(path, &bytes, layer, 0, &mut directives)?;
    Ok((bytes, directives))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let whole = |what: String, hint: &str| ConfigError {
        at: Place::File(path.to_owned(), 0),
        line: String::new(),
        what,
        hint: hint.into(),
    };
    let bytes = std::fs::read(path)
        .map_err(|error| whole(format!("cannot be read: {error}"), "Check the path and its permissions."))?;
    if bytes.len() > MAX_FILE {
        return Err(whole(format!("is longer than {} MB", MAX_FILE >> 20), "This is no configuration file."));
    }
    Ok(bytes)
}

fn collect(
    path: &Path,
    bytes: &[u8],
    layer: Layer,
    depth: usize,
    out: &mut Vec<Directive>,
) -> Result<(), ConfigError> {
    for (index, line) in bytes.split(|c| *c == b'\n').enumerate() {
        let at = Place::File(path.to_owned(), index + 1);
        let words = words_of(line).map_err(|wrong| ConfigError {
            at: at.clone(),
            line: without_secrets(
                String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect(),
            )
            .join(" "),
            what: wrong.to_string(),
            hint: "Put a value with spaces or quotes between double quotes, with \\\" for a quote inside."
                .into(),
        })?;
        if words.is_empty() {
            continue;
        }
        let directive = Directive { at, layer, words };
        match directive.words.as_slice() {
            [name, file] if name == "include" => {
                let file = PathBuf::from(file);
                if depth >= MAX_INCLUDES {
                    return Err(directive.error(Wrong::new("files include each other too deeply")));
                }
                let inner = read_bytes(&file).map_err(|error| {
                    directive.error(Wrong::new(format!("{}: {}", file.display(), error.what)))
                })?;
                let layer = if layer == Layer::File { Layer::Include } else { layer };
                collect(&file, &inner, layer, depth + 1, out)?;
            }
            _ => out.push(directive),
        }
    }
    Ok(())
}

/// The words of one line of a file: none when it is empty or a comment.
pub(crate) fn words_of(line: &[u8]) -> Result<Vec<String>, lexer::LexError> {
    let line = line.trim_ascii();
    if line.is_empty() || line[0] == b'#' {
        return Ok(Vec::new());
    }
    Ok(normalised(lexer::split(line)?))
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

/// Reads `--port 26380 --sentinel announce-port 7` as configuration lines.
pub(crate) fn arguments(arguments: &[String]) -> Result<Vec<Directive>, ConfigError> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for argument in arguments {
        match (argument.strip_prefix("--"), lines.last_mut()) {
            (Some(name), _) if !name.is_empty() => lines.push(vec![name.to_owned()]),
            (_, Some(line)) => line.push(argument.clone()),
            (_, None) => {
                return Err(ConfigError {
                    at: Place::Arguments,
                    line: argument.clone(),
                    what: "a directive starts with two dashes".into(),
                    hint: "For example: --port 26380".into(),
                });
            }
        }
    }
    let directive =
        |words| Directive { at: Place::Arguments, layer: Layer::Arguments, words: normalised(words) };
    Ok(lines.into_iter().map(directive).collect())
}
