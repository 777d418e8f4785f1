//! What travels between a registrar and Consul.

use super::state::{Keys, Listing, SessionId};
use consentinel_core::{Fence, GroupName, RegistryFault, Time, Transaction};

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The sentinel whose registrar asks, and in which of its lives.
    pub(crate) from: u16,
    pub(crate) life: u32,
    /// The registrar's number for it.
    pub(crate) number: u64,
    pub(crate) asked: Time,
    /// Whether the registrar has already given up waiting when it arrives.
    pub(crate) late: bool,
    /// The registrar's session.
    pub(crate) session: Option<SessionId>,
    pub(crate) what: Question,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// The keys of a group.
    Keys(GroupName),
    /// Its part of the catalog.
    Listing(GroupName),
    /// To be answered when the group is not any more as it was at these versions.
    Watch { group: GroupName, kv: u64, catalog: u64 },
    /// A transaction.
    Write(GroupName, Box<Transaction>),
    /// The lock of a group.
    Lock(GroupName),
    /// To give it back.
    Unlock(GroupName),
    /// A session.
    Begin,
    /// To renew the session.
    Renew,
    /// To end the session.
    End,
}

impl Question {
    /// Whether it is meant to change something.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Question::Keys(_) | Question::Listing(_) | Question::Watch { .. })
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number of the question.
    pub(crate) number: u64,
    pub(crate) what: Result<Told, RegistryFault>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Told {
    Keys(Keys),
    Listing(Listing),
    Changed,
    Written(Fence),
    Stale,
    Session(SessionId),
    /// There is no such session.
    NoSession,
    Done,
}

/// What a registrar waits for by the clock.
#[derive(Debug)]
pub(crate) enum Bell {
    /// A look may begin, or a blocking query has waited long enough: of that group, with that number.
    Group(GroupName, u64),
    /// The session is to be renewed.
    Renewal,
}
