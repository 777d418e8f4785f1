//! Elections: begun for a reason, won by votes, by one sentinel an epoch.

use super::{Invariant, Seat};
use crate::world::World;
use consentinel_core::{Epoch, SentinelId};
use std::time::Duration;

/// How old an opinion may be: five ask periods, and the way that the answer took.
const OPINION_LASTS: Duration = Duration::from_millis(5500);

impl World {
    /// `+vote-for-leader <id> <epoch>`
    pub(super) fn hear_vote(&mut self, seat: Seat, payload: &str) {
        let Some((id, epoch)) = payload.split_once(' ') else { return };
        let Ok(epoch) = epoch.parse().map(Epoch) else { return };
        if SentinelId::new(id) == self.sentinels[usize::from(seat.0)].id {
            self.witness.candidacy.insert(seat, epoch);
            self.witness.candidacies.insert((seat, epoch));
        }
    }

    /// `+try-failover`
    pub(super) fn hear_attempt(&mut self, seat: Seat) {
        self.stats.attempts += 1;
        let name = self.sentinel_name(seat.0).to_owned();
        if !self.is_ours(seat.0) || self.witness.forced.contains(&seat) {
            return;
        }
        if self.must_be_idle(seat.0) {
            self.violated(Invariant::IdleInTilt, format!("{name} begins a failover while it is in TILT"));
        }
        let host = &self.sentinels[usize::from(seat.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(seat.1)].name) else { return };
        let clock = host.clock_at(self.now);
        let peers = self.sentinels.iter().filter(|peer| {
            let opinion = self.witness.opinions.get(&(seat, peer.node));
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
    pub(super) fn hear_election(&mut self, seat: Seat) {
        self.stats.elections += 1;
        let name = self.sentinel_name(seat.0).to_owned();
        let Some(epoch) = self.witness.candidacy.get(&seat).copied() else {
            return self
                .violated(Invariant::Elected, format!("{name} leads without having stood for election"));
        };
        self.witness.leading.insert(seat, epoch);
        if self.witness.forced.contains(&seat) {
            self.witness.forced_epochs.insert((seat.1, epoch));
            return;
        }
        let first = *self.witness.leaders.entry((seat.1, epoch)).or_insert(seat.0);
        if first != seat.0 && !(self.is_ours(seat.0) && self.is_ours(first)) {
            // The original counts votes of a later epoch, given for another group's sake, for an earlier one.
            self.witness.confused.insert((seat.1, epoch));
        } else if first != seat.0 {
            let other = self.sentinel_name(first);
            self.violated(Invariant::OneLeader, format!("{name} leads in epoch {epoch}, as {other} does"));
        }
        if !self.is_ours(seat.0) {
            return;
        }
        let host = &self.sentinels[usize::from(seat.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(seat.1)].name) else { return };
        let votes = 1 + self.witness.granted.get(&(seat, epoch)).map_or(0, |peers| peers.len());
        let known = view.sentinels.len() + 1;
        let needed = (known / 2 + 1).max(view.config.quorum.0 as usize);
        if votes < needed {
            let what =
                format!("{name} leads in epoch {epoch} with {votes} votes; {needed} of {known} are needed");
            self.violated(Invariant::Elected, what);
        }
    }
}
