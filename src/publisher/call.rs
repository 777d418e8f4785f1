//! What is asked of Consul, and what comes back, in types: how it looks in HTTP is for the driver to say.

use consentinel_core::{
    Entry, Epoch, Fence, GroupName, Host, Record, RegistryError, RegistryFault, Transaction,
};
use std::collections::BTreeMap;
use std::fmt;

/// Tells a call from all others of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A session with Consul, to which locks belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub String);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something to ask of Consul. Each occupies one connection until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The records of all groups, once their index is beyond this one; at once, and as new as can be, without one.
    WatchRecords {
        /// The index of the answer before.
        index: Option<u64>,
    },
    /// The entries of all groups, in the same way.
    WatchEntries {
        /// The index of the answer before.
        index: Option<u64>,
    },
    /// One group, as new as can be: its record first, then its entries.
    Read(GroupName),
    /// A transaction.
    Write {
        /// Of which group.
        group: GroupName,
        /// What is written.
        transaction: Box<Transaction>,
        /// Our session, if there is one.
        session: Option<SessionId>,
    },
    /// The locks of these groups. Each stands alone: one that somebody else holds keeps no other from being taken.
    Lock {
        /// At most [`MOST_LOCKS`] groups.
        groups: Vec<GroupName>,
        /// Our session.
        session: SessionId,
    },
    /// Gives locks back, those that are ours. Each stands alone.
    Unlock {
        /// At most [`MOST_UNLOCKS`] groups.
        groups: Vec<GroupName>,
        /// Our session.
        session: SessionId,
    },
    /// Begins a session.
    BeginSession {
        /// A group that wants it.
        group: GroupName,
    },
    /// Keeps a session.
    RenewSession(SessionId),
    /// Something that the driver does by itself now and then.
    Chore(Chore),
}

/// So many locks are taken in one transaction.
pub const MOST_LOCKS: usize = 64;
/// So many are given back in one: each takes two operations.
pub const MOST_UNLOCKS: usize = 32;

/// What is done now and then besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chore {
    /// The sign of life of this daemon's own service.
    Presence,
    /// What is left with the agent for the case that nobody publishes any more.
    DeadmanCheck,
}

/// What a call has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Call::WatchRecords`].
    Records(Everything<GroupRecord>),
    /// To [`Call::WatchEntries`]. Of a group that cannot be shown, why.
    Entries(Everything<Result<Listing, RegistryError>>),
    /// To [`Call::Read`], with the indexes of both parts.
    Read {
        /// The record.
        record: (u64, GroupRecord),
        /// The entries.
        listing: (u64, Result<Listing, RegistryError>),
    },
    /// The transaction happened.
    Written {
        /// The version of the record after it.
        fence: Fence,
        /// The latest index that it has given to anything in the catalog, if that is known.
        index: Option<u64>,
    },
    /// The transaction did not happen: its guard did not hold.
    Stale,
    /// To [`Call::Lock`]. A group that stands in neither list was refused for the reason that is told.
    Locks {
        /// Ours now.
        won: Vec<GroupName>,
        /// The index of these locks.
        index: Option<u64>,
        /// Held by somebody else, or our session is gone.
        lost: Vec<GroupName>,
        /// Those that could not be tried, and why.
        failed: Option<(Vec<GroupName>, RegistryError)>,
    },
    /// To [`Call::Unlock`]: what could not be given back, and why.
    Unlocked {
        /// Those for which it is not certain.
        failed: Option<(Vec<GroupName>, RegistryError)>,
    },
    /// A session has begun.
    Session(SessionId),
    /// There is no such session any more.
    SessionGone,
    /// It was done.
    Done,
}

/// All groups of which there is something, as of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everything<T> {
    /// The index.
    pub index: u64,
    /// How many bytes the answer had: what it costs Consul to be asked again.
    pub bytes: usize,
    /// What there is of each group.
    pub groups: BTreeMap<GroupName, T>,
}

/// The keys of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecord {
    /// The version of the record.
    pub fence: Fence,
    /// The record, if there is one that can be understood.
    pub record: Option<Record>,
    /// The session that holds the lock.
    pub locked_by: Option<SessionId>,
}

/// The entries of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that stand as they were written.
    pub entries: Vec<Entry>,
    /// The names of all others.
    pub damaged: Vec<String>,
    /// Of which epoch and master the node is, if it reads as it would be written.
    pub node: Option<(Epoch, Host)>,
}

/// Whether a fault is Consul's as a whole, so that nothing else need be tried before it is over.
pub(crate) fn is_outage(error: &RegistryError) -> bool {
    match error.kind {
        RegistryFault::Unreachable
        | RegistryFault::Silent
        | RegistryFault::Leaderless
        | RegistryFault::Limited => true,
        RegistryFault::Denied | RegistryFault::Taken | RegistryFault::Nonsense => false,
    }
}
