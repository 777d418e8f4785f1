//! What a look-up answers.

use crate::LookupError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Who is master.
///
/// ```no_run
/// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
/// let master = resolver.master().await?;
/// println!("{} ({}), by {:?}", master.addr, master.host, master.epoch);
/// # Ok(()) }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its host as it was published: a name, or what DNS makes of an address (`7f000001.addr.dc1.consul`). No dot at the end.
    pub host: String,
    /// Of which failover it is the result; nothing where nobody publishes that.
    pub epoch: Option<Epoch>,
    /// Who said so.
    pub source: Source,
    /// Whether that is so now, or was so when somebody could be asked the last time.
    pub freshness: Freshness,
}

impl Master {
    /// Whether this is what was published of the other, too, whoever said so and whenever.
    pub(crate) fn is_same(&self, other: &Master) -> bool {
        (self.addr, &self.host, self.epoch) == (other.addr, &other.host, other.epoch)
    }
}

/// A replica that may be read from.
///
/// ```no_run
/// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
/// if let Some(first) = resolver.replicas().await?.first() {
///     println!("read from {}", first.addr);
/// }
/// # Ok(()) }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its host as it was published.
    pub host: String,
    /// Those with a lower one come first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
}

/// A sentinel.
///
/// ```no_run
/// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
/// for sentinel in resolver.sentinels().await? {
///     println!("{} ({})", sentinel.addr, sentinel.host);
/// }
/// # Ok(()) }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its host as it was published.
    pub host: String,
}

/// The number of a failover. Of two answers the one with the higher epoch is the newer.
///
/// ```
/// use consentinel_resolver::Epoch;
/// assert!(Epoch(4) < Epoch(5));
/// assert_eq!(Epoch(5).to_string(), "5");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who named the master.
///
/// ```
/// assert_eq!(consentinel_resolver::Source::Dns.to_string(), "DNS");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A name server.
    Dns,
    /// Consul's HTTP API.
    Consul,
    /// A sentinel.
    Sentinel,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Dns => "DNS",
            Source::Consul => "Consul",
            Source::Sentinel => "a sentinel",
        })
    }
}

/// Whether an answer is of now.
///
/// ```
/// use consentinel_resolver::Freshness;
/// use std::time::Instant;
/// assert!(!Freshness::Fresh.is_stale());
/// assert!(Freshness::Stale { since: Instant::now() }.is_stale());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was confirmed by the last look.
    Fresh,
    /// Nobody could be asked, or nobody had anything newer to say; it may have changed.
    Stale {
        /// When it was confirmed the last time.
        since: Instant,
    },
}

impl Freshness {
    /// Whether it may have changed without our knowing.
    ///
    /// ```
    /// assert!(!consentinel_resolver::Freshness::Fresh.is_stale());
    /// ```
    pub fn is_stale(self) -> bool {
        matches!(self, Freshness::Stale { .. })
    }
}

/// What a [`Watch`](crate::Watch) yields.
///
/// ```no_run
/// use consentinel_resolver::Change;
/// # async fn example(resolver: consentinel_resolver::Resolver) {
/// let mut watch = resolver.watch();
/// loop {
///     match watch.next().await {
///         Change::Master(master) => println!("{}", master.addr),
///         Change::Unknown(why) => println!("nobody: {why}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Change {
    /// This one is master.
    Master(Arc<Master>),
    /// Nobody knows who is master now, or nobody is.
    Unknown(LookupError),
}
