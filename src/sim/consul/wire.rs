//! What travels between a registrar and Consul.

use super::state::SessionId;
use consentinel_core::{GroupName, RegistryEvent, RegistryFault, Time};
use consentinel_publisher::{self as publisher, Call, CallId};

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The sentinel whose registrar asks, and in which of its lives.
    pub(crate) from: u16,
    pub(crate) life: u32,
    /// The registrar's number for it; nothing when it does not wait for the answer.
    pub(crate) number: Option<CallId>,
    pub(crate) asked: Time,
    /// Whether the registrar has already given up waiting when it arrives.
    pub(crate) late: bool,
    /// Whether it has waited for a change for as long as Consul lets it.
    pub(crate) expired: bool,
    pub(crate) what: Question,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// As the publisher asks it.
    Call(Call),
    /// To end a session.
    End(SessionId),
}

impl Question {
    /// Whether it is meant to change something.
    pub(crate) fn writes(&self) -> bool {
        !self.waits() && !matches!(self, Question::Call(Call::Read(_)))
    }

    /// Whether it may wait for a change.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Question::Call(Call::WatchRecords { .. } | Call::WatchEntries { .. }))
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number of the question.
    pub(crate) number: CallId,
    pub(crate) what: Result<publisher::Answer, RegistryFault>,
}

/// What reaches a registrar from itself.
#[derive(Debug)]
pub(crate) enum Bell {
    /// It is time, unless another alarm was set since.
    Alarm(u64),
    /// Its core is told something.
    Tell(GroupName, RegistryEvent),
}
