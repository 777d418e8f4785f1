//! What stands in Consul: one master, of the newest epoch, elected, and seen as master before; and in the end what the
//! sentinels see.

use super::{GroupAt, Invariant};
use crate::consul::{Behaviour, Shelf, is_of_others};
use crate::network::{NodeId, Path};
use crate::world::World;
use consentinel_core::{
    Cause, Entry, Epoch, GroupName, Guard, Health, Info, LinkId, Record, RegistryRequest, Role, Transaction,
};
use std::time::Duration;

/// How long nothing may have been written before all is said to be well.
const QUIET: Duration = Duration::from_secs(3);

/// How long what was seen of Consul may be on its way, and what is written because of it.
const LATE: Duration = Duration::from_secs(10);

impl World {
    /// A sentinel asks something of Consul. A claim is an announcement, like a hello: it needs a mandate, and what is
    /// announced must be on disk.
    pub(super) fn check_register(&mut self, sentinel: u16, group: &GroupName, request: &RegistryRequest) {
        let RegistryRequest::Write(transaction) = request else { return };
        let Guard::Claim { record, .. } = &transaction.guard else { return };
        let Some(index) = self.group_index(group) else { return };
        let Some(master) = self.addresses.node(&record.master) else { return };
        self.note_announcement(sentinel, index, master, record.epoch);
        self.check_saved_config(sentinel, index, record.epoch, "publishes");
        if self.witness.masters_met.get(&(sentinel, master)) != Some(&record.run_id) {
            let (name, master) = (self.sentinel_name(sentinel), self.addresses.name(master));
            let what = format!("{name} publishes {master}, of which it has not heard that it is a master");
            self.violated(Invariant::SeenBeforePublished, what);
        }
    }

    /// A promotion has been seen by its leader, who can publish it if nothing is in his way.
    pub(super) fn note_to_publish(&mut self, at: GroupAt) {
        let node = self.sentinels[usize::from(at.0)].node;
        let Some(consul) = self.consul.as_ref().filter(|_| self.is_ours(at.0)) else { return };
        let passes = self.net.path(node, consul.node) == Path::Open;
        if passes && consul.behaviour == Behaviour::Well && consul.delay.is_zero() {
            self.stats.awaits_publication(at.1, self.now);
        }
    }

    /// A server tells a sentinel what it is.
    pub(super) fn note_info(&mut self, sentinel: u16, link: LinkId, info: &Info) {
        let Some(node) = self.peer_behind(sentinel, link) else { return };
        match (info.role, &info.run_id) {
            (Some(Role::Master), Some(run)) if !info.loading => {
                self.witness.masters_met.insert((sentinel, node), run.clone());
            }
            _ => {
                self.witness.masters_met.remove(&(sentinel, node));
            }
        }
    }

    /// A transaction of a sentinel has taken effect.
    pub(crate) fn check_transaction(
        &mut self,
        by: u16,
        name: &GroupName,
        before: &Shelf,
        transaction: &Transaction,
    ) {
        let Some(group) = self.group_index(name) else { return };
        if before.record().is_some_and(is_of_others) {
            let what = format!("{} writes where another fleet is published", self.sentinel_name(by));
            self.violated(Invariant::OthersRecordKept, what);
        }
        match &transaction.guard {
            Guard::Claim { record, .. } => {
                self.stats.claims += 1;
                self.stats.published(group, self.now);
                self.check_epoch(by, group, before.record(), record);
                self.check_title(by, group, record);
                self.check_run(by, record);
            }
            Guard::Unchanged { locked, record, .. } => {
                self.stats.amendments += 1;
                // Where Consul begins anew a version may mean another record; of the same epoch and master it does no harm.
                let of = |record: &Record| (record.epoch, record.master.clone());
                if before.record().map(of) != Some(of(record)) {
                    let what = format!("{} amends a record that is another", self.sentinel_name(by));
                    self.violated(Invariant::Contract, what);
                }
                if !locked {
                    self.check_stranger(by, before, transaction);
                }
            }
        }
        let claimed = matches!(transaction.guard, Guard::Claim { .. });
        self.check_masters(by, group, claimed || before.masters().next().is_some());
    }

    /// There is one entry of a master, and it is the record's. Where somebody else took it away there may be none until
    /// that is repaired.
    fn check_masters(&mut self, by: u16, group: u16, some: bool) {
        let name = &self.groups[usize::from(group)].name;
        let Some(shelf) = self.consul.as_ref().and_then(|consul| consul.state.shelves.get(name)) else {
            return;
        };
        let Some(record) = shelf.record() else { return };
        let masters: Vec<String> =
            shelf.masters().map(|stored| self.addresses.call(&stored.entry.addr)).collect();
        let recorded = self.addresses.call(&record.master);
        let none = some && masters.is_empty() && !shelf.entries.values().any(|stored| stored.meddled);
        if masters.len() > 1 || masters.iter().any(|master| *master != recorded) || none {
            let by = self.sentinel_name(by);
            let what = format!("after a write of {by} the record has {recorded}, the catalog {masters:?}");
            self.violated(Invariant::OneMasterPublished, what);
        }
    }

    /// The record's epoch never goes back.
    fn check_epoch(&mut self, by: u16, group: u16, before: Option<&Record>, record: &Record) {
        let Some(before) = before else { return };
        let moved = self.addresses.node(&before.master) != self.addresses.node(&record.master);
        let same = before.epoch == record.epoch && moved && !self.is_confused_in(group, record.epoch);
        if before.epoch > record.epoch || same {
            let what = format!(
                "{} publishes {} by epoch {} over {} by epoch {}",
                self.sentinel_name(by),
                self.addresses.call(&record.master),
                record.epoch,
                self.addresses.call(&before.master),
                before.epoch
            );
            self.violated(Invariant::RecordGrows, what);
        }
    }

    /// Who is published became master by an election in that epoch, or by the configuration; for ever.
    fn check_title(&mut self, by: u16, group: u16, record: &Record) {
        let (epoch, node) = (record.epoch, self.addresses.node(&record.master));
        let elected = match epoch {
            Epoch(0) => Some(self.groups[usize::from(group)].configured),
            _ => self.witness.masters.get(&(group, epoch)).copied(),
        };
        let first = node.map(|node| *self.witness.publications.entry((group, epoch)).or_insert(node));
        if (elected != node || first != node || node.is_none()) && !self.is_confused_in(group, epoch) {
            let name = |node: Option<NodeId>| node.map_or("nobody", |node| self.addresses.name(node));
            let what = format!(
                "{} publishes {} by epoch {epoch}, in which {} was elected and {} published first",
                self.sentinel_name(by),
                name(node),
                name(elected),
                name(first)
            );
            self.violated(Invariant::ElectedPublished, what);
        }
    }

    /// The published run is one of that server, and was a master.
    fn check_run(&mut self, by: u16, record: &Record) {
        let Some(node) = self.addresses.node(&record.master) else { return };
        if !self.witness.reigns.contains(&(node, record.run_id.clone())) {
            let what = format!(
                "{} publishes {} with a run that never was a master",
                self.sentinel_name(by),
                self.addresses.name(node)
            );
            self.violated(Invariant::SeenBeforePublished, what);
        }
    }

    /// Whoever does not hold the lock writes nothing but the master's entry: when it is missing, and when the master is
    /// objectively down, or not any more. If somebody was quicker, that must make no difference; where a stranger took it away a moment
    /// ago, it may, until the holder of the lock has looked again.
    fn check_stranger(&mut self, by: u16, before: &Shelf, transaction: &Transaction) {
        let differs = |a: &Entry, b: &Entry| a.addr == b.addr && a.health != b.health;
        let doomed = before.masters().any(|stored| stored.entry.cause == Some(Cause::ObjectivelyDown));
        let allowed = |entry: &Entry| {
            entry.role == Role::Master
                && (entry.health == Health::Critical
                    || doomed
                    || !before.masters().any(|stored| differs(&stored.entry, entry)))
        };
        let Transaction { remove, sweep, set, .. } = transaction;
        let late = self.consul.as_ref().is_some_and(|consul| self.now < consul.meddled + LATE);
        let bounded = |entry: &Entry| allowed(entry) || (late && entry.role == Role::Master);
        if !remove.is_empty() || !sweep.is_empty() || !set.iter().all(bounded) {
            let what = format!(
                "{} writes what only the holder of the lock may: {set:?}, removes {remove:?} {sweep:?}",
                self.sentinel_name(by)
            );
            self.violated(Invariant::HealthByHolder, what);
        }
    }

    fn is_confused_in(&self, group: u16, epoch: Epoch) -> bool {
        self.witness.confused.contains(&(group, epoch))
    }

    /// What Consul says otherwise than the sentinels, who agree on that master.
    pub(super) fn misprinted(&self, group: u16, master: NodeId, epoch: Epoch) -> Option<String> {
        let consul = self.consul.as_ref().filter(|consul| !consul.plan.always_silent)?;
        let name = &self.groups[usize::from(group)].name;
        let Some(shelf) = consul.state.shelves.get(name) else {
            return Some(format!("Consul knows nothing of {name}"));
        };
        let Some(record) = shelf.record() else { return Some(format!("Consul has no record of {name}")) };
        if self.addresses.node(&record.master) != Some(master) || record.epoch != epoch {
            let published = self.addresses.call(&record.master);
            return Some(format!("Consul has {published} by epoch {} for {name}", record.epoch));
        }
        if shelf.node != Some((record.epoch, record.master.clone())) {
            return Some(format!("the node of {name} in Consul is damaged"));
        }
        // The session of somebody who is no more holds it for nobody.
        let holder = consul.state.holder(name).map(|holder| &self.sentinels[usize::from(holder)].registrar);
        if holder.is_none_or(|registrar| registrar.session() != shelf.lock) {
            return Some(format!("nobody holds the lock of {name} in Consul"));
        }
        if let Some((entry, _)) = shelf.entries.iter().find(|(_, stored)| stored.spoilt) {
            return Some(format!("{entry} in Consul is damaged"));
        }
        let entries: Vec<&Entry> = shelf.entries.values().map(|stored| &stored.entry).collect();
        let wrong = entries.iter().find_map(|entry| self.misentered(group, master, entry));
        let missing = || self.unpublished(group, master, &entries);
        let busy = || {
            let last = consul.written.get(name).is_some_and(|at| self.now < *at + QUIET);
            last.then(|| format!("what Consul says of {name} still changes"))
        };
        wrong.or_else(missing).or_else(busy)
    }

    /// How an entry is wrong.
    fn misentered(&self, group: u16, master: NodeId, entry: &Entry) -> Option<String> {
        let called = self.addresses.call(&entry.addr);
        let node = self.addresses.node(&entry.addr);
        let wrong = match entry.role {
            Role::Master => node != Some(master) || entry.health != Health::Passing,
            Role::Replica => {
                let name = &self.groups[usize::from(group)].name;
                let known = |host: &crate::host::SentinelHost| {
                    let view = host.brain.group(name).filter(|_| host.is_core());
                    view.is_some_and(|view| {
                        view.replicas.iter().any(|replica| self.addresses.node(&replica.addr) == node)
                    })
                };
                let there = node.is_some_and(|node| self.listens_at(node, entry));
                // Of a place that was left, sentinels know until they are told to forget it.
                let left = !there && entry.health == Health::Critical;
                node == Some(master) && there || !(there || left) || !self.sentinels.iter().any(known)
            }
        };
        let role = entry.role.name();
        wrong.then(|| {
            format!("{called} is published as {role}, {}: \"{}\"", entry.health.as_str(), entry.sentence)
        })
    }

    /// Whether every replica follows the master itself: those that do not may yet be turned.
    pub(crate) fn all_follow_masters(&self) -> bool {
        self.redises.iter().all(|server| {
            let Some(upstream) = &server.upstream else { return true };
            let master = self.addresses.node(&upstream.master);
            self.redises.iter().any(|other| Some(other.node) == master && other.is_master())
        })
    }

    fn listens_at(&self, node: NodeId, entry: &Entry) -> bool {
        let ip = self.addresses.resolve(&entry.addr.host);
        ip.and_then(|ip| self.addresses.listener(ip, entry.addr.port)) == Some(node)
    }

    /// Who follows the master and cannot be used by those who look into Consul.
    fn unpublished(&self, group: u16, master: NodeId, entries: &[&Entry]) -> Option<String> {
        let servers =
            self.groups[usize::from(group)].redises.iter().map(|redis| &self.redises[usize::from(*redis)]);
        let mut replicas = servers.filter(|server| {
            let follows = server.upstream.as_ref().and_then(|upstream| self.addresses.node(&upstream.master));
            server.node != master && follows == Some(master) && server.is_linked()
        });
        let usable = |entry: &&Entry, node: NodeId| {
            self.listens_at(node, entry) && entry.role == Role::Replica && entry.health != Health::Critical
        };
        let lost = replicas.find(|server| !entries.iter().any(|entry| usable(entry, server.node)))?;
        Some(format!("{} follows the master, and Consul does not say so", self.addresses.name(lost.node)))
    }
}
