//! One client, as long as it is connected.

use super::outbox::{Held, Outbox};
use super::tracking::Tracking;
use super::{End, Turn};
use crate::catalogue::Command;
use crate::server::acl::UserId;
use consentinel_core::Time;
use std::rc::Rc;

/// One client.
pub(super) struct Client {
    pub(super) peer: End,
    pub(super) local: End,
    pub(super) name: String,
    /// The client library's name and version, by CLIENT SETINFO.
    pub(super) library: (String, String),
    pub(super) resp3: bool,
    pub(super) user: UserId,
    /// Whether somebody has logged in, or nobody needed to.
    pub(super) authenticated: bool,
    pub(super) no_evict: bool,
    pub(super) replies: Replies,
    pub(super) tracking: Tracking,
    pub(super) since: Time,
    pub(super) last: Time,
    pub(super) last_command: Option<&'static Command>,
    /// Its turn, while an answer of the core is awaited.
    pub(super) waiting: Option<Turn>,
    /// What its connection is to write. Dropped with the client, it ends the connection.
    pub(super) outbox: Lifeline,
}

impl Client {
    /// What its connection holds.
    pub(super) fn held(&self) -> Held {
        self.outbox.0.held()
    }
}

/// Ends a connection when it is dropped.
pub(super) struct Lifeline(pub(super) Rc<Outbox>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Which answers a client wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    /// All.
    On,
    /// None.
    Off,
    /// All but the next.
    SkipNext,
    /// Not that of this command.
    Skip,
}

impl Replies {
    /// Whether the answer to the command that is carried out is not wanted.
    pub(super) fn muted(self) -> bool {
        matches!(self, Replies::Off | Replies::Skip)
    }

    /// After a command.
    pub(super) fn next(self) -> Replies {
        match self {
            Replies::SkipNext => Replies::Skip,
            Replies::Skip => Replies::On,
            other => other,
        }
    }
}
