//! From one sentinel's opinion to an agreement: `+odown`.

use super::opinion::OPINION_LASTS;
use super::{FailoverState, Group};
use crate::channel::Purpose;
use crate::context::Context;
use crate::ids::PeerId;
use crate::mutation::{Mutation, active};
use crate::{Command, Endpoint, Epoch, Event, Remark, SentinelId, Time};
use std::time::Duration;

/// Whether enough sentinels agree that the master is down, and when to ask them.
pub(super) struct Agreement {
    /// Since when they do.
    reached: Option<Time>,
    next: Time,
    gap: Duration,
}

impl Agreement {
    pub(super) fn new() -> Self {
        Agreement { reached: None, next: Time::NEVER, gap: Duration::ZERO }
    }

    /// Since when the master has been objectively down.
    pub(super) fn odown(&self) -> Option<Time> {
        self.reached
    }

    /// The others are to be asked from then on, often at first.
    pub(super) fn ask_from(&mut self, at: Time) {
        (self.next, self.gap) = (at, FIRST_GAP);
    }

    /// They are to be asked at once, and then as often as before.
    pub(super) fn ask_at_once(&mut self, now: Time) {
        self.next = now;
    }

    /// There is nothing to ask.
    pub(super) fn stop_asking(&mut self) {
        (self.next, self.gap) = (Time::NEVER, FIRST_GAP);
    }

    /// Another master: what was agreed was about the one before.
    pub(super) fn begin_anew(&mut self) {
        self.reached = None;
        self.next = Time::NEVER;
    }

    /// They have just been asked. As long as they do not agree they are asked again after twice the time.
    fn asked(&mut self, period: Duration, now: Time) {
        let gap = if self.reached.is_some() { period } else { self.gap.min(period) };
        (self.next, self.gap) = (now + gap, (gap * 2).min(period));
    }
}

impl Group {
    /// Since when the master has been objectively down.
    pub(super) fn odown(&self) -> Option<Time> {
        self.agreement.odown()
    }

    /// Takes sentinels that do not answer for down, and says so; it only matters to operators and to who stands first.
    pub(super) fn judge_peers(&mut self, cx: &mut Context) {
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            let Some(peer) = cx.peers.get(&slot) else { continue };
            let down = peer.alive.is_silent(self.config.down_after, cx.now);
            let Some(opinion) = self.peers.get_mut(&slot) else { continue };
            if down == opinion.sdown.is_some() {
                continue;
            }
            opinion.sdown = down.then_some(cx.now);
            let event = if down { Event::Sdown } else { Event::SdownOver };
            self.event(event, self.describe_peer(slot, cx), cx);
        }
    }

    pub(super) fn peers_deadline(&self, cx: &Context) -> Time {
        let verdict = |(slot, opinion): (&PeerId, &super::Opinion)| {
            let peer = cx.peers.get(slot)?;
            // A short silence is no suspicion: the peer itself tells its groups when it has become one.
            let since = peer.alive.silent_since().filter(|_| peer.suspect && opinion.sdown.is_none())?;
            Some(since + self.config.down_after)
        };
        self.peers.iter().filter_map(verdict).min().unwrap_or(Time::NEVER)
    }

    /// Counts who takes the master for down, and asks those who have not said so lately.
    pub(super) fn agree(&mut self, cx: &mut Context) {
        let agreed = self.master().sdown.is_some()
            && (self.count_down(cx) >= self.config.quorum.0 as usize || active(Mutation::OdownByOwnOpinion));
        if agreed && self.odown().is_none() {
            self.agreement.reached = Some(cx.now);
            let (count, quorum) = (self.count_down(cx), self.config.quorum);
            self.event(Event::Odown, self.describe_master(cx).with(Remark::Agreement(count, quorum)), cx);
        } else if !agreed && self.agreement.reached.take().is_some() {
            self.event(Event::OdownOver, self.describe_master(cx), cx);
        }
        if self.master().sdown.is_some() && cx.now >= self.agreement.next {
            self.ask(cx);
        }
    }

    /// The sentinels that take the master for down, this one included, unless it only looks on.
    pub(super) fn count_down(&self, cx: &Context) -> usize {
        usize::from(!cx.config.observe) + self.peers.values().filter(|opinion| opinion.says_down(cx)).count()
    }

    pub(super) fn agreement_deadline(&self, cx: &Context) -> Time {
        if self.master().sdown.is_none() {
            return Time::NEVER;
        }
        let forgotten = cx.config.timing.ask_period * OPINION_LASTS;
        let opinions = self.peers.values().filter_map(|opinion| opinion.down);
        let expiry = opinions.map(|at| at + forgotten).filter(|at| *at > cx.now).min();
        match self.odown() {
            Some(_) => self.agreement.next.min(expiry.unwrap_or(Time::NEVER)),
            None => self.agreement.next,
        }
    }

    /// Asks every peer that owes no answer: is it down for you too? In an election also: will you vote for us?
    pub(super) fn ask(&mut self, cx: &mut Context) {
        let election = match self.failover.state() {
            FailoverState::Election { epoch, .. } => Some(epoch),
            _ => None,
        };
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            let decided =
                election.is_some_and(|epoch| self.vote_of(slot).is_some_and(|(_, of)| *of >= epoch));
            let vote = election.filter(|_| !decided);
            self.ask_peer(slot, vote, cx);
        }
        self.agreement.asked(cx.config.timing.ask_period, cx.now);
    }

    /// A peer can be asked again: in an election its vote is not waited for any longer than needed.
    pub(crate) fn ask_for_missing_vote(&mut self, slot: PeerId, cx: &mut Context) {
        if let FailoverState::Election { epoch, .. } = self.failover.state()
            && self.vote_of(slot).is_none_or(|(_, of)| *of < epoch)
        {
            self.ask_peer(slot, Some(epoch), cx);
        }
    }

    fn ask_peer(&self, slot: PeerId, election: Option<Epoch>, cx: &mut Context) {
        let master = cx.shown_ip(&self.master().addr);
        let epoch = election.unwrap_or(cx.save_gate.saved_epoch);
        let candidate = election.map(|_| cx.myid.clone());
        let purpose = Purpose::Ask { group: self.id, config_epoch: self.config_epoch(), election };
        cx.with_peer(slot, |peer, cx| {
            if !peer.channel.awaits(|waiting| *waiting == purpose) {
                peer.channel.call(Command::IsMasterDown { master, epoch, candidate }, purpose, cx);
            }
        });
    }

    /// A peer has answered.
    pub(crate) fn on_answer(
        &mut self,
        slot: PeerId,
        asked: Epoch,
        election: Option<Epoch>,
        answer: PeerAnswer,
        cx: &mut Context,
    ) {
        // The answer is about the master of that configuration; if there is a newer one it says nothing.
        if asked != self.config_epoch() && !active(Mutation::OpinionsOutliveTheMaster) {
            return;
        }
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        opinion.down = answer.down.then_some(cx.now);
        if election.is_some() {
            opinion.vote_took = cx.now - self.ballot.stood();
        }
        if answer.leader.is_none() || election > Some(answer.epoch) {
            opinion.refused = election.or(opinion.refused);
        }
        if let Some(leader) = answer.leader {
            opinion.vote = Some((leader, answer.epoch));
            cx.adopt_epoch(answer.epoch, &self.name, &self.config);
        }
        self.advance(cx);
    }

    /// What this sentinel answers when it is asked whether the master at that address is down.
    pub(crate) fn is_down_for_peers(&self, cx: &Context) -> bool {
        cx.tilt.is_none() && self.master().sdown.is_some() && !cx.config.observe
    }

    pub(crate) fn is_mastered_by(&self, addr: &Endpoint, cx: &Context) -> bool {
        self.is_master_at(addr, cx)
    }
}

/// A peer's answer to SENTINEL is-master-down-by-addr.
pub(crate) struct PeerAnswer {
    pub(crate) down: bool,
    pub(crate) leader: Option<SentinelId>,
    pub(crate) epoch: Epoch,
}

/// The first question after `+sdown` goes out at once; those who have not noticed yet are asked again after this
/// long, then after twice as long, up to the ask period.
const FIRST_GAP: Duration = Duration::from_millis(5);
