//! What DNS may say of a group: what this sentinel would publish, and whether it may say so on its own.
//!
//! Nothing is computed that nothing has happened to: whatever the view depends on calls `dns_may_change`, and at the end of
//! the step the view is made once and told if it is another one. What changes by time alone has a deadline.

use super::Group;
use crate::context::Context;
use crate::mutation::{Mutation, active};
use crate::timers::Key;
use crate::{Action, DnsView, Endpoint, Entry, Epoch, Role, SentinelId, Time};

/// What a group keeps for DNS.
pub(super) struct DnsState {
    /// Whether the master has said that it is one since it became it, or since the clock was last distrusted.
    pub(super) vouched: bool,
    /// What was told last.
    told: Option<DnsView>,
    /// The entries of the last certain view, while no majority is heard.
    kept: Vec<Entry>,
    /// When the view may change although nobody says anything new.
    holds_until: Time,
}

impl DnsState {
    pub(super) fn new() -> Self {
        DnsState { vouched: false, told: None, kept: Vec::new(), holds_until: Time::NEVER }
    }

    /// What was said before, where that can be built upon.
    fn known(&self) -> &[Entry] {
        match &self.told {
            Some(told) if told.is_certain() => &told.entries,
            _ => &self.kept,
        }
    }

    fn remember(&mut self, view: DnsView) {
        if view.majority {
            self.kept = Vec::new();
        } else if let Some(told) = self.told.take_if(|told| told.is_certain()) {
            self.kept = told.entries;
        }
        self.told = Some(view);
    }
}

impl Group {
    /// What DNS may say; `None` while a new master is not yet on disk.
    pub(crate) fn dns_view(&self, cx: &Context) -> Option<DnsView> {
        let master = &self.master().addr;
        if !cx.hosts.same_place(self.announced.master(), master) && !active(Mutation::DnsBeforeSaved) {
            return None;
        }
        let epoch = self.dns_epoch(cx);
        let heard = 1 + self.peers_heard(cx);
        Some(DnsView {
            epoch,
            entries: self.desired(epoch, self.dns.known(), cx),
            vouched: self.dns.vouched,
            heard: (heard, self.peers.len() + 1),
            majority: self.hears_majority(cx),
            sentinels: self.sentinels_up(cx),
        })
    }

    /// By which epoch the master is named. Where the disk has failed, clients are told of a new master although its epoch is not
    /// saved; and when the one before it is master again, the epoch that is saved of that one is older than what was told.
    fn dns_epoch(&self, cx: &Context) -> Epoch {
        let master = &self.master().addr;
        let (of, saved) = self.announced.config();
        let told = self.dns.told.as_ref().filter(|told| told.epoch > saved);
        match told {
            None if cx.hosts.same_place(of, master) => saved,
            Some(told)
                if told.entries.iter().any(|it| it.role == Role::Master && it.addr == cx.shown(master)) =>
            {
                told.epoch
            }
            None | Some(_) => self.config_epoch(),
        }
    }

    /// Tells what DNS may say, if that has changed. While a new master is not yet on disk, what was told before holds.
    pub(crate) fn announce_dns(&mut self, cx: &mut Context) {
        let holds_until = self.entries_deadline(cx);
        if std::mem::replace(&mut self.dns.holds_until, holds_until) != holds_until {
            let at = self.deadline(cx);
            cx.timers.set(Key::Group(self.id), Some(at));
        }
        let Some(view) = self.dns_view(cx) else { return };
        let misses = active(Mutation::DnsNotTold) && self.dns.told.is_some();
        if self.dns.told.as_ref() == Some(&view) || misses {
            return;
        }
        let group = self.name.clone();
        cx.out.push_back(Action::Dns { group, view: Some(Box::new(view.clone())) });
        self.dns.remember(view);
    }

    /// It is watched no more.
    pub(super) fn end_dns(&self, cx: &mut Context) {
        if cx.config.registry.dns {
            cx.out.push_back(Action::Dns { group: self.name.clone(), view: None });
        }
    }

    pub(super) fn dns_deadline(&self) -> Time {
        self.dns.holds_until
    }

    /// The master said something of itself.
    pub(super) fn vouch(&mut self, cx: &Context) {
        self.dns.vouched = self.dns.vouched || self.answers_as_master(cx);
    }

    /// Much may have happened that nobody told us.
    pub(crate) fn doubt(&mut self, cx: &mut Context) {
        self.dns.vouched = false;
        cx.dns_may_change(self.id);
    }

    /// Whether the master's word is waited for.
    pub(super) fn waits_to_be_named(&self, cx: &Context) -> bool {
        cx.config.registry.dns && !self.dns.vouched
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
        let links = self.nodes.all().filter_map(|node| node.command.local());
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
