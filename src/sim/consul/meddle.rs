//! What strangers and accidents do to Consul.

use super::state::{Shelf, State, Stored, name_of};
use super::{Behaviour, Consul};
use crate::network::NodeId;
use crate::step::Step;
use crate::world::World;
use consentinel_core::{
    Endpoint, Entry, EntryKey, Epoch, GroupName, Health, Host, Record, RegistryFault, Role, RunId, SentinelId,
};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Something that is done to Consul.
#[derive(Clone, Debug)]
pub(crate) enum ConsulDeed {
    /// It behaves otherwise.
    Behave(Behaviour),
    /// Everything takes longer, up to that long.
    Slow(Duration),
    /// It restarts, with all that it held, and is back after a while.
    Restart(Duration),
    /// All servers restart, and the agents stay. A server reads its log before anything else, and answers requests that wait
    /// for changes from what it has read so far; then there is no leader for a while.
    Replay(Duration),
    /// Its keys are wiped, its catalog, or both; in the last case the indexes may begin anew.
    Wipe { keys: bool, catalog: bool, anew: bool },
    /// Somebody changes what is published: of one server, or of whom chance picks.
    Drift { what: Drift, of: Option<NodeId> },
    /// The session of a sentinel is destroyed; that of whoever holds a lock, when nobody is named.
    EndSession { of: Option<NodeId> },
}

/// What somebody changes who is no sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// An entry is removed.
    Remove,
    /// An entry's health is turned into another.
    Turn,
    /// An entry is changed into something that nobody would have written.
    Spoil,
    /// An entry is added that nobody knows.
    Stranger,
    /// A replica is published as a master besides.
    SecondMaster,
    /// The node is removed, and all entries with it.
    RemoveNode,
    /// The node is altered.
    AlterNode,
    /// The record becomes something that nobody can read.
    SpoilRecord,
    /// Another fleet of sentinels has published a group of the same name: its record is there instead of ours.
    TakeRecord,
    /// The other fleet's record is taken away.
    ReturnRecord,
}

/// Who publishes for another fleet.
const OTHERS: &str = "another-fleet";

/// Whether that is another fleet's record.
pub(crate) fn is_of_others(record: &Record) -> bool {
    record.publisher.as_str() == OTHERS
}

impl Drift {
    pub(crate) const ALL: [Drift; 10] = [
        Drift::Remove,
        Drift::Turn,
        Drift::Spoil,
        Drift::Stranger,
        Drift::SecondMaster,
        Drift::RemoveNode,
        Drift::AlterNode,
        Drift::SpoilRecord,
        Drift::TakeRecord,
        Drift::ReturnRecord,
    ];
}

impl World {
    /// Does something to Consul, if there is one.
    pub(crate) fn apply_to_consul(&mut self, deed: ConsulDeed) {
        if self.consul.is_none() {
            return;
        }
        self.stats.faults += 1;
        match deed {
            ConsulDeed::Behave(behaviour) => self.set_behaviour(behaviour),
            ConsulDeed::Slow(delay) => {
                self.tell_meddling(|_| if delay.is_zero() { "quick again".into() } else { "slow".into() });
                self.consul.as_mut().expect("it is there").delay = delay;
            }
            ConsulDeed::Restart(after) => {
                self.set_behaviour(Behaviour::Down);
                let back = Step::Consul(ConsulDeed::Behave(Behaviour::Well));
                self.plan(self.now + after, back);
            }
            ConsulDeed::Replay(leaderless) => {
                self.replay();
                self.set_behaviour(Behaviour::Leaderless);
                let back = Step::Consul(ConsulDeed::Behave(Behaviour::Well));
                self.plan(self.now + leaderless, back);
            }
            ConsulDeed::Wipe { keys, catalog, anew } => self.wipe_consul(keys, catalog, anew),
            ConsulDeed::Drift { what, of } => self.drift(what, of),
            ConsulDeed::EndSession { of } => {
                let Some(session) = self.session_to_end(of) else { return };
                self.tell_meddling(|_| "a session is destroyed".into());
                self.end_session(session);
            }
        }
    }

    /// Changes how Consul behaves; one that never answers stays so.
    pub(crate) fn set_behaviour(&mut self, behaviour: Behaviour) {
        let now = self.now;
        let Some(consul) = &mut self.consul else { return };
        if consul.plan.always_silent || consul.behaviour == behaviour {
            return;
        }
        let led = consul.is_led();
        consul.behaviour = behaviour;
        if !led && consul.is_led() {
            consul.spare_sessions(now);
        }
        match behaviour {
            Behaviour::Down => self.break_watches(RegistryFault::Unreachable),
            Behaviour::Leaderless => self.break_watches(RegistryFault::Leaderless),
            _ => {}
        }
        self.tell_meddling(|_| {
            let words = match behaviour {
                Behaviour::Well => "well again",
                Behaviour::Down => "down",
                Behaviour::Leaderless => "without a leader",
                Behaviour::Silent => "silent",
                Behaviour::Denying { reads: false } => "denies writing",
                Behaviour::Denying { reads: true } => "denies everything",
                Behaviour::Nonsense => "talks nonsense",
                #[cfg(test)]
                Behaviour::Limiting => "limits us",
                Behaviour::Flaky(_) => "fails now and then",
            };
            words.to_owned()
        });
    }

    /// Ends everything that is wrong with Consul itself, and takes another fleet's records away. What was wiped or changed, the sentinels have to repair.
    pub(crate) fn heal_consul(&mut self) {
        self.set_behaviour(Behaviour::Well);
        if let Some(consul) = &mut self.consul {
            consul.delay = Duration::ZERO;
            let groups: Vec<GroupName> = consul.state.shelves.keys().cloned().collect();
            let returned =
                groups.iter().filter_map(|group| consul.state.drift(group, Drift::ReturnRecord, None));
            if returned.count() > 0 {
                consul.meddled = self.now;
                self.wake_watchers();
            }
        }
    }

    fn wipe_consul(&mut self, keys: bool, catalog: bool, anew: bool) {
        self.tell_meddling(|_| {
            let what = match (keys, catalog) {
                (true, false) => "the keys are",
                (false, true) => "the catalog is",
                _ => "everything is",
            };
            format!("{what} wiped")
        });
        let now = self.now;
        let Some(consul) = &mut self.consul else { return };
        consul.meddled = now;
        consul.state.wipe(keys, catalog, anew);
        self.wake_watchers();
    }

    fn session_to_end(&mut self, of: Option<NodeId>) -> Option<super::state::SessionId> {
        let node_of = |owner: u16| self.sentinels[usize::from(owner)].node;
        let state = &self.consul.as_ref()?.state;
        match of {
            Some(node) => {
                let mut sessions = state.sessions.iter();
                sessions.find(|(_, session)| node_of(session.owner) == node).map(|(id, _)| *id)
            }
            None => state.shelves.values().find_map(|shelf| shelf.lock),
        }
    }

    fn drift(&mut self, what: Drift, of: Option<NodeId>) {
        let (addresses, now) = (&self.addresses, self.now);
        let Some(consul) = &mut self.consul else { return };
        consul.meddled = now;
        let Consul { state, rng, .. } = consul.as_mut();
        let holds = |shelf: &Shelf| {
            let mut entries = shelf.entries.values();
            of.is_none_or(|of| entries.any(|stored| addresses.node(&stored.entry.addr) == Some(of)))
        };
        let groups: Vec<GroupName> =
            state.shelves.iter().filter(|(_, shelf)| holds(shelf)).map(|(group, _)| group.clone()).collect();
        let Some(group) = groups.get(rng.below(groups.len() as u64) as usize).cloned() else { return };
        let shelf = state.shelf(&group);
        let chosen = |stored: &&Stored| match (what, of) {
            (Drift::SecondMaster, None) => stored.entry.role == Role::Replica,
            (_, Some(of)) => addresses.node(&stored.entry.addr) == Some(of),
            _ => true,
        };
        let entries: Vec<Entry> =
            shelf.entries.values().filter(chosen).map(|stored| stored.entry.clone()).collect();
        let entry = entries.get(rng.below(entries.len() as u64) as usize).cloned();
        let Some(text) = state.drift(&group, what, entry.as_ref()) else { return };
        let whose = entry.map(|entry| self.addresses.call(&entry.addr)).unwrap_or_default();
        self.tell_meddling(|_| format!("somebody {}", text.replace("{}", &whose)));
        self.wake_watchers();
    }
}

impl Consul {
    /// A new leader knows no clock of a session: all begin anew.
    fn spare_sessions(&mut self, now: consentinel_core::Time) {
        let sessions: Vec<_> = self.state.sessions.keys().copied().collect();
        for session in sessions {
            let until = self.expiry(now);
            self.state.renew_session(session, until);
        }
    }
}

impl State {
    fn wipe(&mut self, keys: bool, catalog: bool, anew: bool) {
        self.index = if anew { 1 } else { self.index + 1 };
        if anew {
            self.sessions.clear();
        }
        let index = self.index;
        for shelf in self.shelves.values_mut() {
            if keys {
                shelf.record = None;
                shelf.history.clear();
                shelf.lock = None;
                shelf.kv_index = index;
            }
            if catalog {
                shelf.node = None;
                shelf.entries.clear();
                shelf.catalog_index = index;
            }
        }
    }

    /// Changes what is published of a group, as somebody does who is no sentinel. Tells what was done; `{}` stands for
    /// the server.
    pub(super) fn drift(
        &mut self,
        group: &GroupName,
        what: Drift,
        entry: Option<&Entry>,
    ) -> Option<&'static str> {
        let index = self.index.max(1) + 1;
        let shelf = self.shelf(group);
        let text = shelf.drift(what, entry, index)?;
        if matches!(what, Drift::SpoilRecord | Drift::TakeRecord | Drift::ReturnRecord) {
            shelf.kv_index = index;
        } else {
            shelf.catalog_index = index;
        }
        self.index = index;
        Some(text)
    }
}

impl Shelf {
    fn drift(&mut self, what: Drift, entry: Option<&Entry>, index: u64) -> Option<&'static str> {
        let name = entry.map(|entry| name_of(&entry.key()));
        let text = match what {
            Drift::Remove => {
                self.entries.remove(&name?)?;
                "removes the entry of {}"
            }
            Drift::Turn => {
                let stored = self.entries.get_mut(&name?)?;
                let passing = stored.entry.health == Health::Passing;
                stored.entry.health = if passing { Health::Critical } else { Health::Passing };
                stored.meddled = true;
                "turns the health of {}"
            }
            Drift::Spoil => {
                let stored = self.entries.get_mut(&name?)?;
                stored.spoilt = true;
                stored.meddled = true;
                "spoils the entry of {}"
            }
            Drift::Stranger => {
                let stored = Stored { entry: entry?.clone(), spoilt: true, meddled: true };
                self.entries.insert(format!("stranger-{index}"), stored);
                "adds an entry beside that of {}"
            }
            Drift::SecondMaster => {
                let entry = Entry { role: Role::Master, health: Health::Passing, ..entry?.clone() };
                let key = EntryKey { role: Role::Master, addr: entry.addr.clone() };
                let stored = Stored { entry, spoilt: false, meddled: true };
                self.entries.insert(name_of(&key), stored);
                "publishes {} as a master besides"
            }
            Drift::RemoveNode => {
                self.node.take()?;
                self.entries.clear();
                "removes the node"
            }
            Drift::AlterNode => {
                let epoch = &mut self.node.as_mut()?.0;
                *epoch = Epoch(epoch.0 + 1000);
                "alters the node"
            }
            Drift::SpoilRecord => {
                self.record.as_mut()?.1 = None;
                self.record.as_mut()?.0 = index;
                "spoils the record"
            }
            Drift::TakeRecord => {
                let record = self.record()?.clone();
                let master = Endpoint::new(Host::Ip(Ipv4Addr::new(203, 0, 113, 9).into()), 7777);
                let (run_id, publisher) = (RunId::new(OTHERS), SentinelId::new(OTHERS));
                let others = Record { master, run_id, publisher, sentinels: vec![], ..record };
                self.record = Some((index, Some(others)));
                "publishes another fleet under the same name"
            }
            Drift::ReturnRecord => {
                self.record().filter(|record| is_of_others(record))?;
                self.record = None;
                "takes another fleet's record away"
            }
        };
        Some(text)
    }
}
