//! The directives that concern the server, not what it watches.

use super::error::Wrong;
use super::tls::TlsSettings;
use consentinel_core::Secret;
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
    /// How many clients are served at a time.
    pub maxclients: usize,
    /// TLS, in and out.
    pub tls: TlsSettings,
    /// What stands behind `user`, one entry a line.
    pub users: Vec<Vec<String>>,
    /// The file with the users, when they are not in the configuration.
    pub aclfile: Option<PathBuf>,
    /// How many denials ACL LOG remembers.
    pub acllog_max_len: usize,
    /// Where to listen besides.
    pub unixsocket: Option<PathBuf>,
    /// The rights of that socket.
    pub unixsocketperm: Option<u32>,
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
    /// Directives that were read and mean nothing here.
    pub without_effect: Vec<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// As Sentinel writes it.
    Lines,
    /// One JSON object a line.
    Json,
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
            maxclients: 10_000,
            tls: TlsSettings::default(),
            users: Vec::new(),
            aclfile: None,
            acllog_max_len: 128,
            unixsocket: None,
            unixsocketperm: None,
            log_format: LogFormat::Lines,
            syslog: Syslog::default(),
            daemonize: false,
            supervised: Supervised::No,
            state_file: None,
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
            "bind" if args.is_empty() => return Err(Wrong::new("'bind' needs at least one address")),
            "bind" => self.bind = args.iter().filter(|address| !address.is_empty()).cloned().collect(),
            "protected-mode" => self.protected_mode = yes_no(one(name, args)?)?,
            "dir" => self.dir = path(one(name, args)?),
            "logfile" => self.logfile = path(one(name, args)?),
            "loglevel" => self.loglevel = level(one(name, args)?)?,
            "pidfile" => self.pidfile = path(one(name, args)?),
            "daemonize" => self.daemonize = yes_no(one(name, args)?)?,
            "supervised" => {
                self.supervised = match one(name, args)?.to_ascii_lowercase().as_str() {
                    "no" => Supervised::No,
                    "upstart" => Supervised::Upstart,
                    "systemd" => Supervised::Systemd,
                    "auto" => Supervised::Auto,
                    other => {
                        return Err(Wrong::new(format!(
                            "'{other}' must be 'no', 'upstart', 'systemd' or 'auto'"
                        )));
                    }
                }
            }
            "log-format" => {
                self.log_format = match one(name, args)?.to_ascii_lowercase().as_str() {
                    "lines" => LogFormat::Lines,
                    "json" => LogFormat::Json,
                    other => return Err(Wrong::new(format!("'{other}' must be 'lines' or 'json'"))),
                }
            }
            "syslog-enabled" => self.syslog.enabled = yes_no(one(name, args)?)?,
            "syslog-ident" => self.syslog.ident = one(name, args)?.to_owned(),
            "syslog-facility" => self.syslog.facility = one(name, args)?.to_ascii_lowercase(),
            "requirepass" => {
                let password = one(name, args)?;
                self.requirepass = (!password.is_empty()).then(|| Secret::new(password));
            }
            "timeout" => self.timeout = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?),
            "tcp-keepalive" => {
                self.tcp_keepalive = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?)
            }
            "maxclients" => self.maxclients = number(one(name, args)?, 1..=1_000_000)?,
            "user" => {
                crate::driver::acl::check_line(args).map_err(Wrong::new)?;
                if self.users.iter().any(|user| user.first() == args.first()) {
                    return Err(Wrong::new("this user was defined before; a user can only be defined once"));
                }
                self.users.push(args.to_vec());
            }
            "aclfile" => self.aclfile = path(one(name, args)?),
            "acllog-max-len" => self.acllog_max_len = number(one(name, args)?, 0..=1_000_000)?,
            "unixsocket" => self.unixsocket = path(one(name, args)?),
            "unixsocketperm" => self.unixsocketperm = Some(octal(one(name, args)?)?),
            "latency-tracking-info-percentiles" => {}
            "tcp-backlog" | "hz" | "dynamic-hz" | "always-show-logo" | "set-proc-title"
            | "crash-log-enabled" => self.without_effect.push(name.clone()),
            _ if name.starts_with("tls-") => self.tls.apply(name, args)?,
            _ => {
                return Err(Wrong::new(format!("'{name}' is no directive of a sentinel"))
                    .hint("Check its spelling; docs/configuration.md lists all directives."));
            }
        }
        Ok(())
    }
}

/// The only argument of a directive.
pub(crate) fn one<'a>(name: &str, args: &'a [String]) -> Result<&'a str, Wrong> {
    match args {
        [only] => Ok(only),
        _ => Err(Wrong::new(format!("'{name}' takes one value, not {}", args.len()))
            .hint("Put a value with spaces between quotes.")),
    }
}

/// A number within limits.
pub(crate) fn number<T>(text: &str, range: std::ops::RangeInclusive<T>) -> Result<T, Wrong>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(Wrong::new(format!("'{text}' is no number from {} to {}", range.start(), range.end()))),
    }
}

/// `yes` or `no`.
pub(crate) fn yes_no(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Wrong::new(format!("'{text}' must be 'yes' or 'no'"))),
    }
}

/// The rights of a file, in octal digits.
fn octal(text: &str) -> Result<u32, Wrong> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(Wrong::new(format!("'{text}' must be rights in octal digits, such as 700"))),
    }
}

/// A log level by its name.
pub(crate) fn level(text: &str) -> Result<consentinel_core::Level, Wrong> {
    use consentinel_core::Level;
    match text.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::Debug),
        "verbose" => Ok(Level::Verbose),
        "notice" => Ok(Level::Notice),
        "warning" | "nothing" => Ok(Level::Warning),
        _ => {
            Err(Wrong::new(format!("'{text}' is no log level"))
                .hint("One of: debug, verbose, notice, warning."))
        }
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}
