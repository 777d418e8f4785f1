//! The server on `port`: connections of clients and peers, and what they ask for.
//!
//! A connection's task moves bytes; everything that has a meaning happens in the driver, which the task calls with what it
//! has read. Where the core must think first, the driver keeps the turn and puts it into the connection's outbox later.
//! Events that a client has subscribed to go into the outbox, too.

mod acl;
mod change;
mod client;
mod command;
mod connection;
mod consul;
mod describe;
mod help;
mod info;
mod listen;
mod outbox;
mod sentinel;
mod serve;
mod server;
mod stats;
mod subscribe;
mod table;
#[cfg(test)]
mod tests;
mod tracking;

pub(super) use listen::bind;
pub(super) use server::{Identity, Server, Step};

use bytes::BytesMut;
use consentinel_core::ClientId;
use outbox::Outbox;
use std::net::SocketAddr;
use std::rc::Rc;

/// A new connection.
pub(super) struct Opened {
    /// Its number.
    pub id: ClientId,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Where answers that come late and events go.
    pub outbox: Rc<Outbox>,
}

/// What a connection has read, and room for the answers.
pub(super) struct Turn {
    /// Which connection.
    pub id: ClientId,
    /// What was read and not yet understood.
    pub input: BytesMut,
    /// The answers so far.
    pub output: BytesMut,
}

/// How a connection goes on after its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It reads on, and is closed when nothing comes for too long.
    Read,
    /// It reads on, and may be silent: it has subscribed.
    Listen,
    /// It hands the rest over again: the answers were getting too long.
    Again,
    /// It closes.
    Close,
}
