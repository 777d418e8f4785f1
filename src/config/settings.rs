//! The directives that concern the server, not what it watches.

use super::elsewhere;
use super::error::Wrong;
use super::tls::TlsSettings;
use crate::acl::{self, Channels};
use crate::catalogue::catalogue;
use consentinel_core::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What the driver itself must know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// The port on which clients and peers are served.
    pub port: u16,
    /// The addresses to listen on; all of them when empty.
    pub bind: Vec<String>,
    /// Whether strangers are refused while there is no password.
    pub protected_mode: bool,
    /// The working directory: scripts run there, and relative paths start there.
    pub dir: Option<PathBuf>,
    /// Where the log goes; standard output when missing.
    pub logfile: Option<PathBuf>,
    /// What is worth logging.
    pub loglevel: consentinel_core::Level,
    /// Where to write the number of the process.
    pub pidfile: Option<PathBuf>,
    /// The password that clients must give.
    pub requirepass: Option<Secret>,
    /// Idle clients are closed after this; never when zero.
    pub timeout: Duration,
    /// Between two TCP keepalives; none when zero.
    pub tcp_keepalive: Duration,
    /// How many connections may wait to be accepted.
    pub tcp_backlog: i32,
    /// How many clients are served at a time.
    pub maxclients: usize,
    /// TLS, in and out.
    pub tls: TlsSettings,
    /// What stands behind `user`, one entry a line.
    pub users: Vec<Vec<String>>,
    /// The file with the users, when they are not in the configuration.
    pub aclfile: Option<PathBuf>,
    /// The channels of new users.
    pub acl_pubsub_default: Channels,
    /// How many denials ACL LOG remembers.
    pub acllog_max_len: usize,
    /// Where to listen besides.
    pub unixsocket: Option<PathBuf>,
    /// The rights of that socket.
    pub unixsocketperm: Option<u32>,
    /// Our own commands by other names, `""` to have none: from, to.
    pub renamed_commands: Vec<(String, String)>,
    /// How a line of the log looks.
    pub log_format: LogFormat,
    /// What to tell syslog.
    pub syslog: Syslog,
    /// Whether to go into the background.
    pub daemonize: bool,
    /// Who started us and wants to know when we are ready.
    pub supervised: Supervised,
    /// Where the state is kept, when not in the configuration file.
    pub state_file: Option<PathBuf>,
    /// Where and to whom the daemon shows itself over HTTP.
    pub http: HttpSettings,
    /// Directives that were read and mean nothing here.
    pub without_effect: Vec<String>,
}

/// Where and to whom the daemon shows itself over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// Where it listens; nowhere when empty.
    pub bind: Vec<SocketAddr>,
    /// Names besides addresses and `localhost` under which it may be asked.
    pub hosts: Vec<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// As Sentinel writes it.
    Lines,
    /// One JSON object a line.
    Json,
    /// `name=value` and spaces between, as Valkey writes it.
    Logfmt,
}

/// Whether and how the log goes to syslog as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syslog {
    /// Whether it does.
    pub enabled: bool,
    /// Under which name.
    pub ident: String,
    /// As which facility: `local0` to `local7`, `user`, `daemon`, ...
    pub facility: String,
}

impl Default for Syslog {
    fn default() -> Self {
        Syslog { enabled: false, ident: "redis".into(), facility: "local0".into() }
    }
}

/// Who started us and wants to know when we are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervised {
    /// Nobody.
    No,
    /// Upstart: we stop ourselves when ready.
    Upstart,
    /// systemd: we write to `NOTIFY_SOCKET`.
    Systemd,
    /// Whichever the environment shows.
    Auto,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            port: 26379,
            bind: Vec::new(),
            protected_mode: false,
            dir: None,
            logfile: None,
            loglevel: consentinel_core::Level::Notice,
            pidfile: None,
            requirepass: None,
            timeout: Duration::ZERO,
            tcp_keepalive: Duration::from_secs(300),
            tcp_backlog: 511,
            maxclients: 10_000,
            tls: TlsSettings::default(),
            users: Vec::new(),
            aclfile: None,
            acl_pubsub_default: Channels::None,
            acllog_max_len: 128,
            unixsocket: None,
            unixsocketperm: None,
            renamed_commands: Vec::new(),
            log_format: LogFormat::Lines,
            syslog: Syslog::default(),
            daemonize: false,
            supervised: Supervised::No,
            state_file: None,
            http: HttpSettings::default(),
            without_effect: Vec::new(),
        }
    }
}

impl Settings {
    /// Takes in one directive that is not `sentinel ...`.
    pub(crate) fn apply(&mut self, words: &[String]) -> Result<(), Wrong> {
        let Some((name, args)) = words.split_first() else { return Ok(()) };
        match name.as_str() {
            "port" => self.port = number(one(name, args)?, 0..=65535)?,
            "bind" => self.bind = addresses(args)?,
            "protected-mode" => self.protected_mode = yes_no(one(name, args)?)?,
            "dir" => self.dir = path(one(name, args)?),
            "logfile" => self.logfile = path(one(name, args)?),
            "loglevel" => self.loglevel = level(one(name, args)?)?,
            "log-format" => {
                self.log_format = match one_of(one(name, args)?, "lines, legacy, json, logfmt")? {
                    "json" => LogFormat::Json,
                    "logfmt" => LogFormat::Logfmt,
                    _ => LogFormat::Lines,
                }
            }
            "pidfile" => self.pidfile = path(one(name, args)?),
            "daemonize" => self.daemonize = yes_no(one(name, args)?)?,
            "supervised" => {
                self.supervised = match one_of(one(name, args)?, "upstart, systemd, auto, no")? {
                    "upstart" => Supervised::Upstart,
                    "systemd" => Supervised::Systemd,
                    "auto" => Supervised::Auto,
                    _ => Supervised::No,
                }
            }
            "syslog-enabled" => self.syslog.enabled = yes_no(one(name, args)?)?,
            "syslog-ident" => self.syslog.ident = one(name, args)?.to_owned(),
            "syslog-facility" => self.syslog.facility = one_of(one(name, args)?, FACILITIES)?.to_owned(),
            "requirepass" => {
                let password = one(name, args)?;
                self.requirepass = (!password.is_empty()).then(|| Secret::new(password));
            }
            "timeout" => self.timeout = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?),
            "tcp-keepalive" => {
                self.tcp_keepalive = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?)
            }
            "tcp-backlog" => self.tcp_backlog = number(one(name, args)?, 0..=i32::MAX)?,
            "maxclients" => self.maxclients = number(one(name, args)?, 1..=u32::MAX as usize)?,
            "user" if !args.is_empty() => self.add_user(args)?,
            "aclfile" => self.aclfile = path(one(name, args)?),
            "acl-pubsub-default" => {
                self.acl_pubsub_default = match one_of(one(name, args)?, "allchannels, resetchannels")? {
                    "allchannels" => Channels::All,
                    _ => Channels::None,
                }
            }
            "acllog-max-len" => self.acllog_max_len = number(one(name, args)?, 0..=i64::MAX as usize)?,
            "unixsocket" => self.unixsocket = path(one(name, args)?),
            "unixsocketperm" => self.unixsocketperm = Some(octal(one(name, args)?)?),
            "rename-command" if args.len() == 2 => {
                if catalogue().command(&args[0]).is_none() {
                    return Err(Wrong::as_theirs("No such command in rename-command")
                        .hint("A sentinel has fewer commands than a Redis server."));
                }
                self.renamed_commands.push((args[0].clone(), args[1].clone()));
            }
            _ if name.starts_with("tls-") => self.tls.apply(name, args)?,
            _ => match elsewhere::check(name, args) {
                Some(result) => {
                    result?;
                    // Written by the original into every file; nobody need be told.
                    if name != "latency-tracking-info-percentiles" && !self.without_effect.contains(name) {
                        self.without_effect.push(name.clone());
                    }
                }
                None => return Err(unknown(name)),
            },
        }
        Ok(())
    }

    fn add_user(&mut self, words: &[String]) -> Result<(), Wrong> {
        if self.users.iter().any(|user| user[0] == words[0]) {
            let text = "Duplicate user found. A user can only be defined once in config files";
            let theirs = format!("Error in user declaration '{}': {text}", words[0]);
            return Err(Wrong::as_theirs(theirs).hint("Put all rules of a user into one line."));
        }
        acl::check_declaration(words, self.acl_pubsub_default).map_err(|error| {
            Wrong::as_theirs(format!("Error in user declaration '{}': {error}", words[0]))
        })?;
        self.users.push(words.to_vec());
        Ok(())
    }

    /// The port that others are told when no other is announced.
    pub(crate) fn announced_port(&self) -> u16 {
        if self.tls.replication && self.tls.port != 0 { self.tls.port } else { self.port }
    }
}

/// Facilities that the original knows.
const FACILITIES: &str = "user, local0, local1, local2, local3, local4, local5, local6, local7";

/// More than these the original does not take.
const MOST_ADDRESSES: usize = 16;

/// What stands behind `bind`: nothing at all is said by one empty word.
fn addresses(args: &[String]) -> Result<Vec<String>, Wrong> {
    let addresses: Vec<String> = match args {
        [] => return Err(Wrong::new("'bind' needs at least one address")),
        [only] if only.trim().is_empty() => return Ok(vec![String::new()]),
        _ => args.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect(),
    };
    match addresses.len() > MOST_ADDRESSES {
        true => Err(Wrong::as_theirs("Too many bind addresses specified.")),
        false => Ok(addresses),
    }
}

/// No directive at all.
pub(super) fn unknown(name: &str) -> Wrong {
    Wrong::new(format!("'{name}' is no directive, or has the wrong number of values"))
        .theirs("Bad directive or wrong number of arguments")
        .hint("Check its spelling; docs/configuration.md lists all directives.")
}

/// The only argument of a directive.
pub(crate) fn one<'a>(name: &str, args: &'a [String]) -> Result<&'a str, Wrong> {
    match args {
        [only] => Ok(only),
        _ => Err(Wrong::new(format!("'{name}' takes one value, not {}", args.len()))
            .theirs("wrong number of arguments")
            .hint("Put a value with spaces between quotes.")),
    }
}

/// A number within limits.
pub(crate) fn number<T>(text: &str, range: std::ops::RangeInclusive<T>) -> Result<T, Wrong>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    // The original knows no '+' before a number.
    let value = if text.starts_with('+') { None } else { text.parse().ok() };
    match value {
        Some(value) if range.contains(&value) => Ok(value),
        _ => {
            let (least, most) = (range.start(), range.end());
            let theirs = match text.parse::<i64>() {
                Ok(_) if !text.starts_with('+') => {
                    format!("argument must be between {least} and {most} inclusive")
                }
                _ => "argument couldn't be parsed into an integer".into(),
            };
            Err(Wrong::new(format!("'{text}' is no number from {least} to {most}")).theirs(theirs))
        }
    }
}

/// `yes` or `no`.
pub(crate) fn yes_no(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => {
            let theirs = "argument must be 'yes' or 'no'";
            Err(Wrong::new(format!("'{text}' must be 'yes' or 'no'")).theirs(theirs))
        }
    }
}

/// One of the words of a list such as `a, b, c`.
pub(super) fn one_of<'a>(text: &str, words: &'a str) -> Result<&'a str, Wrong> {
    words
        .split(", ")
        .find(|word| word.eq_ignore_ascii_case(text))
        .ok_or_else(|| Wrong::as_theirs(format!("argument(s) must be one of the following: {words}")))
}

/// The rights of a file, in octal digits.
fn octal(text: &str) -> Result<u32, Wrong> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) => Err(Wrong::as_theirs("argument must be between 0 and 777 inclusive")),
        Err(_) => Err(Wrong::new(format!("'{text}' must be rights in octal digits, such as 700"))
            .theirs("argument couldn't be parsed as an octal number")),
    }
}

/// A log level by its name.
pub(crate) fn level(text: &str) -> Result<consentinel_core::Level, Wrong> {
    use consentinel_core::Level;
    // Newer servers know "nothing"; what matters enough to be a warning is told all the same.
    if text.eq_ignore_ascii_case("nothing") {
        return Ok(Level::Warning);
    }
    match one_of(text, "debug, verbose, notice, warning")? {
        "debug" => Ok(Level::Debug),
        "verbose" => Ok(Level::Verbose),
        "notice" => Ok(Level::Notice),
        _ => Ok(Level::Warning),
    }
}

/// What the log's level is called where nobody says another.
pub(super) const USUAL_LEVEL: &str = "notice";

/// What a log level is called.
pub(crate) fn level_name(level: consentinel_core::Level) -> &'static str {
    use consentinel_core::Level;
    match level {
        Level::Debug => "debug",
        Level::Verbose => "verbose",
        Level::Notice => "notice",
        Level::Warning => "warning",
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}
