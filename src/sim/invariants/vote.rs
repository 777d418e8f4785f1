//! Votes: one an epoch, and on disk before they are said.

use super::{GroupAt, Invariant};
use crate::network::NodeId;
use crate::world::World;
use consentinel_core::{Epoch, SentinelId};

impl World {
    /// A sentinel asks a peer. A candidate asks while its own vote is being written: that vote counts later, if at all.
    pub(super) fn check_question(&mut self, sentinel: u16, epoch: Epoch, candidate: Option<&SentinelId>) {
        if candidate.is_none() {
            self.check_current_epoch(sentinel, epoch, "asks a peer");
        }
    }

    /// A sentinel answers a peer.
    pub(super) fn check_answer(
        &mut self,
        at: GroupAt,
        down: bool,
        leader: Option<&SentinelId>,
        epoch: Epoch,
    ) {
        if down && self.must_be_idle(at.0) {
            let what = format!("{} says that a master is down while it is in TILT", self.sentinel_name(at.0));
            self.violated(Invariant::IdleInTilt, what);
        }
        if let Some(leader) = leader {
            self.stats.votes += 1;
            let (addresses, story) = (&self.addresses, &mut self.story);
            let name = addresses.name(self.sentinels[usize::from(at.0)].node);
            story.tell(self.now, || {
                format!("{name} answers: its vote in epoch {epoch} is for {}", addresses.call_id(leader))
            });
            self.check_vote(at, leader, epoch);
        }
    }

    pub(super) fn check_vote(&mut self, at: GroupAt, candidate: &SentinelId, epoch: Epoch) {
        if !self.is_ours(at.0) {
            return;
        }
        let before = self.witness.votes.entry((at, epoch)).or_insert_with(|| candidate.clone()).clone();
        let name = self.sentinel_name(at.0).to_owned();
        if before != *candidate {
            let (a, b) = (self.addresses.call_id(&before), self.addresses.call_id(candidate));
            self.violated(Invariant::OneVote, format!("{name} votes for {b} in epoch {epoch}, after {a}"));
        }
        let group = &self.groups[usize::from(at.1)].name;
        let disk = self.sentinels[usize::from(at.0)].disk.stored();
        let saved = disk.groups.get(group).map_or(Epoch(0), |group| group.leader_epoch);
        if saved < epoch {
            let what = format!("{name} tells its vote in epoch {epoch}; its disk knows of epoch {saved}");
            self.violated(Invariant::SavedBeforeSaid, what);
        }
        self.check_current_epoch(at.0, epoch, "votes");
    }

    pub(super) fn check_current_epoch(&mut self, sentinel: u16, epoch: Epoch, what: &str) {
        if !self.is_ours(sentinel) {
            return;
        }
        let saved = self.sentinels[usize::from(sentinel)].disk.stored().current_epoch;
        if saved < epoch {
            let name = self.sentinel_name(sentinel);
            let what = format!("{name} {what} in epoch {epoch}; its disk knows of epoch {saved}");
            self.violated(Invariant::SavedBeforeSaid, what);
        }
    }

    /// A peer's answer reaches a sentinel.
    pub(super) fn note_answer(
        &mut self,
        at: GroupAt,
        peer: NodeId,
        down: bool,
        leader: Option<&SentinelId>,
        epoch: Epoch,
    ) {
        let clock = self.sentinels[usize::from(at.0)].clock_at(self.now);
        self.witness.opinions.insert((at, peer), (clock, down));
        if leader == Some(&self.sentinels[usize::from(at.0)].id) {
            self.witness.granted.entry((at, epoch)).or_default().insert(peer);
        }
    }
}
