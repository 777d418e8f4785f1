//! What the original makes of an INFO.

use super::instance::{Failover, Group, Node, Part};
use super::world::{World, span};
use consentinel_core::{Action, Endpoint, Event, Info, Level, ReconfPhase, Role, RunId, Time};
use std::sync::Arc;

/// A replica that says it is master is left alone for this many publish periods.
const PATIENCE_WITH_MASTERS: i64 = 4;

impl Group {
    pub(super) fn handle_info(&mut self, part: &Part, info: Arc<Info>, at: Time, world: &mut World) {
        let reboot_matters = !self.config.master_reboot_down_after.is_zero();
        let Some(node) = self.node_mut(part) else { return };
        let role = info.role.unwrap_or(node.role);
        let rebooted = node.learn_run_id(info.run_id.as_ref());
        if rebooted && reboot_matters && matches!(part, Part::Master) {
            node.rebooting_since = Some(world.now);
        }
        if rebooted {
            self.tell(world, Level::Notice, Event::Reboot, part);
        }
        if let Part::Master = part {
            self.learn_replicas(&info.replicas, world);
        }
        self.learn_role(part, role, &info, at, world);
        if world.tilt.is_some() {
            return;
        }
        if let Part::Replica(addr) = part {
            match role {
                Role::Master => self.handle_replica_as_master(addr, world),
                Role::Replica => self.handle_replica(addr, world),
            }
        }
    }

    fn learn_replicas(&mut self, replicas: &[Endpoint], world: &mut World) {
        for addr in replicas {
            if self.replicas.contains_key(addr) {
                continue;
            }
            self.replicas.insert(addr.clone(), Node::new(addr.clone(), Role::Replica, world.now));
            self.tell(world, Level::Notice, Event::NewReplica, &Part::Replica(addr.clone()));
            world.dirty = true;
        }
    }

    fn learn_role(&mut self, part: &Part, role: Role, info: &Arc<Info>, at: Time, world: &mut World) {
        let Some(node) = self.node_mut(part) else { return };
        let previous = node.info.as_ref().and_then(|(_, info)| info.master.clone());
        if role == Role::Replica && previous != info.master {
            node.conf_change = world.now;
        }
        node.info = Some((at, info.clone()));
        node.info_refresh = world.now;
        if role == node.role {
            return;
        }
        (node.role, node.role_since) = (role, world.now);
        if role == Role::Replica {
            node.conf_change = world.now;
        }
        let expected = match part {
            Part::Master => Role::Master,
            _ => Role::Replica,
        };
        let event = if role == expected { Event::RoleAsExpected } else { Event::RoleUnexpected };
        let more = format!(" new reported role is {}", role.wire_word());
        self.tell_more(world, Level::Verbose, event, part, &more);
    }

    fn handle_replica_as_master(&mut self, addr: &Endpoint, world: &mut World) {
        if self.failover == Failover::WaitPromotion(addr.clone()) {
            return self.handle_promotion(addr, world);
        }
        let wait = world.publish_period() * PATIENCE_WITH_MASTERS;
        let Some(node) = self.replicas.get(addr) else { return };
        let patient = node.down.is_clear_for(wait, world.now) && world.now - node.role_since > wait;
        if self.failover.chosen() != Some(addr) && patient && self.is_master_sane(world) {
            self.follow_master(addr, Event::ConvertToReplica, world);
        }
    }

    /// The replica that was told to be master says that it is.
    fn handle_promotion(&mut self, addr: &Endpoint, world: &mut World) {
        self.config_epoch = self.failover_epoch;
        self.failover = Failover::ReconfReplicas(addr.clone());
        self.failover_change = world.now;
        world.dirty = true;
        self.tell(world, Level::Warning, Event::PromotedReplica, &Part::Replica(addr.clone()));
        if world.crash_after_promotion {
            world.actions.push_back(Action::Exit);
        }
        self.tell(world, Level::Warning, Event::ReconfReplicas, &Part::Master);
        self.force_hello(world);
    }

    fn handle_replica(&mut self, addr: &Endpoint, world: &mut World) {
        let master = self.master.wire.addr.clone();
        let wait = span(self.config.failover_timeout);
        let Some(node) = self.replicas.get(addr) else { return };
        let patient = node.down.is_clear_for(wait, world.now) && world.now - node.conf_change > wait;
        if !node.follows(&master) && patient && self.is_master_sane(world) {
            self.follow_master(addr, Event::FixReplicaConfig, world);
        }
        self.advance_reconf(addr, world);
    }

    fn follow_master(&mut self, addr: &Endpoint, event: Event, world: &mut World) {
        if self.replica_of(addr, Some(self.master.wire.addr.clone()), world) {
            self.tell(world, Level::Notice, event, &Part::Replica(addr.clone()));
        }
    }

    /// A replica that was told to follow the new master comes closer to it.
    fn advance_reconf(&mut self, addr: &Endpoint, world: &mut World) {
        let promoted = self.failover.chosen().cloned();
        let Some(node) = self.replicas.get_mut(addr) else { return };
        let mut events = Vec::new();
        if node.reconf == ReconfPhase::Sent && promoted.is_some_and(|promoted| node.follows(&promoted)) {
            node.reconf = ReconfPhase::InProgress;
            events.push(Event::ReconfInProgress);
        }
        if node.reconf == ReconfPhase::InProgress && node.is_link_to_master_up() {
            node.reconf = ReconfPhase::Done;
            events.push(Event::ReconfDone);
        }
        for event in events {
            self.tell(world, Level::Notice, event, &Part::Replica(addr.clone()));
        }
    }
}

impl Node {
    /// Whether it is another run of the server than before.
    fn learn_run_id(&mut self, run_id: Option<&RunId>) -> bool {
        let Some(run_id) = run_id else { return false };
        let before = self.run_id.replace(run_id.clone());
        before.is_some_and(|before| before != *run_id)
    }
}
