//! What operators ask of one group.

use super::Group;
use crate::context::Context;
use crate::ids::{NodeId, PeerId};
use crate::{ConfigChange, Endpoint, Event, GroupChange, Quorum, Refusal, Remark, SentinelId};

impl Group {
    /// Tells that this group is watched.
    pub(crate) fn tell_monitor(&self, quorum: Quorum, cx: &mut Context) {
        self.event(Event::Monitor, self.describe_master(cx).with(Remark::Quorum(quorum)), cx);
    }

    /// Forgets replicas and sentinels that do not answer, and replicas that follow a master of somebody else's. What
    /// answers stays: without it, nothing could be decided until it is found again. A failover under way goes on, and
    /// keeps what it needs.
    pub(crate) fn reset(&mut self, cx: &mut Context) {
        for id in self.nodes.replica_ids() {
            if !self.outlives_reset(id, cx) {
                self.forget_node(id, cx);
            }
        }
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            // A link that is missing for a moment says nothing.
            if self.is_peer_down(slot) {
                self.peers.remove(&slot);
                cx.leave_peer(slot, self.id);
            }
        }
        self.forget_strangers(cx);
        if !self.failover.state().is_active() {
            self.ballot.forget_attempts();
            self.survey = None;
        }
        self.nodes.all_mut().for_each(|node| node.want_info());
        self.event(Event::ResetMaster, self.describe_master(cx), cx);
        cx.save_gate.urgently();
        self.advance_all(cx);
    }

    fn outlives_reset(&self, id: NodeId, cx: &Context) -> bool {
        let Some(node) = self.nodes.get(id) else { return false };
        if self.failover.state().is_active() && (node.ousted || self.failover.state().successor() == Some(id))
        {
            return true;
        }
        let follows = node.info().and_then(|info| info.master.as_ref());
        node.sdown.is_none() && follows.is_none_or(|master| self.find(master, cx).is_some())
    }

    pub(super) fn forget_node(&mut self, id: NodeId, cx: &mut Context) {
        cx.dns_may_change(self.id);
        if let Some(mut node) = self.nodes.remove(id) {
            node.retire(self.id, id, cx);
        }
    }

    /// Lets go of everything: the group is no longer watched.
    pub(crate) fn retire(mut self, cx: &mut Context) {
        self.answer_order(false, cx);
        self.event(Event::Unmonitor, self.describe_master(cx), cx);
        self.forget_publication(cx);
        self.end_dns(cx);
        for id in self.nodes.ids() {
            self.forget_node(id, cx);
        }
        self.forget_strangers(cx);
        for slot in self.peers.into_keys() {
            cx.leave_peer(slot, self.id);
        }
        cx.timers.remove_group(self.id);
    }

    /// One dead replica is no longer expected back.
    pub(crate) fn forget_replica(&mut self, addr: &Endpoint, cx: &mut Context) -> Result<(), Refusal> {
        let id = self.find(addr, cx).ok_or_else(|| Refusal::Unknown("replica", self.name.clone()))?;
        if id == self.nodes.master_id() {
            return Err(Refusal::IsMaster);
        }
        if self.nodes.get(id).is_some_and(|node| node.command.is_open() && node.sdown.is_none()) {
            return Err(Refusal::StillThere("replica"));
        }
        self.forget_node(id, cx);
        cx.save_gate.urgently();
        self.advance(cx);
        Ok(())
    }

    /// One dead sentinel no longer counts for the majority.
    pub(crate) fn forget_sentinel(&mut self, id: &SentinelId, cx: &mut Context) -> Result<(), Refusal> {
        let slot = cx.peer_named(id).filter(|slot| self.peers.contains_key(slot));
        let slot: PeerId = slot.ok_or_else(|| Refusal::Unknown("sentinel", self.name.clone()))?;
        if cx.peers.get(&slot).is_some_and(|peer| peer.channel.is_open()) {
            return Err(Refusal::StillThere("sentinel"));
        }
        self.peers.remove(&slot);
        cx.leave_peer(slot, self.id);
        cx.save_gate.urgently();
        self.advance(cx);
        Ok(())
    }

    /// SENTINEL SET: everything is checked before anything is changed.
    pub(crate) fn change(&mut self, changes: &[GroupChange], cx: &mut Context) -> Result<(), Refusal> {
        changes.iter().try_for_each(|change| check(change, cx))?;
        let mut log_in_again = false;
        for change in changes {
            log_in_again |= self.apply(change);
            self.event(Event::Set, self.describe_master(cx).with(Remark::Setting(words(change))), cx);
        }
        if log_in_again {
            self.renames = crate::channel::Renames::new(self.config.renamed_commands.clone());
            self.nodes.all_mut().for_each(|node| node.reconnect(cx));
        }
        cx.save_gate.urgently();
        self.advance_all(cx);
        Ok(())
    }

    /// Carries out one change. True when the servers must be connected to anew.
    fn apply(&mut self, change: &GroupChange) -> bool {
        let config = &mut self.config;
        match change.clone() {
            GroupChange::DownAfter(span) => config.down_after = span,
            GroupChange::FailoverTimeout(span) => config.failover_timeout = span,
            GroupChange::ParallelSyncs(count) => config.parallel_syncs = count,
            GroupChange::Quorum(quorum) => config.quorum = quorum,
            GroupChange::AuthUser(user) => config.auth.user = user,
            GroupChange::AuthPass(pass) => config.auth.pass = pass,
            GroupChange::NotificationScript(path) => config.notification_script = path,
            GroupChange::ClientReconfigScript(path) => config.client_reconfig_script = path,
            GroupChange::MasterRebootDownAfter(span) => config.master_reboot_down_after = span,
            GroupChange::RenameCommand(ours, theirs) => {
                config.renamed_commands.remove(&ours.to_uppercase());
                if !ours.eq_ignore_ascii_case(&theirs) {
                    config.renamed_commands.insert(ours.to_uppercase(), theirs);
                }
            }
        }
        matches!(change, GroupChange::AuthUser(_) | GroupChange::AuthPass(_) | GroupChange::RenameCommand(..))
    }
}

fn check(change: &GroupChange, cx: &Context) -> Result<(), Refusal> {
    match change {
        GroupChange::DownAfter(span) if span.is_zero() => Err(Refusal::ZeroPeriod("down-after-milliseconds")),
        GroupChange::FailoverTimeout(span) if span.is_zero() => Err(Refusal::ZeroPeriod("failover-timeout")),
        GroupChange::ParallelSyncs(0) => Err(Refusal::ZeroPeriod("parallel-syncs")),
        GroupChange::Quorum(quorum) if quorum.0 == 0 => Err(Refusal::InvalidQuorum),
        GroupChange::NotificationScript(_) | GroupChange::ClientReconfigScript(_)
            if cx.config.deny_scripts_reconfig =>
        {
            Err(Refusal::ScriptsDenied)
        }
        _ => Ok(()),
    }
}

/// An option as `+set` tells it: never a password.
fn words(change: &GroupChange) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    match change {
        GroupChange::DownAfter(span) => format!("down-after-milliseconds {}", span.as_millis()),
        GroupChange::FailoverTimeout(span) => format!("failover-timeout {}", span.as_millis()),
        GroupChange::ParallelSyncs(count) => format!("parallel-syncs {count}"),
        GroupChange::Quorum(quorum) => format!("quorum {quorum}"),
        GroupChange::AuthUser(user) => format!("auth-user {}", text(user)),
        GroupChange::AuthPass(_) => "auth-pass ******".to_owned(),
        GroupChange::NotificationScript(path) => format!("notification-script {}", text(path)),
        GroupChange::ClientReconfigScript(path) => format!("client-reconfig-script {}", text(path)),
        GroupChange::RenameCommand(ours, theirs) => format!("rename-command {ours} {theirs}"),
        GroupChange::MasterRebootDownAfter(span) => {
            format!("master-reboot-down-after-period {}", span.as_millis())
        }
    }
}

impl Context {
    /// SENTINEL CONFIG SET. True when the other sentinels must be logged in to anew.
    pub(crate) fn change_config(&mut self, changes: &[ConfigChange]) -> bool {
        let config = &mut self.config;
        for change in changes.iter().cloned() {
            match change {
                ConfigChange::AnnounceIp(host) => config.announce_ip = host,
                ConfigChange::AnnouncePort(port) => config.announce_port = port,
                ConfigChange::ResolveHostnames(yes) => config.resolve_hostnames = yes,
                ConfigChange::AnnounceHostnames(yes) => config.announce_hostnames = yes,
                ConfigChange::SentinelAuth(auth) => config.sentinel_auth = auth,
            }
        }
        self.save_gate.urgently();
        changes.iter().any(|change| matches!(change, ConfigChange::SentinelAuth(_)))
    }
}
