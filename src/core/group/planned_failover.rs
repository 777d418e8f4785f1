//! A failover by order while the master is well: nothing is lost by it.
//!
//! The master holds writes back (CLIENT PAUSE ... WRITE) until its successor has everything that it had accepted; then
//! the successor is promoted, the switch is written and told, and when all sentinels that answer tell it as well the old
//! master becomes a replica and lets writes through again, in one step: a write that it held is answered READONLY, and
//! its client knows that it was not done. Clients are cut off then (`cuts`), and led to the new master by all sentinels. A
//! successor that does not catch up in time is not promoted, and nothing was changed. A server that cannot hold writes
//! back (before 6.2, or where that is not allowed to us) is failed over as the original does it.

use super::Group;
use super::failover_state::FailoverState;
use crate::channel::Purpose;
use crate::context::{Context, for_log};
use crate::ids::{NodeId, PeerId};
use crate::mutation::{Mutation, active};
use crate::{Command, Epoch, Event, Level, Offset, Reply, Role, Time};
use std::time::Duration;

/// How far the master and its successor have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlannedStep {
    /// The master was asked to hold writes back.
    Asked,
    /// It does, since then; how far it had come is being asked.
    Held(Time),
    /// The successor must come as far as the goal; so far it had come when it last came further, at that time.
    Follow { goal: Offset, come: Offset, at: Time },
}

/// A master that holds writes back because we asked it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WriteHold {
    pub(crate) node: NodeId,
    /// Since when.
    since: Time,
    /// It goes on by itself then.
    until: Time,
    /// Whether it is renewed when it is about to end.
    renewed: bool,
}

impl Group {
    /// Asks the master to hold writes back, if it is well enough to be asked.
    pub(super) fn ask_to_hold(&mut self, cx: &mut Context) -> bool {
        let master = self.master();
        let well = master.is_usable() && master.role == Role::Master && master.reboot.is_none();
        let well = well && self.odown().is_none() && !active(Mutation::HandoverWithoutHold);
        well && self.hold_writes_on(cx)
    }

    /// Goes on holding writes, for as long as they may be held in all.
    fn hold_writes_on(&mut self, cx: &mut Context) -> bool {
        let since = self.held.map_or(cx.now, |hold| hold.since);
        self.hold_writes((cx.now + self.hold_lasts()).min(self.hold_ends(since)) - cx.now, cx)
    }

    fn hold_writes(&mut self, span: Duration, cx: &mut Context) -> bool {
        let (node, since) =
            self.held.map_or((self.nodes.master_id(), cx.now), |hold| (hold.node, hold.since));
        let until = cx.now + span;
        let Some(server) = self.nodes.get_mut(node) else { return false };
        let asked =
            !span.is_zero() && server.command.call(Command::HoldWrites(span), Purpose::HoldWrites, cx);
        if asked {
            self.held = Some(WriteHold { node, since, until, renewed: true });
        }
        asked
    }

    /// The master's answer to being asked to hold writes back.
    pub(super) fn on_hold_answered(&mut self, reply: &Reply, cx: &mut Context) {
        let FailoverState::Planned { epoch, successor, step: PlannedStep::Asked, .. } = self.failover.state()
        else {
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
        self.failover.step(PlannedStep::Held(cx.now));
        let master = self.nodes.master_id();
        self.ask_for_info(master, cx);
    }

    /// Looks whether the successor has everything.
    pub(super) fn drive_planned(
        &mut self,
        epoch: Epoch,
        successor: NodeId,
        since: Time,
        step: PlannedStep,
        cx: &mut Context,
    ) {
        self.keep_holding(cx);
        let late = cx.now >= self.must_promote_by(since, cx);
        let silent = match step {
            PlannedStep::Asked => cx.now >= since + self.hold_lasts() / 2,
            PlannedStep::Held(at) => cx.now >= at + self.hold_lasts() / 2,
            PlannedStep::Follow { .. } => false,
        };
        let master = self.master();
        if !master.is_usable() || master.role != Role::Master || silent {
            return self.give_up_planned(successor, "the master does not answer any more", cx);
        }
        if self.nodes.get(successor).is_none_or(|node| !node.is_usable()) {
            return self.give_up_planned(successor, "the replica does not answer any more", cx);
        }
        if late {
            let slow_disks = self.switch_takes(cx) > self.hold_lasts();
            return self.give_up_planned(successor, if slow_disks { SLOW_DISKS } else { NOT_CAUGHT_UP }, cx);
        }
        match step {
            PlannedStep::Asked => {}
            PlannedStep::Held(at) if self.master().told_since(at) => {
                let goal = self.master().info().map(|info| info.master_repl_offset).unwrap_or_default();
                let step = PlannedStep::Follow { goal, come: Offset(0), at: cx.now };
                self.failover.step(step);
                self.advance_node_only(successor, cx);
            }
            PlannedStep::Held(_) => {}
            PlannedStep::Follow { goal, .. } if self.has_come_to(successor, goal) => {
                self.hold_writes(self.hold_lasts_once_promoted(), cx);
                self.go_on_to_promote(epoch, successor, cx);
            }
            PlannedStep::Follow { goal, come, at } => {
                let offset =
                    self.nodes.get(successor).and_then(|node| node.info()).map(|info| info.repl_offset);
                match offset {
                    Some(offset) if offset > come => {
                        let step = PlannedStep::Follow { goal, come: offset, at: cx.now };
                        self.failover.step(step);
                    }
                    _ if cx.now >= at + self.hold_lasts() / 2 => {
                        self.give_up_planned(successor, NOT_CAUGHT_UP, cx);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Nothing was changed. If the master is down after all, another failover may follow at once.
    fn give_up_planned(&mut self, successor: NodeId, why: &str, cx: &mut Context) {
        let (master, heir) = (self.describe_master(cx), self.describe(successor, cx));
        cx.log(Level::Warning, format!("no handover from {master} to {heir}, and nothing is lost: {why}"));
        self.abort(Event::AbortReplicaTimeout, cx);
        self.ballot.retry_from(cx.now, 0);
    }

    /// Whether the master cannot be asked for anything at this moment, though nobody takes it for down.
    pub(super) fn master_is_between_links(&self) -> bool {
        let master = self.master();
        !master.is_usable() && master.sdown.is_none() && self.odown().is_none()
    }

    /// Whether a replica lacks what the master had when it was asked in this election, in a failover by order.
    pub(super) fn is_behind(&self, id: NodeId, asked: Time) -> bool {
        let master = self.master();
        let well = self.failover.is_ordered() && master.is_usable() && master.role == Role::Master;
        let offset = master.info().filter(|_| master.told_since(asked)).map(|info| info.master_repl_offset);
        well && offset.is_none_or(|offset| !self.has_come_to(id, offset))
    }

    fn has_come_to(&self, successor: NodeId, goal: Offset) -> bool {
        let replid = self.master().info().and_then(|info| info.replid.clone());
        let info = self.nodes.get(successor).and_then(|node| node.info());
        info.is_some_and(|info| info.replid == replid && info.repl_offset >= goal && !info.syncing)
    }

    /// Until when the successor must have caught up, so that the switch can be told while writes are still held.
    fn must_promote_by(&self, since: Time, cx: &Context) -> Time {
        let held_since = self.held.map_or(since, |hold| hold.since);
        self.hold_ends(held_since).earlier(self.switch_takes(cx))
    }

    /// When a planned failover is given up if nothing happens.
    pub(super) fn planned_deadline(&self, since: Time, step: PlannedStep, cx: &Context) -> Time {
        let patience = self.hold_lasts() / 2;
        let silent = match step {
            PlannedStep::Asked => since + patience,
            PlannedStep::Held(at) | PlannedStep::Follow { at, .. } => at + patience,
        };
        silent.min(self.must_promote_by(since, cx)).min(self.hold_deadline())
    }

    /// How long it takes until all have a switch on their disks, by how long the last save and the last votes took.
    fn switch_takes(&self, cx: &Context) -> Duration {
        let answering = self.peers.iter().filter(|(slot, _)| self.is_reachable(**slot, cx));
        let slowest = answering.map(|(_, opinion)| opinion.vote_took).max().unwrap_or_default();
        cx.save_gate.latency + slowest + SWITCH_SLACK
    }

    /// Whether that node's INFO is what a planned failover waits for.
    pub(super) fn planned_waits_for(&self, node: NodeId) -> bool {
        matches!(self.failover.state(), FailoverState::Planned { successor, step: PlannedStep::Follow { .. }, .. } if successor == node)
    }

    /// While the promotion or the switch takes long, the master goes on holding back.
    pub(super) fn keep_holding(&mut self, cx: &mut Context) {
        if cx.now >= self.hold_deadline() && !self.hold_writes_on(cx) {
            // It cannot be told: it is not tried again and again.
            if let Some(hold) = &mut self.held {
                hold.until = cx.now;
                hold.renewed = false;
            }
        }
    }

    pub(super) fn hold_deadline(&self) -> Time {
        let Some(hold) = self.held.filter(|hold| hold.renewed && hold.until < self.hold_ends(hold.since))
        else {
            return Time::NEVER;
        };
        hold.until.earlier(self.hold_lasts() / 3)
    }

    /// The old master is made a replica while it still holds writes back, and when all tell the new one.
    pub(super) fn demote_held(&mut self, cx: &mut Context) {
        let Some(WriteHold { node, .. }) = self.held.filter(|hold| hold.node != self.nodes.master_id())
        else {
            return;
        };
        if cx.now < self.demotion_deadline(cx) {
            return self.keep_holding(cx);
        }
        self.turn_to_master(node, Event::ConvertToReplica, cx);
    }

    /// Whether a replaced master still waits to be made a replica.
    pub(super) fn awaits_demotion(&self) -> bool {
        self.held.is_some_and(|hold| hold.node != self.nodes.master_id())
    }

    /// When the old master is made a replica: once the switch is told by all that answer, and stands in Consul. What
    /// does not answer in time is not waited for, and the hold must not end before.
    pub(super) fn demotion_deadline(&self, cx: &Context) -> Time {
        let Some(hold) = self.held.filter(|hold| hold.node != self.nodes.master_id()) else {
            return Time::NEVER;
        };
        let end = self.hold_ends(hold.since).earlier(DEMOTION_TAKES);
        if self.announced.pending().is_some() {
            return end;
        }
        let told = self.announced.at();
        let behind = |(slot, opinion): (&PeerId, &super::Opinion)| {
            let knows = opinion.config_epoch >= self.config_epoch() || !self.is_reachable(*slot, cx);
            (!knows).then(|| told + (opinion.vote_took * 2).max(SWITCH_SLACK))
        };
        let peers = self.peers.iter().filter_map(behind).max().unwrap_or(told);
        let consul = if self.is_publishing(cx) { told + PUBLICATION_WAIT } else { told };
        peers.max(consul).min(end)
    }

    /// The failover is over. If it did not come about, writes pass again.
    pub(super) fn end_hold(&mut self, cx: &mut Context) {
        match self.held {
            Some(hold) if hold.node == self.nodes.master_id() && self.ballot.leader() == Some(&cx.myid) => {
                self.let_writes_pass(cx);
            }
            // A replaced master is not let write again by us, nor one that another leader may hold by now: a hold ends by
            // itself, or when that master is made a replica.
            _ => {
                if let Some(hold) = self.held.take()
                    && let Some(node) = self.nodes.get_mut(hold.node)
                {
                    node.may_hold_until = hold.until;
                }
            }
        }
    }

    /// Writes pass again: there is no failover, or the old master has been made a replica and refuses them itself.
    fn let_writes_pass(&mut self, cx: &mut Context) {
        let Some(hold) = self.held.take() else { return };
        if let Some(node) = self.nodes.get_mut(hold.node) {
            node.release_until = Some(hold.until);
        }
        self.release(hold.node, cx);
    }

    /// Whatever that server holds goes on: an old master that was made a replica may hold it for a leader that died.
    pub(super) fn release(&mut self, id: NodeId, cx: &mut Context) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.command.call(Command::LetWritesPass, Purpose::Release, cx);
        }
    }

    /// A link is open again: if the word that ends a hold was lost with the one before, it is said again. Not where
    /// another leader may hold the master's writes by now.
    pub(super) fn release_again(&mut self, id: NodeId, cx: &mut Context) {
        let ours = id != self.nodes.master_id() || self.ballot.leader() == Some(&cx.myid);
        let waits =
            self.nodes.get(id).and_then(|node| node.release_until).is_some_and(|until| cx.now < until);
        if waits && ours {
            self.release(id, cx);
        }
    }

    /// Whether hellos would have to wait at that server, with all that is sent to it after them.
    pub(super) fn holds_writes(&self, node: NodeId, now: Time) -> bool {
        self.held.is_some_and(|hold| hold.node == node && now < hold.until)
    }

    /// For how long writes are held at a time: should this sentinel die, they pass again by themselves.
    fn hold_lasts(&self) -> Duration {
        (self.config.down_after / 2).clamp(SHORTEST_HOLD, LONGEST_HOLD)
    }

    /// For how long they are held once a successor is promoted. What the old master accepts from then on is lost, so should
    /// this sentinel die before it has demoted it, the others must notice that and do it within this time.
    pub(super) fn hold_lasts_once_promoted(&self) -> Duration {
        (self.config.down_after * 2 + TAKEOVER).min(LONGEST_TAKEOVER)
    }

    /// Until when writes may be held in all: not so long that the master would be taken for down, since the hellos of the
    /// other sentinels wait, too.
    fn hold_ends(&self, since: Time) -> Time {
        since + (self.config.down_after * 4 / 5).clamp(SHORTEST_HOLD, LONGEST_HOLD * 2)
    }
}

const SLOW_DISKS: &str = "the switch would be on disk only after the master had to let writes pass again";
const NOT_CAUGHT_UP: &str = "the replica does not catch up";
const SHORTEST_HOLD: Duration = Duration::from_millis(200);
const LONGEST_HOLD: Duration = Duration::from_secs(6);
/// What others need to lead in our place, once they know that we are gone.
const TAKEOVER: Duration = Duration::from_secs(2);
const LONGEST_TAKEOVER: Duration = Duration::from_secs(60);
/// What a switch may take beside the disks.
const SWITCH_SLACK: Duration = Duration::from_millis(100);
/// How long the order to be a replica may be on its way.
const DEMOTION_TAKES: Duration = Duration::from_millis(50);
/// How long Consul is waited for before clients are cut off.
const PUBLICATION_WAIT: Duration = Duration::from_millis(200);
