//! How well the servers are, as Consul is told: by the holder of the lock, and what cannot wait for it by others.

use super::super::Group;
use super::{CLAIM_SPREAD, Slot, WriteKind};
use crate::context::Context;
use crate::mutation::{Mutation, active};
use crate::{
    Cause, Entry, EntryKey, Guard, Health, Lock, Published, Record, RegistryRequest, Time, Transaction,
};
use std::time::Duration;

impl Group {
    /// The record is ours: the entries are looked after.
    pub(super) fn reconcile(&mut self, cx: &mut Context) {
        let Some((_, seen)) = self.publishing.seen.clone() else { return };
        let Some(record) = seen.record.clone() else { return };
        if self.health_waits(cx) {
            return;
        }
        let desired = self.desired(record.epoch, &seen.entries, cx);
        let lock = if active(Mutation::HealthWithoutLock) { Lock::Ours } else { seen.lock };
        match lock {
            Lock::Free if self.hears_majority(cx) => {
                if self.publishing.awaited.is_nothing()
                    && self.is_turn(Slot::Lock, (Duration::ZERO, CLAIM_SPREAD), cx)
                {
                    self.ask_registry(RegistryRequest::Lock, cx);
                }
            }
            Lock::Ours if !self.hears_majority(cx) => self.let_go(cx),
            Lock::Ours => self.update(&seen, record, desired, cx),
            Lock::Free | Lock::Theirs => self.help_out(&seen, record, &desired, cx),
        }
    }

    /// While a failover is likely, or under way, the next write is to be its own.
    fn health_waits(&mut self, cx: &Context) -> bool {
        let down = self.master().sdown.max(self.odown());
        let since = down.max(self.failover.state().is_active().then_some(self.failover.since()));
        let until = since.map_or(Time::ZERO, |since| since + HEALTH_PAUSE);
        if cx.now < until {
            self.publishing.due = Some(until);
            return true;
        }
        let deadline = self.entries_deadline(cx);
        self.publishing.due = Some(deadline).filter(|at| *at != Time::NEVER);
        false
    }

    /// Who does not trust its own clock says nothing of how well servers are: others may.
    pub(in crate::group) fn leave_health_to_others(&mut self, cx: &mut Context) {
        if cx.config.registry.on && self.publishing.holds_lock() && !self.publishing.is_busy() {
            self.let_go(cx);
        }
    }

    /// A sentinel that hears nothing of the others has no say in how well the servers are.
    pub(super) fn let_go(&mut self, cx: &mut Context) {
        if let Some((_, seen)) = &mut self.publishing.seen {
            seen.lock = Lock::Theirs;
        }
        self.publishing.unlocking = true;
        self.ask_registry(RegistryRequest::Unlock, cx);
    }

    /// The lock is ours: the entries are to be as we see the servers.
    fn update(&mut self, seen: &Published, record: Record, mut desired: Vec<Entry>, cx: &mut Context) {
        self.keep_foreign_odown(seen, &mut desired, cx);
        // What is swept away may by now be what somebody has put right: with a sweep everything is written anew.
        let anew = !seen.damaged.is_empty();
        let differs = |entry: &&Entry| anew || !seen.entries.contains(entry);
        let set: Vec<Entry> = desired.iter().filter(differs).cloned().collect();
        let remove = stray(seen, &desired);
        let whole = set.is_empty() && remove.is_empty() && seen.damaged.is_empty() && seen.node_intact;
        if whole || active(Mutation::DriftTolerated) && desired == self.publishing.settled {
            self.publishing.settled = desired;
            return self.publishing.rest();
        }
        // Another sentinel may have said without the lock that the master is down: nobody has meddled then.
        let is_word = |entry: &Entry| seen.entries.iter().any(|it| it.key() == entry.key() && is_doomed(&it));
        let is_untouched = !anew && remove.is_empty() && seen.node_intact;
        let by_sentinel = is_untouched && set.iter().all(is_word);
        let kind = if desired == self.publishing.settled && !by_sentinel {
            WriteKind::Repair
        } else {
            WriteKind::Update
        };
        let locked = !active(Mutation::HealthWithoutLock);
        let guard = Guard::Unchanged { fence: seen.fence, record, locked };
        let sweep = seen.damaged.clone();
        self.write(Transaction { guard, remove, sweep, set }, kind, cx);
    }

    /// Somebody else, who could not wait for us, says that the master is objectively down. If we see it otherwise, it
    /// is given a moment before its word is taken back.
    fn keep_foreign_odown(&mut self, seen: &Published, desired: &mut [Entry], cx: &mut Context) {
        let Some(master) = desired.first_mut() else { return };
        if master.health == Health::Critical {
            self.publishing.doom = self.odown();
            return;
        }
        let Some(theirs) = seen.master().filter(is_doomed) else {
            self.publishing.doom = None;
            return;
        };
        if !self.may_lift_doom(cx) {
            (master.health, master.cause) = (theirs.health, theirs.cause);
            master.sentence.clone_from(&theirs.sentence);
        }
    }

    /// Whether it is time to say that a master is not objectively down any more: first for the one who said that it was,
    /// and for the others when nobody else has.
    fn may_lift_doom(&mut self, cx: &mut Context) -> bool {
        if self.publishing.doom.is_some() {
            // The holder of the lock comes first, and perhaps sees it a moment later.
            let delay = if self.publishing.holds_lock() { Duration::ZERO } else { OWN_DOOM_LASTS };
            return self.is_turn(Slot::PutBack, (delay, Duration::ZERO), cx);
        }
        // Who is contradicted at once is left alone for a while: a quorum may be small, and see it otherwise for good.
        let again = self.publishing.lifted.map_or(Time::ZERO, |at| at + LIFTED_AGAIN);
        let delay = DOOM_LASTS.max(again - cx.now);
        let may = self.is_turn(Slot::PutBack, (delay, CLAIM_SPREAD), cx);
        if may {
            self.publishing.lifted = Some(cx.now);
        }
        may
    }

    /// The lock is not ours. What cannot wait for its holder is done all the same.
    fn help_out(&mut self, seen: &Published, record: Record, desired: &[Entry], cx: &mut Context) {
        let Some(master) = desired.first() else { return };
        let there = seen.master().filter(|entry| entry.addr == master.addr);
        let guard = Guard::Unchanged { fence: seen.fence, record, locked: false };
        let transaction = Transaction { guard, remove: vec![], sweep: vec![], set: vec![master.clone()] };
        match there {
            // The holder of the lock may be gone.
            Some(there) if is_doomed(&there) && master.health != Health::Critical => {
                if self.hears_majority(cx) && self.may_lift_doom(cx) {
                    self.publishing.doom = None;
                    self.write(transaction, WriteKind::Update, cx);
                }
            }
            Some(there) if there.health == Health::Passing && self.odown().is_some() => {
                // Once for each time that it goes down: the holder of the lock may see it otherwise.
                if self.publishing.doom != self.odown() {
                    self.publishing.doom = self.odown();
                    self.write(transaction, WriteKind::Update, cx);
                }
            }
            None if seen.damaged.is_empty() && seen.master().is_none() => {
                if self.is_turn(Slot::PutBack, (PUT_BACK_DELAY, CLAIM_SPREAD), cx) {
                    self.write(transaction, WriteKind::Repair, cx);
                }
            }
            _ => self.publishing.rest(),
        }
    }
}

/// Whether that entry says that a quorum takes the master for down.
fn is_doomed(entry: &&Entry) -> bool {
    entry.health == Health::Critical && entry.cause == Some(Cause::ObjectivelyDown)
}

/// The entries that stand in Consul and should not.
pub(super) fn stray(seen: &Published, desired: &[Entry]) -> Vec<EntryKey> {
    let wanted =
        |key: &EntryKey| desired.iter().any(|entry| entry.role == key.role && entry.addr == key.addr);
    seen.entries.iter().map(Entry::key).filter(|key| !wanted(key)).collect()
}

/// How long a master's missing entry is left to the holder of the lock.
const PUT_BACK_DELAY: Duration = Duration::from_secs(1);
/// How long health waits for a failover to come first.
const HEALTH_PAUSE: Duration = Duration::from_millis(500);
/// How long another sentinel's word that the master is objectively down is let stand.
const DOOM_LASTS: Duration = Duration::from_millis(500);
/// How long the holder of the lock has to take it back before the one who said it does.
const OWN_DOOM_LASTS: Duration = Duration::from_millis(200);
/// How long until that is done again.
const LIFTED_AGAIN: Duration = Duration::from_secs(30);
