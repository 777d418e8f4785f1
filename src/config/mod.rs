//! The configuration file: read at start, and written back whenever the sentinel must not forget something.

mod address;
mod arguments;
mod consul;
mod dns;
mod elsewhere;
mod error;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod line;
mod pattern;
mod recovery;
mod render;
mod sentinel;
mod settings;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use crate::quoting::{join, split, split_bytes};
pub(crate) use arguments::Beginnings;
pub(crate) use error::ConfigError;
pub(crate) use file::replace;
pub(crate) use sentinel::{group_name, script};
pub(crate) use settings::{HttpSettings, LogFormat, Settings, Supervised, Syslog, level, level_name};
pub(crate) use source::words_of;
pub(crate) use store::Store;
pub(crate) use tls::{AuthClients, TlsProtocol, TlsSettings};

use crate::dns::DnsSettings;
use crate::registrar::ConsulSettings;
use consentinel_core::{Durable, GroupName, Host, Level};
use consul::Said;
use error::Wrong;
use sentinel::{Pass, Reader};
use source::{Directive, Layer};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use store::Last;

/// The version of the original whose behaviour users may expect.
pub(crate) const COMPATIBLE_WITH: &str = "7.0.15";

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the driver must know.
    pub settings: Settings,
    /// What the core must know.
    pub durable: Durable,
    /// What the registrar must know; nothing when nothing is published.
    pub consul: Option<ConsulSettings>,
    /// What things are called, be they published or not.
    pub naming: ConsulSettings,
    /// How DNS is answered.
    pub dns: DnsSettings,
    /// Where to write it back.
    pub store: Store,
    /// What was read from standard input; it cannot be read again.
    pub input: Option<Vec<u8>>,
    /// What of the memory was not there and had to be made good; to be logged.
    pub lost: Vec<String>,
}

/// The environment's name for the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "CONSENTINEL_CONFIG";

/// The environment's name for directives, a line each.
pub(crate) const DIRECTIVES_VARIABLE: &str = "CONSENTINEL_DIRECTIVES";

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

/// Reads a configuration file and the overrides of the environment and of the command line, and goes to the working
/// directory that they name. Where the environment says anything, a file that is not there is begun: the state goes there.
pub(crate) fn load(
    path: &Path,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<Loaded, ConfigError> {
    let by_environment = environment(DIRECTIVES_VARIABLE).filter(|text| !text.trim().is_empty());
    if by_environment.is_some() {
        file::begin(path).map_err(|error| {
            let wrong = Wrong::new(format!("the file cannot be begun: {}", source::plain(&error)));
            ConfigError::about_file(path, wrong.hint("Make its folder, and let the daemon write into it."))
        })?;
    }
    let source = source::read(path, Layer::File)?;
    let absolute = std::path::absolute(path)
        .map_err(|error| ConfigError::about_file(path, Wrong::new(source::plain(&error))))?;
    let mut directives = source.directives;
    directives.extend(source::read_environment(by_environment.as_deref().unwrap_or_default())?);
    let (directives, input) = with_arguments(directives, lines_in(&source.bytes), arguments, false)?;
    let Gathered { settings, mut durable, consul, dns, directives, base, lost, state_users, state_level } =
        gather(directives, &source.bytes, environment)?;
    check_logfile(&settings)?;
    let dns = dns.conclude(consul.datacenter());
    let (naming, published) = consul.conclude(&mut durable, &directives, !dns.bind.is_empty())?;
    let consul = published.then(|| naming.clone());
    let users_in = |wanted: Layer| {
        let is_user = |directive: &&Directive| directive.layer == wanted && directive.words[0] == "user";
        directives.iter().filter(is_user).map(|directive| directive.words.clone()).collect()
    };
    let store = Store {
        path: absolute,
        state_file: settings.state_file.clone(),
        base,
        last: Mutex::new(Last { bytes: source.bytes, state: None }),
        users: Mutex::new(state_users),
        level: Mutex::new(state_level),
        included_users: users_in(Layer::Include),
    };
    store.check_writable()?;
    Ok(Loaded { settings, durable, consul, naming, dns, store, input, lost })
}

/// Reads a configuration, or the command line alone, for a tool that writes nothing.
pub(crate) fn survey(
    path: Option<&Path>,
    arguments: &[String],
    environment: Environment<'_>,
) -> Result<Survey, ConfigError> {
    let source = path.map(|path| source::read(path, Layer::File)).transpose()?;
    let (bytes, mut directives) = source.map(|source| (source.bytes, source.directives)).unwrap_or_default();
    if path.is_some() {
        directives.extend(source::read_environment(&environment(DIRECTIVES_VARIABLE).unwrap_or_default())?);
    }
    let (directives, _) = with_arguments(directives, lines_in(&bytes), arguments, path.is_none())?;
    let Gathered { settings, mut durable, consul, directives, .. } = gather(directives, &bytes, environment)?;
    let (naming, published) = consul.conclude(&mut durable, &directives, false)?;
    let consul = if published { naming } else { ConsulSettings::default() };
    Ok(Survey { settings, consul, masters: durable.groups.into_keys().collect() })
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// What was said before, then standard input, then the command line.
fn with_arguments(
    mut directives: Vec<Directive>,
    mut lines: usize,
    arguments: &[String],
    alone: bool,
) -> Result<(Vec<Directive>, Option<Vec<u8>>), ConfigError> {
    let said = arguments::read(arguments, alone);
    let mut bytes = None;
    if said.input {
        let input = source::read_input()?;
        lines += lines_in(&input.bytes);
        directives.extend(input.directives);
        bytes = Some(input.bytes);
    }
    directives.extend(source::read_lines(&said.lines, lines + 2)?);
    Ok((directives, bytes))
}

/// All that was said, by whomever.
struct Gathered {
    settings: Settings,
    durable: Durable,
    consul: Said,
    dns: dns::Said,
    directives: Vec<Directive>,
    base: Durable,
    lost: Vec<String>,
    /// The users that the state file has.
    state_users: Option<Vec<String>>,
    /// The log's level by the state file.
    state_level: Option<Level>,
}

fn gather(
    mut directives: Vec<Directive>,
    bytes: &[u8],
    environment: Environment<'_>,
) -> Result<Gathered, ConfigError> {
    let mut settings = server_settings(&directives)?;
    let configured = read_sentinel(&directives, environment)?;
    let mut durable = configured.durable.clone();
    settings.state_file = configured.state_file.map(PathBuf::from);
    settings.http = configured.http;
    let dns = configured.dns;
    let mut consul = configured.consul;
    let mut passed_over = configured.passed_over;
    let mut remembered = recovery::Evidence::of(bytes, &directives, Layer::File);
    let (mut state_users, mut state_level) = (None, None);
    let base = match &settings.state_file {
        None => included(&directives),
        Some(file) => {
            if file.exists() {
                let source = source::read(file, Layer::State)?;
                remembered = recovery::Evidence::of(&source.bytes, &source.directives, Layer::State);
                (state_users, state_level) = take_settings(&source.directives, &mut settings)?;
                let by_argument =
                    |said: &Directive| said.layer == Layer::Arguments && said.words[0] == "loglevel";
                if let Some(level) = state_level.filter(|_| !directives.iter().any(by_argument)) {
                    settings.loglevel = level;
                }
                directives.extend(source.directives);
                let with_state = read_sentinel(&directives, environment)?;
                (durable, consul) = (with_state.durable, with_state.consul);
                // It has read the configuration, too.
                passed_over = with_state.passed_over;
            }
            configured.durable
        }
    };
    let mut lost = remembered.make_good(&mut durable);
    lost.append(&mut passed_over);
    durable.config.port = settings.announced_port();
    Ok(Gathered { settings, durable, consul, dns, directives, base, lost, state_users, state_level })
}

/// Where the state has users, all of them: they stand in place of the configuration's. Besides, the log's level, if the
/// state has it.
fn take_settings(
    state: &[Directive],
    settings: &mut Settings,
) -> Result<(Option<Vec<String>>, Option<Level>), ConfigError> {
    let (mut lines, mut loglevel) = (Vec::new(), None);
    for directive in state.iter().filter(|directive| directive.words[0] != "sentinel") {
        let [name, words @ ..] = directive.words.as_slice() else { continue };
        if let ("loglevel", [word]) = (name.as_str(), words) {
            loglevel = Some(level(word).map_err(|wrong| directive.error(wrong))?);
            continue;
        }
        if name != "user" || words.is_empty() {
            return Err(directive.error(
                Wrong::new(format!("'{name}' is no line of a state file"))
                    .hint("Only lines that begin with 'sentinel', 'user' or 'loglevel' stand there."),
            ));
        }
        if lines.is_empty() {
            settings.users.clear();
        }
        settings.users.push(words.to_vec());
        lines.push(join(&directive.words));
    }
    Ok(((!lines.is_empty()).then_some(lines), loglevel))
}

fn server_settings(directives: &[Directive]) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    for directive in directives.iter().filter(|directive| directive.words[0] != "sentinel") {
        settings.apply(&directive.words).map_err(|wrong| directive.error(wrong))?;
        if directive.words[0] == "dir"
            && let Some(dir) = &settings.dir
        {
            std::env::set_current_dir(dir).map_err(|error| {
                let wrong = Wrong::new(format!("the directory {} cannot be entered", dir.display()));
                directive.error(wrong.theirs(source::plain(&error)).hint("Correct the line 'dir'."))
            })?;
        }
    }
    Ok(settings)
}

/// A log that cannot be written is noticed at the start, not when it is needed.
fn check_logfile(settings: &Settings) -> Result<(), ConfigError> {
    let Some(path) = &settings.logfile else { return Ok(()) };
    match std::fs::OpenOptions::new().append(true).create(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = format!("Can't open the log file: {}", source::plain(&error));
            Err(ConfigError::about_file(path, Wrong::as_theirs(what).hint("Correct the line 'logfile'.")))
        }
    }
}

fn read_sentinel(directives: &[Directive], environment: Environment<'_>) -> Result<Reader, ConfigError> {
    read_with(Reader::new(Said::by_environment(environment)?), directives)
}

fn read_with(mut reader: Reader, directives: &[Directive]) -> Result<Reader, ConfigError> {
    let mut passes = Vec::new();
    for directive in directives.iter().filter(|directive| directive.words[0] == "sentinel") {
        match sentinel::check(&directive.words[1..]) {
            Ok(pass) => passes.push((pass, directive)),
            Err(wrong) => pass_over(&mut reader, directive, wrong)?,
        }
    }
    // Stable: within a pass and a layer the order of the file stays.
    passes.sort_by_key(|(pass, directive)| (*pass, directive.layer));
    let mut before_groups = true;
    for (pass, directive) in &passes {
        if *pass == Pass::Group && std::mem::take(&mut before_groups) {
            reader.end_of_masters();
        }
        if let Err(wrong) = reader.apply(&directive.words[1..], directive.layer) {
            pass_over(&mut reader, directive, wrong)?;
        }
        check_host(&reader, directive)?;
    }
    if before_groups {
        reader.end_of_masters();
    }
    reader.end();
    Ok(reader)
}

/// Puts a line aside, if it is about what was learned. All others are what the operator or this sentinel has decided.
fn pass_over(reader: &mut Reader, directive: &Directive, wrong: Wrong) -> Result<(), ConfigError> {
    let is_learned = directive.words.get(1).is_some_and(|name| sentinel::LEARNED.contains(&name.as_str()));
    let error = directive.error(wrong);
    if !is_learned {
        return Err(error);
    }
    reader.passed_over.push(format!(
        "{}: '{}' is passed over: {}. What it says is learned again",
        error.at,
        error::Shown(&error.line),
        error::Shown(&error.wrong.what)
    ));
    Ok(())
}

/// Names where only addresses are of use.
fn check_host(reader: &Reader, directive: &Directive) -> Result<(), ConfigError> {
    let has_host = directive.words.get(1).is_some_and(|name| name == "monitor" || name == "known-master");
    let watched = |name: &String| reader.durable.groups.contains_key(&GroupName::new(name));
    let has_host = has_host && directive.words.get(2).is_some_and(watched);
    let named = directive.words.get(3).filter(|_| has_host).and_then(|host| Host::parse(host).ok());
    match named {
        Some(Host::Name(name)) if !reader.durable.config.resolve_hostnames => Err(directive.error(
            Wrong::new(format!("'{name}' is no IP address, and names are not looked up"))
                .theirs("Can't resolve instance hostname.")
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
