//! The options of `consentinel proxy`.

use super::worker::{CheckRole, Limits};
use crate::arguments::{Naming, address, duration};
use crate::config::LogFormat;
use crate::config::Settings;
use crate::config::Supervised;
use crate::config::TlsSettings;
use clap::Parser;
use consentinel_core::Level;
use consentinel_core::Role;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The usual port of the metrics: the one beside the daemon's.
const HTTP_PORT: u16 = 8655;

/// Sockets that can be handed over at once.
const MAX_LISTENS: usize = 100;

/// Leads clients to the current master, and to its replicas, for applications that can change nothing.
///
/// Looks up where the master is as `consentinel resolve` does, and follows it. A connection to a master that was demoted is
/// cut at once; a new one is held for a moment while nobody is the master.
///
/// Signals: HUP reads certificates again and opens the log anew, USR1 the log alone; USR2 starts the program again, which
/// takes over the sockets without refusing anybody; TERM and INT end it when its clients have gone, or after --drain, and a
/// second one at once.
#[derive(Debug, Parser)]
#[command(name = "consentinel proxy", verbatim_doc_comment)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) naming: Naming,
    /// Where clients reach the master: 127.0.0.1:6379, [::1]:6379, unix:/run/redis.sock. Several are possible.
    #[arg(
        long,
        value_name = "ADDRESS:PORT|unix:PATH",
        value_delimiter = ',',
        required_unless_present = "replicas"
    )]
    listen: Vec<Bind>,
    /// Where clients reach the replicas, each connection one of them. Several are possible.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_delimiter = ',')]
    replicas: Vec<Bind>,
    /// While there is no replica, the master serves those who want one.
    #[arg(long, requires = "replicas")]
    fall_back_to_master: bool,
    /// Who may use the Unix sockets, as for chmod.
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "660")]
    unix_mode: u32,
    /// How long a new connection is held while nobody is the master.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    hold: Duration,
    /// How many are held at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    hold_connections: usize,
    /// How long a master counts whom nobody confirms any more, because no name server answers.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(super) max_stale: Duration,
    /// How often DNS is asked while nothing happens; more often while anything is in doubt.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "100ms")]
    pub(super) poll: Duration,
    /// How many connections may be open at all.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = at_least_one)]
    max_connections: usize,
    /// How long a server may take to be connected to, to shake hands, and to tell its role, each.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    connect_timeout: Duration,
    /// When a server is asked for its ROLE before a client is led to it. One that wants a password first is believed.
    #[arg(long, value_enum, default_value = "new")]
    check_role: CheckRole,
    /// Speak TLS with the servers. Clients are spoken to in the clear.
    #[arg(long)]
    tls: bool,
    /// A file with certificates of authorities that are believed. It means --tls.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// A folder of such files.
    #[arg(long, value_name = "FOLDER")]
    tls_ca_dir: Option<PathBuf>,
    /// The certificate to show to servers.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that must be in the servers' certificates; without one only their authority is checked.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// How long clients may stay after SIGTERM, and after another process has taken over.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(super) drain: Duration,
    /// How many threads carry bytes; as many as there are processors when it is not said.
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    threads: Option<usize>,
    /// Where metrics and health are served over HTTP: /metrics, /health.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = http_address)]
    pub(super) http: Option<SocketAddr>,
    /// A file for the log; standard output when it is not said.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// How a line of the log looks.
    #[arg(long, value_name = "lines|json", value_parser = log_format, default_value = "lines")]
    log_format: LogFormat,
    /// What is worth logging.
    #[arg(long, value_name = "debug|verbose|notice|warning", value_parser = log_level, default_value = "notice")]
    log_level: Level,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Where to listen, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) bind: Bind,
    pub(super) role: Role,
}

/// TLS to the servers.
pub(super) struct Outward {
    pub(super) settings: TlsSettings,
    pub(super) name: Option<ServerName<'static>>,
}

impl Arguments {
    /// Where to listen, each place once.
    pub(super) fn listens(&self) -> Result<Vec<Listen>, String> {
        let listen = |role| move |bind: &Bind| Listen { bind: bind.clone(), role };
        let listens: Vec<_> = self
            .listen
            .iter()
            .map(listen(Role::Master))
            .chain(self.replicas.iter().map(listen(Role::Replica)))
            .collect();
        if let Some(twice) = listens
            .iter()
            .enumerate()
            .find(|(at, listen)| listens[..*at].iter().any(|it| it.bind == listen.bind))
        {
            return Err(format!(
                "{} is named twice: one address leads to one kind of server\n",
                twice.1.bind
            ));
        }
        match listens.len() > MAX_LISTENS {
            true => {
                Err(format!("{} addresses to listen on are too many: {MAX_LISTENS} at most\n", listens.len()))
            }
            false => Ok(listens),
        }
    }

    /// The rights of the Unix sockets.
    pub(super) fn mode(&self) -> u32 {
        self.unix_mode
    }

    /// What there is of everything at most.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            held: self.hold_connections,
            hold: self.hold,
            check_role: self.check_role,
            fall_back: self.fall_back_to_master,
        }
    }

    /// How long each step to a server may take.
    pub(super) fn patience(&self) -> Duration {
        self.connect_timeout
    }

    /// How many threads.
    pub(super) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).min(256)
    }

    /// TLS, where it is wanted.
    pub(super) fn outward(&self) -> Result<Option<Outward>, String> {
        let any = self.tls_ca.is_some() || self.tls_ca_dir.is_some() || self.tls_cert.is_some();
        if !self.tls && !any && self.tls_server_name.is_none() {
            return Ok(None);
        }
        if self.tls_ca.is_none() && self.tls_ca_dir.is_none() {
            return Err(
                "TLS needs somebody to believe: name the authorities by --tls-ca or --tls-ca-dir\n".into()
            );
        }
        let name = self.tls_server_name.clone().map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| format!("--tls-server-name: '{name}' is no name\n"))
        });
        // A relative path stays where the user is.
        let path = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let settings = TlsSettings {
            ca_cert_file: self.tls_ca.as_deref().map(path),
            ca_cert_dir: self.tls_ca_dir.as_deref().map(path),
            cert_file: self.tls_cert.as_deref().map(path),
            key_file: self.tls_key.as_deref().map(path),
            ..TlsSettings::default()
        };
        Ok(Some(Outward { settings, name: name.transpose()? }))
    }

    /// What the daemon's log and its talk with systemd need.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            logfile: self.log_file.clone(),
            loglevel: self.log_level,
            log_format: self.log_format,
            supervised: Supervised::Auto,
            ..Settings::default()
        }
    }
}

impl Listen {
    /// What it is called.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.role.name(), self.bind)
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl std::str::FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Bind, String> {
        let path = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text));
        match path {
            Some("") => Err("a path is expected behind unix:".into()),
            Some(path) if path.len() > 100 => {
                Err("the path is too long for a socket: 100 bytes at most".into())
            }
            Some(path) => Ok(Bind::Unix(path.into())),
            None => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() == 0 => Err("a port other than 0 is expected".into()),
                Ok(address) => Ok(Bind::Tcp(address)),
                Err(_) => Err("write 127.0.0.1:6379, [::1]:6379 or unix:/run/redis.sock".into()),
            },
        }
    }
}

fn http_address(text: &str) -> Result<SocketAddr, String> {
    address(text, HTTP_PORT)
        .ok_or_else(|| format!("write 127.0.0.1, 127.0.0.1:{HTTP_PORT} or [::1]:{HTTP_PORT}"))
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "an octal number is expected, as for chmod: 660".into())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on is expected".into())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "lines" => Ok(LogFormat::Lines),
        "json" => Ok(LogFormat::Json),
        _ => Err("lines and json are possible".into()),
    }
}

fn log_level(text: &str) -> Result<Level, String> {
    match text {
        "debug" => Ok(Level::Debug),
        "verbose" => Ok(Level::Verbose),
        "notice" => Ok(Level::Notice),
        "warning" => Ok(Level::Warning),
        _ => Err("debug, verbose, notice and warning are possible".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = ["consentinel proxy"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn every_address_leads_to_one_kind_of_server() {
        let line = "--listen 127.0.0.1:1 --listen [::1]:1 --listen unix:/run/a.sock --replicas 127.0.0.1:2 redis.service.consul";
        let listens = parse(line).and_then(|it| it.listens()).expect("a good command line");
        let labels: Vec<_> = listens.iter().map(Listen::label).collect();
        let expected =
            ["master 127.0.0.1:1", "master [::1]:1", "master unix:/run/a.sock", "replica 127.0.0.1:2"];
        assert_eq!(labels, expected);
        let twice = parse("--listen 127.0.0.1:1 --replicas 127.0.0.1:1 r").and_then(|it| it.listens());
        assert!(twice.is_err_and(|text| text.contains("named twice")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, part) in [
            ("redis.service.consul", "--listen"),
            ("--listen 127.0.0.1:1", "NAME"),
            ("--listen localhost:1 r", "write 127.0.0.1:6379"),
            ("--listen 127.0.0.1:0 r", "port other than 0"),
            ("--listen 127.0.0.1:1 --hold soon r", "hold"),
            ("--listen 127.0.0.1:1 --unix-mode 9 r", "octal"),
            ("--listen 127.0.0.1:1 --fall-back-to-master r", "--replicas"),
            ("--listen 127.0.0.1:1 --tls-cert c r", "--tls-key"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
        let outward = parse("--listen 127.0.0.1:1 --tls r").map(|it| it.outward().err());
        assert!(outward.is_ok_and(|error| error.is_some_and(|text| text.contains("--tls-ca"))));
    }
}
