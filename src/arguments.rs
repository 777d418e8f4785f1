//! What `resolve` and `proxy` have in common: the name to follow, and whom to ask for it.

use clap::Args;
use consentinel_resolver::{Builder, Resolver};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Consul answers DNS when nobody says another port.
const DNS_PORT: u16 = 8600;

/// The word for the name servers of this machine.
const SYSTEM: &str = "system";

/// A name, and whom to ask for it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Naming {
    /// The service's name: redis.service.consul.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A name server; port 8600 when none is said. Several are asked in this order. `system`: those of this machine.
    /// [default: 127.0.0.1:8600]
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = name_server, value_delimiter = ',')]
    dns: Vec<NameServer>,
    /// The datacenter, when it is not that of the name server.
    #[arg(long, value_name = "NAME")]
    datacenter: Option<String>,
    /// The domain, when it is not `consul`.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only entries with this tag: the master's name, where several share a service.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Consul's HTTP address: changes then arrive within milliseconds. DNS is asked while it does not answer.
    #[arg(long, value_name = "URL")]
    consul: Option<String>,
    /// A file with the token for Consul. It may also be in the environment, as CONSUL_HTTP_TOKEN.
    #[arg(long, value_name = "FILE", requires = "consul")]
    consul_token_file: Option<PathBuf>,
    /// How long a name server may take: 1s, 300ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameServer {
    At(SocketAddr),
    System,
}

impl Naming {
    /// What builds the resolver.
    pub(crate) fn builder(&self) -> Result<Builder, String> {
        let mut builder = Resolver::builder(&self.name).timeout(self.timeout);
        for server in &self.dns {
            builder = match server {
                NameServer::At(addr) => builder.name_server(*addr),
                NameServer::System => builder.system_name_servers(),
            };
        }
        if let Some(datacenter) = &self.datacenter {
            builder = builder.datacenter(datacenter);
        }
        if let Some(domain) = &self.domain {
            builder = builder.domain(domain);
        }
        if let Some(tag) = &self.tag {
            builder = builder.tag(tag);
        }
        if let Some(url) = &self.consul {
            builder = builder.consul(url);
            if let Some(token) = self.token()? {
                builder = builder.consul_token(token);
            }
        }
        Ok(builder)
    }

    fn token(&self) -> Result<Option<String>, String> {
        match &self.consul_token_file {
            Some(file) => read_secret(file, "token").map(Some),
            None => Ok(std::env::var("CONSUL_HTTP_TOKEN").ok().filter(|token| !token.is_empty())),
        }
    }
}

fn name_server(text: &str) -> Result<NameServer, String> {
    if text == SYSTEM {
        return Ok(NameServer::System);
    }
    let addr = address(text, DNS_PORT);
    addr.map(NameServer::At).ok_or_else(|| {
        "an IP address is expected, with or without a port: 127.0.0.1:8600, [::1]:8600, or `system`"
            .to_owned()
    })
}

/// An IP address, with the usual port when none is said: `127.0.0.1`, `127.0.0.1:53`, `::1`, `[::1]`, `[::1]:53`.
pub(crate) fn address(text: &str, usual: u16) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, usual)),
        Err(_) => text.parse().ok(),
    }
}

/// A time as people write it: `30s`, `500ms`, `2m`, `1h`; seconds when there is no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write 30s, 500ms, 2m or 1h");
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// What a file has to keep a secret: all of it, but for the end of its line.
pub(crate) fn read_secret(file: &Path, what: &str) -> Result<String, String> {
    let wrong = |text: &str| format!("the {what} file {} {text}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong("is empty")),
        secret => Ok(secret.to_owned()),
    }
}

/// What an option is called in the environment; `command` is empty for the daemon itself.
pub(crate) fn variable(command: &str, option: &str) -> String {
    let joined = if command.is_empty() { option.to_owned() } else { format!("{command}-{option}") };
    format!("CONSENTINEL_{}", joined.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("1.5", 1500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "3 weeks", "1e300h", "nan", "5d"] {
            let error = duration(text).expect_err(text);
            assert!(error.contains("30s"), "{error}");
        }
    }

    #[test]
    fn name_servers_have_a_usual_port() {
        let at = |text: &str| NameServer::At(text.parse().expect("an address"));
        assert_eq!(name_server("10.0.0.1"), Ok(at("10.0.0.1:8600")));
        assert_eq!(name_server("10.0.0.1:53"), Ok(at("10.0.0.1:53")));
        assert_eq!(name_server("::1"), Ok(at("[::1]:8600")));
        assert_eq!(name_server("[::1]"), Ok(at("[::1]:8600")));
        assert_eq!(name_server("[::1]:53"), Ok(at("[::1]:53")));
        assert_eq!(name_server("system"), Ok(NameServer::System));
        assert!(name_server("consul.lan").is_err());
    }
}
