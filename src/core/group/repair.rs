//! Servers that strayed: a master that returns after it was replaced, a replica that follows somebody else.
//!
//! A server is turned only when it is certain that no failover behind our back made it what it is. Whoever is promoted
//! after an election got votes from a majority in an epoch above that of our configuration. When a majority, this
//! sentinel included, still has our master and has not voted in such an epoch, there was none: a *survey* asks for
//! that. When it cannot be shown (somebody was elected, and then vanished), an election that makes no new master but
//! gives the present one a new epoch settles it.

use super::failover_state::Goal;
use super::{FailoverState, Group};
use crate::channel::Purpose;
use crate::context::Context;
use crate::ids::{NodeId, PeerId};
use crate::mutation::{Mutation, active};
use crate::{Command, Epoch, Event, Level, Role, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// Asking the peers for their last vote.
pub(crate) struct Survey {
    begun: Time,
    confirmed: BTreeSet<PeerId>,
    /// When a majority had confirmed that our configuration is the newest.
    conclusive: Option<Time>,
}

/// What a node that strayed needs.
struct Need {
    event: Event,
    /// It has been astray for as long as the original waits.
    long: bool,
}

impl Group {
    /// Looks whether a node that has just told about itself is where it should be.
    pub(super) fn repair(&mut self, id: NodeId, cx: &mut Context) {
        let Some(need) = self.need_of(id, cx).filter(|_| !cx.config.observe) else { return };
        let ousted = self.nodes.get(id).is_some_and(|node| node.ousted);
        // The leader of the failover that replaced it needs to ask nobody: this epoch is his.
        // After a while others may have settled it otherwise, in an epoch that did not reach us.
        let lately = cx.now < self.failover.since() + cx.config.timing.publish_period * STRAY_PERIODS;
        let ours = ousted && self.failover.state().turns_replicas() && lately;
        // It is good for a moment only: whoever said that he has not voted may vote now.
        let settled = self.survey.as_ref().and_then(|survey| survey.conclusive);
        let certain = settled.is_some_and(|at| cx.now <= at + CERTAIN)
            && self.ballot.leader_epoch() <= self.config_epoch();
        let asking = self.survey.is_some() && settled.is_none();
        if ours || certain || active(Mutation::DemotionWithoutSurvey) {
            self.turn_to_master(id, need.event, cx);
        } else if !asking && self.is_calm() {
            self.begin_survey(cx);
        }
    }

    fn need_of(&self, id: NodeId, cx: &Context) -> Option<Need> {
        let node = self.nodes.get(id)?;
        let told = node.turned_to.as_ref().is_some_and(|to| self.is_master_at(to, cx));
        let turned_lately = told && node.turned.is_some_and(|at| cx.now < at + TURN_AGAIN);
        if self.is_master_itself(id, cx) {
            // No server is told to follow itself.
            return None;
        }
        if self.held.is_some_and(|hold| hold.node == id) {
            // It holds writes back until all tell the switch, and is turned then.
            return None;
        }
        if node.left_to_leader.is_some_and(|until| cx.now < until) && !self.leader_is_gone(cx) {
            // The leader demotes it when all tell the switch; turning it now would cut its clients off before that.
            return None;
        }
        if node.info().is_some_and(|info| info.loading) {
            // It refuses everything until it has read its data.
            return None;
        }
        if id == self.nodes.master_id()
            || !node.is_usable()
            || turned_lately
            || self.failover.state().promotes(id)
            || !self.master_looks_sane(cx)
        {
            return None;
        }
        match node.role {
            Role::Master => self.need_of_master(id, cx),
            Role::Replica => self.need_of_replica(id, cx),
        }
    }

    fn need_of_master(&self, id: NodeId, cx: &Context) -> Option<Need> {
        let node = self.nodes.get(id)?;
        let patience = cx.config.timing.publish_period * STRAY_PERIODS;
        let long = cx.now - node.role_since > patience && self.well_for(id, patience, cx);
        let needs = (node.ousted || long) && !active(Mutation::StrayMasterTolerated);
        needs.then_some(Need { event: Event::ConvertToReplica, long })
    }

    fn need_of_replica(&self, id: NodeId, cx: &Context) -> Option<Need> {
        let node = self.nodes.get(id)?;
        let follows = node.info()?.master.as_ref()?;
        let patience = self.config.failover_timeout;
        let astray = !self.is_master_at(follows, cx) && !self.failover.state().turns_replicas();
        let long = cx.now - node.follows_since > patience && self.well_for(id, patience, cx);
        (astray && (long || node.ousted) && !active(Mutation::ReplicasNotTurned))
            .then_some(Need { event: Event::FixReplicaConfig, long })
    }

    pub(super) fn turn_to_master(&mut self, id: NodeId, event: Event, cx: &mut Context) {
        if self.is_master_itself(id, cx) {
            return;
        }
        let may_hold = self.nodes.get(id).is_some_and(|node| cx.now < node.may_hold_until);
        if may_hold || self.held.is_some_and(|hold| hold.node == id) {
            self.held = self.held.filter(|hold| hold.node != id);
            self.plan_cuts(id, cx);
        }
        let gently = self.cuts_later(id) && !active(Mutation::HeldWritesCut);
        let master = cx.shown(&self.master().addr);
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.may_hold_until = Time::ZERO;
        let sent = if gently { node.demote(master, cx) } else { node.turn(Some(master), false, cx) };
        if sent {
            self.event(event, self.describe(id, cx), cx);
            if event == Event::ConvertToReplica && !gently {
                self.release(id, cx);
            }
            self.advance_node_only(id, cx);
        }
    }

    /// The master answers, says that it is master, and has said so lately.
    pub(super) fn master_looks_sane(&self, cx: &Context) -> bool {
        let (master, timing) = (self.master(), &cx.config.timing);
        let answers = cx.now - master.alive.last_ok <= timing.ping_period * 2;
        let told = master.told_since(cx.now.earlier(timing.info_period * 2));
        master.role == Role::Master && master.is_usable() && answers && told && self.odown().is_none()
    }

    /// Neither it nor our link to it was down lately.
    fn well_for(&self, id: NodeId, long: Duration, cx: &Context) -> bool {
        let open_since = self.nodes.get(id).and_then(|node| node.command.open_since());
        open_since.is_some_and(|since| cx.now - since > long)
    }

    fn begin_survey(&mut self, cx: &mut Context) {
        self.survey = Some(Survey { begun: cx.now, confirmed: BTreeSet::new(), conclusive: None });
        let master = cx.shown_ip(&self.master().addr);
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            // Epoch zero can win no vote: whoever is asked only says whom he voted for last.
            let candidate = Some(cx.myid.clone());
            let command = Command::IsMasterDown { master: master.clone(), epoch: Epoch(0), candidate };
            let purpose = Purpose::Survey { group: self.id, config_epoch: self.config_epoch() };
            cx.with_peer(slot, |peer, cx| peer.channel.call(command, purpose, cx));
        }
        self.conclude_survey(cx);
    }

    /// A peer has said when it last voted. Zero says nothing: it may not know our master at all.
    pub(crate) fn on_survey_answer(&mut self, slot: PeerId, asked: Epoch, voted: Epoch, cx: &mut Context) {
        if asked != self.config_epoch() || voted == Epoch(0) || voted > self.config_epoch() {
            return;
        }
        if let Some(survey) = &mut self.survey {
            survey.confirmed.insert(slot);
            self.conclude_survey(cx);
            self.advance(cx);
        }
    }

    fn conclude_survey(&mut self, cx: &mut Context) {
        let majority = self.majority();
        let own = self.ballot.leader_epoch() <= self.config_epoch() && self.is_calm();
        let Some(survey) = &mut self.survey else { return };
        if own && survey.conclusive.is_none() && survey.confirmed.len() + 1 >= majority {
            survey.conclusive = Some(cx.now);
            self.repair_all(cx);
        }
    }

    /// Whether nothing of ours is under way that could make another master.
    fn is_calm(&self) -> bool {
        matches!(self.failover.state(), FailoverState::Idle | FailoverState::Reconfiguring { .. })
    }

    fn repair_all(&mut self, cx: &mut Context) {
        for id in self.nodes.replica_ids() {
            self.repair(id, cx);
        }
    }

    /// What a survey found is good for a moment. Where it found nothing, and somebody has been astray for long, only
    /// an election can tell.
    pub(super) fn drive_survey(&mut self, cx: &mut Context) {
        if cx.now < self.survey_deadline() {
            return;
        }
        let Some(survey) = self.survey.take() else { return };
        let astray = |id: &NodeId| self.need_of(*id, cx).is_some_and(|need| need.long);
        if survey.conclusive.is_none() && self.may_reaffirm(cx) && self.nodes.replica_ids().iter().any(astray)
        {
            self.hold(Goal::Reaffirm, cx);
        }
    }

    pub(super) fn survey_deadline(&self) -> Time {
        self.survey.as_ref().map_or(Time::NEVER, |survey| survey.begun + SURVEY_LASTS)
    }

    pub(super) fn may_reaffirm(&self, cx: &Context) -> bool {
        let able = cx.save_gate.failure().is_none() && !cx.config.observe;
        able && cx.now >= self.next_attempt(cx) && self.master_looks_sane(cx)
    }

    /// A majority has granted the present master a new epoch: nobody else can be master by an older one.
    pub(super) fn reaffirmed(&mut self, epoch: Epoch, cx: &mut Context) {
        let text = format!("{} stays the master of {}, now by epoch {epoch}", self.master().addr, self.name);
        cx.log(Level::Notice, text);
        self.configuration.set_epoch(epoch);
        self.ballot.forget_attempts();
        self.enter(FailoverState::Idle, cx);
        self.mark_changed(true, cx);
        self.survey = Some(Survey { begun: cx.now, confirmed: BTreeSet::new(), conclusive: Some(cx.now) });
        self.repair_all(cx);
    }
}

/// For so many hellos' time a stray master is left alone, where nothing else is known of it.
const STRAY_PERIODS: u32 = 4;
/// Shorter than a vote and a promotion take together.
const CERTAIN: Duration = Duration::from_millis(10);
const SURVEY_LASTS: Duration = Duration::from_secs(1);
const TURN_AGAIN: Duration = Duration::from_secs(1);
