//! Where Consul's HTTP API is, as every Consul tool reads it.

use std::fmt;
use std::path::PathBuf;

/// The port of an agent's HTTP API, where a bare host is all that is said.
const DEFAULT_PORT: u16 = 8500;

/// Where Consul is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Over TCP.
    Tcp {
        /// Whether TLS is spoken; not known where the address was written without a scheme.
        https: Option<bool>,
        /// A host name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// What stands before every path: empty, or with a slash in front and none behind.
        path: String,
    },
    /// Over a socket in the file system.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Address::Tcp { https: None, host: "127.0.0.1".into(), port: DEFAULT_PORT, path: String::new() }
    }
}

/// Why a text is no address of Consul.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// Another scheme than those that Consul knows.
    #[error("'{0}' is none of http, https and unix")]
    Scheme(String),
    /// A name and a password before the host.
    #[error("a user or a password does not belong into the address")]
    Credentials,
    /// No host.
    #[error("'{0}' has no host")]
    Host(String),
    /// A port that is none.
    #[error("'{0}' is no port")]
    Port(String),
}

impl Address {
    /// Reads `http://host:port`, `https://host:port`, `unix:///path` or `host:port`.
    pub(crate) fn parse(text: &str) -> Result<Address, AddressError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let (https, port) = match scheme.as_deref() {
            None => (None, DEFAULT_PORT),
            Some("http") => (Some(false), 80),
            Some("https") => (Some(true), 443),
            Some("unix") if rest.starts_with('/') => return Ok(Address::Unix(rest.into())),
            Some("unix") => return Err(AddressError::Host(shortened(text))),
            Some(other) => return Err(AddressError::Scheme(shortened(other))),
        };
        let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if place.contains('@') {
            return Err(AddressError::Credentials);
        }
        let (host, port) = host_and_port(place, port)?;
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':' | b'%');
        if host.is_empty() || !host.bytes().all(fits) {
            return Err(AddressError::Host(shortened(place)));
        }
        Ok(Address::Tcp { https, host, port, path: path.trim_end_matches('/').to_owned() })
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_https(&self) -> bool {
        matches!(self, Address::Tcp { https: Some(true), .. })
    }

    /// Whether the agent runs on this machine, as far as the address tells.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                host == "localhost"
                    || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
            }
        }
    }
}

fn host_and_port(place: &str, default: u16) -> Result<(String, u16), AddressError> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        // More than one colon: an IPv6 address without brackets, which has no port.
        None => match place.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (place, None),
        },
    };
    let port = match port {
        None => default,
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(AddressError::Port(shortened(text))),
        },
    };
    Ok((host.to_owned(), port))
}

fn shortened(text: &str) -> String {
    consentinel_resolver::shared::shortened(text, 80)
}

/// The address as a URL without a path behind it; of a socket its path.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port, path, .. } => {
                let scheme = if self.is_https() { "https" } else { "http" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}{path}"),
                    false => write!(f, "{scheme}://{host}:{port}{path}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Address::parse(text).expect("an address").to_string()
    }

    #[test]
    fn every_form_that_consul_knows_is_understood() {
        assert_eq!(shown("127.0.0.1:8500"), "http://127.0.0.1:8500");
        assert_eq!(shown("consul.example"), "http://consul.example:8500");
        assert_eq!(shown("http://consul.example"), "http://consul.example:80");
        assert_eq!(shown("HTTPS://consul.example/"), "https://consul.example:443");
        assert_eq!(shown("https://[fe80::1]:8501/consul/"), "https://[fe80::1]:8501/consul");
        assert_eq!(shown("::1"), "http://[::1]:8500");
        assert_eq!(shown("unix:///run/consul.sock"), "unix:///run/consul.sock");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "ftp://x", "unix://x", "http://user:secret@host", "host:x", "host:0", "a b", ":8500"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_repeated_in_the_error() {
        let error = Address::parse("http://user:secret@host").expect_err("refused").to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_agent_of_this_machine_is_told_from_others() {
        for local in ["127.0.0.2:1", "localhost:8500", "[::1]:8500", "unix:///x"] {
            assert!(Address::parse(local).expect("an address").is_local(), "{local}");
        }
        assert!(!Address::parse("10.0.0.1:8500").expect("an address").is_local());
    }
}
