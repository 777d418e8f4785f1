//! What is to be published, what Consul holds, and what can be asked of it.
//!
//! The core decides; whoever carries this out (the registrar) knows how Consul is spoken to. For each group there is a
//! *record* in Consul, the fence: it says which epoch made which server the master. Whoever publishes a newer
//! configuration replaces the record by compare-and-swap in the same transaction that changes the catalog, so that
//! a sentinel that was cut off and comes back with an older one bounces off, whole.

use crate::{Endpoint, Epoch, Role, RunId, SentinelId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of a record, as Consul counts: what a compare-and-swap compares. Zero: there is no record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fence's content: which epoch made which server the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The epoch of the failover.
    pub epoch: Epoch,
    /// The master, as clients are told.
    pub master: Endpoint,
    /// The run of it that answered as master when this was published.
    pub run_id: RunId,
    /// Who published it.
    pub publisher: SentinelId,
    /// The sentinels that it knew of: they tell whose record it is when nothing else does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sentinels: Vec<SentinelId>,
}

/// So many sentinels stand in a record at most.
pub const MOST_SENTINELS: usize = 16;

/// How well a server is for whoever looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// It is to be used.
    Passing,
    /// It may be used, but others should be asked more.
    Warning,
    /// It must not be used.
    Critical,
}

impl Health {
    /// Consul's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Passing => "passing",
            Health::Warning => "warning",
            Health::Critical => "critical",
        }
    }
}

/// Why an entry is not passing, where sentinels decide by it: what only people read is in the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A quorum takes the master for down.
    ObjectivelyDown,
    /// A replica is further behind than that many bytes.
    Lagging(u64),
}

/// One server as it stands, or should stand, in Consul's catalog. Within a group the role and the address tell it
/// from all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As what it is published.
    pub role: Role,
    /// Where it is, as clients are told.
    pub addr: Endpoint,
    /// Its run, once it was seen.
    pub run_id: Option<RunId>,
    /// The epoch of the configuration that this entry belongs to.
    pub epoch: Epoch,
    /// How well it is.
    pub health: Health,
    /// Why, where something is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why, in a sentence for people. It changes only when its meaning does.
    pub sentence: String,
}

impl Entry {
    /// What tells it from all others of its group.
    pub fn key(&self) -> EntryKey {
        EntryKey { role: self.role, addr: self.addr.clone() }
    }
}

/// What tells an entry from all others of its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryKey {
    /// As what it is published.
    pub role: Role,
    /// Where it is.
    pub addr: Endpoint,
}

/// Who may write the health of a group's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lock {
    /// Nobody holds the lock.
    Free,
    /// We do.
    Ours,
    /// Somebody else does.
    Theirs,
}

impl Lock {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Lock::Free => "free",
            Lock::Ours => "ours",
            Lock::Theirs => "theirs",
        }
    }
}

/// All that Consul holds of a group. The record is read first: what else is here is as new as it, or newer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The version of the record; zero when there is none.
    pub fence: Fence,
    /// The record; nothing also when what stands there is none that could be understood.
    pub record: Option<Record>,
    /// Who holds the lock.
    pub lock: Lock,
    /// The entries that stand as they were written.
    pub entries: Vec<Entry>,
    /// The names, in the catalog, of entries on the group's node that somebody altered or added.
    pub damaged: Vec<String>,
    /// Whether the node that carries the entries is there and as it was written for the record.
    pub node_intact: bool,
}

/// One transaction: all of it happens, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// What must be so, or else nothing happens.
    pub guard: Guard,
    /// Entries to take away. That one is not there is no error.
    pub remove: Vec<EntryKey>,
    /// Entries to take away by their names in the catalog.
    pub sweep: Vec<String>,
    /// Entries to write. The master's comes first.
    pub set: Vec<Entry>,
}

/// What must be so for a transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// The record still has this version. It is replaced; with it the node and the history are written.
    Claim {
        /// The version; zero: there must be none.
        fence: Fence,
        /// The new record.
        record: Record,
        /// Whom the record named before, when this is a failover.
        before: Option<Endpoint>,
    },
    /// The record still has this version, and stays as it is.
    Unchanged {
        /// The version.
        fence: Fence,
        /// The record at that version: the node is written anew from it.
        record: Record,
        /// Whether the lock must be ours, too.
        locked: bool,
    },
}

impl Guard {
    /// The version that the record must have.
    pub fn fence(&self) -> Fence {
        match self {
            Guard::Claim { fence, .. } | Guard::Unchanged { fence, .. } => *fence,
        }
    }

    /// The record as it stands once the transaction has happened.
    pub fn record(&self) -> &Record {
        match self {
            Guard::Claim { record, .. } | Guard::Unchanged { record, .. } => record,
        }
    }
}

/// Something to ask of Consul for one group. What is asked of one group is carried out in order, and one after the
/// other: what was seen after a write was answered is as new as the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryRequest {
    /// Look now, and from then on whenever something of the group changes there. Answered by
    /// [`RegistryEvent::Seen`] or [`RegistryEvent::Failed`]; every change is told by another `Seen`. A look that is
    /// still being waited for is replaced.
    Look {
        /// How many times in a row something was in vain: wait accordingly.
        tries: u32,
    },
    /// Write. Answered by [`RegistryEvent::Written`], [`RegistryEvent::Stale`] or [`RegistryEvent::Failed`]. A look
    /// that is being waited for is given up.
    Write(Box<Transaction>),
    /// Take the lock, if it is free. Answered by [`RegistryEvent::Seen`], whoever got it, or
    /// [`RegistryEvent::Failed`].
    Lock,
    /// Give the lock back. Answered only by [`RegistryEvent::Failed`], when it is not certain that it was given back;
    /// the change is told like any other.
    Unlock,
    /// The group is no longer watched: stop looking, give the lock back. What is published stays. Not answered.
    Forget,
}

/// What came of a request, or changed by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryEvent {
    /// This is what Consul holds.
    Seen(Box<Published>),
    /// The transaction happened; the record now has this version.
    Written(Fence),
    /// The transaction did not happen, because its guard did not hold: somebody was quicker.
    Stale,
    /// It could not be done, or it is not known whether it was.
    Failed(RegistryError),
}

/// Why something could not be asked of Consul.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct RegistryError {
    /// Of what kind it is.
    pub kind: RegistryFault,
    /// What is wrong, and what to do about it, for the log.
    pub text: String,
}

/// The ways in which Consul can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RegistryFault {
    /// It cannot be reached.
    Unreachable,
    /// It does not answer in time.
    Silent,
    /// Its servers have no leader.
    Leaderless,
    /// It serves us no further connection, or no further request, for now.
    Limited,
    /// A right is missing.
    Denied,
    /// Another fleet of sentinels publishes under the same names.
    Taken,
    /// It answers something that nobody can understand, or an error of its own.
    Nonsense,
}

impl RegistryFault {
    /// All of them.
    pub const ALL: [RegistryFault; 7] = [
        RegistryFault::Unreachable,
        RegistryFault::Silent,
        RegistryFault::Leaderless,
        RegistryFault::Limited,
        RegistryFault::Denied,
        RegistryFault::Taken,
        RegistryFault::Nonsense,
    ];

    /// In a word, for counters.
    pub fn as_str(self) -> &'static str {
        match self {
            RegistryFault::Unreachable => "unreachable",
            RegistryFault::Silent => "silent",
            RegistryFault::Leaderless => "leaderless",
            RegistryFault::Limited => "limited",
            RegistryFault::Denied => "denied",
            RegistryFault::Taken => "taken",
            RegistryFault::Nonsense => "nonsense",
        }
    }
}

impl Published {
    /// What Consul holds once a transaction has happened.
    pub fn after(mut self, transaction: &Transaction, fence: Fence) -> Published {
        self.fence = fence;
        self.record = Some(transaction.guard.record().clone());
        self.node_intact = true;
        self.damaged.retain(|name| !transaction.sweep.contains(name));
        self.entries.retain(|entry| {
            let key = entry.key();
            !transaction.remove.contains(&key) && !transaction.set.iter().any(|set| set.key() == key)
        });
        self.entries.extend(transaction.set.iter().cloned());
        self
    }

    /// The master's entry.
    pub fn master(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.role == Role::Master)
    }
}
