//! What is known of one group, and how new it is.

use crate::call::{GroupRecord, Listing, SessionId};
use consentinel_core::{
    Entry, Fence, Guard, Lock, Published, RegistryError, RegistryRequest, Time, Transaction,
};
use std::collections::VecDeque;

/// Counts what is sent and what arrives: tells before from after.
pub(crate) type Tick = u64;

/// One group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Whether the core wants to know of changes.
    pub(crate) watched: bool,
    /// What waits until the one before is done.
    pub(crate) requests: VecDeque<RegistryRequest>,
    pub(crate) doing: Doing,
    /// When the look is due that the core has asked for.
    pub(crate) look: Option<Time>,
    /// Whether something has arrived that the core may not know.
    pub(crate) dirty: bool,
    /// Since when it has been waited for something newer.
    pub(crate) waiting_since: Option<Time>,
    /// Whether a read of this group alone is under way, or waits for a connection.
    pub(crate) reading: bool,
    record: Option<Part<GroupRecord>>,
    listing: Option<Part<Result<Listing, RegistryError>>>,
    /// What was asked for before this need not contain what we have done.
    record_unsure: Tick,
    listing_unsure: Tick,
    /// A transaction that bounced: what was seen before it is not what stands there.
    bounced: Option<Bounce>,
    /// What the core takes to be in Consul.
    pub(crate) told: Option<Published>,
    /// What was there when it was read last.
    real: Option<Published>,
    /// In a dry run: what was there, and what would be there by now.
    pretence: Option<(Published, Published)>,
    /// In a dry run: whether the lock would be ours if it is free.
    pub(crate) pretends_lock: bool,
}

/// What is being done for a group. There is never more than one thing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Doing {
    #[default]
    Nothing,
    /// A write waits for a connection.
    WriteWaits(Box<Transaction>),
    /// A write, or a lock, is under way.
    Calling,
    /// The lock waits for its batch, or for a session.
    LockWaits,
    /// The lock was not given to us: it is being found out whether our session still stands.
    LockDisputed,
    /// The lock is to be given back.
    UnlockWaits,
}

/// A part as it was read, with what we have written since.
#[derive(Clone, Debug)]
struct Part<T> {
    value: T,
    /// It contains whatever has this index, or an earlier one.
    index: u64,
    /// When it was asked for.
    sent: Tick,
    /// When it arrived, or was written.
    arrived: Tick,
    /// Whether the last write has an index that is not known: then it cannot be told whether what was asked for before
    /// contains it.
    is_loose: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bounce {
    at: Tick,
    fence: Fence,
    needs_lock: bool,
}

/// What became of something that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Known,
    New,
    /// It may be older than what we have written, or newer.
    Unclear,
}

impl<T: PartialEq> Part<T> {
    fn store(known: &mut Option<Part<T>>, new: Part<T>) -> Stored {
        let Some(before) = known else {
            *known = Some(new);
            return Stored::New;
        };
        let overlaps = new.sent < before.arrived;
        if overlaps && new.index < before.index {
            return Stored::Known;
        }
        let differs = before.value != new.value;
        if overlaps && before.is_loose {
            return if differs { Stored::Unclear } else { Stored::Known };
        }
        *before = new;
        if differs { Stored::New } else { Stored::Known }
    }

    fn write(&mut self, value: T, index: Option<u64>, now: Tick) {
        (self.value, self.arrived) = (value, now);
        self.index = self.index.max(index.unwrap_or(0));
        self.is_loose = index.is_none();
    }
}

impl Group {
    /// Takes in a record that was asked for, and has arrived, then.
    pub(crate) fn store_record(&mut self, value: GroupRecord, index: u64, sent: Tick, arrived: Tick) -> bool {
        let new = Part { value, index, sent, arrived, is_loose: false };
        let stored = Part::store(&mut self.record, new);
        if stored == Stored::Unclear {
            self.record_unsure = arrived;
        }
        self.stored(stored)
    }

    /// The same for entries.
    pub(crate) fn store_listing(
        &mut self,
        value: Result<Listing, RegistryError>,
        index: u64,
        sent: Tick,
        arrived: Tick,
    ) -> bool {
        let new = Part { value, index, sent, arrived, is_loose: false };
        let stored = Part::store(&mut self.listing, new);
        if stored == Stored::Unclear {
            self.listing_unsure = arrived;
        }
        self.stored(stored)
    }

    /// Whether it is news.
    fn stored(&mut self, stored: Stored) -> bool {
        self.dirty |= stored != Stored::Known;
        stored != Stored::Known
    }

    /// Nothing that was read before counts any more.
    pub(crate) fn forget_parts(&mut self) {
        (self.record, self.listing, self.bounced) = (None, None, None);
    }

    /// Whether nothing of it has been read yet.
    pub(crate) fn is_unread(&self) -> bool {
        self.record.is_none() || self.listing.is_none()
    }

    /// Whether the record is another than at this version, so that a transaction with this guard would bounce.
    pub(crate) fn is_outdated(&self, fence: Fence) -> bool {
        self.record.as_ref().is_some_and(|part| part.value.fence != fence)
    }

    /// Who holds the lock, as far as that is known.
    pub(crate) fn holder(&self) -> Option<&SessionId> {
        self.record.as_ref()?.value.locked_by.as_ref()
    }

    /// What is known, if it is new enough to be told: entries are never older than the record, and neither is older
    /// than what we have written.
    pub(crate) fn current(&self, session: Option<&SessionId>) -> Option<Result<Published, RegistryError>> {
        let (record, listing) = (self.record.as_ref()?, self.listing.as_ref()?);
        let is_whole = listing.index >= record.value.fence.0 || listing.sent > record.arrived;
        if !is_whole || record.sent < self.record_unsure || listing.sent < self.listing_unsure {
            return None;
        }
        let lock = lock(&record.value, session);
        let is_same = |bounce: &Bounce| {
            record.sent < bounce.at
                && record.value.fence == bounce.fence
                && !(bounce.needs_lock && lock != Lock::Ours)
        };
        if self.bounced.as_ref().is_some_and(is_same) {
            return None;
        }
        Some(listing.value.clone().map(|listing| combined(&record.value, listing, lock)))
    }

    /// Whether the entries are of a newer record than the one that is known: it must be on its way.
    pub(crate) fn is_torn(&self) -> bool {
        let (Some(record), Some(listing)) = (&self.record, &self.listing) else { return false };
        let written = listing.value.as_ref().ok().and_then(|listing| listing.node.as_ref());
        let known = record.value.record.as_ref().map(|record| record.epoch);
        written.is_some_and(|(epoch, _)| known.is_none_or(|known| *epoch > known))
    }

    /// The core is shown this, in a dry run perhaps something else. Whether it is news.
    pub(crate) fn show(&mut self, published: Published) -> bool {
        let mut published = published;
        self.real = Some(published.clone());
        // As long as nothing has changed there, what would have been written is there.
        self.pretence = self.pretence.take().filter(|(real, _)| *real == published);
        if let Some((_, pretended)) = &self.pretence {
            published = pretended.clone();
        }
        if self.pretends_lock && published.lock == Lock::Free {
            published.lock = Lock::Ours;
        }
        (self.dirty, self.bounced) = (false, None);
        let is_news = self.told.as_ref() != Some(&published);
        self.told = Some(published);
        is_news
    }

    /// A transaction has happened: the record has this version now, and what it wrote into the catalog this index.
    pub(crate) fn written(&mut self, transaction: &Transaction, fence: Fence, index: Option<u64>, now: Tick) {
        self.told = self.told.take().map(|told| after(told, transaction, fence));
        let claims = matches!(transaction.guard, Guard::Claim { .. });
        let index = if claims { Some(fence.0) } else { index };
        if let Some(part) = self.record.as_mut().filter(|_| claims) {
            let record = Some(transaction.guard.record().clone());
            let value = GroupRecord { fence, record, locked_by: part.value.locked_by.clone() };
            part.write(value, index, now);
        }
        if let Some(part) = &mut self.listing {
            let before = part.value.clone().unwrap_or_default();
            part.write(Ok(listing_after(before, transaction)), index, now);
        }
    }

    /// A transaction would have happened, in a dry run.
    pub(crate) fn pretend(&mut self, transaction: &Transaction) {
        let fence = transaction.guard.fence();
        self.told = self.told.take().map(|told| after(told, transaction, fence));
        self.pretence = self.real.clone().zip(self.told.clone());
    }

    /// A write may have happened, though nobody has confirmed it.
    pub(crate) fn unsure(&mut self, now: Tick) {
        (self.record_unsure, self.listing_unsure) = (now, now);
    }

    /// The lock may be somebody else's than was seen.
    pub(crate) fn lock_unsure(&mut self, now: Tick) {
        self.record_unsure = now;
    }

    /// A transaction with this guard did not happen.
    pub(crate) fn bounced(&mut self, transaction: &Transaction, at: Tick) {
        let needs_lock = matches!(transaction.guard, Guard::Unchanged { locked: true, .. });
        self.bounced = Some(Bounce { at, fence: transaction.guard.fence(), needs_lock });
    }

    /// The lock is ours, by this session.
    pub(crate) fn locked(&mut self, session: &SessionId, index: Option<u64>, now: Tick) {
        if let Some(part) = &mut self.record {
            let value = GroupRecord { locked_by: Some(session.clone()), ..part.value.clone() };
            part.write(value, index, now);
            self.dirty = true;
        }
    }

    /// What would be shown has been waited for long enough when it was not there since this.
    pub(crate) fn waits(&mut self, now: Time) -> Time {
        *self.waiting_since.get_or_insert(now)
    }
}

fn lock(record: &GroupRecord, session: Option<&SessionId>) -> Lock {
    match record.locked_by.as_ref() {
        None => Lock::Free,
        holder if holder == session => Lock::Ours,
        Some(_) => Lock::Theirs,
    }
}

fn combined(record: &GroupRecord, mut listing: Listing, lock: Lock) -> Published {
    listing.entries.sort_by_key(Entry::key);
    let should = record.record.as_ref().map(|record| (record.epoch, record.master.host.clone()));
    Published {
        fence: record.fence,
        record: record.record.clone(),
        lock,
        entries: listing.entries,
        damaged: listing.damaged,
        node_intact: should.is_some() && should == listing.node,
    }
}

fn listing_after(before: Listing, transaction: &Transaction) -> Listing {
    let record = transaction.guard.record();
    let published = Published {
        fence: Fence(0),
        record: None,
        lock: Lock::Free,
        entries: before.entries,
        damaged: before.damaged,
        node_intact: true,
    };
    let Published { entries, damaged, .. } = published.after(transaction, Fence(0));
    Listing { entries, damaged, node: Some((record.epoch, record.master.host.clone())) }
}

/// What Consul holds after a transaction, in the order in which it is read back.
fn after(before: Published, transaction: &Transaction, fence: Fence) -> Published {
    let mut published = before.after(transaction, fence);
    published.entries.sort_by_key(Entry::key);
    published
}
