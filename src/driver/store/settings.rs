//! The directives that concern the server, not what it watches.

use super::error::Wrong;
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
    /// Where the state is kept, when not in the configuration file.
    pub state_file: Option<PathBuf>,
    /// Directives that were read and mean nothing here.
    pub without_effect: Vec<String>,
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
            "port" => {
                self.port = number(one(name, args)?, 0..=65535)?;
                if self.port == 0 {
                    return Err(unsupported("port 0", "it would need tls-port"));
                }
            }
            "bind" if args.is_empty() => return Err(Wrong::new("'bind' needs at least one address")),
            "bind" => self.bind = args.iter().filter(|address| !address.is_empty()).cloned().collect(),
            "protected-mode" => self.protected_mode = yes_no(one(name, args)?)?,
            "dir" => self.dir = path(one(name, args)?),
            "logfile" => self.logfile = path(one(name, args)?),
            "loglevel" => self.loglevel = level(one(name, args)?)?,
            "pidfile" => self.pidfile = path(one(name, args)?),
            "daemonize" => {
                if yes_no(one(name, args)?)? {
                    return Err(unsupported(
                        "daemonize yes",
                        "say 'daemonize no' and let a service manager, or '&', put it into the background",
                    ));
                }
            }
            "supervised" => {
                if one(name, args)? != "no" {
                    return Err(unsupported("supervised", "say 'supervised no'"));
                }
            }
            "requirepass" => {
                let password = one(name, args)?;
                self.requirepass = (!password.is_empty()).then(|| Secret::new(password));
            }
            "timeout" => self.timeout = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?),
            "tcp-keepalive" => {
                self.tcp_keepalive = Duration::from_secs(number(one(name, args)?, 0..=i32::MAX as u64)?)
            }
            "maxclients" => self.maxclients = number(one(name, args)?, 1..=1_000_000)?,
            "user" => self.user(args)?,
            "latency-tracking-info-percentiles" => {}
            "acllog-max-len" | "tcp-backlog" | "hz" | "dynamic-hz" | "always-show-logo"
            | "set-proc-title" | "crash-log-enabled" => self.without_effect.push(name.clone()),
            _ if name.starts_with("tls-")
                || matches!(
                    name.as_str(),
                    "aclfile" | "unixsocket" | "unixsocketperm" | "syslog-enabled"
                ) =>
            {
                return Err(unsupported(name, "take the line out"));
            }
            _ => {
                return Err(Wrong::new(format!("'{name}' is no directive of a sentinel"))
                    .hint("Check its spelling; docs/configuration.md lists all directives."));
            }
        }
        Ok(())
    }

    /// The original writes the default user back as a line of its own; any other user waits for ACL support.
    fn user(&mut self, args: &[String]) -> Result<(), Wrong> {
        let all = |word: &String| matches!(word.as_str(), "on" | "~*" | "&*" | "+@all" | "sanitize-payload");
        let default = args.first().is_some_and(|user| user == "default");
        let open = args.iter().skip(1).all(|word| all(word) || word == "nopass" || word.starts_with('#'));
        if !default || !open {
            return Err(unsupported("user", "only the default user with 'requirepass' is known so far"));
        }
        Ok(())
    }
}

/// Something of the complete surface that this version lacks.
fn unsupported(what: &str, hint: &str) -> Wrong {
    Wrong::new(format!("'{what}' is not supported yet")).hint(format!("For now: {hint}."))
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
