//! Demotions: the newest master stays.

use super::promotion::inner_clock;
use super::{GroupAt, Invariant};
use crate::host::SentinelHost;
use crate::network::NodeId;
use crate::world::{Role, World};
use consentinel_core::{Epoch, Role as RedisRole};
use std::time::Duration;

impl World {
    /// A sentinel tells a server to follow another.
    pub(super) fn check_demotion(&mut self, sentinel: u16, node: NodeId) {
        let Role::Redis(redis) = self.processes[node.index()].role else { return };
        let server = &self.redises[usize::from(redis)];
        let (group, is_master) = (server.group, server.is_master());
        // What was decided before the process was stopped cannot be taken back by it.
        let stale = self.sentinels[usize::from(sentinel)].resuming;
        if !self.is_ours(sentinel) || !is_master || stale {
            return;
        }
        let Some((newest, master)) = self.newest_master(group) else { return };
        let name = &self.groups[usize::from(group)].name;
        let view = self.sentinels[usize::from(sentinel)].brain.group(name);
        let epoch = view.map(|view| view.config_epoch).unwrap_or_default();
        if node == master && epoch <= newest {
            let what = format!(
                "{} demotes {}, the master of epoch {newest}, while it knows of epoch {epoch}",
                self.sentinel_name(sentinel),
                self.addresses.name(node)
            );
            self.violated(Invariant::NewestMasterStays, what);
        }
    }

    /// A sentinel leads a server to a master.
    pub(super) fn note_told(&mut self, sentinel: u16, node: NodeId) {
        let Role::Redis(redis) = self.processes[node.index()].role else { return };
        let group = self.redises[usize::from(redis)].group;
        self.witness.told.insert(((sentinel, group), node));
    }

    /// `+failover-end`; when the time is over, it is enough that somebody was led to the new master.
    pub(super) fn check_turned(&mut self, at: GroupAt, late: bool) {
        let begun = self.witness.told.iter().any(|(teller, _)| *teller == at);
        if late && (begun || self.witness.distracted.contains(&at.0)) {
            return;
        }
        if !self.is_ours(at.0) || !self.witness.leading.contains_key(&at) {
            return;
        }
        let host = &self.sentinels[usize::from(at.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(at.1)].name) else { return };
        let master = self.addresses.node(&view.master.addr);
        let clock = inner_clock(&view, host.clock_at(self.now));
        let left = view.replicas.iter().find(|replica| {
            let node = self.addresses.node(&replica.addr);
            let info = replica.info.as_ref().map(|(_, info)| info);
            let follows = info.and_then(|info| self.addresses.node(info.master.as_ref()?));
            let known =
                info.is_some_and(|info| info.role == Some(RedisRole::Replica) && info.master.is_some());
            let silent = clock - replica.link.last_ok > Duration::from_secs(1);
            let reachable = replica.link.up && replica.link.sdown.is_none() && !silent;
            let told = node.is_some_and(|node| self.witness.told.contains(&(at, node)));
            let replaced = node == self.witness.replaced.get(&at).copied();
            known && reachable && !told && !replaced && follows != master
        });
        if let Some(left) = left {
            let (name, left) = (self.sentinel_name(at.0), self.addresses.call(&left.addr));
            let what = format!("{name} ends its failover and leaves {left} with the old master");
            self.violated(Invariant::ReplicasTurned, what);
        }
    }

    /// The newest config epoch that anybody ever announced, and its master. Where originals take part, which convert
    /// whom they do not know, only what a majority has on disk counts.
    fn newest_master(&self, group: u16) -> Option<(Epoch, NodeId)> {
        let announced = self.witness.masters.range((group, Epoch(0))..=(group, Epoch::MAX)).next_back();
        if self.sentinels.iter().all(SentinelHost::is_core) {
            return announced.map(|((_, epoch), master)| (*epoch, *master));
        }
        let newest = self.remembered_by_a_majority(group);
        self.witness.masters.get(&(group, newest)).map(|master| (newest, *master))
    }

    /// The newest config epoch that a majority of the sentinels has on disk.
    fn remembered_by_a_majority(&self, group: u16) -> Epoch {
        let name = &self.groups[usize::from(group)].name;
        let remembered = |host: &SentinelHost| {
            host.disk.stored().groups.get(name).map(|group| group.config_epoch).unwrap_or_default()
        };
        let mut epochs: Vec<Epoch> = self.sentinels.iter().map(remembered).collect();
        epochs.sort();
        epochs[(epochs.len() - 1) / 2]
    }
}
