//! Votes: given, counted, asked for.

use super::instance::Group;
use super::world::World;
use consentinel_core::{Epoch, Event, Level, Response, SentinelId};
use std::collections::BTreeMap;

impl Group {
    /// Gives the vote of an epoch to whoever asks first. Says whom it has, and in which epoch.
    pub(super) fn vote(
        &mut self,
        epoch: Epoch,
        candidate: &SentinelId,
        world: &mut World,
    ) -> (Option<SentinelId>, Epoch) {
        if epoch > world.current_epoch {
            world.current_epoch = epoch;
            world.dirty = true;
            world.event(Level::Warning, Event::NewEpoch, epoch.to_string(), Some(&self.name));
        }
        if self.leader_epoch < epoch && world.current_epoch <= epoch {
            self.leader = Some(candidate.clone());
            self.leader_epoch = world.current_epoch;
            world.dirty = true;
            let payload = format!("{candidate} {}", self.leader_epoch);
            world.event(Level::Warning, Event::VoteForLeader, payload, Some(&self.name));
            if *candidate != world.myid {
                // Whoever got the vote is given time: no attempt of our own before that has passed.
                self.failover_start = world.now + world.desync();
            }
        }
        (self.leader.clone(), self.leader_epoch)
    }

    /// Whom the sentinels chose in an epoch, if anybody has enough votes.
    pub(super) fn leader_of(&mut self, epoch: Epoch, world: &mut World) -> Option<SentinelId> {
        let mut votes: BTreeMap<SentinelId, usize> = BTreeMap::new();
        for peer in self.peers.values().filter(|peer| peer.leader_epoch == world.current_epoch) {
            if let Some(leader) = &peer.leader {
                *votes.entry(leader.clone()).or_default() += 1;
            }
        }
        let first = most_voted(&votes).map_or_else(|| world.myid.clone(), |(leader, _)| leader);
        let (mine, mine_epoch) = self.vote(epoch, &first, world);
        if let Some(mine) = mine.filter(|_| mine_epoch == epoch) {
            *votes.entry(mine).or_default() += 1;
        }
        let voters = self.peers.len() + 1;
        let majority = voters / 2 + 1;
        let quorum = self.config.quorum.0 as usize;
        most_voted(&votes)
            .filter(|(_, count)| *count >= majority && *count >= quorum)
            .map(|(leader, _)| leader)
    }

    /// Answers a peer's question about the master that it knows under this address.
    pub(super) fn answer(
        &mut self,
        epoch: Epoch,
        candidate: Option<&SentinelId>,
        world: &mut World,
    ) -> Response {
        let down = world.tilt.is_none() && self.master.down.is_down;
        match candidate {
            Some(candidate) => {
                let (leader, epoch) = self.vote(epoch, candidate, world);
                Response::Down { down, leader, epoch }
            }
            None => Response::Down { down, leader: None, epoch: Epoch(0) },
        }
    }

    /// Takes in a peer's answer.
    pub(super) fn handle_answer(
        &mut self,
        id: &SentinelId,
        down: bool,
        vote: Option<(SentinelId, Epoch)>,
        world: &World,
    ) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        peer.last_answer = world.now;
        peer.says_down = down;
        if let Some((leader, epoch)) = vote {
            (peer.leader, peer.leader_epoch) = (Some(leader), epoch);
        }
    }
}

fn most_voted(votes: &BTreeMap<SentinelId, usize>) -> Option<(SentinelId, usize)> {
    // The first of several with as many votes, as the original's loop keeps it.
    votes.iter().rev().max_by_key(|(_, count)| **count).map(|(leader, count)| (leader.clone(), *count))
}
