//! How far the publishing of a group has come.

use crate::{
    Entry, Epoch, Lock, PublicationCounters, PublicationState, Published, RegistryError, Time, Transaction,
};
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

/// Where the publishing of a group is kept: nowhere, as long as nothing is published.
#[derive(Default)]
pub(in crate::group) struct Publication(Option<Box<Publishing>>);

static EMPTY: LazyLock<Publishing> = LazyLock::new(Publishing::default);

impl Deref for Publication {
    type Target = Publishing;
    fn deref(&self) -> &Publishing {
        self.0.as_deref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for Publication {
    fn deref_mut(&mut self) -> &mut Publishing {
        self.0.get_or_insert_default()
    }
}

/// How far the publishing of a group has come.
#[derive(Default)]
pub(in crate::group) struct Publishing {
    /// What Consul held when it was last looked at, or written to.
    pub(super) seen: Option<(Time, Published)>,
    /// What has no answer yet.
    pub(super) awaited: Awaited,
    /// Whether the lock was given back. That is answered only when it is in vain.
    pub(super) unlocking: bool,
    /// How many times in a row it was in vain, or somebody was quicker.
    pub(super) tries: u32,
    pub(super) bounces: u32,
    /// What failed last, and how, until the same succeeds.
    pub(super) error: Option<(Asked, RegistryError)>,
    /// The epoch whose publication has failed already: it waits its time.
    pub(super) failed: Option<Epoch>,
    /// What is due, and when it is our turn to do it; and what that was the last time.
    pub(super) turn: Option<(Slot, Time)>,
    pub(super) held: Option<(Slot, Time)>,
    /// Whether the master's word is waited for.
    pub(super) gated: bool,
    /// Since when the record has not been ours to write.
    pub(super) shut_out: Option<ShutOut>,
    /// The objective end of the master that was published as a stranger to the lock.
    pub(super) doom: Option<Time>,
    /// When the word of another that it was down was last taken back.
    pub(super) lifted: Option<Time>,
    /// What stood as it should when it was last compared.
    pub(super) settled: Vec<Entry>,
    /// When there is something to do even if nothing happens.
    pub(super) due: Option<Time>,
    pub(super) counters: PublicationCounters,
}

#[derive(Clone, Copy)]
pub(super) struct ShutOut {
    pub(super) state: PublicationState,
    pub(super) since: Time,
    pub(super) told: bool,
}

/// What Consul has not answered yet. There is never more than one of these.
#[derive(Default)]
pub(super) enum Awaited {
    #[default]
    Nothing,
    /// A look. Before it is answered nothing may be written where another sentinel was quicker: what was seen is not what
    /// stands there.
    Look {
        outdated: bool,
    },
    Lock,
    Write(Box<Writing>),
}

impl Awaited {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Awaited::Nothing)
    }

    /// What it is, if it fails or is answered.
    pub(super) fn kind(&self) -> Option<Asked> {
        match self {
            Awaited::Nothing => None,
            Awaited::Look { .. } => Some(Asked::Look),
            Awaited::Lock => Some(Asked::Lock),
            Awaited::Write(_) => Some(Asked::Write),
        }
    }

    /// The write, if it is one.
    pub(super) fn take_write(&mut self) -> Option<Writing> {
        match std::mem::take(self) {
            Awaited::Write(writing) => Some(*writing),
            other => {
                *self = other;
                None
            }
        }
    }
}

pub(super) struct Writing {
    pub(super) transaction: Transaction,
    pub(super) kind: WriteKind,
}

/// What can be asked of Consul, as a failure is remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Look,
    Lock,
    Unlock,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteKind {
    Claim,
    Update,
    Repair,
}

/// What sentinels do one after the other, lest all do it at the same instant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Claim(Epoch),
    Lock,
    PutBack,
}

impl Publishing {
    /// Whether the lock was ours when it was last seen.
    pub(super) fn holds_lock(&self) -> bool {
        self.seen.as_ref().is_some_and(|(_, seen)| seen.lock == Lock::Ours)
    }

    /// Whether an answer must come first: to a write, or of what stands there now.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.awaited, Awaited::Write(_) | Awaited::Look { outdated: true })
    }

    /// There is nothing to do, or it was done.
    pub(super) fn rest(&mut self) {
        self.bounces = 0;
        if self.error.is_none() {
            self.tries = 0;
        }
    }
}
