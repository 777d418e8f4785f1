//! Consul hears requests and answers them, late, wrongly or not at all.

use super::state::{Shelf, TTL};
use super::wire::{Answer, Ask, Question, Told};
use super::{Behaviour, Consul, Watcher};
use crate::event::Event;
use crate::network::Path;
use crate::world::World;
use consentinel_core::{GroupName, RegistryFault, Time, Transaction};
use std::time::Duration;

/// How long a registrar waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

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
        self.tell_registrar(ask.from, ask.life, Answer { number: ask.number, what: Err(fault) }, at);
    }

    fn tell_registrar(&mut self, sentinel: u16, life: u32, answer: Answer, at: Time) {
        self.queue.push(at, Event::RegistrarHears { sentinel, life, answer: Box::new(answer) });
    }

    /// A request reaches Consul.
    pub(crate) fn consul_hears(&mut self, ask: Ask) {
        let (now, own) = (self.now, self.node_of(ask.from));
        let Some(consul) = &mut self.consul else { return };
        let Fate { done, fault } = consul.fate(&ask.what);
        let commit = if ask.what.writes() { consul.plan.commit } else { 0 };
        let at = now + consul.latency() + Duration::from_micros(commit);
        let passes = self.net.path(consul.node, own) == Path::Open;
        let told = if done { self.serve_ask(&ask, fault.is_none()) } else { None };
        if ask.late {
            return;
        }
        let patience = ask.asked + PATIENCE;
        match fault {
            Some(fault) if fault != RegistryFault::Silent && passes && at < patience => {
                self.fail(&ask, fault, at);
            }
            Some(_) => self.fail(&ask, RegistryFault::Silent, patience.max(now)),
            None => match told {
                Some(told) if passes && at < patience => {
                    let answer = Answer { number: ask.number, what: Ok(told) };
                    self.tell_registrar(ask.from, ask.life, answer, at);
                }
                Some(_) => self.fail(&ask, RegistryFault::Silent, patience.max(now)),
                None => {}
            },
        }
    }

    /// Does what is asked. Nothing is answered yet to a blocking query.
    fn serve_ask(&mut self, ask: &Ask, waits: bool) -> Option<Told> {
        let now = self.now;
        let consul = self.consul.as_mut()?;
        let told = match (&ask.what, ask.session) {
            (Question::Keys(group), session) => Told::Keys(consul.state.keys(group, session)),
            (Question::Listing(group), _) => Told::Listing(consul.state.listing(group)),
            (Question::Watch { group, kv, catalog }, _) => {
                if !consul.state.has_changed(group, *kv, *catalog) {
                    let watcher = Watcher { life: ask.life, number: ask.number };
                    if waits {
                        consul.watchers.insert((group.clone(), ask.from), watcher);
                    }
                    return None;
                }
                Told::Changed
            }
            (Question::Write(group, transaction), session) => {
                let before = consul.state.shelf(group).clone();
                match consul.state.transact(group, transaction, session) {
                    Some(fence) => {
                        self.consul_has_written(ask.from, group, &before, transaction);
                        Told::Written(fence)
                    }
                    None => {
                        self.tell_bounce(ask.from, group, transaction);
                        Told::Stale
                    }
                }
            }
            (Question::Begin, _) => {
                let expires = consul.expiry(now);
                let session = consul.state.begin_session(ask.from, expires);
                self.queue.push(expires, Event::SessionDue(session));
                Told::Session(session)
            }
            (_, None) => Told::NoSession,
            (Question::Lock(group), Some(session)) => {
                if !consul.state.sessions.contains_key(&session) {
                    return Some(Told::NoSession);
                }
                if consul.state.lock(group, session) {
                    self.tell_lock(group);
                    self.wake_watchers(group);
                }
                Told::Done
            }
            (Question::Unlock(group), Some(session)) => {
                if consul.state.unlock(group, session) {
                    self.tell_lock(group);
                    self.wake_watchers(group);
                }
                Told::Done
            }
            (Question::Renew, Some(session)) => {
                let until = consul.expiry(now);
                if consul.state.renew_session(session, until) { Told::Done } else { Told::NoSession }
            }
            (Question::End, Some(session)) => {
                self.end_session(session);
                Told::Done
            }
        };
        Some(told)
    }

    fn consul_has_written(&mut self, by: u16, group: &GroupName, before: &Shelf, transaction: &Transaction) {
        if let Some(consul) = &mut self.consul {
            consul.written.insert(group.clone(), self.now);
        }
        self.tell_transaction(by, group, before, transaction);
        self.check_transaction(by, group, before, transaction);
        self.wake_watchers(group);
    }

    /// Something of a group has changed: whoever waits for that is told.
    pub(super) fn wake_watchers(&mut self, group: &GroupName) {
        let Some(consul) = &mut self.consul else { return };
        let mut woken = Vec::new();
        consul.watchers.retain(|(of, sentinel), watcher| {
            let stays = of != group;
            if !stays {
                woken.push((*sentinel, watcher.clone()));
            }
            stays
        });
        if consul.behaviour == Behaviour::Silent {
            return;
        }
        for (sentinel, watcher) in woken {
            self.end_watch(sentinel, &watcher, Ok(Told::Changed));
        }
    }

    fn end_watch(&mut self, sentinel: u16, watcher: &Watcher, what: Result<Told, RegistryFault>) {
        let own = self.node_of(sentinel);
        let Some(consul) = &mut self.consul else { return };
        if self.net.path(consul.node, own) == Path::Open {
            let at = self.now + consul.latency();
            self.tell_registrar(sentinel, watcher.life, Answer { number: watcher.number, what }, at);
        }
    }

    /// All blocking queries end with an error.
    pub(super) fn break_watches(&mut self, fault: RegistryFault) {
        let Some(consul) = &mut self.consul else { return };
        for ((_, sentinel), watcher) in std::mem::take(&mut consul.watchers) {
            self.end_watch(sentinel, &watcher, Err(fault));
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
            self.wake_watchers(&group);
        }
    }
}
