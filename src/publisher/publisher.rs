//! The publisher, from outside, and what the core asks of it.

use crate::call::{Call, CallId, Chore, SessionId};
use crate::dispatch::{ChoreTime, Dues, Pending, Priority, Ready};
use crate::group::{Doing, Group, Tick};
use crate::outage::Outage;
use crate::retry;
use crate::watch::Watch;
use consentinel_core::{
    EntryKey, GroupName, Guard, RegistryError, RegistryEvent, RegistryRequest, Rng, Time, Transaction,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What is fixed from the start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The seed of its chance; no two daemons have the same.
    pub seed: u64,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// What is to be done now and then besides.
    pub chores: Vec<Chore>,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a call, and tell what came of it.
    Call(CallId, Call),
    /// Give a call up: nobody waits for its answer any more.
    Cancel(CallId),
    /// Tell the core.
    Event(GroupName, RegistryEvent),
    /// Say what would have been written, in a dry run.
    Pretended(GroupName, Box<Transaction>),
    /// These entries stand in Consul now.
    Stands(GroupName, Vec<EntryKey>),
    /// Consul as a whole cannot be asked, and this is why.
    Outage(RegistryError),
    /// It can be asked again.
    Recovered,
}

/// A daemon's side of Consul.
///
/// ```
/// use consentinel_core::{GroupName, RegistryRequest, Time};
/// use consentinel_publisher::{Call, Output, Publisher, Settings};
/// let mut publisher = Publisher::new(Settings::default());
/// publisher.handle_request(Time::ZERO, GroupName::new("m"), RegistryRequest::Look { tries: 0 });
/// let begins = publisher.poll_deadline();
/// publisher.handle_timeout(begins);
/// let Some(Output::Call(_, call)) = publisher.poll_output() else { panic!("it reads everything first") };
/// assert_eq!(call, Call::WatchRecords { index: None });
/// ```
#[derive(Debug)]
pub struct Publisher {
    pub(crate) settings: Settings,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    pub(crate) tick: Tick,
    pub(crate) numbers: u64,
    pub(crate) groups: BTreeMap<GroupName, Group>,
    /// When to look at a group again.
    pub(crate) wakes: BTreeSet<(Time, GroupName)>,
    pub(crate) records: Watch,
    pub(crate) entries: Watch,
    pub(crate) session: Session,
    pub(crate) outage: Option<Outage>,
    /// When the last outage ended: what was sent before it says nothing of Consul any more.
    pub(crate) recovered: Tick,
    pub(crate) calls: BTreeMap<CallId, Pending>,
    pub(crate) ready: Ready,
    pub(crate) locks: Dues,
    pub(crate) unlocks: Dues,
    /// The locks that were not given to us, while it is asked whether our session still stands.
    pub(crate) disputed: BTreeSet<GroupName>,
    pub(crate) chores: BTreeMap<Chore, ChoreTime>,
    pub(crate) outputs: VecDeque<Output>,
}

/// Our session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    None,
    Beginning,
    Ours { id: SessionId, renewal: Time },
}

/// Bytes a second that the watches may bring: what Consul spends on them while everything changes.
const RECORDS_RATE: u64 = 16_000_000;
const ENTRIES_RATE: u64 = 5_000_000;
/// The groups of a daemon that starts are asked for one after the other: they are read together.
const BEGINNING: Duration = Duration::from_millis(2);
/// Locks are taken, and given back, together.
const LINGER: Duration = Duration::from_millis(10);

impl Publisher {
    /// One that was asked nothing yet.
    pub fn new(settings: Settings) -> Publisher {
        Publisher {
            rng: Rng::new(settings.seed),
            chores: settings.chores.iter().map(|chore| (*chore, ChoreTime::default())).collect(),
            settings,
            now: Time::ZERO,
            tick: 0,
            numbers: 0,
            groups: BTreeMap::new(),
            wakes: BTreeSet::new(),
            records: Watch::new(RECORDS_RATE),
            entries: Watch::new(ENTRIES_RATE),
            session: Session::None,
            outage: None,
            recovered: 0,
            calls: BTreeMap::new(),
            ready: Ready::default(),
            locks: Dues::default(),
            unlocks: Dues::default(),
            disputed: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Our session with Consul, if there is one.
    pub fn session(&self) -> Option<&SessionId> {
        match &self.session {
            Session::Ours { id, .. } => Some(id),
            Session::None | Session::Beginning => None,
        }
    }

    /// How many groups are published.
    pub fn watched(&self) -> usize {
        self.groups.values().filter(|group| group.watched).count()
    }

    /// Why Consul as a whole cannot be asked, if so.
    pub fn outage(&self) -> Option<&RegistryError> {
        self.outage.as_ref().filter(|outage| outage.confirmed).map(|outage| &outage.error)
    }

    /// The core asks something.
    pub fn handle_request(&mut self, now: Time, group: GroupName, request: RegistryRequest) {
        self.now = now;
        if request == RegistryRequest::Forget {
            self.forget(&group);
            return self.dispatch();
        }
        if self.records.state == crate::watch::State::Off {
            self.records.anew(now + BEGINNING);
            self.entries.anew(now + BEGINNING);
        }
        let known = self.groups.entry(group.clone()).or_default();
        known.watched |= request != RegistryRequest::Unlock;
        match request {
            RegistryRequest::Look { tries } => {
                let due = now + retry::delay(tries, &mut self.rng);
                known.look = Some(due);
                if due > now {
                    self.wakes.insert((due, group.clone()));
                }
            }
            RegistryRequest::Write(_) => {
                // A look that is still being waited for is given up.
                known.look = None;
                known.requests.push_back(request);
            }
            RegistryRequest::Lock | RegistryRequest::Unlock | RegistryRequest::Forget => {
                known.requests.push_back(request);
            }
        }
        self.advance(&group);
        self.dispatch();
    }

    /// A chore is to be done soon, and not only when its time comes.
    pub fn handle_chore(&mut self, now: Time, chore: Chore, after: Duration) {
        self.now = now;
        if let Some(time) = self.chores.get_mut(&chore) {
            time.due = time.due.min(now + after);
        }
        self.dispatch();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        while let Some((at, _)) = self.wakes.first()
            && *at <= now
        {
            let Some((_, group)) = self.wakes.pop_first() else { break };
            self.advance(&group);
        }
        self.dispatch();
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing happens before.
    pub fn poll_deadline(&self) -> Time {
        let wake = self.wakes.first().map_or(Time::NEVER, |(at, _)| *at);
        wake.min(self.dispatch_deadline())
    }

    /// The next request of a group, if nothing is being done for it; else what is to be told of it.
    pub(crate) fn advance(&mut self, name: &GroupName) {
        loop {
            let Some(group) = self.groups.get_mut(name) else { return };
            if group.doing != Doing::Nothing {
                return;
            }
            match group.requests.pop_front() {
                Some(request) => self.begin(name, request),
                None => break,
            }
        }
        self.tell(name);
    }

    fn begin(&mut self, name: &GroupName, request: RegistryRequest) {
        match request {
            RegistryRequest::Write(transaction) => self.begin_write(name, transaction),
            RegistryRequest::Lock => self.begin_lock(name),
            RegistryRequest::Unlock => self.begin_unlock(name),
            // These wait for nothing.
            RegistryRequest::Look { .. } | RegistryRequest::Forget => {}
        }
    }

    fn begin_write(&mut self, name: &GroupName, transaction: Box<Transaction>) {
        let has_session = self.session().is_some();
        let failing = self.outage().cloned();
        let Some(group) = self.groups.get_mut(name) else { return };
        if self.settings.dry_run {
            group.pretend(&transaction);
            let fence = transaction.guard.fence();
            self.outputs.push_back(Output::Pretended(name.clone(), transaction));
            return self.event(name, RegistryEvent::Written(fence));
        }
        let locked = matches!(transaction.guard, Guard::Unchanged { locked: true, .. });
        if group.is_outdated(transaction.guard.fence()) || locked && !has_session {
            // Somebody was quicker, or the lock went with the session.
            return self.event(name, RegistryEvent::Stale);
        }
        if let Some(error) = failing {
            return self.event(name, RegistryEvent::Failed(error));
        }
        let priority = Priority::of(&transaction.guard);
        group.doing = Doing::WriteWaits(transaction);
        self.ready.push(priority, name, &mut self.rng);
    }

    fn begin_lock(&mut self, name: &GroupName) {
        let failing = self.outage().cloned();
        let due = self.now + LINGER;
        let Some(group) = self.groups.get_mut(name) else { return };
        if self.settings.dry_run {
            (group.pretends_lock, group.look) = (true, Some(self.now));
        } else if let Some(error) = failing {
            self.event(name, RegistryEvent::Failed(error));
        } else if group.holder().is_some() {
            // Whoever it is, that is what there is to tell.
            group.look = Some(self.now);
        } else {
            group.doing = Doing::LockWaits;
            self.locks.push(name, due);
        }
    }

    fn begin_unlock(&mut self, name: &GroupName) {
        let (has_session, failing) = (self.session().is_some(), self.outage().cloned());
        let due = self.now + LINGER;
        let Some(group) = self.groups.get_mut(name) else { return };
        group.pretends_lock = false;
        match failing {
            _ if !has_session => {}
            Some(error) => self.event(name, RegistryEvent::Failed(error)),
            None => {
                group.doing = Doing::UnlockWaits;
                self.unlocks.push(name, due);
            }
        }
    }

    /// Nobody wants to hear of a group any more. Its lock is given back; at the latest it ends with the session.
    fn forget(&mut self, name: &GroupName) {
        let session = self.session().cloned();
        let Some(group) = self.groups.get_mut(name) else { return };
        let holds = session.is_some() && group.holder() == session.as_ref();
        let calling = group.doing == Doing::Calling;
        *group = Group::default();
        self.locks.remove(name);
        self.disputed.remove(name);
        self.ready.remove(name);
        if calling {
            group.doing = Doing::Calling;
        }
        if holds {
            self.unlocks.push(name, self.now);
        } else if !calling {
            self.groups.remove(name);
        }
    }

    /// Tells the core, if it wants to know.
    pub(crate) fn event(&mut self, name: &GroupName, event: RegistryEvent) {
        if self.groups.get(name).is_some_and(|group| group.watched) {
            self.outputs.push_back(Output::Event(name.clone(), event));
        }
    }

    /// The next moment: nothing else has it.
    pub(crate) fn next_tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }
}
