#![doc = include_str!("README.md")]

mod answer;
mod backoff;
mod builder;
mod cell;
mod connect;
#[cfg(feature = "consul-http")]
mod consul_http;
mod dns;
mod error;
mod flight;
mod name;
mod order;
mod origin;
#[cfg(feature = "redis")]
mod redis;
mod resolver;
mod resp;
mod role;
mod secret;
#[cfg(feature = "sentinel")]
mod sentinel;
mod service;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
mod tls;
mod watch;

#[cfg(feature = "bb8")]
pub use self::redis::Manager;
#[cfg(feature = "redis")]
pub use self::redis::{
    FollowOptions, FollowingConnection, FollowingPubSub, Gap, PubSubItem, outcome_is_unknown,
};
pub use answer::{Change, Epoch, Freshness, Master, Peer, Replica, Source};
pub use builder::Builder;
pub use connect::{ConnectError, Connection, Refusal};
pub use error::{Attempt, BuildError, LookupError};
pub use resolver::Resolver;
#[cfg(feature = "tls")]
pub use tls::{TlsBuilder, TlsError, TlsOptions};
pub use watch::Watch;

/// What `consentinel` itself shares with this crate. It may change with every release.
#[doc(hidden)]
pub mod shared {
    pub use crate::backoff::Backoff;
    pub use crate::order::choose;
    pub use crate::resp::{MAX_ANSWER, Malformed, Reply, Wire, command, parse, shortened};
    pub use crate::role::ToldRole;
}
