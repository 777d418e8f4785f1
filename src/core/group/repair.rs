//! Servers that strayed: a master that returns after it was replaced, a replica that follows somebody else.
//!
//! The original waits for eight seconds before it makes a replica of a server that says it is master, so that the
//! news of a failover in which that server was promoted can reach it. A master that we know to be replaced need not
//! stay writable for that long, if it is certain that it was not promoted again behind our back. That is what the
//! survey finds out: whoever is promoted after an election got votes from a majority in an epoch above ours; when a
//! majority, this sentinel included, has not voted in such an epoch and still has our master, nobody was.

use super::{Failover, Group};
use crate::channel::Purpose;
use crate::context::Context;
use crate::ids::{NodeId, PeerId};
use crate::mutation::{Mutation, active};
use crate::{Command, Epoch, Event, Role, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// Asking the peers for their last vote.
pub(crate) struct Survey {
    begun: Time,
    confirmed: BTreeSet<PeerId>,
}

impl Group {
    /// Looks whether a node that has just told about itself is where it should be.
    pub(super) fn repair(&mut self, id: NodeId, cx: &mut Context) {
        if id == self.master || !self.master_looks_sane(cx) {
            return;
        }
        let Some(node) = self.nodes.get(&id) else { return };
        if node.turned.is_some_and(|at| cx.now < at + TURN_AGAIN) || self.failover.promotes(id) {
            return;
        }
        match node.role {
            Role::Master => self.repair_master(id, cx),
            Role::Replica => self.repair_replica(id, cx),
        }
    }

    fn repair_master(&mut self, id: NodeId, cx: &mut Context) {
        if active(Mutation::StrayMasterTolerated) {
            return;
        }
        let Some(node) = self.nodes.get(&id) else { return };
        let patience = cx.config.timing.publish_period * 4;
        let long = cx.now - node.role_since > patience && self.well_for(id, patience, cx);
        // The leader of the failover that replaced it needs to ask nobody: this epoch is his.
        let ours = node.ousted && self.failover.turns_replicas();
        if ours || long || active(Mutation::DemotionWithoutSurvey) {
            self.demote(id, cx);
        } else if node.ousted && self.survey.is_none() && !self.failover.is_active() {
            self.begin_survey(cx);
        }
    }

    fn demote(&mut self, id: NodeId, cx: &mut Context) {
        self.turn_to_master(id, Event::ConvertToReplica, cx);
    }

    fn repair_replica(&mut self, id: NodeId, cx: &mut Context) {
        let Some(node) = self.nodes.get(&id) else { return };
        let Some(follows) = node.info().and_then(|info| info.master.as_ref()) else { return };
        let patience = self.config.failover_timeout;
        let astray = !cx.names.same_place(follows, &self.master().addr);
        let being_turned = self.failover.turns_replicas();
        if astray
            && !being_turned
            && cx.now - node.follows_since > patience
            && self.well_for(id, patience, cx)
        {
            self.turn_to_master(id, Event::FixReplicaConfig, cx);
        }
    }

    fn turn_to_master(&mut self, id: NodeId, event: Event, cx: &mut Context) {
        let master = cx.shown(&self.master().addr);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.turn(Some(master), false, cx) {
            self.event(event, self.describe(id, cx), cx);
            self.advance_node_only(id, cx);
        }
    }

    /// The master answers, says that it is master, and has said so lately.
    fn master_looks_sane(&self, cx: &Context) -> bool {
        let master = self.master();
        let lately = cx.now.earlier(cx.config.timing.info_period * 2);
        master.role == Role::Master
            && master.sdown.is_none()
            && self.odown.is_none()
            && master.told_since(lately)
    }

    /// Neither it nor our link to it was down lately.
    fn well_for(&self, id: NodeId, long: Duration, cx: &Context) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        node.sdown.is_none() && node.command.open_since().is_some_and(|since| cx.now - since > long)
    }

    fn begin_survey(&mut self, cx: &mut Context) {
        self.survey = Some(Survey { begun: cx.now, confirmed: BTreeSet::new() });
        let master = cx.shown_ip(&self.master().addr);
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            // Epoch zero can win no vote: whoever is asked only says whom he voted for last.
            let command = Command::IsMasterDown {
                master: master.clone(),
                epoch: Epoch(0),
                candidate: Some(cx.myid.clone()),
            };
            let purpose = Purpose::Survey { group: self.id, config_epoch: self.config_epoch };
            cx.with_peer(slot, |peer, cx| peer.channel.call(command, purpose, cx));
        }
        self.conclude_survey(cx);
    }

    /// A peer has said when it last voted. Zero says nothing: it may not know our master at all.
    pub(crate) fn on_survey_answer(&mut self, slot: PeerId, asked: Epoch, voted: Epoch, cx: &mut Context) {
        if asked != self.config_epoch || voted == Epoch(0) || voted > self.config_epoch {
            return;
        }
        if let Some(survey) = &mut self.survey {
            survey.confirmed.insert(slot);
            self.conclude_survey(cx);
            self.advance(cx);
        }
    }

    fn conclude_survey(&mut self, cx: &mut Context) {
        let Some(survey) = &self.survey else { return };
        let own = self.leader_epoch <= self.config_epoch && matches!(self.failover, Failover::Idle);
        if !own || survey.confirmed.len() + 1 < self.majority() || !self.master_looks_sane(cx) {
            return;
        }
        self.survey = None;
        for id in self.replica_ids() {
            let returned =
                |node: &crate::node::Node| node.ousted && node.role == Role::Master && node.is_usable();
            if self.nodes.get(&id).is_some_and(returned) {
                self.demote(id, cx);
            }
        }
    }

    /// An inconclusive survey is forgotten after a while, so that another one can begin.
    pub(super) fn drive_survey(&mut self, cx: &mut Context) {
        if cx.now >= self.survey_deadline() {
            self.survey = None;
        }
    }

    pub(super) fn survey_deadline(&self) -> Time {
        self.survey.as_ref().map_or(Time::NEVER, |survey| survey.begun + SURVEY_LASTS)
    }
}

const SURVEY_LASTS: Duration = Duration::from_secs(1);
const TURN_AGAIN: Duration = Duration::from_secs(1);
