//! Elections: begun for a reason, won by votes, by one sentinel an epoch.

use super::{GroupAt, Invariant};
use crate::network::Path;
use crate::world::World;
use consentinel_core::{Epoch, PeerView, SentinelId};
use std::time::Duration;

/// How old an opinion may be: five ask periods, and the way that the answer took.
const OPINION_LASTS: Duration = Duration::from_millis(5500);

impl World {
    /// `+vote-for-leader <id> <epoch>`
    pub(super) fn hear_vote(&mut self, at: GroupAt, payload: &str) {
        let Some((id, epoch)) = payload.split_once(' ') else { return };
        let Ok(epoch) = epoch.parse().map(Epoch) else { return };
        if SentinelId::new(id) == self.sentinels[usize::from(at.0)].id {
            self.witness.candidacy.insert(at, epoch);
            self.witness.candidacies.insert((at, epoch));
            let view = self.sentinels[usize::from(at.0)].brain.group(&self.groups[usize::from(at.1)].name);
            let known = view.map_or(0, |view| view.sentinels.len()) + 1;
            self.witness.counted.insert((at, epoch), known);
        }
    }

    /// `+try-failover`
    pub(super) fn hear_attempt(&mut self, at: GroupAt) {
        self.stats.attempts += 1;
        let name = self.sentinel_name(at.0).to_owned();
        if !self.is_ours(at.0) || self.witness.forced.contains(&at) {
            return;
        }
        if self.must_be_idle(at.0) {
            self.violated(Invariant::IdleInTilt, format!("{name} begins a failover while it is in TILT"));
        }
        let host = &self.sentinels[usize::from(at.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(at.1)].name) else { return };
        let clock = host.clock_at(self.now);
        let peers = self.sentinels.iter().filter(|peer| {
            let opinion = self.witness.opinions.get(&(at, peer.node));
            opinion.is_some_and(|(at, down)| *down && clock - *at <= OPINION_LASTS)
        });
        let agree = usize::from(view.master.link.sdown.is_some()) + peers.count();
        if agree < view.config.quorum.0 as usize {
            let quorum = view.config.quorum;
            let what =
                format!("{name} begins a failover that {agree} sentinels agree to; the quorum is {quorum}");
            self.violated(Invariant::ReallyDown, what);
        }
    }

    /// `+elected-leader`
    pub(super) fn hear_election(&mut self, at: GroupAt) {
        self.stats.elections += 1;
        let name = self.sentinel_name(at.0).to_owned();
        let Some(epoch) = self.witness.candidacy.get(&at).copied() else {
            return self
                .violated(Invariant::Elected, format!("{name} leads without having stood for election"));
        };
        self.witness.leading.insert(at, epoch);
        let forced = self.witness.forced.contains(&at);
        if forced {
            self.witness.forced_epochs.insert((at.1, epoch));
            // With nobody to ask it goes alone, and nobody can keep others from leading in the same epoch.
            if !self.can_ask_a_majority(at) {
                return;
            }
        }
        if self.knows_nobody(at) {
            return;
        }
        let first = *self.witness.leaders.entry((at.1, epoch)).or_insert(at.0);
        if first != at.0 && !(self.is_ours(at.0) && self.is_ours(first)) {
            // The original counts votes of a later epoch, given for another group's sake, for an earlier one.
            self.witness.confused.insert((at.1, epoch));
        } else if first != at.0 {
            let other = self.sentinel_name(first);
            self.violated(Invariant::OneLeader, format!("{name} leads in epoch {epoch}, as {other} does"));
        }
        if forced || !self.is_ours(at.0) {
            return;
        }
        let host = &self.sentinels[usize::from(at.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(at.1)].name) else { return };
        let granted = self.witness.granted.get(&(at, epoch)).map_or(0, |peers| peers.len());
        let known = view.sentinels.len() + 1;
        self.witness.counted.insert((at, epoch), known);
        let needed = (known / 2 + 1).max(view.config.quorum.0 as usize);
        // Its own vote counts when it is on disk.
        if granted < needed {
            let own = self.sentinels[usize::from(at.0)].id.clone();
            self.check_vote(at, &own, epoch);
        }
        let votes = 1 + granted;
        if votes < needed {
            let what =
                format!("{name} leads in epoch {epoch} with {votes} votes; {needed} of {known} are needed");
            self.violated(Invariant::Elected, what);
        }
    }

    /// How often a leader was elected for a group.
    pub(crate) fn elections_of(&self, group: u16) -> usize {
        self.witness.leaders.keys().filter(|(of, _)| *of == group).count()
    }

    /// Whether a sentinel knows of no other, though there are some: a fresh one whose only master is dead. It leads itself,
    /// and knows of no replica to promote.
    fn knows_nobody(&self, at: GroupAt) -> bool {
        let view = self.sentinels[usize::from(at.0)].brain.group(&self.groups[usize::from(at.1)].name);
        let alone = view.is_some_and(|view| view.sentinels.is_empty() && view.replicas.is_empty());
        alone && self.sentinels.len() > 1
    }

    /// Whether a majority can answer a sentinel, itself included. What it has not noticed yet does not matter: an order
    /// that nobody answers is carried out alone.
    fn can_ask_a_majority(&self, at: GroupAt) -> bool {
        let host = &self.sentinels[usize::from(at.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(at.1)].name) else { return false };
        let answers = |peer: &&PeerView| {
            let Some(node) = self.addresses.by_id(&peer.id) else { return false };
            let process = &self.processes[node.index()];
            let paths = [self.net.path(host.node, node), self.net.path(node, host.node)];
            peer.link.up && process.running() && !process.paused && paths == [Path::Open; 2]
        };
        (view.sentinels.iter().filter(answers).count() + 1) * 2 > view.sentinels.len() + 1
    }
}
