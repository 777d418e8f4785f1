//! Consul does not go on saying that a master is objectively down when a majority of the sentinels hears it well.

use super::Invariant;
use crate::consul::Behaviour;
use crate::host::SentinelHost;
use crate::network::{NodeId, Path};
use crate::world::World;
use consentinel_core::{Cause, FailoverPhase, GroupView, Health};
use std::time::Duration;

/// How long it may go on.
const LIMIT: Duration = Duration::from_secs(1);
/// After a stranger's deed the holder of the lock has to look again first, and a request whose way was cut is given up
/// first.
const UNSETTLED: Duration = Duration::from_secs(10);

impl World {
    /// Looks at every group. Tells whether some master is said to be down, so that it is looked at again soon.
    pub(crate) fn check_dooms(&mut self) -> bool {
        let mut some = false;
        for group in 0..self.groups.len() as u16 {
            let (doomed, well) = self.doomed_and_well(group);
            some |= doomed;
            if !well {
                self.witness.doomed.remove(&group);
                continue;
            }
            let since = *self.witness.doomed.entry(group).or_insert(self.now);
            if self.now - since > LIMIT {
                let name = &self.groups[usize::from(group)].name;
                let what = format!(
                    "Consul has said for {:?} that the master of {name} is objectively down, while a majority hears it well",
                    self.now - since
                );
                self.violated(Invariant::WellMasterNamed, what);
            }
        }
        some
    }

    /// Something has changed on the ways of the network, or in how Consul answers.
    pub(crate) fn watch_way_to_consul(&mut self) {
        self.witness.way_to_consul_changed = self.now;
    }

    /// Whether Consul says that the master is objectively down, and whether a majority that can write to Consul knows
    /// better.
    fn doomed_and_well(&self, group: u16) -> (bool, bool) {
        let name = &self.groups[usize::from(group)].name;
        let Some(consul) = &self.consul else { return (false, false) };
        let Some(shelf) = consul.state.shelves.get(name) else { return (false, false) };
        let doomed = shelf.masters().any(|stored| {
            stored.entry.health == Health::Critical && stored.entry.cause == Some(Cause::ObjectivelyDown)
        });
        let record = shelf.record().filter(|_| doomed);
        let unsettled = consul.meddled.max(self.witness.way_to_consul_changed);
        let answers =
            consul.behaviour == Behaviour::Well && consul.delay.is_zero() && self.now > unsettled + UNSETTLED;
        let Some(record) = record.filter(|_| answers) else { return (doomed, false) };
        let Some(master) = self.addresses.node(&record.master) else { return (doomed, false) };
        let counted = self.sentinels.iter().filter(|host| !host.observes);
        let views: Vec<(&SentinelHost, GroupView)> =
            counted.clone().filter_map(|host| Some((host, host.brain.group(name)?))).collect();
        // Where a quorum is less than a majority, it may see that otherwise.
        let busy = |view: &GroupView| view.failover != FailoverPhase::None || view.odown.is_some();
        if views.iter().any(|(_, view)| busy(view)) {
            return (doomed, false);
        }
        let well: Vec<&(&SentinelHost, GroupView)> = views
            .iter()
            .filter(|(host, view)| view.config_epoch == record.epoch && self.hears_well(host, view, master))
            .collect();
        let connected = well.iter().all(|a| well.iter().all(|b| self.are_connected(a, b)));
        (doomed, connected && well.len() * 2 > counted.count())
    }

    fn hears_well(&self, host: &SentinelHost, view: &GroupView, master: NodeId) -> bool {
        let Some(consul) = &self.consul else { return false };
        let link = &view.master.link;
        let reaches = [self.net.path(host.node, consul.node), self.net.path(consul.node, host.node)];
        let publishes = view.publication.as_ref().is_some_and(|it| it.error.is_none() && it.tries == 0);
        self.is_able(host)
            && publishes
            && reaches == [Path::Open; 2]
            && link.up
            && link.sdown.is_none()
            && view.odown.is_none()
            && self.addresses.node(&view.address) == Some(master)
    }
}
