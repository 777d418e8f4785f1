//! Consul hears requests and answers them, late, wrongly or not at all.

use super::state::{Shelf, TTL};
use super::wire::{Answer, Ask, Question};
use super::{Behaviour, Consul};
use crate::event::Event;
use crate::network::Path;
use crate::world::World;
use consentinel_core::{GroupName, Guard, RegistryFault, Time, Transaction};
use consentinel_publisher::{self as publisher, Call, CallId};
use std::time::Duration;

/// How long a registrar waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long Consul lets a request wait for a change, and how long a registrar then waits for the answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const WATCH_PATIENCE: Duration = Duration::from_secs(79);

/// How many records back a server may be that reads its log.
const PAST: usize = 4;

/// Connections that an agent serves to one client.
pub(super) const MOST_CONNECTIONS: usize = 8;

/// What becomes of a request: whether it is done, and what is answered instead of the answer.
struct Fate {
    done: bool,
    fault: Option<RegistryFault>,
}

impl Consul {
    fn fate(&mut self, question: &Question) -> Fate {
        let fate = |done, fault| Fate { done, fault: Some(fault) };
        let perhaps = self.rng.per_mille(500);
        match self.behaviour {
            Behaviour::Down => fate(false, RegistryFault::Unreachable),
            Behaviour::Leaderless => fate(false, RegistryFault::Leaderless),
            Behaviour::Silent => fate(perhaps, RegistryFault::Silent),
            Behaviour::Denying { reads } if reads || question.writes() => fate(false, RegistryFault::Denied),
            Behaviour::Nonsense => fate(perhaps, RegistryFault::Nonsense),
            #[cfg(test)]
            Behaviour::Limiting => fate(false, RegistryFault::Limited),
            Behaviour::Flaky(chance) if self.rng.per_mille(chance) => match self.rng.below(4) {
                0 => fate(false, RegistryFault::Unreachable),
                // The leader was lost while it wrote: it may have been written.
                1 => fate(perhaps, RegistryFault::Leaderless),
                2 => fate(perhaps, RegistryFault::Silent),
                _ => fate(perhaps, RegistryFault::Nonsense),
            },
            _ => Fate { done: true, fault: None },
        }
    }

    /// Whether there is a leader, without whom no session runs out.
    pub(super) fn is_led(&self) -> bool {
        !matches!(self.behaviour, Behaviour::Down | Behaviour::Leaderless)
    }

    /// A request takes a connection until it is answered or given up. Whether there is one for it.
    fn connect(&mut self, ask: &Ask) -> bool {
        let Some(number) = ask.number else { return true };
        let held = self.connections.iter().filter(|(sentinel, _)| *sentinel == ask.from).count();
        let has_room = held < MOST_CONNECTIONS;
        match has_room {
            true => drop(self.connections.insert((ask.from, number))),
            false => self.refused += 1,
        }
        has_room
    }

    /// Until when a session lives that is renewed now.
    pub(super) fn expiry(&mut self, now: Time) -> Time {
        now + TTL + self.rng.span(TTL)
    }
}

impl World {
    /// A registrar sends a request on its way.
    pub(super) fn ask_consul(&mut self, mut ask: Ask) {
        let (now, own) = (self.now, self.node_of(ask.from));
        let Some(consul) = &mut self.consul else { return };
        let node = consul.node;
        if !consul.connect(&ask) {
            let at = now + consul.latency();
            return self.fail(&ask, RegistryFault::Limited, at);
        }
        match (self.net.path(own, node), self.net.path(node, own)) {
            (Path::Refused, _) | (_, Path::Refused) => {
                let at = now + consul.latency();
                self.fail(&ask, RegistryFault::Unreachable, at);
            }
            (Path::Open, _) => {
                let took = consul.latency();
                ask.late = took >= PATIENCE;
                if ask.late {
                    self.fail(&ask, RegistryFault::Silent, now + PATIENCE);
                }
                self.queue.push(now + took, Event::ConsulHears(Box::new(ask)));
            }
            _ => {
                let reused = consul.rng.per_mille(500);
                let fault = if reused { RegistryFault::Silent } else { RegistryFault::Unreachable };
                self.fail(&ask, fault, now + PATIENCE);
            }
        }
    }

    fn fail(&mut self, ask: &Ask, fault: RegistryFault, at: Time) {
        // A timer rings a little late, and so never at the very moment at which one of the core's does.
        let Some(consul) = &mut self.consul else { return };
        let at = at + Duration::from_micros(1 + consul.rng.below(500));
        self.tell_registrar(ask, Err(fault), at);
    }

    fn tell_registrar(&mut self, ask: &Ask, what: Result<publisher::Answer, RegistryFault>, at: Time) {
        let Some(number) = ask.number else { return };
        let (sentinel, life, answer) = (ask.from, ask.life, Box::new(Answer { number, what }));
        self.queue.push(at, Event::RegistrarHears { sentinel, life, answer });
    }

    /// A registrar does not wait for an answer any more, or has it.
    pub(super) fn hang_up(&mut self, sentinel: u16, number: CallId) {
        let Some(consul) = &mut self.consul else { return };
        consul.connections.remove(&(sentinel, number));
        consul.watchers.retain(|ask| (ask.from, ask.number) != (sentinel, Some(number)));
    }

    /// A process has ended, and its connections with it.
    pub(super) fn hang_up_all(&mut self, sentinel: u16) {
        let Some(consul) = &mut self.consul else { return };
        consul.connections.retain(|(of, _)| *of != sentinel);
        consul.watchers.retain(|ask| ask.from != sentinel);
    }

    /// A request reaches Consul.
    pub(crate) fn consul_hears(&mut self, ask: Ask) {
        let (now, own) = (self.now, self.node_of(ask.from));
        let Some(consul) = &mut self.consul else { return };
        if ask.expired {
            let before = consul.watchers.len();
            consul.watchers.retain(|other| (other.from, other.number) != (ask.from, ask.number));
            if before == consul.watchers.len() {
                return;
            }
        }
        let Fate { done, fault } = consul.fate(&ask.what);
        let commit = if ask.what.writes() { consul.plan.commit } else { 0 };
        let at = now + consul.latency() + Duration::from_micros(commit);
        let passes = self.net.path(consul.node, own) == Path::Open;
        let told = if done { self.serve_ask(&ask, fault.is_none()) } else { None };
        if ask.late {
            return;
        }
        let patience = ask.asked + if ask.expired { WATCH_PATIENCE } else { PATIENCE };
        match fault {
            Some(fault) if fault != RegistryFault::Silent && passes && at < patience => {
                self.fail(&ask, fault, at);
            }
            Some(_) => self.fail(&ask, RegistryFault::Silent, patience.max(now)),
            None => match told {
                Some(told) if passes && at < patience => self.tell_registrar(&ask, Ok(told), at),
                Some(_) => self.fail(&ask, RegistryFault::Silent, patience.max(now)),
                None => {}
            },
        }
    }

    /// Does what is asked. Nothing is answered yet to a request that waits for a change.
    fn serve_ask(&mut self, ask: &Ask, waits: bool) -> Option<publisher::Answer> {
        let now = self.now;
        let consul = self.consul.as_mut()?;
        let call = match &ask.what {
            Question::Call(call) => call,
            Question::End(session) => {
                self.end_session(*session);
                return None;
            }
        };
        if !ask.expired && consul.state.is_unchanged(call) {
            if waits {
                consul.watchers.push(ask.clone());
                let expired = Ask { expired: true, ..ask.clone() };
                self.queue.push(now + LONGEST_WAIT, Event::ConsulHears(Box::new(expired)));
                self.fail(ask, RegistryFault::Silent, ask.asked + WATCH_PATIENCE);
            }
            return None;
        }
        Some(match call {
            Call::WatchRecords { .. } => publisher::Answer::Records(consul.state.all_records()),
            Call::WatchEntries { .. } => publisher::Answer::Entries(consul.state.all_entries()),
            Call::Read(group) => consul.state.read(group),
            Call::Write { group, transaction, session } => {
                let session = session.as_ref().map(super::SessionId::parse);
                let before = consul.state.shelf(group).clone();
                if matches!(transaction.guard, Guard::Claim { .. }) {
                    if consul.past.len() == PAST {
                        consul.past.pop_front();
                    }
                    consul.past.push_back(consul.state.clone());
                }
                match consul.state.transact(group, transaction, session) {
                    Some(fence) => {
                        let leaves_trace = transaction.remove.is_empty() && transaction.sweep.is_empty();
                        let index = Some(consul.state.shelf(group).catalog_index).filter(|_| leaves_trace);
                        self.consul_has_written(ask.from, group, &before, transaction);
                        publisher::Answer::Written { fence, index }
                    }
                    None => {
                        self.tell_bounce(ask.from, group, transaction);
                        publisher::Answer::Stale
                    }
                }
            }
            Call::BeginSession { .. } => {
                let expires = consul.expiry(now);
                let session = consul.state.begin_session(ask.from, expires);
                self.queue.push(expires, Event::SessionDue(session));
                publisher::Answer::Session(session.named())
            }
            Call::RenewSession(session) => {
                let until = consul.expiry(now);
                match consul.state.renew_session(super::SessionId::parse(session), until) {
                    true => publisher::Answer::Done,
                    false => publisher::Answer::SessionGone,
                }
            }
            Call::Lock { groups, session } => self.serve_lock(groups, super::SessionId::parse(session)),
            Call::Unlock { groups, session } => {
                for group in groups {
                    let Some(consul) = &mut self.consul else { break };
                    if consul.state.unlock(group, super::SessionId::parse(session)) {
                        self.tell_lock(group);
                    }
                }
                self.wake_watchers();
                publisher::Answer::Unlocked { failed: None }
            }
            Call::Chore(_) => publisher::Answer::Done,
        })
    }

    fn serve_lock(&mut self, groups: &[GroupName], session: super::SessionId) -> publisher::Answer {
        let (mut won, mut lost, mut index) = (Vec::new(), Vec::new(), None);
        for group in groups {
            let Some(consul) = &mut self.consul else { break };
            let is_new = consul.state.lock(group, session);
            if is_new || consul.state.is_locked_by(group, session) {
                won.push(group.clone());
                index = Some(consul.state.index);
            } else {
                lost.push(group.clone());
            }
            if is_new {
                // Whoever has it now amends what it sees otherwise.
                consul.written.insert(group.clone(), self.now);
                self.tell_lock(group);
            }
        }
        self.wake_watchers();
        publisher::Answer::Locks { won, index, lost, failed: None }
    }

    fn consul_has_written(&mut self, by: u16, group: &GroupName, before: &Shelf, transaction: &Transaction) {
        if let Some(consul) = &mut self.consul {
            consul.written.insert(group.clone(), self.now);
        }
        self.tell_transaction(by, group, before, transaction);
        self.check_transaction(by, group, before, transaction);
        self.wake_watchers();
    }

    /// Something may have changed: whoever waits for that is told.
    pub(super) fn wake_watchers(&mut self) {
        let Some(consul) = &mut self.consul else { return };
        let is_unchanged = |ask: &Ask| match &ask.what {
            Question::Call(call) => consul.state.is_unchanged(call),
            Question::End(_) => true,
        };
        let (waiting, woken): (Vec<Ask>, Vec<Ask>) = consul.watchers.drain(..).partition(is_unchanged);
        consul.watchers = waiting;
        if consul.behaviour == Behaviour::Silent {
            return;
        }
        for ask in woken {
            if let Some(told) = self.serve_ask(&ask, true) {
                self.end_watch(&ask, Ok(told));
            }
        }
    }

    /// Requests that wait for a change are answered with what was so some records ago.
    pub(super) fn replay(&mut self) {
        let Some(consul) = &mut self.consul else { return };
        if consul.past.is_empty() || consul.behaviour != Behaviour::Well {
            return;
        }
        let past = consul.past[consul.rng.below(consul.past.len() as u64) as usize].clone();
        for ask in std::mem::take(&mut consul.watchers) {
            let told = match &ask.what {
                Question::Call(Call::WatchRecords { .. }) => publisher::Answer::Records(past.all_records()),
                Question::Call(Call::WatchEntries { .. }) => publisher::Answer::Entries(past.all_entries()),
                _ => continue,
            };
            self.end_watch(&ask, Ok(told));
        }
    }

    fn end_watch(&mut self, ask: &Ask, what: Result<publisher::Answer, RegistryFault>) {
        let own = self.node_of(ask.from);
        let Some(consul) = &mut self.consul else { return };
        if self.net.path(consul.node, own) == Path::Open {
            let at = self.now + consul.latency();
            self.tell_registrar(ask, what, at);
        }
    }

    /// All blocking queries end with an error.
    pub(super) fn break_watches(&mut self, fault: RegistryFault) {
        let Some(consul) = &mut self.consul else { return };
        for ask in std::mem::take(&mut consul.watchers) {
            self.end_watch(&ask, Err(fault));
        }
    }

    /// A session may be over.
    pub(crate) fn session_due(&mut self, id: super::state::SessionId) {
        let now = self.now;
        let Some(consul) = &mut self.consul else { return };
        let Some(session) = consul.state.sessions.get(&id) else { return };
        if session.expires > now || !consul.is_led() {
            let again = session.expires.max(now + Duration::from_secs(1));
            return self.queue.push(again, Event::SessionDue(id));
        }
        self.end_session(id);
    }

    /// A session ends, and its locks are free.
    pub(super) fn end_session(&mut self, id: super::state::SessionId) {
        let Some(consul) = &mut self.consul else { return };
        for group in consul.state.end_session(id) {
            self.tell_lock(&group);
        }
        self.wake_watchers();
    }
}
