//! As much of Consul as is needed.

use crate::{Answer, Call, Everything, GroupRecord, Listing, SessionId};
use consentinel_core::{Entry, Fence, GroupName, Guard, RegistryError, RegistryFault, Transaction};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Consul {
    index: u64,
    records_index: u64,
    entries_index: u64,
    pub(super) records: BTreeMap<GroupName, GroupRecord>,
    pub(super) listings: BTreeMap<GroupName, Listing>,
    pub(super) sessions: BTreeSet<SessionId>,
    begun: u64,
    /// How it fails.
    pub(super) fault: Option<RegistryFault>,
    /// How many transactions of which guard it has carried out, and how many bounced.
    pub(super) written: usize,
    pub(super) bounced: usize,
}

pub(super) fn error(kind: RegistryFault) -> RegistryError {
    RegistryError { kind, text: format!("Consul is {}", kind.as_str()) }
}

impl Consul {
    pub(super) fn new() -> Consul {
        Consul { index: 10, records_index: 10, entries_index: 10, ..Consul::default() }
    }

    /// Nothing: the call waits for a change.
    pub(super) fn answer(&mut self, call: &Call) -> Option<Result<Answer, RegistryError>> {
        if let Some(kind) = self.fault {
            return Some(Err(error(kind)));
        }
        Some(Ok(match call {
            Call::WatchRecords { index: Some(index) } if *index == self.records_index.max(1) => return None,
            Call::WatchEntries { index: Some(index) } if *index == self.entries_index.max(1) => return None,
            Call::WatchRecords { .. } => Answer::Records(Everything {
                index: self.records_index,
                bytes: 1000 * self.records.len(),
                groups: self.records.clone(),
            }),
            Call::WatchEntries { .. } => Answer::Entries(Everything {
                index: self.entries_index,
                bytes: 2000 * self.listings.len(),
                groups: self
                    .listings
                    .iter()
                    .map(|(name, listing)| (name.clone(), Ok(listing.clone())))
                    .collect(),
            }),
            Call::Read(group) => Answer::Read {
                record: (self.records_index, self.records.get(group).cloned().unwrap_or_default()),
                listing: (self.entries_index, Ok(self.listings.get(group).cloned().unwrap_or_default())),
            },
            Call::Write { group, transaction, session } => self.write(group, transaction, session.as_ref()),
            Call::Lock { groups, session } => self.lock(groups, session),
            Call::Unlock { groups, session } => {
                for group in groups {
                    let record = self.records.entry(group.clone()).or_default();
                    if record.locked_by.as_ref() == Some(session) {
                        record.locked_by = None;
                        self.index += 1;
                        self.records_index = self.index;
                    }
                }
                Answer::Unlocked { failed: None }
            }
            Call::BeginSession { .. } => {
                self.begun += 1;
                let session = SessionId(format!("s{}", self.begun));
                self.sessions.insert(session.clone());
                Answer::Session(session)
            }
            Call::RenewSession(session) if self.sessions.contains(session) => Answer::Done,
            Call::RenewSession(_) => Answer::SessionGone,
            Call::Chore(_) => Answer::Done,
        }))
    }

    fn write(&mut self, group: &GroupName, transaction: &Transaction, session: Option<&SessionId>) -> Answer {
        let record = self.records.entry(group.clone()).or_default();
        let locked = match &transaction.guard {
            Guard::Unchanged { locked: true, .. } => {
                record.locked_by.is_some() && record.locked_by.as_ref() == session
            }
            _ => true,
        };
        if record.fence != transaction.guard.fence() || !locked {
            self.bounced += 1;
            return Answer::Stale;
        }
        self.index += 1;
        self.written += 1;
        if let Guard::Claim { record: new, .. } = &transaction.guard {
            (record.fence, record.record) = (Fence(self.index), Some(new.clone()));
            self.records_index = self.index;
        }
        let fence = record.fence;
        let listing = self.listings.entry(group.clone()).or_default();
        let before = listing.clone();
        let gone = |entry: &Entry| {
            transaction.remove.contains(&entry.key())
                || transaction.set.iter().any(|set| set.key() == entry.key())
        };
        listing.entries.retain(|entry| !gone(entry));
        listing.entries.extend(transaction.set.iter().cloned());
        listing.entries.sort_by_key(Entry::key);
        let written = transaction.guard.record();
        listing.node = Some((written.epoch, written.master.host.clone()));
        if *listing != before {
            self.entries_index = self.index;
        }
        let leaves_trace = transaction.remove.is_empty();
        Answer::Written { fence, index: leaves_trace.then_some(self.entries_index) }
    }

    fn lock(&mut self, groups: &[GroupName], session: &SessionId) -> Answer {
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        self.index += 1;
        for group in groups {
            let record = self.records.entry(group.clone()).or_default();
            let is_free = record.locked_by.is_none() || record.locked_by.as_ref() == Some(session);
            if self.sessions.contains(session) && is_free {
                record.locked_by = Some(session.clone());
                self.records_index = self.index;
                won.push(group.clone());
            } else {
                lost.push(group.clone());
            }
        }
        Answer::Locks { won, index: Some(self.index), lost, failed: None }
    }

    pub(super) fn end_session(&mut self, session: &SessionId) {
        self.sessions.remove(session);
        self.index += 1;
        self.records_index = self.index;
        for record in self.records.values_mut().filter(|record| record.locked_by.as_ref() == Some(session)) {
            record.locked_by = None;
        }
    }

    /// Somebody else changes the entries of a group.
    pub(super) fn drift(&mut self, group: &GroupName) {
        self.index += 1;
        self.entries_index = self.index;
        self.listings.entry(group.clone()).or_default().entries.clear();
    }

    /// It is as it was then, and its indexes with it.
    pub(super) fn restore(
        &mut self,
        records: BTreeMap<GroupName, GroupRecord>,
        listings: BTreeMap<GroupName, Listing>,
    ) {
        (self.records, self.listings) = (records, listings);
        let fence = self.records.values().map(|record| record.fence.0).max().unwrap_or(0);
        (self.index, self.records_index, self.entries_index) = (fence, fence, fence);
    }
}
