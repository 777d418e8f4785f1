//! Who may lead a failover: one vote an epoch, and a majority of all sentinels.

use super::failover::Goal;
use super::{Failover, Group, Retry};
use crate::context::Context;
use crate::ids::PeerId;
use crate::mutation::{Mutation, active};
use crate::rng::hash;
use crate::{Epoch, Event, Level, SentinelId, Time, mix};
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
        if cx.config.observe || cx.storage.failure().is_some() && !active(Mutation::VoteWithoutDisk) {
            return (None, Epoch(0));
        }
        cx.adopt_epoch(epoch, &self.name, &self.config);
        if self.may_vote(epoch) {
            self.vote_for(candidate.clone(), epoch, cx);
            if *candidate != cx.myid {
                self.last_attempt = Some(cx.now);
                self.retry = None;
                if matches!(self.failover, Failover::Standing { .. }) {
                    self.enter(Failover::Idle, cx);
                }
                self.advance(cx);
            }
        }
        (self.leader.clone(), self.leader_epoch)
    }

    /// One vote an epoch, and none in an epoch that is over: below the last vote, or below the configuration that we
    /// have. The epoch that others have reached meanwhile for other groups does not matter.
    fn may_vote(&self, epoch: Epoch) -> bool {
        let unspent = match active(Mutation::StaleEpochAccepted) {
            true => epoch != self.leader_epoch && epoch > Epoch(0),
            false => epoch > self.leader_epoch && epoch > self.config_epoch,
        };
        unspent || (active(Mutation::VoteGivenTwice) && epoch > Epoch(0))
    }

    fn vote_for(&mut self, candidate: SentinelId, epoch: Epoch, cx: &mut Context) {
        self.event(Event::VoteForLeader, format!("{candidate} {epoch}"), cx);
        self.leader = Some(candidate);
        self.leader_epoch = epoch;
        if !active(Mutation::VoteNotSaved) {
            cx.storage.urgently();
        }
    }

    /// Whether a failover of ours may begin now.
    pub(super) fn may_stand(&self, cx: &Context) -> bool {
        let able = cx.storage.failure().is_none() && !cx.config.observe;
        self.odown.is_some() && able && cx.now >= self.next_attempt(cx)
    }

    /// Until when the last attempt blocks the next one.
    pub(super) fn next_attempt(&self, cx: &Context) -> Time {
        let Some(last) = self.last_attempt else { return Time::ZERO };
        let rested = last + self.config.failover_timeout * 2;
        if let Some(retry) = &self.retry {
            return retry.at.min(rested);
        }
        // Nobody needs to be waited for who is down himself.
        let leader = self.peers.iter().find(|(slot, _)| {
            self.leader.is_some() && cx.peers.get(slot).map(|peer| &peer.id) == self.leader.as_ref()
        });
        match leader {
            Some((_, opinion)) if opinion.sdown.is_some() => (last + self.election_timeout(cx)).min(rested),
            _ => rested,
        }
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
        let up = self.peers.iter().filter(|(_, opinion)| opinion.sdown.is_none());
        let before =
            up.filter_map(|(slot, _)| cx.peers.get(slot)).filter(|peer| place(&peer.id) < own).count();
        let step = self.vote_takes(cx).clamp(STAND_STEP, LONGEST_STEP);
        step * before as u32 + cx.rng.span(STAND_JITTER)
    }

    /// How long it takes to ask for a vote: two saves, the candidate's and the voter's, and the way there and back.
    fn vote_takes(&self, cx: &Context) -> Duration {
        let up = self.peers.iter().filter(|(_, opinion)| opinion.sdown.is_none());
        let way = up
            .filter_map(|(slot, _)| cx.peers.get(slot))
            .map(|peer| peer.alive.rtt)
            .max()
            .unwrap_or_default();
        cx.storage.latency * 3 + way * 3 / 2
    }

    /// Begins an election: a new epoch, and the own vote.
    pub(super) fn stand(&mut self, goal: Goal, cx: &mut Context) {
        let reused = active(Mutation::EpochReused) && cx.current_epoch > Epoch(0);
        let epoch = if reused { cx.current_epoch } else { cx.current_epoch.next() };
        if epoch == cx.current_epoch && !reused {
            cx.log(
                Level::Warning,
                format!("no epoch is left after {epoch}: no failover of {} can begin", self.name),
            );
            return self.enter(Failover::Idle, cx);
        }
        cx.current_epoch = epoch;
        self.last_attempt = Some(cx.now);
        if let Some(retry) = &mut self.retry {
            retry.at = Time::NEVER;
        }
        self.event(Event::NewEpoch, epoch.to_string(), cx);
        if goal != Goal::Reaffirm {
            self.event(Event::TryFailover, self.describe_master(cx), cx);
        }
        self.vote_for(cx.myid.clone(), epoch, cx);
        cx.storage.urgently();
        let saved = cx.storage.covering().expect("the epoch has just been marked to be written");
        self.enter(Failover::Election { epoch, saved, since: cx.now, goal }, cx);
    }

    /// Whether our own vote is on disk, so that it may count and others may be asked for theirs.
    pub(super) fn own_vote_is_safe(&self, cx: &Context) -> bool {
        match self.failover {
            Failover::Election { saved, .. } => {
                cx.storage.is_saved(saved) || active(Mutation::ElectionBeforeSave)
            }
            _ => true,
        }
    }

    /// The epoch of an election of ours.
    pub(crate) fn election_epoch(&self) -> Option<Epoch> {
        match self.failover {
            Failover::Election { epoch, .. } => Some(epoch),
            _ => None,
        }
    }

    /// Our own vote has just reached the disk, or could not be written.
    pub(crate) fn on_saved(&mut self, cx: &mut Context) {
        if let Failover::Election { epoch, .. } = self.failover {
            if cx.storage.failure().is_some() {
                cx.log(
                    Level::Warning,
                    format!("epoch {epoch} cannot be written: this sentinel will not lead"),
                );
                self.abort(Event::AbortNotElected, cx);
                self.retry_soon(cx);
            } else if self.own_vote_is_safe(cx) {
                self.asking.next = cx.now;
                self.ask(cx);
            }
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
        let mut votes = BTreeMap::from([(&cx.myid, 1)]);
        let mut open = 0;
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

    /// Nobody can win any more: another election, soon, but not at the same time as the others'.
    pub(super) fn retry_soon(&mut self, cx: &mut Context) {
        let first = self.vote_takes(cx).clamp(FIRST_RETRY, LONGEST_STEP);
        self.retry_after(first, cx);
    }

    /// Too few could be asked: they may come back, and nobody else has been elected meanwhile.
    pub(super) fn retry_later(&mut self, cx: &mut Context) {
        self.retry_after(self.election_timeout(cx), cx);
    }

    fn retry_after(&mut self, first: Duration, cx: &mut Context) {
        let tries = self.retry.as_ref().map_or(0, |retry| retry.tries) + 1;
        let longest = (self.config.failover_timeout * 2).max(first);
        let wait = (first * 2_u32.pow(tries.min(10))).min(longest);
        self.retry = Some(Retry { at: cx.now + wait / 2 + cx.rng.span(wait / 2), tries });
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
const LONGEST_STEP: Duration = Duration::from_millis(150);
const STAND_JITTER: Duration = Duration::from_millis(5);
const FIRST_RETRY: Duration = Duration::from_millis(15);
