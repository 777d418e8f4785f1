//! After the disasters: everybody agrees, one master, everybody follows it.

use crate::data::DataRef;
use crate::host::SentinelHost;
use crate::network::NodeId;
use crate::redis::Redis;
use crate::world::{Role, World};
use consentinel_core::FailoverPhase;
use std::time::Duration;

impl World {
    /// What is not yet as it should be, if anything.
    pub(crate) fn disagreement(&self) -> Option<String> {
        (0..self.groups.len()).find_map(|group| self.disagreement_about(group as u16))
    }

    /// The master of a group in which all is so well that its empty return must do no harm: the sentinels are ours,
    /// none of them is kept from a failover, and a replica that may be promoted follows it.
    pub(crate) fn can_rescue(&self, index: u16) -> Option<NodeId> {
        let group = &self.groups[usize::from(index)];
        // A message that is lost and sent again must not look like another death.
        if group.config.down_after < Duration::from_secs(2) {
            return None;
        }
        let ready = |host: &SentinelHost| {
            let view = host.brain.group(&group.name).filter(|_| host.is_core())?;
            let clock = host.clock_at(self.now);
            // One whose clock ran back has not noticed it yet when nothing has happened since: it sleeps.
            let awake = host.brain.poll_timeout().is_some_and(|due| due <= clock + Duration::from_secs(2));
            let calm = awake && host.brain.view().tilt.is_none() && view.next_attempt <= clock;
            // Whoever was reset a moment ago has yet to meet the replicas again.
            let knows_an_heir = view.replicas.iter().any(|replica| {
                replica.link.up && replica.info.as_ref().is_some_and(|(_, info)| info.priority > 0)
            });
            (calm && knows_an_heir).then(|| self.addresses.node(&view.address)).flatten()
        };
        let master = self.sentinels.iter().map(ready).reduce(|a, b| a.filter(|_| a == b))??;
        let heir = group.redises.iter().map(|redis| &self.redises[usize::from(*redis)]).any(|server| {
            let upstream =
                server.upstream.as_ref().and_then(|upstream| self.addresses.node(&upstream.master));
            upstream == Some(master) && server.is_linked() && server.settings.priority > 0
        });
        let Role::Redis(redis) = self.processes[master.index()].role else { return None };
        let has_data = self.redises[usize::from(redis)].data != DataRef::EMPTY;
        (heir && has_data).then_some(master)
    }

    fn disagreement_about(&self, index: u16) -> Option<String> {
        let group = &self.groups[usize::from(index)];
        let mut agreed = None;
        for host in &self.sentinels {
            let name = self.addresses.name(host.node);
            let Some(view) = host.brain.group(&group.name) else {
                return Some(format!("{name} does not watch {}", group.name));
            };
            let master = self.addresses.node(&view.address);
            let opinion = (master, view.config_epoch);
            if *agreed.get_or_insert(opinion) != opinion {
                return Some(format!("{name} has another master of {} than others", group.name));
            }
            if view.failover != FailoverPhase::None {
                return Some(format!("{name} is in the middle of a failover of {}", group.name));
            }
            if view.master.link.sdown.is_some() {
                return Some(format!("{name} takes the master of {} for down", group.name));
            }
            let known = view.sentinels.len() + usize::from(!host.observes);
            if known != self.sentinels.iter().filter(|host| !host.observes).count() {
                return Some(format!("{name} knows of {known} sentinels for {}", group.name));
            }
        }
        let Some((Some(master), epoch)) = agreed else {
            return Some(format!("the master of {} is nobody", group.name));
        };
        let watched = group.redises.iter().filter(|redis| !self.is_forgotten(**redis, index));
        let misplaced = watched.copied().find_map(|redis| self.misplaced(redis, master));
        misplaced.or_else(|| self.misprinted(index, master, epoch))
    }

    /// Whether an operator made the sentinels forget a server that did not follow the master directly at that moment.
    fn is_forgotten(&self, redis: u16, index: u16) -> bool {
        let node = self.redises[usize::from(redis)].node;
        let knows = |host: &SentinelHost| {
            let view = host.brain.group(&self.groups[usize::from(index)].name);
            view.is_some_and(|view| {
                let mut known = view.replicas.iter().map(|replica| &replica.addr).chain([&view.address]);
                known.any(|addr| self.addresses.node(addr) == Some(node))
            })
        };
        self.was_reset && !self.sentinels.iter().any(knows)
    }

    /// How a server fails to be, or to follow, that master.
    fn misplaced(&self, redis: u16, master: NodeId) -> Option<String> {
        let server = &self.redises[usize::from(redis)];
        let name = self.addresses.name(server.node);
        if server.loading {
            return Some(format!("{name} is still loading"));
        }
        if server.node == master {
            return (!server.is_master()).then(|| format!("{name} should be master and is a replica"));
        }
        let mut at: &Redis = server;
        for _ in 0..self.redises.len() {
            let Some(upstream) = &at.upstream else {
                return Some(format!("{name} does not follow the master"));
            };
            if !at.is_linked() {
                return Some(format!("{name} has no link to its master"));
            }
            let next = self.addresses.node(&upstream.master);
            if next == Some(master) {
                return None;
            }
            let Some(Role::Redis(next)) = next.map(|next| self.processes[next.index()].role) else { break };
            at = &self.redises[usize::from(next)];
        }
        Some(format!("{name} does not follow the master, not even by way of others"))
    }
}
