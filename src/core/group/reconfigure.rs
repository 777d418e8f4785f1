//! After the promotion: the other replicas are led to the new master, a few at a time.

use super::{FailoverState, Group};
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::node::{Node, Reconf};
use crate::{Event, Role, Time};

impl Group {
    pub(super) fn turn_replicas(&mut self, since: Time, cx: &mut Context) {
        if cx.now >= self.reconf_ends(since) {
            return self.end_by_force(cx);
        }
        if self.odown().is_some() {
            // The new master is gone as well: what has to be done now is another failover.
            self.event(Event::FailoverEndForTimeout, self.describe_master(cx), cx);
            return self.enter(FailoverState::Idle, cx);
        }
        self.demote_held(cx);
        self.note_slow_replicas(cx);
        let busy = |node: &Node| matches!(node.reconf, Reconf::Sent(_) | Reconf::InProgress(_));
        let mut syncing = self.nodes.all().filter(|node| busy(node)).count();
        for id in self.nodes.replica_ids() {
            let Some(node) = self.nodes.get(id) else { continue };
            if node.reconf == Reconf::None
                && !node.is_replaced_master()
                && syncing < self.config.parallel_syncs as usize
                && node.is_usable()
            {
                syncing += usize::from(self.turn_replica(id, Event::ReconfSent, cx));
            }
        }
        let waiting = |id: NodeId, node: &Node| {
            id != self.nodes.master_id()
                && !node.is_replaced_master()
                && node.sdown.is_none()
                && node.reconf != Reconf::Done
        };
        if !self.awaits_demotion() && !self.nodes.iter().any(|(id, node)| waiting(id, node)) {
            self.event(Event::FailoverEnd, self.describe_master(cx), cx);
            self.enter(FailoverState::Idle, cx);
        }
    }

    /// When replicas that are still not turned are told for the last time. The writes that the old master holds are
    /// answered first.
    pub(super) fn reconf_ends(&self, since: Time) -> Time {
        if self.awaits_demotion() { Time::NEVER } else { since + self.config.failover_timeout }
    }

    fn turn_replica(&mut self, id: NodeId, event: Event, cx: &mut Context) -> bool {
        if active(Mutation::ReplicasNotTurned) {
            return false;
        }
        let target = cx.shown(&self.master().addr);
        let itself = self.is_master_itself(id, cx);
        let Some(node) = self.nodes.get_mut(id) else { return false };
        if node.run_id.is_none() {
            // It may be the new master by another address: that is not known before it has said who it is.
            return false;
        }
        if itself {
            // No server is told to follow itself.
            node.reconf = Reconf::Done;
            return false;
        }
        if !node.turn(Some(target), false, cx) {
            return false;
        }
        node.reconf = Reconf::Sent(cx.now);
        self.event(event, self.describe(id, cx), cx);
        self.advance_node_only(id, cx);
        true
    }

    fn note_slow_replicas(&mut self, cx: &mut Context) {
        let limit = cx.config.timing.replica_reconf_timeout;
        for id in self.nodes.replica_ids() {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            if matches!(node.reconf, Reconf::Sent(at) if cx.now >= at + limit) {
                node.reconf = Reconf::Done;
                self.event(Event::ReconfSentTimeout, self.describe(id, cx), cx);
            }
        }
    }

    pub(super) fn reconf_deadline(&self, cx: &Context) -> Time {
        let limit = cx.config.timing.replica_reconf_timeout;
        let sent = self.nodes.all().filter_map(|node| match node.reconf {
            Reconf::Sent(at) => Some(at + limit),
            _ => None,
        });
        sent.min().unwrap_or(Time::NEVER)
    }

    /// The time is over: whoever was not turned is told, without waiting for the answer.
    fn end_by_force(&mut self, cx: &mut Context) {
        self.event(Event::FailoverEndForTimeout, self.describe_master(cx), cx);
        self.event(Event::FailoverEnd, self.describe_master(cx), cx);
        for id in self.nodes.replica_ids() {
            // The replaced master is another matter: others may have settled meanwhile that it is the master after all.
            let untold = |node: &Node| {
                node.reconf == Reconf::None && !node.is_replaced_master() && node.command.is_open()
            };
            if self.nodes.get(id).is_some_and(untold) {
                self.turn_replica(id, Event::ReconfSentBestEffort, cx);
            }
        }
        self.enter(FailoverState::Idle, cx);
    }

    /// A replica that we turned says whom it follows now.
    pub(super) fn on_reconf_info(&mut self, id: NodeId, cx: &mut Context) {
        if !self.failover.state().turns_replicas() || id == self.nodes.master_id() {
            return;
        }
        let Some(node) = self.nodes.get(id) else { return };
        let Some(info) = node.info().filter(|info| info.role == Some(Role::Replica)) else { return };
        let follows = info.master.as_ref().is_some_and(|master| self.is_master_at(master, cx));
        let (synced, mut reconf) = (info.master_link_up, node.reconf);
        if follows && matches!(reconf, Reconf::Sent(_)) {
            reconf = Reconf::InProgress(cx.now);
            self.event(Event::ReconfInProgress, self.describe(id, cx), cx);
        }
        if follows && synced && matches!(reconf, Reconf::InProgress(_)) {
            reconf = Reconf::Done;
            self.event(Event::ReconfDone, self.describe(id, cx), cx);
        }
        if let Some(node) = self.nodes.get_mut(id) {
            node.reconf = reconf;
        }
    }
}
