//! The server on `port`: connections of clients and peers, and what they ask for.
//!
//! A connection's task moves bytes; everything that has a meaning happens in the driver's loop. The two take turns:
//! the task hands over what it has read, and reads on when it gets its buffers back. Events that a client has
//! subscribed to may come in between.

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
mod sentinel;
mod server;
mod subscribe;
mod table;
#[cfg(test)]
mod tests;
mod tracking;

pub(super) use listen::listen;
pub(super) use server::{Identity, Server, Step};

use bytes::{Bytes, BytesMut};
use consentinel_core::ClientId;
use std::net::SocketAddr;
use tokio::sync::{mpsc, oneshot};

/// What a connection tells the loop.
pub(super) enum FromClient {
    /// It is there.
    Opened(Opened),
    /// It has read something.
    Asks(Turn),
    /// It has gone.
    Closed(ClientId),
}

/// A new connection.
pub(super) struct Opened {
    /// Its number.
    pub id: ClientId,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Where answers and events go.
    pub out: mpsc::Sender<ToClient>,
    /// Dropped, it ends the connection at once.
    pub lifeline: oneshot::Sender<()>,
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

/// What the loop tells a connection.
pub(super) enum ToClient {
    /// The answers to all that could be understood; the rest waits for more.
    Answered {
        /// The buffers.
        turn: Turn,
        /// What to do when the answers are written.
        then: Then,
    },
    /// An event.
    Event(Bytes),
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
