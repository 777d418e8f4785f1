//! What Consul holds: keys with their versions, a catalog, sessions; and transactions on them, which happen whole or
//! not at all.

use consentinel_core::{
    Endpoint, Entry, EntryKey, Epoch, Fence, GroupName, Guard, Record, RegistryError, Role, SentinelId, Time,
    Transaction,
};
use consentinel_publisher::{self as publisher, Answer, Call, Everything, GroupRecord, Listing};
use std::collections::BTreeMap;
use std::time::Duration;

/// A session, by which somebody holds locks while he lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

impl SessionId {
    /// As Consul names it.
    pub(crate) fn named(self) -> publisher::SessionId {
        publisher::SessionId(self.0.to_string())
    }

    /// The one of that name; one that never was when nobody has ever had it.
    pub(crate) fn parse(name: &publisher::SessionId) -> SessionId {
        SessionId(name.0.parse().unwrap_or(0))
    }
}

/// Whose it is, and until when unless it is renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) owner: u16,
    pub(crate) expires: Time,
}

/// How long a session lives at least after it was renewed; at most twice as long.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// An entry in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) entry: Entry,
    /// It does not read as anything that a registrar would have written.
    pub(crate) spoilt: bool,
    /// Somebody who is no sentinel had his hands on it since it was written.
    pub(crate) meddled: bool,
}

/// How many bytes one group takes in an answer.
const BYTES: usize = 1000;

/// A failover in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) epoch: Epoch,
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) publisher: SentinelId,
}

/// So many failovers are remembered.
const HISTORY: usize = 20;

/// All that belongs to one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    /// The record's version, and the record; nothing in it when nobody can read it.
    pub(crate) record: Option<(u64, Option<Record>)>,
    pub(crate) history: Vec<Past>,
    pub(crate) lock: Option<SessionId>,
    /// The node that carries the entries: the record's epoch and master, as it was written with them.
    pub(crate) node: Option<(Epoch, Endpoint)>,
    pub(crate) entries: BTreeMap<String, Stored>,
    /// When its keys, and its part of the catalog, last changed, by Consul's count.
    pub(crate) kv_index: u64,
    pub(crate) catalog_index: u64,
}

/// Everything that a cluster holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Counts the changes.
    pub(crate) index: u64,
    pub(crate) shelves: BTreeMap<GroupName, Shelf>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// How many there ever were: no name of one comes again, even when the indexes do.
    begun: u64,
}

/// The name under which an entry stands in the catalog.
pub(crate) fn name_of(key: &EntryKey) -> String {
    let service = if key.role == Role::Master { "redis" } else { "redis-replica" };
    format!("{service}:{}", key.addr)
}

impl Shelf {
    /// The entries that name a master, but for those that a stranger brought.
    pub(crate) fn masters(&self) -> impl Iterator<Item = &Stored> {
        self.entries.values().filter(|stored| stored.entry.role == Role::Master && !stored.meddled)
    }

    /// The record, if there is one that can be read.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.record.as_ref()?.1.as_ref()
    }

    fn group_record(&self) -> GroupRecord {
        GroupRecord {
            fence: self.fence(),
            record: self.record().cloned(),
            locked_by: self.lock.map(SessionId::named),
        }
    }

    fn listing(&self) -> Listing {
        let (spoilt, sound): (Vec<_>, Vec<_>) = self.entries.iter().partition(|(_, stored)| stored.spoilt);
        Listing {
            entries: sound.into_iter().map(|(_, stored)| stored.entry.clone()).collect(),
            damaged: spoilt.into_iter().map(|(name, _)| name.clone()).collect(),
            node: self.node.as_ref().map(|(epoch, master)| (*epoch, master.host.clone())),
        }
    }

    fn fence(&self) -> Fence {
        Fence(self.record.as_ref().map_or(0, |(version, _)| *version))
    }

    fn allows(&self, guard: &Guard, session: Option<SessionId>) -> bool {
        let locked = match guard {
            Guard::Claim { .. } => false,
            Guard::Unchanged { locked, .. } => *locked,
        };
        guard.fence() == self.fence() && (!locked || (session.is_some() && self.lock == session))
    }

    fn remember(&mut self, record: &Record, before: &Endpoint) {
        self.history.push(Past {
            epoch: record.epoch,
            from: before.clone(),
            to: record.master.clone(),
            publisher: record.publisher.clone(),
        });
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }

    /// Takes away and writes entries; tells whether that changed anything.
    fn write_entries(&mut self, transaction: &Transaction) -> bool {
        let gone = transaction.remove.iter().map(name_of).chain(transaction.sweep.iter().cloned());
        let mut changed = false;
        for name in gone {
            changed |= self.entries.remove(&name).is_some();
        }
        for entry in &transaction.set {
            let stored = Stored { entry: entry.clone(), spoilt: false, meddled: false };
            let before = self.entries.insert(name_of(&entry.key()), stored.clone());
            changed |= before.as_ref() != Some(&stored);
        }
        let record = transaction.guard.record();
        let node = Some((record.epoch, record.master.clone()));
        changed |= self.node != node;
        self.node = node;
        changed
    }
}

impl State {
    fn next_index(&mut self) -> u64 {
        // The first index is that of an empty cluster.
        self.index = self.index.max(1) + 1;
        self.index
    }

    /// A group's shelf, about to be changed.
    pub(crate) fn shelf(&mut self, group: &GroupName) -> &mut Shelf {
        if !self.shelves.contains_key(group) {
            self.shelves.insert(group.clone(), Shelf::default());
        }
        self.shelves.get_mut(group).expect("it was put there just now")
    }

    /// Carries a transaction out, if its guard holds: the record's version after it.
    pub(crate) fn transact(
        &mut self,
        group: &GroupName,
        transaction: &Transaction,
        session: Option<SessionId>,
    ) -> Option<Fence> {
        if !self.shelf(group).allows(&transaction.guard, session) {
            return None;
        }
        let index = self.next_index();
        let shelf = self.shelf(group);
        if let Guard::Claim { record, before, .. } = &transaction.guard {
            shelf.record = Some((index, Some(record.clone())));
            shelf.kv_index = index;
            if let Some(before) = before {
                shelf.remember(record, before);
            }
        }
        if shelf.write_entries(transaction) {
            shelf.catalog_index = index;
        }
        Some(shelf.fence())
    }

    /// Whether a request that waits for a change goes on waiting.
    pub(crate) fn is_unchanged(&self, call: &Call) -> bool {
        match call {
            Call::WatchRecords { index: Some(index) } => *index == self.records_index(),
            Call::WatchEntries { index: Some(index) } => *index == self.entries_index(),
            _ => false,
        }
    }

    fn records_index(&self) -> u64 {
        self.shelves.values().map(|shelf| shelf.kv_index).max().unwrap_or(0).max(1)
    }

    fn entries_index(&self) -> u64 {
        self.shelves.values().map(|shelf| shelf.catalog_index).max().unwrap_or(0).max(1)
    }

    /// The keys of all groups.
    pub(crate) fn all_records(&self) -> Everything<GroupRecord> {
        let groups = self.shelves.iter().map(|(name, shelf)| (name.clone(), shelf.group_record())).collect();
        Everything { index: self.records_index(), bytes: BYTES * self.shelves.len(), groups }
    }

    /// The catalog of all groups.
    pub(crate) fn all_entries(&self) -> Everything<Result<Listing, RegistryError>> {
        let groups = self.shelves.iter().map(|(name, shelf)| (name.clone(), Ok(shelf.listing()))).collect();
        Everything { index: self.entries_index(), bytes: BYTES * self.shelves.len(), groups }
    }

    /// One group.
    pub(crate) fn read(&mut self, group: &GroupName) -> Answer {
        let shelf = self.shelf(group).clone();
        Answer::Read {
            record: (self.records_index(), shelf.group_record()),
            listing: (self.entries_index(), Ok(shelf.listing())),
        }
    }

    /// Whether that session holds a group's lock.
    pub(crate) fn is_locked_by(&self, group: &GroupName, session: SessionId) -> bool {
        self.shelves.get(group).is_some_and(|shelf| shelf.lock == Some(session))
    }

    /// Takes a group's lock, if it is free and the session lives. Tells whether anything changed.
    pub(crate) fn lock(&mut self, group: &GroupName, session: SessionId) -> bool {
        if !self.sessions.contains_key(&session) || self.shelf(group).lock.is_some() {
            return false;
        }
        let index = self.next_index();
        let shelf = self.shelf(group);
        shelf.lock = Some(session);
        shelf.kv_index = index;
        true
    }

    /// Gives a group's lock back, if that session holds it. Tells whether anything changed.
    pub(crate) fn unlock(&mut self, group: &GroupName, session: SessionId) -> bool {
        let held = self.shelf(group).lock == Some(session);
        if held {
            let index = self.next_index();
            let shelf = self.shelf(group);
            shelf.lock = None;
            shelf.kv_index = index;
        }
        held
    }

    /// A session begins.
    pub(crate) fn begin_session(&mut self, owner: u16, expires: Time) -> SessionId {
        self.begun += 1;
        let session = SessionId(self.begun);
        self.sessions.insert(session, Session { owner, expires });
        session
    }

    /// A session is renewed; not when it is over.
    pub(crate) fn renew_session(&mut self, session: SessionId, until: Time) -> bool {
        let Some(known) = self.sessions.get_mut(&session) else { return false };
        known.expires = until;
        true
    }

    /// A session ends, and the locks with it that it held: the groups whose locks are free now.
    pub(crate) fn end_session(&mut self, session: SessionId) -> Vec<GroupName> {
        self.sessions.remove(&session);
        let held = self.shelves.iter().filter(|(_, shelf)| shelf.lock == Some(session));
        let held: Vec<GroupName> = held.map(|(group, _)| group.clone()).collect();
        held.iter().for_each(|group| {
            self.unlock(group, session);
        });
        held
    }

    /// Who holds a group's lock.
    pub(crate) fn holder(&self, group: &GroupName) -> Option<u16> {
        let session = self.shelves.get(group)?.lock?;
        self.sessions.get(&session).map(|session| session.owner)
    }
}
