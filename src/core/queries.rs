//! What can be asked of a sentinel from outside. Nothing here changes anything.

use crate::group::Group;
use crate::{Config, DnsView, Endpoint, Epoch, GroupName, GroupView, Sentinel, SentinelId, Time, View};
use std::time::Duration;

impl Sentinel {
    /// All that can be seen.
    pub fn view(&self) -> View {
        View {
            myid: self.cx.myid.clone(),
            current_epoch: self.cx.current_epoch,
            tilt: self.cx.tilt,
            storage_error: self.cx.save_gate.failure().map(str::to_owned),
            config: self.cx.config.clone(),
            scripts: self.cx.scripts.view(),
            simulate_failure: (self.cx.crash_after_election, self.cx.crash_after_promotion),
            groups: self
                .names
                .values()
                .filter_map(|id| self.groups.get(id))
                .map(|group| group.view(&self.cx))
                .collect(),
        }
    }

    /// Where others reach this sentinel: what is announced, or our end of a connection. `None` while there is none.
    pub fn address(&self) -> Option<Endpoint> {
        let to_servers = self.groups.values().filter_map(|group| group.own_end());
        let ends = self.cx.peers.values().filter_map(|peer| peer.channel.local()).chain(to_servers);
        // Our end of a connection within the machine is of no use to others, unless all are such.
        let mut within = None;
        for end in ends {
            if !end.is_loopback() {
                return Some(self.cx.own_endpoint(end));
            }
            within = within.or(Some(end));
        }
        let announced = self.cx.config.announce_ip.as_ref().map(|_| std::net::Ipv4Addr::LOCALHOST.into());
        within.or(announced).map(|end| self.cx.own_endpoint(end))
    }

    /// The highest epoch that it knows.
    pub fn current_epoch(&self) -> Epoch {
        self.cx.current_epoch
    }

    /// Since when it distrusts the clock.
    pub fn tilt(&self) -> Option<Time> {
        self.cx.tilt
    }

    /// Why its state cannot be written, while that is so.
    pub fn storage_error(&self) -> Option<&str> {
        self.cx.save_gate.failure()
    }

    /// For how long the master of a group has been silent: since its connection ended, or since the first ping that it
    /// has left unanswered.
    pub fn master_silence(&self, name: &GroupName) -> Option<Duration> {
        let since = self.watched(name)?.master().alive.silent_since()?;
        Some(self.cx.now - since)
    }

    /// The epoch of the configuration of a group.
    pub fn config_epoch(&self, name: &GroupName) -> Option<Epoch> {
        self.watched(name).map(Group::config_epoch)
    }

    /// The epoch of Consul's record of a group, and how long ago that was seen.
    pub fn published(&self, name: &GroupName) -> Option<(Epoch, Duration)> {
        let (seen, epoch) = self.watched(name)?.published()?;
        Some((epoch, self.cx.now - seen))
    }

    /// Why there is no failover of a group, or what would happen if its master went down now.
    pub fn explain(&self, name: &GroupName) -> Option<crate::Explanation> {
        self.watched(name).map(|group| group.explain(&self.cx))
    }

    fn watched(&self, name: &GroupName) -> Option<&Group> {
        self.groups.get(self.names.get(name)?).map(|group| &**group)
    }

    /// Who this sentinel is.
    pub fn myid(&self) -> &SentinelId {
        &self.cx.myid
    }

    /// The settings that concern all groups.
    pub fn config(&self) -> &Config {
        &self.cx.config
    }

    /// The names of the watched masters, in order.
    pub fn group_names(&self) -> impl ExactSizeIterator<Item = &GroupName> {
        self.names.keys()
    }

    /// All that can be seen of one group.
    pub fn group(&self, name: &GroupName) -> Option<GroupView> {
        let id = self.names.get(name)?;
        self.groups.get(id).map(|group| group.view(&self.cx))
    }

    /// Where the master of a group is, as clients are told.
    pub fn master_of(&self, name: &str) -> Option<Endpoint> {
        let id = self.names.get(name)?;
        self.groups.get(id).map(|group| group.address(&self.cx))
    }

    /// What DNS may say of a group, as `Action::Dns` tells it where DNS is on. What is not known anew stays as it was told.
    /// `None` while a new master is not yet on disk: what was told before holds.
    pub fn dns_view(&self, name: &GroupName) -> Option<DnsView> {
        self.watched(name)?.dns_view(&self.cx)
    }
}
