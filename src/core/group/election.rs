//! Who may lead a failover: one vote an epoch, and a majority of all sentinels.

use super::failover_state::Goal;
use super::{FailoverState, Group};
use crate::context::Context;
use crate::ids::PeerId;
use crate::mutation::{Mutation, active};
use crate::rng::hash;
use crate::{Detail, Epoch, Event, Level, SentinelId, Time, mix};
use std::collections::BTreeMap;
use std::time::Duration;

impl Group {
    /// Somebody asks for the vote. What was decided, by this request or by an earlier one.
    pub(crate) fn on_vote_request(
        &mut self,
        epoch: Epoch,
        candidate: &SentinelId,
        cx: &mut Context,
    ) -> (Option<SentinelId>, Epoch) {
        if cx.config.observe || cx.save_gate.failure().is_some() && !active(Mutation::VoteWithoutDisk) {
            return (None, Epoch(0));
        }
        if cx.is_absurd(epoch) {
            return (self.ballot.leader().cloned(), self.ballot.leader_epoch());
        }
        cx.adopt_epoch(epoch, &self.name, &self.config);
        if self.may_vote(epoch) {
            self.vote_for(candidate.clone(), epoch, cx);
            if *candidate != cx.myid {
                self.ballot.leave_to_another(cx.now);
                self.watch_leader(cx);
                if matches!(self.failover.state(), FailoverState::WaitStart { .. }) {
                    self.enter(FailoverState::Idle, cx);
                }
                self.advance(cx);
            }
        }
        (self.ballot.leader().cloned(), self.ballot.leader_epoch())
    }

    /// Not while we lead. The epoch that others have reached meanwhile for other groups does not matter.
    fn may_vote(&self, epoch: Epoch) -> bool {
        let free = self.ballot.has_vote_for(epoch, self.config_epoch()) && !self.failover.state().is_led();
        free || (active(Mutation::VoteGivenTwice) && epoch > Epoch(0))
    }

    /// While another sentinel leads, it is asked often whether it is still there: nobody else begins before it is known
    /// to be gone.
    fn watch_leader(&self, cx: &mut Context) {
        let Some(slot) = self.leader_slot(cx) else { return };
        let until = cx.now + self.election_timeout(cx);
        let period = crate::node::ping_period(self.config.down_after, cx);
        cx.with_peer(slot, |peer, cx| peer.watch_closely(period, until, cx));
        cx.advance_peer(slot);
    }

    /// The peer that has our last vote.
    fn leader_slot(&self, cx: &Context) -> Option<PeerId> {
        let leader = self.ballot.leader()?;
        self.peers.keys().copied().find(|slot| cx.peers.get(slot).is_some_and(|peer| peer.id == *leader))
    }

    /// Whether the sentinel that has our last vote is down, or its process has ended.
    pub(super) fn leader_is_gone(&self, cx: &Context) -> bool {
        self.leader_slot(cx).is_some_and(|slot| self.is_peer_down(slot) || self.is_gone(slot, cx))
    }

    /// Whether this sentinel takes a peer for down.
    pub(super) fn is_peer_down(&self, slot: PeerId) -> bool {
        self.peers.get(&slot).is_some_and(|opinion| opinion.sdown.is_some())
    }

    /// Whether that peer, elected in that epoch, may still be in the middle of its failover.
    pub(super) fn may_act(&self, slot: PeerId, epoch: Epoch, cx: &Context) -> bool {
        let lately = self.ballot.last_attempt().is_some_and(|at| cx.now < at + LEADER_ACTS);
        lately && epoch > self.config_epoch() && self.is_reachable(slot, cx) && !self.is_gone(slot, cx)
    }

    /// The sentinel that we have just voted for, and that may be in the middle of a failover.
    pub(super) fn led_by_another(&self, cx: &Context) -> Option<(SentinelId, Epoch)> {
        self.leader_slot(cx).filter(|slot| self.may_act(*slot, self.ballot.leader_epoch(), cx))?;
        self.ballot.leader().cloned().map(|leader| (leader, self.ballot.leader_epoch()))
    }

    /// Whether a peer's process has ended since we voted for it, or is not there now: what it led it leads no more.
    fn is_gone(&self, slot: PeerId, cx: &Context) -> bool {
        let Some(peer) = cx.peers.get(&slot) else { return true };
        let since_vote =
            peer.refused.is_some_and(|at| self.ballot.last_attempt().is_some_and(|last| at >= last));
        since_vote || peer.refuses
    }

    fn vote_for(&mut self, candidate: SentinelId, epoch: Epoch, cx: &mut Context) {
        self.event(Event::VoteForLeader, Detail::Vote { candidate: candidate.clone(), epoch }, cx);
        self.ballot.cast(candidate, epoch);
        if !active(Mutation::VoteNotSaved) {
            cx.save_gate.urgently();
        }
    }

    /// Whether a failover of ours may begin now.
    pub(super) fn may_stand(&self, cx: &Context) -> bool {
        let able = cx.save_gate.failure().is_none() && !cx.config.observe;
        self.odown().is_some() && able && cx.now >= self.next_attempt(cx)
    }

    /// Until when the last attempt blocks the next one.
    pub(super) fn next_attempt(&self, cx: &Context) -> Time {
        let Some(last) = self.ballot.last_attempt() else { return Time::ZERO };
        let rested = last + self.config.failover_timeout * 2;
        if let Some(at) = self.ballot.retry_at() {
            return at.min(rested);
        }
        // A leader that is down, or whose process has ended, is not waited for: a new epoch is safe.
        match self.leader_slot(cx) {
            Some(slot) if self.is_gone(slot, cx) => last,
            // It may be silent because our own request for its vote waits for its disk.
            Some(slot)
                if self.is_peer_down(slot) && cx.peers.get(&slot).is_some_and(|peer| peer.owes_vote()) =>
            {
                (last + self.config.down_after + cx.save_gate.pace(cx.now) * 4).min(rested)
            }
            Some(slot) if self.is_peer_down(slot) => last,
            Some(_) if self.odown().is_some() && self.select_replica(cx).is_some() => {
                (last + self.leader_patience(cx)).min(rested)
            }
            // It was forgotten since, or another identity took its place.
            None if self.ballot.leader().is_some_and(|leader| *leader != cx.myid) => {
                (last + self.config.down_after).min(rested)
            }
            _ => rested,
        }
    }

    /// How long a leader that answers may take although there is a replica to promote: it may be cut off from the servers,
    /// or its disk may have failed. Each leader that comes to nothing gives the next one more time.
    fn leader_patience(&self, cx: &Context) -> Duration {
        let once = self.config.down_after.max(LEADER_TAKES);
        self.ballot.patience(once) + cx.save_gate.pace(cx.now) * 4
    }

    pub(super) fn election_timeout(&self, cx: &Context) -> Duration {
        cx.config.timing.election_timeout.min(self.config.failover_timeout)
    }

    /// How long this sentinel holds back before it stands, so that candidates do not collide: the first in an order
    /// that all compute alike, and that changes with every epoch, goes at once; the others follow at a distance that
    /// is longer than a vote takes to be asked for, written and told.
    pub(super) fn stand_delay(&self, cx: &mut Context) -> Duration {
        let next = cx.current_epoch.next();
        let place = |id: &SentinelId| (mix(hash(id.as_str()) ^ next.0), id.clone());
        let own = place(&cx.myid);
        let before = self.peers_up(cx).filter(|peer| place(&peer.id) < own).count();
        let step = self.request_takes(cx).clamp(STAND_STEP, LONGEST_STEP);
        step * before as u32 + cx.rng.span(STAND_JITTER)
    }

    /// The peers that could stand, too.
    fn peers_up<'a>(&'a self, cx: &'a Context) -> impl Iterator<Item = &'a crate::peer::Peer> {
        let up = |(slot, opinion): (&PeerId, &super::Opinion)| {
            cx.peers.get(slot).filter(|_| opinion.sdown.is_none() && !self.is_gone(*slot, cx))
        };
        self.peers.iter().filter_map(up)
    }

    /// How long it takes at least until all have heard that this sentinel stands. The disks do not matter: the request
    /// does not wait for ours, and who hears it does not stand any more.
    fn request_takes(&self, cx: &Context) -> Duration {
        self.peers_up(cx).map(|peer| peer.alive.rtt).max().unwrap_or_default() * 3 / 2
    }

    /// Begins an election: a new epoch, and the own vote.
    pub(super) fn stand(&mut self, goal: Goal, cx: &mut Context) {
        let reused = active(Mutation::EpochReused) && cx.current_epoch > Epoch(0);
        let epoch = match goal {
            _ if reused => cx.current_epoch,
            Goal::Obey => self.epoch_of_order(cx),
            Goal::Replace | Goal::Reaffirm => cx.current_epoch.next(),
        };
        if epoch == cx.current_epoch && !reused {
            cx.log(
                Level::Warning,
                format!("no epoch is left after {epoch}: no failover of {} can begin", self.name),
            );
            return self.enter(FailoverState::Idle, cx);
        }
        cx.current_epoch = epoch;
        self.ballot.attempt(cx.now);
        self.event(Event::NewEpoch, Detail::Epoch(epoch), cx);
        if goal != Goal::Reaffirm {
            self.event(Event::TryFailover, self.describe_master(cx), cx);
        }
        self.vote_for(cx.myid.clone(), epoch, cx);
        cx.save_gate.urgently();
        let saved = cx.save_gate.covering().expect("the epoch has just been marked to be written");
        self.enter(FailoverState::Election { epoch, saved, since: cx.now, goal }, cx);
        // An earlier leader may have promoted somebody: what replicas are is asked beside the votes.
        for id in self.nodes.ids() {
            self.ask_for_info(id, cx);
        }
        // Votes are asked for while our own is being written: it does not count before it is on disk.
        self.ask(cx);
    }

    /// Whether our own vote is on disk, so that it may count.
    pub(super) fn own_vote_is_safe(&self, cx: &Context) -> bool {
        match self.failover.state() {
            FailoverState::Election { saved, .. } => {
                cx.save_gate.is_saved(saved) || active(Mutation::ElectionBeforeSave)
            }
            _ => true,
        }
    }

    /// The epoch of an election of ours.
    pub(crate) fn election_epoch(&self) -> Option<Epoch> {
        match self.failover.state() {
            FailoverState::Election { epoch, .. } => Some(epoch),
            _ => None,
        }
    }

    /// Our own vote has just reached the disk, or could not be written.
    pub(crate) fn on_saved(&mut self, cx: &mut Context) {
        if let FailoverState::Election { epoch, .. } = self.failover.state()
            && cx.save_gate.failure().is_some()
        {
            cx.log(Level::Warning, format!("epoch {epoch} cannot be written: this sentinel will not lead"));
            self.abort(Event::AbortNotElected, cx);
            self.retry_soon(cx);
        }
        self.announce(cx);
        self.advance(cx);
    }

    pub(super) fn vote_of(&self, slot: PeerId) -> Option<&(SentinelId, Epoch)> {
        self.peers.get(&slot).and_then(|opinion| opinion.vote.as_ref())
    }

    /// How many votes a leader needs: a majority of all sentinels, and at least the quorum.
    pub(super) fn votes_needed(&self) -> usize {
        self.majority().max(self.config.quorum.0 as usize)
    }

    /// Whether a peer could be asked for its vote.
    pub(super) fn is_reachable(&self, slot: PeerId, cx: &Context) -> bool {
        let up = self.peers.get(&slot).is_some_and(|opinion| opinion.sdown.is_none());
        up && cx.peers.get(&slot).is_some_and(|peer| peer.channel.is_open())
    }

    /// Counts the votes of an election of ours.
    pub(super) fn tally(&self, epoch: Epoch, cx: &Context) -> Tally {
        let mut needed = self.votes_needed();
        if active(Mutation::MajorityOffByOne) {
            needed -= 1;
        }
        let safe = self.own_vote_is_safe(cx);
        let mut votes = BTreeMap::from([(&cx.myid, usize::from(safe))]);
        let mut open = usize::from(!safe);
        let mut reachable = 1;
        for (slot, opinion) in &self.peers {
            let connected = self.is_reachable(*slot, cx);
            reachable += usize::from(connected);
            match &opinion.vote {
                Some((leader, of)) if *of == epoch => *votes.entry(leader).or_default() += 1,
                // A vote in a later epoch, or a refusal, is none that this election can still get.
                Some((_, of)) if *of > epoch => {}
                _ if opinion.refused == Some(epoch) => {}
                _ => open += usize::from(connected),
            }
        }
        let ours = votes.get(&cx.myid).copied().unwrap_or_default();
        let best = votes.values().copied().max().unwrap_or_default();
        if ours >= needed {
            Tally::Won
        } else if best >= needed {
            Tally::Lost
        } else if reachable >= needed && best + open < needed {
            Tally::Split
        } else {
            Tally::Undecided
        }
    }

    /// Counts the votes of an election that an operator ordered. There is time to ask all that answer: none of them may be
    /// in the middle of a failover, and where no majority answers all of them must agree.
    pub(super) fn tally_order(&self, epoch: Epoch, cx: &Context) -> Tally {
        let tally = self.tally(epoch, cx);
        let leads = |(slot, opinion): (&PeerId, &super::Opinion)| {
            let id = cx.peers.get(slot).map(|peer| &peer.id);
            let vote = opinion.vote.as_ref().filter(|(_, of)| opinion.refused == Some(epoch) && *of < epoch);
            vote.is_some_and(|(leader, of)| Some(leader) == id && *of > self.config_epoch())
        };
        if self.peers.iter().any(leads) {
            return Tally::Lost;
        }
        let answering = self.peers.iter().filter(|(slot, _)| self.is_reachable(**slot, cx));
        let granted: Vec<bool> = answering
            .map(|(_, opinion)| {
                opinion.vote.as_ref().is_some_and(|(leader, of)| *of == epoch && *leader == cx.myid)
            })
            .collect();
        // Peers that have fallen silent since they were asked may have given their votes to another one.
        let asked = !granted.is_empty() || self.failover.order().is_some_and(|order| order.alone);
        let all = asked && granted.iter().all(|granted| *granted) && self.own_vote_is_safe(cx);
        match tally {
            Tally::Undecided if all => Tally::Won,
            other => other,
        }
    }

    /// Nobody can win any more: another election, soon, but not at the same time as the others'.
    pub(super) fn retry_soon(&mut self, cx: &mut Context) {
        let first = self.request_takes(cx).clamp(FIRST_RETRY, LONGEST_STEP);
        self.retry_after(first, cx);
    }

    /// Too few could be asked: they may come back, and nobody else has been elected meanwhile.
    pub(super) fn retry_later(&mut self, cx: &mut Context) {
        self.retry_after(self.election_timeout(cx), cx);
    }

    fn retry_after(&mut self, first: Duration, cx: &mut Context) {
        let tries = self.ballot.tries() + 1;
        let longest = (self.config.failover_timeout * 2).max(first);
        let wait = (first * 2_u32.pow(tries.min(10))).min(longest);
        self.ballot.retry_from(cx.now + wait / 2 + cx.rng.span(wait / 2), tries);
    }
}

/// How an election stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tally {
    Won,
    /// Somebody else has enough votes.
    Lost,
    /// All who can be reached have voted, and nobody can get enough.
    Split,
    Undecided,
}

const STAND_STEP: Duration = Duration::from_millis(15);
const LONGEST_STEP: Duration = Duration::from_secs(1);
const LEADER_TAKES: Duration = Duration::from_secs(1);
/// How long a leader that was just voted for is taken to be at work.
const LEADER_ACTS: Duration = Duration::from_secs(2);
const STAND_JITTER: Duration = Duration::from_millis(5);
const FIRST_RETRY: Duration = Duration::from_millis(15);
