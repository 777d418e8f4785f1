//! The sentinels that can bring about a failover together.

use crate::host::SentinelHost;
use crate::network::{NodeId, Path};
use crate::world::World;
use consentinel_core::{GroupView, Time};
use std::time::Duration;

/// The sentinels that can bring about a failover together.
pub(super) struct Quorate {
    pub(super) dead: u32,
    pub(super) absent: u32,
    pub(super) disk: Duration,
    pub(super) failing_disk: bool,
    pub(super) informed: bool,
}

impl World {
    /// Whether a sentinel can do its part.
    pub(super) fn is_able(&self, host: &SentinelHost) -> bool {
        let process = &self.processes[host.node.index()];
        let runs = process.running() && !process.paused && host.is_core() && !host.observes;
        if !runs
            || host.disk.longest_write().is_none()
            || host.disk.has_failed()
            || self.net.is_slow(host.node)
        {
            return false;
        }
        // One whose clock ran back sleeps, and has not noticed it yet.
        let clock = host.clock_at(self.now);
        let awake = host.brain.poll_timeout().is_some_and(|due| due <= clock + Duration::from_secs(2));
        awake && host.brain.view().tilt.is_none()
    }

    /// The largest group of sentinels that are connected to each other and to a replica that may be promoted, if it is
    /// a majority of those that any of them counts, and enough to agree that the master is down.
    pub(super) fn quorate(&self, group: u16, old: NodeId, since: Time) -> Option<Quorate> {
        let name = &self.groups[usize::from(group)].name;
        let mut members: Vec<(&SentinelHost, GroupView)> = self
            .sentinels
            .iter()
            .filter(|host| self.is_able(host))
            .filter_map(|host| Some((host, host.brain.group(name)?)))
            .collect();
        loop {
            let apart = |of: &(&SentinelHost, GroupView)| {
                members.iter().filter(|other| !self.are_connected(of, other)).count()
            };
            let (most, index) = members.iter().map(apart).zip(0..).max()?;
            if most == 0 {
                break;
            }
            members.remove(index);
        }
        let known = members.iter().map(|(_, view)| view.sentinels.len() + 1).max()?;
        let quorum = members.iter().map(|(_, view)| view.config.quorum.0 as usize).max()?;
        let heirs = &self.groups[usize::from(group)].redises;
        let heir = heirs.iter().any(|redis| self.is_heir(*redis, old, &members));
        if members.len() < (known / 2 + 1).max(quorum) || !heir {
            return None;
        }
        let counted = self.sentinels.iter().filter(|host| !host.observes);
        // Only the port of a dead process refuses; a machine that has vanished is silent.
        let refuses = |host: &&SentinelHost| {
            let reached = |(member, _): &(&SentinelHost, GroupView)| self.is_open(member.node, host.node);
            !self.processes[host.node.index()].running() && members.iter().all(reached)
        };
        let dead = counted.clone().filter(refuses).count();
        let disk = members.iter().filter_map(|(host, _)| host.disk.longest_write()).max()?;
        let fails = |host: &SentinelHost| host.disk.longest_write().is_none() || host.disk.has_failed();
        // One that was started since waits as long as the others did before it takes the master for down.
        let knows = |member: &&(&SentinelHost, GroupView)| {
            member.0.started <= since || member.1.master.link.sdown.is_some()
        };
        Some(Quorate {
            dead: dead as u32,
            absent: (counted.count() - dead - members.len()) as u32,
            disk,
            failing_disk: self.sentinels.iter().any(fails),
            informed: members.iter().filter(knows).count() >= quorum,
        })
    }

    pub(super) fn are_connected(
        &self,
        a: &(&SentinelHost, GroupView),
        b: &(&SentinelHost, GroupView),
    ) -> bool {
        let knows = |view: &GroupView, other: &SentinelHost| {
            let peer = view.sentinels.iter().find(|peer| peer.id == other.id);
            peer.is_some_and(|peer| peer.link.up && peer.link.sdown.is_none())
        };
        a.0.node == b.0.node || self.is_open(a.0.node, b.0.node) && knows(&a.1, b.0) && knows(&b.1, a.0)
    }

    fn is_open(&self, a: NodeId, b: NodeId) -> bool {
        self.net.path(a, b) == Path::Open && self.net.path(b, a) == Path::Open
    }

    /// Whether a replica may be promoted in the place of a master, and all these sentinels can reach it.
    fn is_heir(&self, redis: u16, old: NodeId, members: &[(&SentinelHost, GroupView)]) -> bool {
        let server = &self.redises[usize::from(redis)];
        let process = &self.processes[server.node.index()];
        if server.node == old || !process.running() || process.paused || self.net.is_slow(server.node) {
            return false;
        }
        let follows = server.upstream.as_ref().and_then(|upstream| self.addresses.node(&upstream.master));
        let able = !server.loading && server.settings.priority > 0 && server.has_history;
        // A leader may have promoted it already.
        let placed = server.is_master() || follows == Some(old);
        let seen = |(host, view): &(&SentinelHost, GroupView)| {
            let mut nodes = view.replicas.iter().chain([&view.master]);
            let is_up = nodes.any(|node| {
                let told = node.info.as_ref().is_some_and(|(_, info)| info.priority > 0);
                let well = node.link.up && node.link.sdown.is_none() && told;
                well && self.addresses.node(&node.addr) == Some(server.node)
            });
            is_up && self.is_open(host.node, server.node)
        };
        able && placed && members.iter().all(seen)
    }
}
