//! The configuration file: read at start, and written back whenever the sentinel must not forget something.

mod consul;
mod error;
mod file;
mod lexer;
mod render;
mod sentinel;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use error::{ConfigError, Place};
pub(crate) use file::replace;
pub(crate) use lexer::split_bytes;
pub(crate) use sentinel::{group_name, script};
pub(crate) use settings::{Settings, level};

use crate::registrar::ConsulSettings;
use consentinel_core::{Durable, GroupName, Host, SaveError};
use consul::Said;
use error::Wrong;
use sentinel::{Pass, Reader};
use source::{Directive, Layer};
use std::path::{Path, PathBuf};

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the driver must know.
    pub settings: Settings,
    /// What the core must know.
    pub durable: Durable,
    /// What the registrar must know; nothing when nothing is published.
    pub consul: Option<ConsulSettings>,
    /// Where to write it back.
    pub store: Store,
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// The configuration file, as an absolute path.
    path: PathBuf,
    /// The file for the state, when it is one of its own.
    state_file: Option<PathBuf>,
    /// What others than the written file say.
    base: Durable,
    /// The configuration as it was at start, in case that it cannot be read any more.
    original: Vec<u8>,
}

/// What the environment says under a name.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a tool beside the daemon must know of a configuration.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The port and the password of the sentinel that runs by it.
    pub settings: Settings,
    /// How Consul is reached.
    pub consul: ConsulSettings,
    /// The masters, by the state too where it is kept apart.
    pub masters: Vec<GroupName>,
}

/// Reads a configuration file and the overrides of the command line, and goes to the working directory that they name.
pub(crate) fn load(
    path: &Path,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<Loaded, ConfigError> {
    let absolute = std::fs::canonicalize(path).map_err(|error| ConfigError {
        at: Place::File(path.to_owned(), 0),
        line: String::new(),
        what: format!("cannot be read: {error}"),
        hint: "A sentinel needs a configuration file on disk.".into(),
    })?;
    let (original, directives) = source::read(path, Layer::File)?;
    let gathered = gather(directives, arguments, environment)?;
    let Gathered { settings, mut durable, consul, directives, base } = gathered;
    let consul = consul.conclude(&mut durable, &directives)?;
    let store = Store { path: absolute, state_file: settings.state_file.clone(), base, original };
    store.check_writable()?;
    Ok(Loaded { settings, durable, consul, store })
}

/// Reads a configuration, or the command line alone, for a tool that writes nothing.
pub(crate) fn survey(
    path: Option<&Path>,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<Survey, ConfigError> {
    let directives = match path {
        Some(path) => source::read(path, Layer::File)?.1,
        None => Vec::new(),
    };
    let gathered = gather(directives, arguments, environment)?;
    let Gathered { settings, mut durable, consul, directives, .. } = gathered;
    let consul = consul.conclude(&mut durable, &directives)?.unwrap_or_default();
    Ok(Survey { settings, consul, masters: durable.groups.into_keys().collect() })
}

/// All that was said, by whomever.
struct Gathered {
    settings: Settings,
    durable: Durable,
    consul: Said,
    directives: Vec<Directive>,
    base: Durable,
}

fn gather(
    mut directives: Vec<Directive>,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<Gathered, ConfigError> {
    directives.extend(source::arguments(arguments)?);
    let mut settings = server_settings(&directives)?;
    if let Some(dir) = &settings.dir {
        std::env::set_current_dir(dir).map_err(|error| ConfigError {
            at: Place::File(dir.clone(), 0),
            line: String::new(),
            what: format!("the directory cannot be entered: {error}"),
            hint: "Correct the line 'dir'.".into(),
        })?;
    }
    let configured = read_sentinel(&directives, environment)?;
    let mut durable = configured.durable.clone();
    settings.state_file = configured.state_file.map(PathBuf::from);
    let mut consul = configured.consul;
    let base = match &settings.state_file {
        None => included(&directives),
        Some(file) => {
            if file.exists() {
                directives.extend(source::read(file, Layer::State)?.1);
                let with_state = read_sentinel(&directives, environment)?;
                (durable, consul) = (with_state.durable, with_state.consul);
            }
            configured.durable
        }
    };
    durable.config.port = settings.port;
    Ok(Gathered { settings, durable, consul, directives, base })
}

fn server_settings(directives: &[Directive]) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    for directive in directives.iter().filter(|directive| directive.words[0] != "sentinel") {
        settings.apply(&directive.words).map_err(|wrong| directive.error(wrong))?;
    }
    Ok(settings)
}

fn read_sentinel(directives: &[Directive], environment: Environment<'_>) -> Result<Reader, ConfigError> {
    read_with(Reader::new(Said::by_environment(environment)?), directives)
}

fn read_with(mut reader: Reader, directives: &[Directive]) -> Result<Reader, ConfigError> {
    let mut passes = Vec::new();
    for directive in directives.iter().filter(|directive| directive.words[0] == "sentinel") {
        let pass = sentinel::check(&directive.words[1..]).map_err(|wrong| directive.error(wrong))?;
        passes.push((pass, directive));
    }
    // Stable: within a pass and a layer the order of the file stays.
    passes.sort_by_key(|(pass, directive)| (*pass, directive.layer));
    let mut before_groups = true;
    for (pass, directive) in &passes {
        if *pass == Pass::Group && std::mem::take(&mut before_groups) {
            reader.end_of_masters();
        }
        reader.apply(&directive.words[1..], directive.layer).map_err(|wrong| directive.error(wrong))?;
        if *pass == Pass::Monitor {
            check_host(&reader, directive)?;
        }
    }
    if before_groups {
        reader.end_of_masters();
    }
    Ok(reader)
}

fn check_host(reader: &Reader, directive: &Directive) -> Result<(), ConfigError> {
    let named = directive.words.get(3).and_then(|host| Host::parse(host).ok());
    match named {
        Some(Host::Name(name)) if !reader.durable.config.resolve_hostnames => Err(directive.error(
            Wrong::new(format!("'{name}' is no IP address, and names are not looked up"))
                .hint("Write the address, or add: sentinel resolve-hostnames yes"),
        )),
        _ => Ok(()),
    }
}

/// What the included files say by themselves.
fn included(directives: &[Directive]) -> Durable {
    let included: Vec<Directive> =
        directives.iter().filter(|directive| directive.layer == Layer::Include).cloned().collect();
    read_with(Reader::lenient(), &included).map(|reader| reader.durable).unwrap_or_default()
}

impl Store {
    /// Writes the state so that it survives a power cut. Blocks.
    pub(crate) fn save(&self, state: &Durable) -> Result<(), SaveError> {
        let (path, bytes) = match &self.state_file {
            Some(file) => (file, render::as_state_file(&self.base, state)),
            None => {
                // Read again, so that what the operator wrote meanwhile stays.
                let original = std::fs::read(&self.path).unwrap_or_else(|_| self.original.clone());
                (&self.path, render::into_configuration(&original, &self.base, state))
            }
        };
        file::replace(path, &bytes).map_err(|error| SaveError(format!("{}: {error}", path.display())))
    }

    /// The configuration file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn check_writable(&self) -> Result<(), ConfigError> {
        let path = self.state_file.as_ref().unwrap_or(&self.path);
        file::check_replaceable(path).map_err(|error| ConfigError {
            at: Place::File(path.clone(), 0),
            line: String::new(),
            what: format!("cannot be written, nor replaced in its folder: {error}"),
            hint:
                "A sentinel must not forget its votes. Make file and folder writable for it, or add to the \
                   configuration: sentinel state-file <path>"
                    .into(),
        })
    }
}
