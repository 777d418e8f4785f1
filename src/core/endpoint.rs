//! Where something listens: a host and a port.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// An IP address, or a name that has yet to be looked up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A host name, as it was written.
    Name(Arc<str>),
}

/// Why a text is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither an IP address nor a host name")]
pub struct HostError(String);

impl Host {
    /// Reads an IP address or a host name.
    ///
    /// ```
    /// use consentinel_core::Host;
    /// assert!(matches!(Host::parse("::1"), Ok(Host::Ip(_))));
    /// assert!(matches!(Host::parse("redis-1.example"), Ok(Host::Name(_))));
    /// assert!(Host::parse("no such host").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Host, HostError> {
        if let Ok(ip) = text.parse() {
            return Ok(Host::Ip(ip));
        }
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 253 || !text.bytes().all(fits) || text.starts_with(['-', '.']) {
            return Err(HostError(text.chars().take(80).collect()));
        }
        Ok(Host::Name(text.into()))
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip) => ip.fmt(f),
            Host::Name(name) => f.pad(name),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host, as it was written or announced.
    pub host: Host,
    /// The port. Zero stands for "known to be wrong".
    pub port: u16,
}

impl Endpoint {
    /// Puts the two together.
    pub fn new(host: Host, port: u16) -> Self {
        Endpoint { host, port }
    }

    /// Reads host and port as they stand in Redis's texts: two words.
    pub fn parse(host: &str, port: &str) -> Result<Endpoint, EndpointError> {
        let number = port.parse().map_err(|_| EndpointError::Port(port.chars().take(20).collect()))?;
        Ok(Endpoint::new(Host::parse(host)?, number))
    }

    /// `host:port`, with an IPv6 address in brackets.
    pub fn joined(&self) -> String {
        match self.host {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Why two words are no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The port.
    #[error("'{0}' is no port: a number from 0 to 65535 is expected")]
    Port(String),
}

/// `host port`, as every event and every reply has it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.host, self.port)
    }
}

/// `host:port`, for traces.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
