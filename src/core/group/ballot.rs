//! The votes of this sentinel, one an epoch, and when a failover was last attempted.

use crate::mutation::{Mutation, active};
use crate::{Epoch, SentinelId, Time};
use std::time::Duration;

/// The votes of this sentinel in one group, and the attempts that came of them.
pub(super) struct Ballot {
    leader: Option<SentinelId>,
    leader_epoch: Epoch,
    /// Up to that epoch an earlier identity of this sentinel may have voted.
    spent: Epoch,
    stood: Time,
    last_attempt: Option<Time>,
    /// For how many leaders this sentinel has voted since the master went down.
    fruitless: u32,
    retry: Option<Retry>,
}

/// An attempt of ours that is known to have come to nothing: another one may follow sooner.
#[derive(Clone, Copy)]
struct Retry {
    at: Time,
    tries: u32,
}

impl Ballot {
    /// The votes of a group whose last vote was in that epoch.
    pub(super) fn new(saved: Epoch, now: Time) -> Self {
        let leader_epoch = if active(Mutation::VoteForgottenByRestart) { Epoch(0) } else { saved };
        let (leader, last_attempt, retry) = (None, None, None);
        Ballot { leader, leader_epoch, spent: Epoch(0), stood: now, last_attempt, fruitless: 0, retry }
    }

    /// Whom this sentinel last voted for; `None` after a restart.
    pub(super) fn leader(&self) -> Option<&SentinelId> {
        self.leader.as_ref()
    }

    /// In which epoch it did.
    pub(super) fn leader_epoch(&self) -> Epoch {
        self.leader_epoch
    }

    /// When this sentinel last stood for election.
    pub(super) fn stood(&self) -> Time {
        self.stood
    }

    /// When a failover was last attempted, by us or by a sentinel that has our vote.
    pub(super) fn last_attempt(&self) -> Option<Time> {
        self.last_attempt
    }

    /// When another attempt of ours may follow one that is known to have come to nothing.
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry.map(|retry| retry.at)
    }

    /// How many attempts in a row have come to nothing.
    pub(super) fn tries(&self) -> u32 {
        self.retry.map_or(0, |retry| retry.tries)
    }

    /// Whether there is a vote left for that epoch: one an epoch, and none in an epoch that is over, which is one below the
    /// last vote, or below the configuration that we have.
    pub(super) fn has_vote_for(&self, epoch: Epoch, config_epoch: Epoch) -> bool {
        match active(Mutation::StaleEpochAccepted) {
            true => epoch != self.leader_epoch && epoch > Epoch(0),
            false => epoch > self.leader_epoch && epoch > config_epoch && epoch > self.spent,
        }
    }

    /// Gives the vote of that epoch. The caller marks it to be saved.
    pub(super) fn cast(&mut self, candidate: SentinelId, epoch: Epoch) {
        self.leader = Some(candidate);
        self.leader_epoch = epoch;
    }

    /// An earlier identity of this sentinel may have voted up to that epoch.
    pub(super) fn spend_up_to(&mut self, epoch: Epoch) {
        self.spent = self.spent.max(epoch);
    }

    /// This sentinel stands for election.
    pub(super) fn attempt(&mut self, now: Time) {
        self.stood = now;
        self.last_attempt = Some(now);
        if let Some(retry) = &mut self.retry {
            retry.at = Time::NEVER;
        }
    }

    /// Another sentinel has got our vote, and is to be given time.
    pub(super) fn leave_to_another(&mut self, now: Time) {
        self.last_attempt = Some(now);
        self.retry = None;
        self.fruitless += 1;
    }

    /// Another attempt may follow from then on.
    pub(super) fn retry_from(&mut self, at: Time, tries: u32) {
        self.retry = Some(Retry { at, tries });
    }

    /// This sentinel is elected.
    pub(super) fn win(&mut self) {
        self.retry = None;
    }

    /// The master is another one, or is confirmed: attempts of before say nothing of the next one.
    pub(super) fn forget_attempts(&mut self) {
        self.last_attempt = None;
        self.retry = None;
    }

    /// The master went down, or came back: leaders of before say nothing of this time.
    pub(super) fn forget_leaders(&mut self) {
        self.fruitless = 0;
    }

    /// How long the next leader may take: each one that came to nothing gives it more time.
    pub(super) fn patience(&self, once: Duration) -> Duration {
        once * 2_u32.pow(self.fruitless.saturating_sub(1).min(10))
    }
}
