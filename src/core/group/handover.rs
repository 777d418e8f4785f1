//! A failover by order while the master is well: nothing is lost by it.
//!
//! The master holds writes back (CLIENT PAUSE ... WRITE) until its successor has everything that it had accepted; then
//! the successor is promoted, and the master becomes its replica before it lets writes through again. A successor that
//! does not catch up in time is not promoted, and nothing was changed. Who cannot hold writes back (a server before
//! 6.2, or one that does not allow it to us) is failed over as the original does it.

use super::{Failover, Group, Retry};
use crate::channel::Purpose;
use crate::context::{Context, for_log};
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::{Command, Epoch, Event, Level, Offset, Reply, Role, Time};
use std::time::Duration;

/// How far the master and its successor have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handover {
    /// The master was asked to hold writes back.
    Asked,
    /// It does, since then; how far it had come is being asked.
    Held(Time),
    /// The successor must come as far as this.
    Follow(Offset),
}

/// A master that holds writes back because we asked it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hold {
    pub(crate) node: NodeId,
    /// It goes on by itself then.
    until: Time,
}

impl Group {
    /// Asks the master to hold writes back, if it is well enough to be asked.
    pub(super) fn ask_to_hold(&mut self, cx: &mut Context) -> bool {
        let master = self.master();
        let well = master.is_usable() && master.role == Role::Master && master.reboot.is_none();
        let well = well && self.odown.is_none() && !active(Mutation::HandoverWithoutHold);
        well && self.hold_writes(cx)
    }

    fn hold_writes(&mut self, cx: &mut Context) -> bool {
        let (span, master) = (self.hold_lasts(), self.master);
        let Some(node) = self.nodes.get_mut(&master) else { return false };
        let asked = node.command.call(Command::HoldWrites(span), Purpose::Hold, cx);
        if asked {
            self.held = Some(Hold { node: master, until: cx.now + span });
        }
        asked
    }

    /// The master's answer to being asked to hold writes back.
    pub(super) fn on_hold_answered(&mut self, reply: &Reply, cx: &mut Context) {
        let Failover::HandingOver { epoch, successor, since, step: Handover::Asked } = self.failover else {
            return;
        };
        if let Reply::Error(text) = reply {
            self.held = None;
            let text = for_log(text);
            let master = self.master().addr.clone();
            cx.log(
                Level::Warning,
                format!("{master} cannot hold writes back ({text}): what it has not replicated is lost"),
            );
            return self.go_on_to_promote(epoch, successor, cx);
        }
        self.failover = Failover::HandingOver { epoch, successor, since, step: Handover::Held(cx.now) };
        let master = self.master;
        if let Some(node) = self.nodes.get_mut(&master) {
            node.want_info();
        }
        self.advance_node_only(master, cx);
    }

    /// Looks whether the successor has everything.
    pub(super) fn hand_over(
        &mut self,
        epoch: Epoch,
        successor: NodeId,
        since: Time,
        step: Handover,
        cx: &mut Context,
    ) {
        let late = cx.now >= since + self.hold_lasts() / 2;
        let master = self.master();
        if !master.is_usable() || master.role != Role::Master || (late && step == Handover::Asked) {
            return self.give_up_handover(successor, "the master does not answer any more", cx);
        }
        if late || self.nodes.get(&successor).is_none_or(|node| !node.is_usable()) {
            return self.give_up_handover(successor, "the replica does not catch up", cx);
        }
        match step {
            Handover::Asked => {}
            Handover::Held(at) if self.master().told_since(at) => {
                let goal = self.master().info().map(|info| info.master_repl_offset).unwrap_or_default();
                let step = Handover::Follow(goal);
                self.failover = Failover::HandingOver { epoch, successor, since, step };
                self.advance_node_only(successor, cx);
            }
            Handover::Held(_) => {}
            Handover::Follow(goal) if self.has_come_to(successor, goal) => {
                self.go_on_to_promote(epoch, successor, cx);
            }
            Handover::Follow(_) => {}
        }
    }

    /// Nothing was changed. If the master is down after all, another failover may follow at once.
    fn give_up_handover(&mut self, successor: NodeId, why: &str, cx: &mut Context) {
        let (master, heir) = (self.describe_master(cx), self.describe(successor, cx));
        cx.log(Level::Warning, format!("no handover from {master} to {heir}, and nothing is lost: {why}"));
        self.abort(Event::AbortReplicaTimeout, cx);
        self.retry = Some(Retry { at: cx.now, tries: 0 });
    }

    fn has_come_to(&self, successor: NodeId, goal: Offset) -> bool {
        let replid = self.master().info().and_then(|info| info.replid.clone());
        let info = self.nodes.get(&successor).and_then(|node| node.info());
        info.is_some_and(|info| info.replid == replid && info.repl_offset >= goal && !info.syncing)
    }

    pub(super) fn handover_deadline(&self, since: Time) -> Time {
        since + self.hold_lasts() / 2
    }

    /// Whether that node's INFO is what a handover waits for.
    pub(super) fn hands_over_to(&self, node: NodeId) -> bool {
        matches!(self.failover, Failover::HandingOver { successor, step: Handover::Follow(_), .. } if successor == node)
    }

    /// While the promotion takes long, the master goes on holding back.
    pub(super) fn keep_holding(&mut self, cx: &mut Context) {
        if self.held.is_some_and(|hold| hold.node == self.master && cx.now >= self.hold_again(hold)) {
            self.hold_writes(cx);
        }
    }

    pub(super) fn hold_deadline(&self) -> Time {
        match (self.held, &self.failover) {
            (Some(hold), Failover::WaitPromotion { .. }) if hold.node == self.master => self.hold_again(hold),
            _ => Time::NEVER,
        }
    }

    fn hold_again(&self, hold: Hold) -> Time {
        hold.until.earlier(self.hold_lasts() / 3)
    }

    /// The old master is made a replica while it still holds writes back.
    pub(super) fn demote_held(&mut self, cx: &mut Context) {
        if let Some(Hold { node, .. }) = self.held.filter(|hold| hold.node != self.master) {
            self.turn_to_master(node, Event::ConvertToReplica, cx);
            self.held = None;
        }
    }

    /// The failover is over. If it did not come about, writes pass again.
    pub(super) fn end_hold(&mut self, cx: &mut Context) {
        if self.held.is_some_and(|hold| hold.node == self.master) {
            self.let_writes_pass(cx);
        }
    }

    /// Writes pass again: there is no failover, or the old master has been made a replica and refuses them itself.
    pub(super) fn let_writes_pass(&mut self, cx: &mut Context) {
        let Some(hold) = self.held.take() else { return };
        if let Some(node) = self.nodes.get_mut(&hold.node) {
            node.command.call(Command::LetWritesPass, Purpose::Setup, cx);
        }
    }

    /// Whether hellos would have to wait at that server, with all that is sent to it after them.
    pub(super) fn holds_writes(&self, node: NodeId, now: Time) -> bool {
        self.held.is_some_and(|hold| hold.node == node && now < hold.until)
    }

    /// Not so long that the master would be taken for down: the other sentinels' hellos wait, too.
    fn hold_lasts(&self) -> Duration {
        (self.config.down_after / 2).clamp(SHORTEST_HOLD, LONGEST_HOLD)
    }
}

const SHORTEST_HOLD: Duration = Duration::from_millis(200);
const LONGEST_HOLD: Duration = Duration::from_secs(6);
