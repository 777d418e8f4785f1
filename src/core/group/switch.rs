//! The master changes: first in memory, then on disk, then for everybody.

use super::{FailoverState, Group};
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::{Detail, Endpoint, Epoch, Event, Role};

impl Group {
    /// Makes a node the master. Clients and peers hear of it when it is on disk.
    pub(super) fn switch_to(&mut self, new: NodeId, led: bool, cx: &mut Context) {
        let planned = !led && self.master().is_usable() && self.odown().is_none();
        let until = planned.then(|| cx.now + self.config.down_after.min(LEADER_DEMOTES));
        let holds = cx.now + self.hold_lasts_once_promoted();
        if let Some(node) = self.nodes.get_mut(self.nodes.master_id()) {
            node.left_to_leader = until;
            if planned {
                node.may_hold_until = holds;
            }
        }
        let old = self.nodes.make_master(new);
        self.configuration.begin(cx.now);
        self.dns.vouched = false;
        self.ballot.forget_attempts();
        self.ballot.forget_leaders();
        self.survey = None;
        self.agreement.begin_anew();
        for opinion in self.peers.values_mut() {
            opinion.down = opinion.down.filter(|_| active(Mutation::OpinionsOutliveTheMaster));
        }
        // Freshly promoted, freshly judged: nothing that was seen in the old role counts in the new one.
        for (id, node) in self.nodes.iter_mut() {
            if id == old || id == new {
                node.start_afresh(cx.now);
            }
            node.ousted = id == old || (node.ousted && id != new);
            node.reconf = crate::node::Reconf::None;
        }
        self.mark_changed(led, cx);
        for id in self.nodes.ids() {
            self.advance_node_only(id, cx);
        }
    }

    pub(super) fn mark_changed(&mut self, led: bool, cx: &mut Context) {
        cx.dns_may_change(self.id);
        cx.save_gate.urgently();
        self.announced.wait_for(cx.save_gate.covering(), led);
    }

    /// Somebody else's failover has come to our ears.
    pub(super) fn adopt_config(&mut self, master: &Endpoint, epoch: Epoch, cx: &mut Context) {
        self.configuration.set_epoch(epoch);
        self.abandon_failover(cx);
        if let Some(node) = self.find(master, cx).and_then(|id| self.nodes.get_mut(id))
            && node.other_addrs.contains(master)
        {
            // All sentinels are to tell clients the same address.
            node.call_it(master);
        }
        if cx.hosts.same_place(&self.master().addr, master) {
            self.ballot.forget_attempts();
            // A majority has just found it well: what peers said before that counts no more.
            self.peers.values_mut().for_each(super::Opinion::forget_verdict);
            return self.mark_changed(false, cx);
        }
        let new = match self.find(master, cx) {
            Some(id) => id,
            None => self.nodes.add(master.clone(), Role::Master, cx.now),
        };
        // Nobody says so before the new one has said itself that it is master. Who has followed so far goes on following;
        // who has not seen any master yet waits for its own word.
        let vouched = self.dns.vouched;
        let described = self.describe(new, cx);
        if let Some(node) = self.nodes.get_mut(new).filter(|node| node.role == Role::Replica) {
            node.described_as = Some(described);
        }
        self.switch_to(new, false, cx);
        self.dns.vouched = vouched;
    }

    fn abandon_failover(&mut self, cx: &mut Context) {
        let promoted = self.nodes.ids().into_iter().find(|id| self.failover.state().promotes(*id));
        if let Some(node) = promoted.and_then(|id| self.nodes.get_mut(id)) {
            node.ousted = true;
        }
        self.enter(FailoverState::Idle, cx);
    }

    /// Tells everybody who the master is, once it is on disk.
    ///
    /// When the disk has failed, clients are told all the same: going on to send them to a dead master helps nobody.
    /// Peers are told of a promotion of ours, too: its epoch was on disk before anybody could be elected in it, so no
    /// other master can ever come to carry it.
    pub(super) fn announce(&mut self, cx: &mut Context) {
        let Some(seq) = self.announced.pending() else { return };
        let saved = cx.save_gate.is_saved(seq);
        if !saved && cx.save_gate.failure().is_none() {
            return;
        }
        let now = self.master().addr.clone();
        let before = self.announced.tell_clients(now, cx.now);
        if saved || self.announced.is_led() {
            self.announced.tell_peers(self.config_epoch());
        }
        cx.dns_may_change(self.id);
        if !cx.hosts.same_place(&before, self.announced.master()) {
            self.tell_switch(&before, cx);
        }
        self.say_hello(cx);
        self.drive_publication(cx);
    }

    fn tell_switch(&mut self, from: &Endpoint, cx: &mut Context) {
        let (from, to) = (cx.shown(from), cx.shown(self.announced.master()));
        let switch = Detail::Switch { group: self.name.clone(), from: from.clone(), to: to.clone() };
        self.event(Event::SwitchMaster, switch, cx);
        if let Some(script) = &self.config.client_reconfig_script {
            let role = if self.announced.is_led() { "leader" } else { "observer" };
            let words = [self.name.as_str(), role, "start"].map(str::to_owned);
            let places = [&from, &to].into_iter().flat_map(|at| [at.host.to_string(), at.port.to_string()]);
            cx.scripts.queue(script, words.into_iter().chain(places).collect(), cx.now);
            cx.timers.set(crate::timers::Key::Scripts, Some(cx.now));
        }
        for id in self.nodes.replica_ids() {
            self.event(Event::NewReplica, self.describe(id, cx), cx);
        }
    }
}

/// How long the leader of a planned failover may take to demote the old master, which holds writes back meanwhile.
const LEADER_DEMOTES: std::time::Duration = std::time::Duration::from_secs(12);
