//! What clients, peers and operators ask for.

use crate::save_gate::Otherwise;
use crate::{
    Action, ClientId, DurableGroup, Endpoint, Epoch, GroupConfig, GroupName, Quorum, Refusal, Request,
    Response, Sentinel, SentinelId, Timing, glob_matches,
};
use std::time::Duration;

impl Sentinel {
    pub(crate) fn on_request(&mut self, client: ClientId, request: Request) {
        if let Request::IsMasterDown { master, epoch, candidate } = request {
            let response = self.is_master_down(&master, epoch, candidate);
            // An opinion alone says nothing that has to be on disk.
            return match response {
                Response::Down { leader: None, .. } => {
                    self.cx.out.push_back(Action::Respond { client, response })
                }
                vote => self.respond(client, vote, Otherwise::Withhold),
            };
        }
        if let Request::Failover { group } = request {
            // It is answered when it is known whether this sentinel leads.
            if let Err(refusal) = self.in_group(&group, |group, cx| group.order_failover(client, cx)) {
                self.cx.out.push_back(Action::Respond { client, response: Response::Refused(refusal) });
            }
            return;
        }
        match self.carry_out(request) {
            Ok(response) => self.respond(client, response, Otherwise::Refuse),
            Err(refusal) => {
                self.cx.out.push_back(Action::Respond { client, response: Response::Refused(refusal) })
            }
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::IsMasterDown { .. } | Request::Failover { .. } => {
                unreachable!("they are answered by ways of their own")
            }
            Request::Reset { pattern } => return Ok(Response::Count(self.reset(&pattern))),
            Request::Monitor { group, master, quorum } => self.monitor(group, master, quorum)?,
            Request::Remove { group } => self.remove(&group)?,
            Request::Set { group, changes } => {
                self.in_group(&group, |group, cx| group.change(&changes, cx))?
            }
            Request::ConfigSet(changes) => {
                if self.cx.change_config(&changes) {
                    self.log_in_again();
                }
                self.all_dns_may_change();
            }
            Request::Debug(timing) => {
                check_periods(&timing)?;
                self.cx.config.timing = timing;
                self.each_group(|group, cx| group.advance_all(cx));
            }
            Request::ForgetReplica { group, replica } => {
                self.in_group(&group, |group, cx| group.forget_replica(&replica, cx))?;
            }
            Request::ForgetSentinel { group, sentinel } => {
                self.in_group(&group, |group, cx| group.forget_sentinel(&sentinel, cx))?;
            }
            Request::FlushConfig => self.cx.save_gate.urgently(),
            Request::SimulateFailure { crash_after_election, crash_after_promotion } => {
                self.cx.crash_after_election = crash_after_election;
                self.cx.crash_after_promotion = crash_after_promotion;
            }
        }
        Ok(Response::Ok)
    }

    fn in_group<T>(
        &mut self,
        name: &GroupName,
        work: impl FnOnce(&mut crate::group::Group, &mut crate::context::Context) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let id = self.names.get(name).ok_or(Refusal::NoSuchMaster)?;
        let group = self.groups.get_mut(id).ok_or(Refusal::NoSuchMaster)?;
        self.cx.dns_may_change(*id);
        work(group, &mut self.cx)
    }

    fn is_master_down(&mut self, master: &Endpoint, epoch: Epoch, candidate: Option<SentinelId>) -> Response {
        let cx = &self.cx;
        let id = self.groups.iter().find(|(_, group)| group.is_mastered_by(master, cx)).map(|(id, _)| *id);
        let Some(group) = id.and_then(|id| self.groups.get_mut(&id)) else {
            return Response::Down { down: false, leader: None, epoch: Epoch(0) };
        };
        let down = group.is_down_for_peers(&self.cx);
        let (leader, epoch) = match candidate {
            Some(candidate) if epoch <= Epoch::MAX => group.on_vote_request(epoch, &candidate, &mut self.cx),
            _ => (None, Epoch(0)),
        };
        Response::Down { down, leader, epoch }
    }

    fn reset(&mut self, pattern: &str) -> u64 {
        let wanted: Vec<_> = self
            .names
            .iter()
            .filter(|(name, _)| glob_matches(pattern, name.as_str()))
            .map(|(_, id)| *id)
            .collect();
        for id in &wanted {
            self.with_group(*id, |group, cx| group.reset(cx));
        }
        wanted.len() as u64
    }

    fn monitor(&mut self, name: GroupName, master: Endpoint, quorum: Quorum) -> Result<(), Refusal> {
        if self.names.contains_key(&name) {
            return Err(Refusal::DuplicateMaster);
        }
        if quorum.0 == 0 {
            return Err(Refusal::InvalidQuorum);
        }
        if !self.cx.accepts(&master) || master.port == 0 {
            return Err(Refusal::InvalidAddress);
        }
        let mut config = GroupConfig::new(quorum);
        config.down_after = self.cx.config.timing.default_down_after;
        config.failover_timeout = self.cx.config.timing.default_failover_timeout;
        // It may have been watched before, by us or by another of that name: no vote of then is given again.
        let leader_epoch = self.cx.current_epoch;
        self.watch(name, DurableGroup { leader_epoch, ..DurableGroup::new(master, config) });
        self.cx.save_gate.urgently();
        Ok(())
    }

    fn remove(&mut self, name: &GroupName) -> Result<(), Refusal> {
        let id = self.names.remove(name).ok_or(Refusal::NoSuchMaster)?;
        let group = self.groups.remove(&id).ok_or(Refusal::NoSuchMaster)?;
        group.retire(&mut self.cx);
        self.cx.save_gate.urgently();
        Ok(())
    }

    /// The password for the other sentinels has changed.
    fn log_in_again(&mut self) {
        for slot in self.cx.peers.keys().copied().collect::<Vec<_>>() {
            self.cx.with_peer(slot, |peer, cx| {
                let same = peer.addr.clone();
                peer.move_to(same, cx);
            });
            self.cx.advance_peer(slot);
        }
    }
}

fn check_periods(timing: &Timing) -> Result<(), Refusal> {
    let spans = [
        ("info-period", timing.info_period),
        ("ping-period", timing.ping_period),
        ("ask-period", timing.ask_period),
        ("publish-period", timing.publish_period),
        ("default-down-after", timing.default_down_after),
        ("default-failover-timeout", timing.default_failover_timeout),
        ("tilt-trigger", timing.tilt_trigger),
        ("tilt-period", timing.tilt_period),
        ("slave-reconf-timeout", timing.replica_reconf_timeout),
        ("min-link-reconnect-period", timing.min_link_reconnect_period),
        ("election-timeout", timing.election_timeout),
        ("script-max-runtime", timing.script_max_runtime),
        ("script-retry-delay", timing.script_retry_delay),
    ];
    match spans.iter().find(|(_, span)| *span < Duration::from_millis(1)) {
        Some((name, _)) => Err(Refusal::ZeroPeriod(name)),
        None => Ok(()),
    }
}
