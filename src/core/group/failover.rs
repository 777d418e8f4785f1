//! A failover that this sentinel leads, from the first intention to the last replica.

use super::Group;
use super::election::Tally;
use super::failover_state::{FailoverState, Goal};
use super::order::ORDER_WAITS;
use super::planned_failover::PlannedStep;
use super::reboot::Return;
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::{Action, Epoch, Event, Time};
use std::time::Duration;

impl Group {
    pub(super) fn enter(&mut self, state: FailoverState, cx: &mut Context) {
        match state {
            FailoverState::Idle => self.answer_order(false, cx),
            FailoverState::Selecting { .. } => self.answer_order(true, cx),
            _ => {}
        }
        self.failover.enter(state, cx.now);
        if state == FailoverState::Idle {
            self.end_hold(cx);
            // How far each replica was turned is part of a failover, and over with it.
            self.nodes.all_mut().for_each(|node| node.reconf = crate::node::Reconf::None);
        }
    }

    /// Takes every step that is due. A step may make the next one due.
    pub(super) fn drive_failover(&mut self, cx: &mut Context) {
        loop {
            let before = self.failover.state();
            match before {
                FailoverState::Idle => self.consider(cx),
                FailoverState::WaitStart { at, goal } => self.hold_back(at, goal, cx),
                FailoverState::Election { epoch, since, goal, .. } => {
                    self.count_votes(epoch, since, goal, cx)
                }
                FailoverState::Selecting { epoch, since, asked } => self.choose(epoch, since, asked, cx),
                FailoverState::Planned { epoch, successor, since, step } => {
                    self.drive_planned(epoch, successor, since, step, cx)
                }
                FailoverState::Promoting { epoch, promoted, since } => {
                    self.promote(epoch, promoted, since, cx)
                }
                FailoverState::WaitPromotion { promoted, since, .. } => {
                    self.await_promotion(promoted, since, cx)
                }
                FailoverState::Reconfiguring { since } => self.turn_replicas(since, cx),
            }
            if self.failover.state() == before {
                return;
            }
        }
    }

    pub(super) fn failover_deadline(&self, cx: &Context) -> Time {
        let timeout = self.config.failover_timeout;
        match self.failover.state() {
            FailoverState::Idle
                if self.odown().is_some() && cx.save_gate.failure().is_none() && !cx.config.observe =>
            {
                self.next_attempt(cx)
            }
            FailoverState::Idle => Time::NEVER,
            FailoverState::WaitStart { at, .. } => at,
            // Until the own vote is on disk, it is the disk that is waited for.
            FailoverState::Election { .. } if !self.own_vote_is_safe(cx) => Time::NEVER,
            FailoverState::Election { since, goal: Goal::Obey, .. } => since + ORDER_WAITS,
            FailoverState::Election { since, .. } => since + self.election_patience(cx),
            FailoverState::Selecting { since, .. } if cx.now >= since + FRESH_INFO_WAIT => {
                since + STREAM_WAIT
            }
            FailoverState::Selecting { since, .. } => since + FRESH_INFO_WAIT,
            FailoverState::Planned { since, step, .. } => self.planned_deadline(since, step, cx),
            FailoverState::Promoting { since, .. } | FailoverState::WaitPromotion { since, .. } => {
                self.hold_deadline().min(since + timeout)
            }
            FailoverState::Reconfiguring { since } => {
                let held = self.demotion_deadline(cx).min(self.hold_deadline());
                self.reconf_deadline(cx).min(self.reconf_ends(since)).min(held)
            }
        }
    }

    fn consider(&mut self, cx: &mut Context) {
        if self.may_stand(cx) {
            self.hold(Goal::Replace, cx);
        }
    }

    /// Waits for this sentinel's turn to stand.
    pub(super) fn hold(&mut self, goal: Goal, cx: &mut Context) {
        let at = cx.now + self.stand_delay(cx);
        self.enter(FailoverState::WaitStart { at, goal }, cx);
    }

    fn hold_back(&mut self, at: Time, goal: Goal, cx: &mut Context) {
        let still = match goal {
            Goal::Reaffirm => self.may_reaffirm(cx),
            Goal::Replace => self.may_stand(cx),
            Goal::Obey => cx.save_gate.failure().is_none(),
        };
        if !still {
            self.enter(FailoverState::Idle, cx);
        } else if cx.now >= at {
            self.stand(goal, cx);
            self.agreement.ask_at_once(cx.now);
        }
    }

    fn count_votes(&mut self, epoch: Epoch, since: Time, goal: Goal, cx: &mut Context) {
        let needless = match goal {
            Goal::Replace => self.master().sdown.is_none(),
            Goal::Reaffirm => !self.master_looks_sane(cx),
            Goal::Obey => false,
        };
        let tally = match goal {
            Goal::Obey => self.tally_order(epoch, cx),
            Goal::Replace | Goal::Reaffirm => self.tally(epoch, cx),
        };
        // Without our own vote others may have given enough; otherwise it is the disk that is waited for.
        let waits_for_disk = !self.own_vote_is_safe(cx) && !matches!(tally, Tally::Won | Tally::Lost);
        let late = cx.now >= since + self.election_patience(cx);
        match tally {
            _ if active(Mutation::PromotionBeforeElection) => self.lead(epoch, since, cx),
            _ if self.ballot.leader_epoch() > epoch => self.lose(goal, cx),
            _ if waits_for_disk => {}
            // What was decided long ago, or is not needed any more, is not acted upon.
            _ if goal != Goal::Obey && (needless || late) => {
                self.lose(goal, cx);
                self.retry_later(cx);
            }
            Tally::Won if goal == Goal::Reaffirm => self.reaffirmed(epoch, cx),
            Tally::Won => self.lead(epoch, since, cx),
            // We, or enough others, gave the vote to another sentinel: it is its turn.
            Tally::Lost => self.lose(goal, cx),
            Tally::Undecided if goal == Goal::Obey && cx.now >= since + ORDER_WAITS => {
                self.lose(goal, cx);
                if self.odown().is_some() {
                    // Several orders may have taken each other's votes: a master that is down is not left for that.
                    self.retry_soon(cx);
                }
            }
            Tally::Split if goal == Goal::Obey => self.order_again(cx),
            Tally::Split => {
                self.lose(goal, cx);
                self.retry_soon(cx);
            }
            Tally::Undecided => {}
        }
    }

    /// How long an election may take; longer where a vote takes long to be written.
    fn election_patience(&self, cx: &Context) -> Duration {
        self.election_timeout(cx).max(cx.save_gate.latency * SAVES_OF_AN_ELECTION)
    }

    /// The clock can be trusted again. What had not been said to any server yet begins anew, if it is still needed.
    pub(crate) fn wake_from_tilt(&mut self, cx: &mut Context) {
        let unsaid = matches!(
            self.failover.state(),
            FailoverState::Election { .. }
                | FailoverState::Selecting { .. }
                | FailoverState::Planned { .. }
                | FailoverState::Promoting { .. }
        );
        if unsaid {
            self.abort(Event::AbortNotElected, cx);
            self.retry_soon(cx);
        } else if matches!(self.failover.state(), FailoverState::WaitStart { .. }) {
            self.enter(FailoverState::Idle, cx);
        }
        self.advance_all(cx);
    }

    pub(super) fn lose(&mut self, goal: Goal, cx: &mut Context) {
        match goal {
            Goal::Reaffirm => self.enter(FailoverState::Idle, cx),
            Goal::Replace | Goal::Obey => self.abort(Event::AbortNotElected, cx),
        }
    }

    pub(super) fn lead(&mut self, epoch: Epoch, since: Time, cx: &mut Context) {
        self.ballot.win();
        self.event(Event::ElectedLeader, self.describe_master(cx), cx);
        if cx.crash_after_election {
            cx.out.push_back(Action::Exit);
        }
        let asked = since;
        self.enter(FailoverState::Selecting { epoch, since: cx.now, asked }, cx);
        self.event(Event::SelectReplica, self.describe_master(cx), cx);
        for id in self.nodes.replica_ids() {
            if self.nodes.get(id).is_some_and(|node| !node.told_since(asked)) {
                self.ask_for_info(id, cx);
            }
        }
    }

    fn choose(&mut self, epoch: Epoch, since: Time, asked: Time, cx: &mut Context) {
        if cx.now < since + FRESH_INFO_WAIT && !self.all_told_since(asked) {
            return;
        }
        match self.master_returns(asked, cx) {
            Some(Return::Proven) => {
                self.abort(Event::AbortNotElected, cx);
                self.ballot.retry_from(cx.now + AFTER_LOSS, 0);
                return;
            }
            Some(Return::Likely) if cx.now < since + FRESH_INFO_WAIT => return self.reach_for_master(cx),
            _ => {}
        }
        let Some(chosen) = self.select_replica(cx) else {
            if cx.now < since + FRESH_INFO_WAIT {
                // An earlier leader may have turned them, and cut off our links with that.
                return;
            }
            return self.abort(Event::AbortNoGoodReplica, cx);
        };
        if self.failover.is_ordered() && self.master_is_between_links() && cx.now < since + STREAM_WAIT {
            // It is not down: what it has accepted is to be kept.
            return self.ask_for_info(self.nodes.master_id(), cx);
        }
        if self.is_behind(chosen, asked) && cx.now < since + STREAM_WAIT {
            // It has just synchronized, and the master sends it the stream only with its next sign of life. Writes need not
            // be held meanwhile.
            return self.advance_node_only(chosen, cx);
        }
        self.event(Event::SelectedReplica, self.describe(chosen, cx), cx);
        if self.ask_to_hold(cx) {
            let (successor, since) = (chosen, cx.now);
            let step = PlannedStep::Asked;
            return self.enter(FailoverState::Planned { epoch, successor, since, step }, cx);
        }
        self.go_on_to_promote(epoch, chosen, cx);
    }

    pub(super) fn go_on_to_promote(&mut self, epoch: Epoch, chosen: NodeId, cx: &mut Context) {
        self.enter(FailoverState::Promoting { epoch, promoted: chosen, since: cx.now }, cx);
        self.event(Event::SendReplicaOfNoOne, self.describe(chosen, cx), cx);
    }

    fn promote(&mut self, epoch: Epoch, promoted: NodeId, since: Time, cx: &mut Context) {
        let told = match self.nodes.get_mut(promoted) {
            Some(node) if node.sdown.is_none() => node.turn(None, false, cx),
            _ => return self.give_up_on(promoted, cx),
        };
        if told {
            self.event(Event::WaitPromotion, self.describe(promoted, cx), cx);
            self.enter(FailoverState::WaitPromotion { epoch, promoted, since: cx.now }, cx);
            self.advance_node_only(promoted, cx);
        } else if cx.now >= since + self.config.failover_timeout {
            self.give_up_on(promoted, cx);
        }
    }

    fn await_promotion(&mut self, promoted: NodeId, since: Time, cx: &mut Context) {
        let lost = self.nodes.get(promoted).is_none_or(|node| node.sdown.is_some());
        self.keep_holding(cx);
        if active(Mutation::PromotionNeverGivenUp) {
            return;
        }
        if lost || cx.now >= since + self.config.failover_timeout {
            self.give_up_on(promoted, cx);
        }
    }

    /// The chosen one is gone. It may have heard us before it went, so it is not trusted as a master when it comes
    /// back; a new election, with a new epoch, chooses among the others.
    pub(super) fn give_up_on(&mut self, promoted: NodeId, cx: &mut Context) {
        if let Some(node) = self.nodes.get_mut(promoted) {
            node.ousted = true;
        }
        self.abort(Event::AbortReplicaTimeout, cx);
        self.ballot.retry_from(cx.now + AFTER_LOSS, 0);
    }

    pub(super) fn abort(&mut self, event: Event, cx: &mut Context) {
        self.event(event, self.describe_master(cx), cx);
        self.enter(FailoverState::Idle, cx);
    }

    /// The chosen one says that it is master: from here on it is the master.
    pub(super) fn on_promoted(&mut self, cx: &mut Context) {
        let FailoverState::WaitPromotion { epoch, promoted, .. } = self.failover.state() else { return };
        self.event(Event::PromotedReplica, self.describe(promoted, cx), cx);
        if cx.crash_after_promotion {
            cx.out.push_back(Action::Exit);
        }
        self.event(Event::ReconfReplicas, self.describe_master(cx), cx);
        if !active(Mutation::PromotionWithoutEpoch) {
            self.configuration.set_epoch(epoch);
        }
        self.enter(FailoverState::Reconfiguring { since: cx.now }, cx);
        self.switch_to(promoted, true, cx);
    }

    pub(crate) fn fails_over(&self) -> bool {
        self.failover.state().is_active()
    }

    /// Asks a node for INFO now, whenever its turn would be.
    pub(super) fn ask_for_info(&mut self, id: NodeId, cx: &mut Context) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.want_info();
        }
        self.advance_node_only(id, cx);
    }

    /// Lets a node do what is due without judging it: for use in the middle of a step of the group.
    pub(super) fn advance_node_only(&mut self, id: NodeId, cx: &mut Context) {
        let duty = self.duty(id, cx);
        if let Some(node) = self.nodes.get_mut(id) {
            node.advance(&duty, cx);
        }
    }
}

/// How long a leader waits for replicas that have not told their offsets since the master went down.
const FRESH_INFO_WAIT: Duration = Duration::from_millis(250);
/// So many saves one after the other fit into an election.
const SAVES_OF_AN_ELECTION: u32 = 5;
/// How long a planned failover waits for a replica that has just synchronized to receive the stream.
const STREAM_WAIT: Duration = Duration::from_secs(2);
const AFTER_LOSS: Duration = Duration::from_millis(100);
