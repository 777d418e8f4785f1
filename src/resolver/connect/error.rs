//! Why there is no connection.

use crate::LookupError;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a server was not taken for the master.
///
/// ```no_run
/// # use consentinel_resolver::{ConnectError, Refusal, Resolver};
/// # async fn example(resolver: Resolver) {
/// if let Err(ConnectError::GaveUp { addr, refusal: Refusal::NotReady(why), .. }) = resolver.connect().await {
///     println!("{addr} is there, but {why}");
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no connection to it, or it was lost again.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It takes the connection, and says nothing.
    #[error("has not answered within {0:?}")]
    Silent(Duration),
    /// It says that it is a replica: the answer that named it is older than it.
    #[error("says that it is no master but a {0}")]
    NotMaster(String),
    /// It says that it cannot serve yet.
    #[error("is not ready: {0}")]
    NotReady(String),
    /// It speaks, but not as a Redis server does.
    #[error("does not answer as Redis does: {0}")]
    Malformed(String),
    /// It does not accept the user or the password, or does not allow ROLE.
    #[error("denies it: {0}")]
    Denied(String),
    /// TLS: its certificate, or ours, is not accepted.
    #[error("and we do not come to terms about TLS: {0}")]
    Tls(String),
}

impl Refusal {
    /// Whether another try would come to the same.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Refusal::Denied(_) | Refusal::Tls(_))
    }
}

/// Why there is no connection.
///
/// ```no_run
/// # use consentinel_resolver::{ConnectError, Resolver};
/// # async fn example(resolver: Resolver) {
/// match resolver.connect().await {
///     Ok(connection) => println!("connected to {}", connection.master().addr),
///     Err(error @ ConnectError::Refused { .. }) => panic!("the settings are wrong: {error}"),
///     Err(error) => eprintln!("Redis is down: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The master will have nothing to do with us, and would not the next time either: a wrong password, or a
    /// certificate.
    #[error("the master of {name}, {addr}, {refusal}")]
    #[non_exhaustive]
    Refused {
        /// The name that was looked up.
        name: String,
        /// Where the master is.
        addr: SocketAddr,
        /// What it has against it.
        refusal: Refusal,
    },
    /// Time is up, and none of the servers that were named was the master and answered.
    #[error(
        "no connection to the master of {name} within {within:?}, by {tries} tries: the last one, {addr}, {refusal}"
    )]
    #[non_exhaustive]
    GaveUp {
        /// The name that was looked up.
        name: String,
        /// For how long it was tried.
        within: Duration,
        /// How often.
        tries: u32,
        /// The server that was tried last.
        addr: SocketAddr,
        /// What came of it.
        refusal: Refusal,
    },
    /// Time is up, and nobody could be asked or nobody is named.
    #[error("no connection to the master of {name} within {within:?}: {error}")]
    #[non_exhaustive]
    Lookup {
        /// The name that was looked up.
        name: String,
        /// For how long it was tried.
        within: Duration,
        /// What the last look-up said.
        #[source]
        error: LookupError,
    },
}
