//! The change of a group's master, and the forgetting that comes with it.

use super::instance::{Failover, Group, Judgement, Node, Part};
use super::world::World;
use consentinel_core::{Endpoint, Event, Level, ReconfPhase, Role};

impl Group {
    /// The end of a failover that we led.
    pub(super) fn switch_to_promoted(&mut self, to: Endpoint, world: &mut World) {
        self.tell_switch(&to, world);
        self.change_address(to, world);
    }

    /// `+switch-master <name> <old-ip> <old-port> <new-ip> <new-port>`
    pub(super) fn tell_switch(&self, to: &Endpoint, world: &mut World) {
        let payload = format!("{} {} {to}", self.name, self.master.wire.addr);
        world.event(Level::Warning, Event::SwitchMaster, payload, Some(&self.name));
    }

    /// Starts the group anew around another master: everything but the sentinels is forgotten, the old master
    /// becomes one of the replicas.
    pub(super) fn change_address(&mut self, to: Endpoint, world: &mut World) {
        let old = self.master.wire.addr.clone();
        let mut replicas = std::mem::take(&mut self.replicas);
        for node in replicas.values_mut() {
            node.wire.close(world);
        }
        self.master.wire.reset(to.clone(), world);
        self.master.forget_past(world);
        self.leader = None;
        self.failover = Failover::None;
        self.forced = false;
        (self.failover_start, self.failover_change) = (0, 0);
        self.odown = Judgement::default();
        for addr in replicas.into_keys().chain([old]).filter(|addr| *addr != to) {
            if self.replicas.contains_key(&addr) {
                continue;
            }
            self.replicas.insert(addr.clone(), Node::new(addr.clone(), Role::Replica, world.now));
            self.tell(world, Level::Notice, Event::NewReplica, &Part::Replica(addr));
        }
        world.dirty = true;
    }
}

impl Node {
    /// When INFO was last seen and when a hello was last sent is kept, as the original does.
    fn forget_past(&mut self, world: &World) {
        self.run_id = None;
        self.down = Judgement::default();
        self.script_killed = false;
        self.rebooting_since = None;
        self.reconf = ReconfPhase::None;
        (self.role, self.role_since) = (Role::Master, world.now);
    }
}
