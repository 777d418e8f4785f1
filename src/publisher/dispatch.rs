//! Which call goes out next, and how many may be under way.

use crate::call::{Call, CallId, Chore, MOST_LOCKS, MOST_UNLOCKS};
use crate::group::{Doing, Tick};
use crate::outage::Attempt;
use crate::publisher::{Output, Publisher, Session};
use crate::watch::State;
use consentinel_core::{GroupName, Guard, RegistryFault, Rng, Time, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// Calls that may be under way besides the two watches.
const POOL: usize = 4;
/// Of these, so many are kept free for what cannot wait.
const RESERVED: usize = 1;
/// Calls that may ever be under way.
pub const MOST_CALLS: usize = POOL + 2;

/// When a chore is to be done next, and whether it is being done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChoreTime {
    pub(crate) due: Time,
    pub(crate) running: bool,
}

/// A call without an answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) what: What,
    pub(crate) sent: Tick,
}

/// What a call is for.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Records,
    Entries,
    Read(GroupName),
    Write(GroupName, Box<Transaction>),
    Lock(Vec<GroupName>),
    Unlock(Vec<GroupName>),
    Begin,
    Renew,
    Chore(Chore),
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// A new master.
    Failover,
    /// A group that was not published before.
    First,
    Read,
    /// How well servers are.
    Health,
}

impl Priority {
    pub(crate) fn of(guard: &Guard) -> Priority {
        match guard {
            Guard::Claim { before: Some(_), .. } => Priority::Failover,
            Guard::Claim { before: None, .. } => Priority::First,
            Guard::Unchanged { .. } => Priority::Health,
        }
    }
}

/// Groups whose write or read waits for a connection.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    queue: BTreeSet<(Priority, u64, GroupName)>,
    pushed: u64,
    reads: usize,
}

impl Ready {
    /// Failovers go in the order in which they came. All else goes in an order by chance: daemons that begin at the same
    /// time with the same begin at different ends.
    pub(crate) fn push(&mut self, priority: Priority, group: &GroupName, rng: &mut Rng) {
        self.pushed += 1;
        let order = if priority == Priority::Failover { self.pushed } else { rng.bits() };
        self.reads += usize::from(priority == Priority::Read);
        self.queue.insert((priority, order, group.clone()));
    }

    fn pop(&mut self, least: Priority) -> Option<(Priority, GroupName)> {
        if self.queue.first()?.0 > least {
            return None;
        }
        let (priority, _, group) = self.queue.pop_first()?;
        self.reads -= usize::from(priority == Priority::Read);
        Some((priority, group))
    }

    pub(crate) fn remove(&mut self, group: &GroupName) {
        self.queue.retain(|(_, _, name)| name != group);
        self.reads = self.queue.iter().filter(|(priority, ..)| *priority == Priority::Read).count();
    }

    pub(crate) fn clear(&mut self) {
        (self.reads, self.queue) = (0, BTreeSet::new());
    }
}

/// Groups for which something is due together with others.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    dues: BTreeMap<GroupName, Time>,
    first: Option<Time>,
}

impl Dues {
    pub(crate) fn push(&mut self, group: &GroupName, due: Time) {
        self.dues.insert(group.clone(), due);
        self.first = Some(self.first.map_or(due, |first| first.min(due)));
    }

    pub(crate) fn remove(&mut self, group: &GroupName) {
        self.dues.remove(group);
        self.first = self.dues.values().min().copied();
    }

    pub(crate) fn clear(&mut self) {
        *self = Dues::default();
    }

    fn is_due(&self, now: Time, most: usize) -> bool {
        self.dues.len() >= most || self.first.is_some_and(|first| first <= now)
    }

    /// Beginning anywhere: daemons that want the same begin at different places.
    fn take(&mut self, most: usize, rng: &mut Rng) -> Vec<GroupName> {
        let begin = rng.below(self.dues.len() as u64) as usize;
        let names = self.dues.keys().cycle().skip(begin).take(most.min(self.dues.len()));
        let names: Vec<GroupName> = names.cloned().collect();
        names.iter().for_each(|name| {
            self.dues.remove(name);
        });
        self.first = self.dues.values().min().copied();
        names
    }
}

impl Publisher {
    /// Sends what may be sent.
    pub(crate) fn dispatch(&mut self) {
        if let Some(outage) = &self.outage {
            // The agent itself answers whatever becomes of the servers.
            if outage.error.kind == RegistryFault::Leaderless {
                self.send_chore(Chore::Presence);
            }
            return self.attempt();
        }
        self.send_watches();
        self.send_session_calls();
        self.send_chore(Chore::Presence);
        self.send_writes(Priority::First, POOL);
        self.send_locks();
        self.send_writes(Priority::Health, POOL - RESERVED);
        if self.has_room(POOL - RESERVED) {
            self.send_chore(Chore::DeadmanCheck);
        }
    }

    /// When something is due that has not been sent.
    pub(crate) fn dispatch_deadline(&self) -> Time {
        let never = |due: Option<Time>| due.unwrap_or(Time::NEVER);
        if let Some(outage) = &self.outage {
            let attempt = match outage.attempt {
                Attempt::Due(at) => at,
                Attempt::Waiting(_) => Time::NEVER,
            };
            let presence = self.chore_due(Chore::Presence);
            let beats = outage.error.kind == RegistryFault::Leaderless && self.has_room(POOL);
            return attempt.min(never(presence.filter(|_| beats)));
        }
        let mut deadline = self.records.deadline().min(self.entries.deadline());
        if self.has_room(POOL) {
            let renewal = match &self.session {
                Session::Ours { renewal, .. } => Some(*renewal),
                Session::None | Session::Beginning => None,
            };
            deadline = deadline.min(never(renewal)).min(never(self.chore_due(Chore::Presence)));
        }
        if self.has_room(POOL - RESERVED) {
            let locks = self.locks.first.filter(|_| self.session != Session::Beginning);
            let unlocks = self.unlocks.first.filter(|_| matches!(self.session, Session::Ours { .. }));
            deadline = deadline
                .min(never(locks))
                .min(never(unlocks))
                .min(never(self.chore_due(Chore::DeadmanCheck)));
        }
        deadline
    }

    /// Sends a call.
    pub(crate) fn send(&mut self, what: What, call: Call) -> CallId {
        self.numbers += 1;
        let id = CallId(self.numbers);
        let sent = self.next_tick();
        self.calls.insert(id, Pending { what, sent });
        self.outputs.push_back(Output::Call(id, call));
        id
    }

    /// How many groups are being read by themselves, or wait for that.
    pub(crate) fn reads(&self) -> usize {
        let is_read = |pending: &&Pending| matches!(pending.what, What::Read(_));
        self.ready.reads + self.calls.values().filter(is_read).count()
    }

    fn has_room(&self, limit: usize) -> bool {
        let watches = |pending: &&Pending| matches!(pending.what, What::Records | What::Entries);
        self.calls.values().filter(|pending| !watches(pending)).count() < limit
    }

    fn send_watches(&mut self) {
        if self.records.is_due(self.now) {
            let call = self.send(What::Records, Call::WatchRecords { index: self.records.index });
            self.records.state = State::Waiting(call);
        }
        if self.entries.is_due(self.now) {
            let call = self.send(What::Entries, Call::WatchEntries { index: self.entries.index });
            self.entries.state = State::Waiting(call);
        }
    }

    fn send_session_calls(&mut self) {
        if !self.has_room(POOL) {
            return;
        }
        match &mut self.session {
            Session::None => {
                if self.locks.is_due(self.now, MOST_LOCKS)
                    && let Some(group) = self.locks.dues.keys().next().cloned()
                {
                    self.session = Session::Beginning;
                    self.send(What::Begin, Call::BeginSession { group });
                }
            }
            Session::Beginning => {}
            Session::Ours { id, renewal } => {
                if *renewal <= self.now {
                    *renewal = Time::NEVER;
                    let id = id.clone();
                    self.send(What::Renew, Call::RenewSession(id));
                }
            }
        }
    }

    fn chore_due(&self, chore: Chore) -> Option<Time> {
        self.chores.get(&chore).filter(|time| !time.running).map(|time| time.due)
    }

    fn send_chore(&mut self, chore: Chore) {
        let due = self.chore_due(chore).is_some_and(|due| due <= self.now);
        if due && self.has_room(POOL) {
            self.chores.insert(chore, ChoreTime { due: Time::NEVER, running: true });
            self.send(What::Chore(chore), Call::Chore(chore));
        }
    }

    fn send_writes(&mut self, least: Priority, limit: usize) {
        while self.has_room(limit) {
            let Some((priority, name)) = self.ready.pop(least) else { return };
            match priority {
                Priority::Read => {
                    self.send(What::Read(name.clone()), Call::Read(name));
                }
                _ => self.send_write(name),
            }
        }
    }

    /// Sends a write, unless somebody else has been quicker while it waited.
    fn send_write(&mut self, name: GroupName) {
        let session = self.session().cloned();
        let Some(group) = self.groups.get_mut(&name) else { return };
        let Doing::WriteWaits(transaction) = std::mem::take(&mut group.doing) else { return };
        if group.is_outdated(transaction.guard.fence()) {
            self.event(&name, consentinel_core::RegistryEvent::Stale);
            return self.advance(&name);
        }
        group.doing = Doing::Calling;
        let what = What::Write(name.clone(), transaction.clone());
        self.send(what, Call::Write { group: name, transaction, session });
    }

    fn send_locks(&mut self) {
        let Session::Ours { id, .. } = &self.session else { return };
        let session = id.clone();
        while self.unlocks.is_due(self.now, MOST_UNLOCKS) && self.has_room(POOL - RESERVED) {
            let groups = self.unlocks.take(MOST_UNLOCKS, &mut self.rng);
            for name in &groups {
                if let Some(group) = self.groups.get_mut(name) {
                    group.doing = Doing::Calling;
                }
            }
            let call = Call::Unlock { groups: groups.clone(), session: session.clone() };
            self.send(What::Unlock(groups), call);
        }
        while self.locks.is_due(self.now, MOST_LOCKS) && self.has_room(POOL - RESERVED) {
            let mut groups = self.locks.take(MOST_LOCKS, &mut self.rng);
            groups.retain(|name| self.still_wants_lock(name));
            if groups.is_empty() {
                continue;
            }
            let call = Call::Lock { groups: groups.clone(), session: session.clone() };
            self.send(What::Lock(groups), call);
        }
    }

    /// Whether nobody else has taken the lock meanwhile, as far as is known.
    fn still_wants_lock(&mut self, name: &GroupName) -> bool {
        let Some(group) = self.groups.get_mut(name) else { return false };
        if group.holder().is_none() {
            group.doing = Doing::Calling;
            return true;
        }
        (group.doing, group.look) = (Doing::Nothing, Some(self.now));
        self.advance(name);
        false
    }
}
