//! A failover that this sentinel leads, from the first intention to the last replica.

use super::election::Tally;
use super::{Group, Retry};
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::node::Reconf;
use crate::{Action, Epoch, Event, FailoverPhase, Level, Role, Seq, Time};
use std::time::Duration;

/// Where a failover stands. What a state needs, it carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failover {
    Idle,
    /// The master is objectively down; at that moment this sentinel will stand for election.
    Standing {
        at: Time,
    },
    /// It asks for votes. `saved` is the save that has its own vote.
    Election {
        epoch: Epoch,
        saved: Seq,
        since: Time,
        forced: bool,
    },
    /// It leads, and waits for fresh INFO to choose by.
    Selecting {
        epoch: Epoch,
        since: Time,
        forced: bool,
    },
    /// It has chosen, but cannot reach the chosen one yet.
    Promoting {
        epoch: Epoch,
        promoted: NodeId,
        since: Time,
    },
    /// It has told the chosen one, and waits for it to say that it is master.
    WaitPromotion {
        epoch: Epoch,
        promoted: NodeId,
        since: Time,
    },
    /// The new master is master; the replicas are led to it.
    Reconfiguring {
        since: Time,
    },
}

impl Failover {
    pub(super) fn is_active(&self) -> bool {
        !matches!(self, Failover::Idle | Failover::Standing { .. })
    }

    /// Whether everything waits for that node to become master.
    pub(super) fn waits_for(&self, node: NodeId) -> bool {
        matches!(self, Failover::WaitPromotion { promoted, .. } if *promoted == node)
    }

    pub(super) fn promotes(&self, node: NodeId) -> bool {
        matches!(self, Failover::WaitPromotion { promoted, .. } | Failover::Promoting { promoted, .. } if *promoted == node)
    }

    pub(super) fn turns_replicas(&self) -> bool {
        matches!(self, Failover::Reconfiguring { .. })
    }

    pub(super) fn phase(&self) -> FailoverPhase {
        match self {
            Failover::Idle => FailoverPhase::None,
            Failover::Standing { .. } => FailoverPhase::WaitStart,
            Failover::Election { .. } => FailoverPhase::Election,
            Failover::Selecting { .. } => FailoverPhase::SelectReplica,
            Failover::Promoting { .. } => FailoverPhase::SendReplicaOfNoOne,
            Failover::WaitPromotion { .. } => FailoverPhase::WaitPromotion,
            Failover::Reconfiguring { .. } => FailoverPhase::ReconfReplicas,
        }
    }
}

impl Group {
    pub(super) fn enter(&mut self, state: Failover, cx: &mut Context) {
        self.failover = state;
        self.failover_since = cx.now;
    }

    /// Takes every step that is due. A step may make the next one due.
    pub(super) fn drive_failover(&mut self, cx: &mut Context) {
        loop {
            let before = self.failover.clone();
            match before {
                Failover::Idle => self.consider(cx),
                Failover::Standing { at } => self.hold_back(at, cx),
                Failover::Election { epoch, since, forced, .. } => self.count_votes(epoch, since, forced, cx),
                Failover::Selecting { epoch, since, forced } => self.choose(epoch, since, forced, cx),
                Failover::Promoting { epoch, promoted, since } => self.promote(epoch, promoted, since, cx),
                Failover::WaitPromotion { promoted, since, .. } => self.await_promotion(promoted, since, cx),
                Failover::Reconfiguring { since } => self.turn_replicas(since, cx),
            }
            if self.failover == before {
                return;
            }
        }
    }

    pub(super) fn failover_deadline(&self, cx: &Context) -> Time {
        let timeout = self.config.failover_timeout;
        match self.failover {
            Failover::Idle if self.odown.is_some() && cx.storage.failure().is_none() => self.next_attempt(cx),
            Failover::Idle => Time::NEVER,
            Failover::Standing { at } => at,
            // Until the own vote is on disk, it is the disk that is waited for.
            Failover::Election { .. } if !self.own_vote_is_safe(cx) => Time::NEVER,
            Failover::Election { since, forced: true, .. } => since + FORCED_ELECTION,
            Failover::Election { since, .. } => since + self.election_timeout(cx),
            Failover::Selecting { since, .. } => since + FRESH_INFO_WAIT,
            Failover::Promoting { since, .. } | Failover::WaitPromotion { since, .. } => since + timeout,
            Failover::Reconfiguring { since } => self.reconf_deadline(cx).min(since + timeout),
        }
    }

    fn consider(&mut self, cx: &mut Context) {
        if self.may_stand(cx) {
            let at = cx.now + self.stand_delay(cx);
            self.enter(Failover::Standing { at }, cx);
        }
    }

    fn hold_back(&mut self, at: Time, cx: &mut Context) {
        if !self.may_stand(cx) {
            self.enter(Failover::Idle, cx);
        } else if cx.now >= at {
            self.stand(false, cx);
            self.asking.next = cx.now;
        }
    }

    fn count_votes(&mut self, epoch: Epoch, since: Time, forced: bool, cx: &mut Context) {
        if !self.own_vote_is_safe(cx) {
            return;
        }
        let late = cx.now >= since + self.election_timeout(cx);
        match self.tally(epoch, cx) {
            _ if active(Mutation::PromotionBeforeElection) => self.lead(epoch, forced, cx),
            Tally::Won => self.lead(epoch, forced, cx),
            // An operator's order needs no agreement, but a moment is given to those who would agree: an epoch that
            // a majority has granted cannot be anybody else's.
            Tally::Undecided if forced && cx.now < since + FORCED_ELECTION => {}
            _ if forced => self.lead(epoch, forced, cx),
            // We gave our vote to somebody with a higher epoch: it is his turn.
            _ if self.leader_epoch > epoch => self.abort(Event::AbortNotElected, cx),
            Tally::Split => {
                self.abort(Event::AbortNotElected, cx);
                self.retry_soon(cx);
            }
            _ if self.master().sdown.is_none() || late => {
                self.abort(Event::AbortNotElected, cx);
                self.retry_later(cx);
            }
            Tally::Undecided => {}
        }
    }

    fn lead(&mut self, epoch: Epoch, forced: bool, cx: &mut Context) {
        self.retry = None;
        self.event(Event::ElectedLeader, self.describe_master(cx), cx);
        if cx.crash_after_election {
            cx.out.push_back(Action::Exit);
        }
        self.enter(Failover::Selecting { epoch, since: cx.now, forced }, cx);
        self.event(Event::SelectReplica, self.describe_master(cx), cx);
        let asked_since = self.master().sdown.unwrap_or(cx.now);
        for id in self.replica_ids() {
            if self.nodes.get(&id).is_some_and(|node| !node.told_since(asked_since)) {
                self.nodes.get_mut(&id).expect("it was just found").want_info();
                self.advance_node_only(id, cx);
            }
        }
    }

    fn choose(&mut self, epoch: Epoch, since: Time, forced: bool, cx: &mut Context) {
        // The master may be well, when an operator ordered this: then what counts is what was said since the order.
        let fresh_since = self.master().sdown.unwrap_or(since);
        if cx.now < since + FRESH_INFO_WAIT && !self.all_told_since(fresh_since) {
            return;
        }
        let Some(chosen) = self.select_replica(cx) else {
            if !forced {
                cx.log(Level::Warning, format!("no replica of {} can be promoted", self.name));
            }
            return self.abort(Event::AbortNoGoodReplica, cx);
        };
        self.event(Event::SelectedReplica, self.describe(chosen, cx), cx);
        self.enter(Failover::Promoting { epoch, promoted: chosen, since: cx.now }, cx);
        self.event(Event::SendReplicaOfNoOne, self.describe(chosen, cx), cx);
    }

    fn promote(&mut self, epoch: Epoch, promoted: NodeId, since: Time, cx: &mut Context) {
        let told = match self.nodes.get_mut(&promoted) {
            Some(node) if node.sdown.is_none() => node.turn(None, false, cx),
            _ => return self.give_up_on(promoted, cx),
        };
        if told {
            self.event(Event::WaitPromotion, self.describe(promoted, cx), cx);
            self.enter(Failover::WaitPromotion { epoch, promoted, since: cx.now }, cx);
            self.advance_node_only(promoted, cx);
        } else if cx.now >= since + self.config.failover_timeout {
            self.give_up_on(promoted, cx);
        }
    }

    fn await_promotion(&mut self, promoted: NodeId, since: Time, cx: &mut Context) {
        let lost = self.nodes.get(&promoted).is_none_or(|node| node.sdown.is_some());
        if active(Mutation::PromotionNeverGivenUp) {
            return;
        }
        if lost || cx.now >= since + self.config.failover_timeout {
            self.give_up_on(promoted, cx);
        }
    }

    /// The chosen one is gone. It may have heard us before it went, so it is not trusted as a master when it comes
    /// back; a new election, with a new epoch, chooses among the others.
    fn give_up_on(&mut self, promoted: NodeId, cx: &mut Context) {
        if let Some(node) = self.nodes.get_mut(&promoted) {
            node.ousted = true;
        }
        self.abort(Event::AbortReplicaTimeout, cx);
        self.retry = Some(Retry { at: cx.now + AFTER_LOSS, tries: 0 });
    }

    pub(super) fn abort(&mut self, event: Event, cx: &mut Context) {
        self.event(event, self.describe_master(cx), cx);
        self.enter(Failover::Idle, cx);
    }

    /// The chosen one says that it is master: from here on it is the master.
    pub(super) fn on_promoted(&mut self, cx: &mut Context) {
        let Failover::WaitPromotion { epoch, promoted, .. } = self.failover else { return };
        self.event(Event::PromotedReplica, self.describe(promoted, cx), cx);
        if cx.crash_after_promotion {
            cx.out.push_back(Action::Exit);
        }
        self.event(Event::ReconfReplicas, self.describe_master(cx), cx);
        if !active(Mutation::PromotionWithoutEpoch) {
            self.config_epoch = epoch;
        }
        self.enter(Failover::Reconfiguring { since: cx.now }, cx);
        self.switch_to(promoted, true, cx);
    }

    fn turn_replicas(&mut self, since: Time, cx: &mut Context) {
        if cx.now >= since + self.config.failover_timeout {
            return self.end_by_force(cx);
        }
        if self.odown.is_some() {
            // The new master is gone as well: what has to be done now is another failover.
            self.event(Event::FailoverEndForTimeout, self.describe_master(cx), cx);
            return self.enter(Failover::Idle, cx);
        }
        self.note_slow_replicas(cx);
        let busy = |node: &crate::node::Node| matches!(node.reconf, Reconf::Sent(_) | Reconf::InProgress(_));
        let mut syncing = self.nodes.values().filter(|node| busy(node)).count();
        for id in self.replica_ids() {
            let Some(node) = self.nodes.get(&id) else { continue };
            if active(Mutation::ReplicasNotTurned) {
                continue;
            }
            if node.reconf == Reconf::None
                && !node.ousted
                && syncing < self.config.parallel_syncs as usize
                && node.is_usable()
            {
                syncing += usize::from(self.turn_replica(id, Event::ReconfSent, cx));
            }
        }
        let waiting = |(id, node): (&NodeId, &crate::node::Node)| {
            *id != self.master && !node.ousted && node.sdown.is_none() && node.reconf != Reconf::Done
        };
        if !self.nodes.iter().any(waiting) {
            self.event(Event::FailoverEnd, self.describe_master(cx), cx);
            self.enter(Failover::Idle, cx);
        }
    }

    fn turn_replica(&mut self, id: NodeId, event: Event, cx: &mut Context) -> bool {
        let target = self.master().addr.clone();
        let target = cx.shown(&target);
        let Some(node) = self.nodes.get_mut(&id) else { return false };
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
        for id in self.replica_ids() {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            if matches!(node.reconf, Reconf::Sent(at) if cx.now >= at + limit) {
                node.reconf = Reconf::Done;
                self.event(Event::ReconfSentTimeout, self.describe(id, cx), cx);
            }
        }
    }

    fn reconf_deadline(&self, cx: &Context) -> Time {
        let limit = cx.config.timing.replica_reconf_timeout;
        let sent = self.nodes.values().filter_map(|node| match node.reconf {
            Reconf::Sent(at) => Some(at + limit),
            _ => None,
        });
        sent.min().unwrap_or(Time::NEVER)
    }

    /// The time is over: whoever was not turned is told, without waiting for the answer.
    fn end_by_force(&mut self, cx: &mut Context) {
        self.event(Event::FailoverEndForTimeout, self.describe_master(cx), cx);
        self.event(Event::FailoverEnd, self.describe_master(cx), cx);
        for id in self.replica_ids() {
            let untold =
                self.nodes.get(&id).is_some_and(|node| node.reconf == Reconf::None && node.command.is_open());
            if untold {
                self.turn_replica(id, Event::ReconfSentBestEffort, cx);
            }
        }
        self.enter(Failover::Idle, cx);
    }

    /// A replica that we turned says whom it follows now.
    pub(super) fn on_reconf_info(&mut self, id: NodeId, cx: &mut Context) {
        if !self.failover.turns_replicas() || id == self.master {
            return;
        }
        let Some(node) = self.nodes.get(&id) else { return };
        let Some(info) = node.info().filter(|info| info.role == Some(Role::Replica)) else { return };
        let follows =
            info.master.as_ref().is_some_and(|master| cx.names.same_place(master, &self.master().addr));
        let (synced, mut reconf) = (info.master_link_up, node.reconf);
        if follows && matches!(reconf, Reconf::Sent(_)) {
            reconf = Reconf::InProgress(cx.now);
            self.event(Event::ReconfInProgress, self.describe(id, cx), cx);
        }
        if follows && synced && matches!(reconf, Reconf::InProgress(_)) {
            reconf = Reconf::Done;
            self.event(Event::ReconfDone, self.describe(id, cx), cx);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.reconf = reconf;
        }
    }

    /// An operator orders a failover.
    pub(crate) fn force_failover(&mut self, cx: &mut Context) {
        self.stand(true, cx);
        self.asking = super::Asking { next: cx.now, gap: super::FIRST_ASK_GAP };
        self.advance(cx);
    }

    pub(crate) fn fails_over(&self) -> bool {
        self.failover.is_active()
    }

    /// Lets a node do what is due without judging it: for use in the middle of a step of the group.
    pub(super) fn advance_node_only(&mut self, id: NodeId, cx: &mut Context) {
        let duty = self.duty(id, cx);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.advance(&duty, cx);
        }
    }
}

/// How long a leader waits for replicas that have not told their offsets since the master went down.
const FRESH_INFO_WAIT: Duration = Duration::from_millis(250);
/// How long an operator's order waits for votes before it goes without them.
const FORCED_ELECTION: Duration = Duration::from_secs(1);
const AFTER_LOSS: Duration = Duration::from_millis(100);
