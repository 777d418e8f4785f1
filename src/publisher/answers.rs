//! Takes in what Consul has answered.

use crate::call::{Answer, CallId, Chore, Everything, GroupRecord, Listing, SessionId, is_outage};
use crate::dispatch::{Pending, What};
use crate::group::{Doing, Group, Tick};
use crate::publisher::{Output, Publisher, Session};
use crate::retry;
use crate::watch::{State, Watch};
use consentinel_core::{
    Entry, Fence, GroupName, Lock, RegistryError, RegistryEvent, RegistryFault, Time, Transaction,
};
use std::time::Duration;

/// How often a session is renewed; Consul ends it ten seconds after the last time.
const RENEWAL: Duration = Duration::from_millis(3_333);
/// After a failure there is time for two more attempts.
const RENEWAL_AGAIN: Duration = Duration::from_secs(1);

impl Chore {
    /// How often it is done where nothing asks for it.
    fn period(self) -> Duration {
        match self {
            Chore::Presence => Duration::from_secs(5),
            Chore::DeadmanCheck => Duration::from_secs(30),
        }
    }
}

impl Publisher {
    /// A call has brought this, or has failed.
    pub fn handle_answer(&mut self, now: Time, call: CallId, result: Result<Answer, RegistryError>) {
        self.now = now;
        let is_attempt = self.is_attempt(call);
        let Some(pending) = self.calls.remove(&call) else { return };
        match result {
            Ok(answer) => {
                if is_attempt {
                    self.recover();
                }
                self.on_answer(pending, answer);
            }
            Err(error) if is_attempt && is_outage(&error) => self.attempt_failed(error),
            Err(error) => {
                if is_attempt {
                    // It answers, though not what was asked.
                    self.recover();
                }
                if is_outage(&error) {
                    self.suspect_outage(&error, pending.sent);
                }
                self.on_failure(pending.what, error);
            }
        }
        self.dispatch();
    }

    fn on_answer(&mut self, Pending { what, sent }: Pending, answer: Answer) {
        match (what, answer) {
            (What::Records, Answer::Records(everything)) => {
                let store = |group: &mut Group, value, index, arrived| {
                    group.store_record(value, index, sent, arrived)
                };
                self.take_in(true, everything, GroupRecord::default, store);
            }
            (What::Entries, Answer::Entries(everything)) => {
                let store = |group: &mut Group, value, index, arrived| {
                    group.store_listing(value, index, sent, arrived)
                };
                self.take_in(false, everything, || Ok(Listing::default()), store);
            }
            (What::Read(name), Answer::Read { record, listing }) => {
                self.on_read(&name, record, listing, sent)
            }
            (What::Write(name, transaction), Answer::Written { fence, index }) => {
                self.on_written(&name, &transaction, fence, index);
            }
            (What::Write(name, transaction), Answer::Stale) => {
                let now = self.next_tick();
                let Some(group) = self.groups.get_mut(&name) else { return };
                group.bounced(&transaction, now);
                group.doing = Doing::Nothing;
                self.event(&name, RegistryEvent::Stale);
                self.advance(&name);
            }
            (What::Lock(_), Answer::Locks { won, index, lost, failed }) => {
                self.on_locks(&won, index, lost);
                if let Some((names, error)) = failed {
                    self.fail_groups(names, &error);
                }
            }
            (What::Unlock(names), Answer::Unlocked { failed }) => {
                let (failed, error) =
                    failed.map_or((Vec::new(), None), |(names, error)| (names, Some(error)));
                for name in names.iter().filter(|name| !failed.contains(name)) {
                    self.finish(name);
                }
                if let Some(error) = error {
                    self.fail_groups(failed, &error);
                }
            }
            (What::Begin, Answer::Session(id)) => {
                self.session = Session::Ours { id, renewal: self.now + RENEWAL };
            }
            (What::Renew, Answer::Done) => {
                self.renew_at(self.now + RENEWAL);
                self.lost_disputed();
            }
            (What::Renew, Answer::SessionGone) => self.on_session_gone(),
            (What::Chore(chore), _) => self.chore_done(chore),
            (what, _) => {
                let text = "an answer to another question".to_owned();
                self.on_failure(what, RegistryError { kind: RegistryFault::Nonsense, text });
            }
        }
    }

    /// A watch has brought what there is of all groups.
    fn take_in<T>(
        &mut self,
        records: bool,
        Everything { index, bytes, mut groups }: Everything<T>,
        missing: impl Fn() -> T,
        store: impl Fn(&mut Group, T, u64, Tick) -> bool,
    ) {
        // An index that goes back belongs to a Consul that was restored: nothing that was read before counts.
        let restored = self.watch(records).index.is_some_and(|before| index < before);
        let arrived = self.next_tick();
        let mut news = false;
        for (name, group) in &mut self.groups {
            if restored {
                group.forget_parts();
            }
            news |= store(group, groups.remove(name).unwrap_or_else(&missing), index, arrived);
        }
        let now = self.now;
        self.watch(records).answered(index, bytes, news, now);
        if restored {
            self.cancel_watch(!records);
            self.watch(!records).anew(now);
        }
        self.tell_all();
    }

    /// The watch of all records, or that of all entries.
    fn watch(&mut self, records: bool) -> &mut Watch {
        if records { &mut self.records } else { &mut self.entries }
    }

    /// What is under way of a watch is given up.
    pub(crate) fn cancel_watch(&mut self, records: bool) {
        if let State::Waiting(call) = self.watch(records).state
            && self.calls.remove(&call).is_some()
        {
            self.outputs.push_back(Output::Cancel(call));
        }
    }

    fn tell_all(&mut self) {
        let (now, mut due) = (self.now, Vec::new());
        for (name, group) in &self.groups {
            if group.doing == Doing::Nothing && (group.dirty || group.look.is_some_and(|look| look <= now)) {
                due.push(name.clone());
            }
        }
        due.iter().for_each(|name| self.advance(name));
    }

    fn on_read(
        &mut self,
        name: &GroupName,
        record: (u64, GroupRecord),
        listing: (u64, Result<Listing, RegistryError>),
        sent: Tick,
    ) {
        let arrived = self.next_tick();
        let Some(group) = self.groups.get_mut(name) else { return };
        group.reading = false;
        // The entries were asked for when the record was there: after whatever it was waited for.
        group.store_record(record.1, record.0, sent, sent);
        group.store_listing(listing.1, listing.0, sent + 1, arrived);
        self.advance(name);
    }

    fn on_written(&mut self, name: &GroupName, transaction: &Transaction, fence: Fence, index: Option<u64>) {
        let now = self.next_tick();
        let Some(group) = self.groups.get_mut(name) else { return };
        group.written(transaction, fence, index, now);
        group.doing = Doing::Nothing;
        let keys = group.told.iter().flat_map(|told| &told.entries).map(Entry::key).collect();
        self.outputs.push_back(Output::Stands(name.clone(), keys));
        self.event(name, RegistryEvent::Written(fence));
        self.finish(name);
    }

    fn on_locks(&mut self, won: &[GroupName], index: Option<u64>, lost: Vec<GroupName>) {
        let now = self.next_tick();
        let session = self.session().cloned();
        for name in won {
            let Some(group) = self.groups.get_mut(name) else { continue };
            group.doing = Doing::Nothing;
            if let Some(session) = &session {
                group.locked(session, index, now);
            }
            group.look = Some(self.now);
            if !group.watched {
                self.unlocks.push(name, self.now);
            }
            self.advance(name);
        }
        if lost.is_empty() {
            return;
        }
        for name in lost {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            if session.is_some() {
                group.doing = Doing::LockDisputed;
                self.disputed.insert(name);
            } else {
                // The session with which it was asked is gone already.
                group.doing = Doing::LockWaits;
                self.locks.push(&name, self.now);
            }
        }
        self.renew_at(self.now);
    }

    /// Our session stands: the locks that were not given to us are somebody else's.
    fn lost_disputed(&mut self) {
        let now = self.next_tick();
        for name in std::mem::take(&mut self.disputed) {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            (group.doing, group.look) = (Doing::Nothing, Some(self.now));
            if group.holder().is_none() {
                group.lock_unsure(now);
            }
            self.advance(&name);
        }
    }

    /// Our session is gone, and all locks with it. Those that were just asked for are asked for by the next session.
    fn on_session_gone(&mut self) {
        self.session = Session::None;
        self.unlocks.clear();
        for name in std::mem::take(&mut self.disputed) {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            group.doing = Doing::LockWaits;
            self.locks.push(&name, self.now);
        }
        let names: Vec<GroupName> = self.groups.keys().cloned().collect();
        for name in names {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            if group.doing == Doing::UnlockWaits {
                self.finish(&name);
                continue;
            }
            group.dirty |= group.told.as_ref().is_some_and(|told| told.lock == Lock::Ours);
            self.advance(&name);
        }
    }

    fn on_failure(&mut self, what: What, error: RegistryError) {
        match what {
            What::Records | What::Entries if is_outage(&error) => {}
            What::Records | What::Entries => self.on_watch_failed(matches!(what, What::Records), error),
            What::Read(name) => {
                let Some(group) = self.groups.get_mut(&name) else { return };
                group.reading = false;
                if !is_outage(&error) {
                    group.look = None;
                    self.event(&name, RegistryEvent::Failed(error));
                }
            }
            What::Write(name, _) => {
                let now = self.next_tick();
                if let Some(group) = self.groups.get_mut(&name) {
                    group.unsure(now);
                }
                self.fail_groups(vec![name], &error);
            }
            What::Lock(names) => {
                let now = self.next_tick();
                for name in &names {
                    if let Some(group) = self.groups.get_mut(name) {
                        group.lock_unsure(now);
                    }
                }
                self.fail_groups(names, &error);
            }
            What::Unlock(names) => self.fail_groups(names, &error),
            What::Begin => {
                self.session = Session::None;
                let waiting = self.groups.iter().filter(|(_, group)| group.doing == Doing::LockWaits);
                let waiting: Vec<GroupName> = waiting.map(|(name, _)| name.clone()).collect();
                self.locks.clear();
                self.fail_groups(waiting, &error);
            }
            What::Renew => {
                self.renew_at(self.now + RENEWAL_AGAIN);
                self.lost_disputed();
            }
            What::Chore(chore) => self.chore_done(chore),
        }
    }

    /// A watch is denied, or not understood: nothing is known to be as it was until it is.
    fn on_watch_failed(&mut self, records: bool, error: RegistryError) {
        let watch = if records { &mut self.records } else { &mut self.entries };
        watch.failures += 1;
        let pause = retry::delay(watch.failures, &mut self.rng);
        watch.anew(self.now + pause);
        watch.error = Some(error.clone());
        let is_first = watch.failures == 1;
        let other = if records { &self.entries } else { &self.records };
        let is_news = is_first && other.error.as_ref().is_none_or(|other| other.kind != error.kind);
        let (now, mut told) = (self.now, Vec::new());
        for (name, group) in &mut self.groups {
            let asked = group.look.is_some_and(|look| look <= now);
            if group.watched && group.doing == Doing::Nothing && (asked || is_news) {
                group.look = None;
                told.push(name.clone());
            }
        }
        told.iter().for_each(|name| self.event(name, RegistryEvent::Failed(error.clone())));
    }

    fn fail_groups(&mut self, names: Vec<GroupName>, error: &RegistryError) {
        for name in names {
            self.event(&name, RegistryEvent::Failed(error.clone()));
            self.finish(&name);
        }
    }

    /// What was being done for a group is done.
    fn finish(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get_mut(name) else { return };
        group.doing = Doing::Nothing;
        match group.watched || !group.requests.is_empty() {
            true => self.advance(name),
            false => drop(self.groups.remove(name)),
        }
    }

    fn chore_done(&mut self, chore: Chore) {
        if let Some(time) = self.chores.get_mut(&chore) {
            time.running = false;
            time.due = time.due.min(self.now + chore.period());
        }
    }

    pub(crate) fn renew_at(&mut self, at: Time) {
        if let Session::Ours { renewal, .. } = &mut self.session {
            *renewal = at;
        }
    }

    /// The session that was ours is to be ended by the driver.
    pub fn take_session(&mut self) -> Option<SessionId> {
        match std::mem::replace(&mut self.session, Session::None) {
            Session::Ours { id, .. } => Some(id),
            Session::None | Session::Beginning => None,
        }
    }
}
