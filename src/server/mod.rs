//! The server on `port`: connections of clients and peers, and what they ask for.
//!
//! A connection's task moves bytes; everything that has a meaning happens in the driver, which the task calls with what it
//! has read. Where the core must think first, the driver keeps the turn and puts it into the connection's outbox later.
//! Events that a client has subscribed to go into the outbox, too.

pub(crate) mod acl;
mod acl_command;
mod change;
mod client;
mod command;
mod connected;
mod connection;
mod consul;
mod context;
mod describe;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guesses;
mod help;
mod holder;
mod info;
mod listen;
mod outbox;
mod owner;
pub(crate) mod pubsub;
mod sentinel;
mod serve;
mod service;
mod stats;
mod status;
mod subscribe;
mod table;
#[cfg(test)]
mod tests;
mod tracking;

pub(crate) use holder::Holder;
pub(crate) use listen::bind;
pub(crate) use listen::open;
pub(crate) use owner::Owner;
pub(crate) use service::{Identity, Server, Step};

use bytes::BytesMut;
use consentinel_core::ClientId;
use outbox::Outbox;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// On the network.
    Ip(SocketAddr),
    /// The socket of that path.
    Unix(Rc<str>),
}

impl End {
    /// Whether nobody but this machine can be there.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            End::Ip(address) => address.ip().to_canonical().is_loopback(),
            End::Unix(_) => true,
        }
    }
}

/// As CLIENT LIST shows it.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Ip(address) => address.fmt(f),
            End::Unix(path) => write!(f, "{path}:0"),
        }
    }
}

/// A new connection.
pub(crate) struct Opened {
    /// Its number.
    pub id: ClientId,
    /// Who is at the other end.
    pub peer: End,
    /// Our end.
    pub local: End,
    /// Where answers that come late and events go.
    pub outbox: Rc<Outbox>,
}

/// What a connection has read, and room for the answers.
pub(crate) struct Turn {
    /// Which connection.
    pub id: ClientId,
    /// What was read and not yet understood.
    pub input: BytesMut,
    /// The answers so far.
    pub output: BytesMut,
}

/// How a connection goes on after its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It reads on, and is closed when nothing comes for too long.
    Read,
    /// It reads on, and may be silent: it has subscribed.
    Listen,
    /// It hands the rest over again: the answers were getting too long.
    Again,
    /// The same, but what was answered leaves only after a while: it was a wrong password.
    Later(Duration),
    /// It closes.
    Close,
}
