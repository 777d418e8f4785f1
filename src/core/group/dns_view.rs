//! What DNS may say of a group: what this sentinel would publish, and whether it may say so on its own.

use super::Group;
use crate::context::Context;
use crate::{DnsView, Endpoint, Entry, SentinelId};

impl Group {
    /// Nothing while a new master is not yet on disk.
    pub(crate) fn dns_view(&self, known: &[Entry], cx: &Context) -> Option<DnsView> {
        let master = &self.master().addr;
        if !cx.hosts.same_place(&self.announced.master, master) {
            return None;
        }
        let (told, saved) = &self.announced.config;
        // Where the disk has failed, clients are told of a new master although its epoch is not saved.
        let epoch = if cx.hosts.same_place(told, master) { *saved } else { self.config_epoch };
        let heard = 1 + self.peers_heard(cx);
        Some(DnsView {
            epoch,
            entries: self.desired(epoch, known, cx),
            vouched: self.vouched,
            heard: (heard, self.peers.len() + 1),
            majority: self.hears_majority(cx),
            sentinels: self.sentinels_up(cx),
        })
    }

    /// The master said something of itself.
    pub(super) fn vouch(&mut self, cx: &Context) {
        self.vouched = self.vouched || self.answers_as_master(cx);
    }

    /// Much may have happened that nobody told us.
    pub(crate) fn doubt(&mut self) {
        self.vouched = false;
    }

    /// Whether the master's word is waited for.
    pub(super) fn waits_to_be_named(&self, cx: &Context) -> bool {
        cx.config.registry.dns && !self.vouched
    }

    /// Whether enough sentinels are heard that what this one sees is not its view alone.
    pub(super) fn hears_majority(&self, cx: &Context) -> bool {
        let heard = self.peers_heard(cx);
        match cx.config.observe {
            true => heard > self.peers.len() / 2 || self.peers.is_empty(),
            false => heard + 1 >= self.majority(),
        }
    }

    /// The sentinels that are up and have shown it: one that was only read from the file has not.
    fn peers_heard(&self, cx: &Context) -> usize {
        let heard = |slot| cx.peers.get(slot).is_some_and(|peer| peer.heard);
        self.peers.iter().filter(|(slot, opinion)| opinion.sdown.is_none() && heard(slot)).count()
    }

    fn sentinels_up(&self, cx: &Context) -> Vec<(SentinelId, Endpoint)> {
        let links = self.nodes.values().filter_map(|node| node.command.local());
        let local = self.master().command.local().or_else(|| links.min());
        let announced = cx.config.announce_ip.as_ref().and_then(|host| cx.hosts.ip(host)).or(local);
        let own = announced.filter(|_| !cx.config.observe).map(|ip| (cx.myid.clone(), cx.own_endpoint(ip)));
        let up = |(slot, opinion): (_, &super::Opinion)| {
            let peer = cx.peers.get(slot).filter(|peer| opinion.sdown.is_none() && peer.heard)?;
            Some((peer.id.clone(), cx.shown(&peer.addr)))
        };
        own.into_iter().chain(self.peers.iter().filter_map(up)).collect()
    }
}
