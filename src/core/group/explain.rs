//! Why there is no failover, or what would happen now. Nothing here changes anything; what decides is asked, not told
//! again.

use super::{FailoverState, Group};
use crate::context::Context;
use crate::{Candidate, Doubt, Explanation, Obstacle, Opinion, Suitability, Suspicion, Time, Voter};

impl Group {
    pub(crate) fn explain(&self, cx: &Context) -> Explanation {
        let voters = self.voters(cx);
        let candidates = self.explain_candidates(cx);
        let reachable = voters.iter().filter(|voter| is_asked(voter)).count();
        let ago = |since: Time| cx.now - since;
        let chosen = self.select_replica(cx).filter(|_| cx.config.registry.on);
        Explanation {
            name: self.name.clone(),
            master: self.address(cx),
            obstacles: self.obstacles(reachable, &candidates, cx),
            suspicion: self.suspicion(cx),
            sdown: self.master().sdown.map(ago),
            odown: self.odown().map(ago),
            say_down: self.explained_count(cx),
            quorum: self.config.quorum,
            reachable,
            votes_needed: self.votes_needed(),
            voters,
            candidates,
            failover: (self.failover.state().phase(), ago(self.failover.since())),
            last_attempt: self.ballot.last_attempt().map(ago),
            last_vote: self.ballot.leader().cloned().map(|leader| (leader, self.ballot.leader_epoch())),
            epoch: self.config_epoch(),
            entries_after: chosen.map(|id| self.desired_after(id, cx)).unwrap_or_default(),
        }
    }

    /// How many take the master for down. As long as this sentinel does not, there is no agreement to count.
    fn explained_count(&self, cx: &Context) -> usize {
        let others = self.count_down(cx);
        if self.master().sdown.is_some() { others } else { others - usize::from(!cx.config.observe) }
    }

    fn obstacles(&self, reachable: usize, candidates: &[Candidate], cx: &Context) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        if self.failover.state().is_active() {
            return obstacles;
        }
        if cx.config.observe {
            obstacles.push(Obstacle::Observes);
        }
        if let Some(since) = cx.tilt {
            obstacles.push(Obstacle::Tilt(since + cx.config.timing.tilt_period - cx.now));
        }
        if let Some(error) = cx.save_gate.failure() {
            obstacles.push(Obstacle::Disk(error.to_owned()));
        }
        match self.odown() {
            Some(_) => {}
            None if self.master().sdown.is_none() => obstacles.push(Obstacle::MasterAnswers),
            None => obstacles.push(Obstacle::Quorum),
        }
        let next = self.next_attempt(cx);
        if next > cx.now && !matches!(self.failover.state(), FailoverState::WaitStart { .. }) {
            obstacles.push(Obstacle::Blocked(next - cx.now));
        }
        if reachable < self.votes_needed() {
            obstacles.push(Obstacle::Votes);
        }
        if !candidates.iter().any(|candidate| candidate.suitability == Suitability::Chosen) {
            obstacles.push(Obstacle::NoCandidate);
        }
        obstacles
    }

    fn suspicion(&self, cx: &Context) -> Option<Suspicion> {
        let (doubt, since, then) = self.master().doubt(&self.duty(self.nodes.master_id(), cx), cx)?;
        let (for_long, enough_in) = (cx.now - since, then - cx.now);
        // A ping that is on its way is no silence.
        let in_passing =
            doubt == Doubt::Silent && self.master().sdown.is_none() && self.master().command.is_open();
        let short = for_long < cx.config.timing.ping_period.min(self.config.down_after / 2);
        (!(in_passing && short)).then_some(Suspicion { doubt, for_long, enough_in })
    }

    fn voters(&self, cx: &Context) -> Vec<Voter> {
        let own = match (cx.config.observe, self.is_down_for_peers(cx)) {
            (true, _) => Opinion::None,
            (false, true) => Opinion::Down,
            (false, false) => Opinion::NotDown,
        };
        let me = Voter { id: cx.myid.clone(), addr: None, opinion: own, unreachable: None };
        let mut others: Vec<Voter> = self
            .peers
            .iter()
            .filter_map(|(slot, opinion)| {
                let peer = cx.peers.get(slot)?;
                let silent = cx.now - peer.alive.last_reply;
                Some(Voter {
                    id: peer.id.clone(),
                    addr: Some(peer.addr.clone()),
                    opinion: if opinion.says_down(cx) { Opinion::Down } else { Opinion::NotDown },
                    unreachable: (!self.is_reachable(*slot, cx)).then_some(silent),
                })
            })
            .collect();
        others.sort_by(|a, b| a.id.cmp(&b.id));
        others.insert(0, me);
        others
    }

    fn explain_candidates(&self, cx: &Context) -> Vec<Candidate> {
        let suitabilities = self.suitabilities(cx).into_iter();
        let explained = suitabilities.filter_map(|(id, suitability)| {
            let node = self.nodes.get(id)?;
            let info = node.info();
            Some(Candidate {
                addr: cx.shown(&node.addr),
                suitability,
                priority: info.map_or(0, |info| info.priority),
                offset: info.map(|info| info.repl_offset).unwrap_or_default(),
            })
        });
        explained.collect()
    }
}

fn is_asked(voter: &Voter) -> bool {
    voter.unreachable.is_none() && voter.opinion != Opinion::None
}
