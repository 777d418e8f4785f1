//! A failover, one state further at most at every tick.

use super::instance::{Failover, Group, Node, Part};
use super::wire::{Millis, Purpose};
use super::world::{World, span};
use consentinel_core::{Action, Command, Endpoint, Event, Level, Offset, ReconfPhase};

impl Group {
    /// Starts a failover when the master is objectively down and the last attempt is long enough ago.
    pub(super) fn start_failover_if_needed(&mut self, world: &mut World) -> bool {
        let too_soon = world.now - self.failover_start < span(self.config.failover_timeout) * 2;
        if !self.odown.is_down || self.failover.is_under_way() || too_soon {
            return false;
        }
        self.start_failover(world);
        true
    }

    pub(super) fn start_failover(&mut self, world: &mut World) {
        self.failover = Failover::WaitStart;
        world.current_epoch = world.current_epoch.next();
        self.failover_epoch = world.current_epoch;
        world.event(Level::Warning, Event::NewEpoch, world.current_epoch.to_string(), Some(&self.name));
        self.tell(world, Level::Warning, Event::TryFailover, &Part::Master);
        self.failover_start = world.now + world.desync();
        self.failover_change = world.now;
    }

    /// One step.
    pub(super) fn step_failover(&mut self, world: &mut World) {
        match self.failover.clone() {
            Failover::None | Failover::UpdateConfig(_) => {}
            Failover::WaitStart => self.wait_start(world),
            Failover::SelectReplica => self.select(world),
            Failover::SendNoOne(replica) => self.send_no_one(replica, world),
            Failover::WaitPromotion(_) => self.abort_when_late(world),
            Failover::ReconfReplicas(promoted) => self.reconf_replicas(&promoted, world),
        }
    }

    fn enter(&mut self, state: Failover, world: &World) {
        self.failover = state;
        self.failover_change = world.now;
    }

    fn abort(&mut self, world: &World) {
        self.forced = false;
        self.enter(Failover::None, world);
    }

    fn abort_when_late(&mut self, world: &mut World) {
        if world.now - self.failover_change > span(self.config.failover_timeout) {
            self.tell(world, Level::Warning, Event::AbortReplicaTimeout, &Part::Master);
            self.abort(world);
        }
    }

    fn wait_start(&mut self, world: &mut World) {
        let leader = self.leader_of(self.failover_epoch, world);
        if leader.as_ref() != Some(&world.myid) && !self.forced {
            let limit = world.config.timing.election_timeout.min(self.config.failover_timeout);
            if world.now - self.failover_start > span(limit) {
                self.tell(world, Level::Warning, Event::AbortNotElected, &Part::Master);
                self.abort(world);
            }
            return;
        }
        self.tell(world, Level::Warning, Event::ElectedLeader, &Part::Master);
        if world.crash_after_election {
            world.actions.push_back(Action::Exit);
        }
        self.enter(Failover::SelectReplica, world);
        self.tell(world, Level::Notice, Event::SelectReplica, &Part::Master);
    }

    fn select(&mut self, world: &mut World) {
        let Some(replica) = self.best_replica(world) else {
            self.tell(world, Level::Warning, Event::AbortNoGoodReplica, &Part::Master);
            return self.abort(world);
        };
        self.tell(world, Level::Warning, Event::SelectedReplica, &Part::Replica(replica.clone()));
        self.enter(Failover::SendNoOne(replica.clone()), world);
        self.tell(world, Level::Notice, Event::SendReplicaOfNoOne, &Part::Replica(replica));
    }

    /// The replica to promote: lowest priority, then farthest offset, then smallest run id.
    pub(super) fn best_replica(&self, world: &World) -> Option<Endpoint> {
        let best = self.replicas.iter().filter(|(_, node)| self.is_eligible(node, world));
        best.min_by_key(|(_, node)| {
            let offset = node.info.as_ref().map_or(Offset(0), |(_, info)| info.repl_offset);
            let run_id = node.run_id.as_ref().map(|id| id.as_str().to_ascii_lowercase());
            (node.priority(), std::cmp::Reverse(offset), run_id.is_none(), run_id)
        })
        .map(|(addr, _)| addr.clone())
    }

    fn is_eligible(&self, node: &Node, world: &World) -> bool {
        let master_down_for = match self.master.down.is_down {
            true => world.now - self.master.down.since,
            false => 0,
        };
        let info_limit = match self.master.down.is_down {
            true => world.ping_period() * 5,
            false => world.info_period() * 3,
        };
        !node.down.is_down
            && !node.wire.disconnected
            && world.now - node.wire.last_avail <= world.ping_period() * 5
            && node.priority() != 0
            && world.now - node.info_refresh <= info_limit
            && node.link_down_for() <= master_down_for + span(self.config.down_after) * 10
    }

    fn send_no_one(&mut self, replica: Endpoint, world: &mut World) {
        if self.replica_of(&replica, None, world) {
            self.tell(world, Level::Notice, Event::WaitPromotion, &Part::Replica(replica.clone()));
            self.enter(Failover::WaitPromotion(replica), world);
        } else {
            self.abort_when_late(world);
        }
    }

    /// Tells a server whom to follow. False when it cannot be told now.
    pub(super) fn replica_of(&mut self, addr: &Endpoint, of: Option<Endpoint>, world: &mut World) -> bool {
        let who = self.who(Part::Replica(addr.clone()));
        let Some(node) = self.replicas.get_mut(addr).filter(|node| !node.wire.disconnected) else {
            return false;
        };
        node.wire.send(Command::ReplicaOf(of), Purpose::Discard, &who, world)
    }

    fn reconf_replicas(&mut self, promoted: &Endpoint, world: &mut World) {
        let is_busy = |node: &Node| matches!(node.reconf, ReconfPhase::Sent | ReconfPhase::InProgress);
        let mut in_progress = self.replicas.values().filter(|node| is_busy(node)).count();
        let limit: Millis = span(world.config.timing.replica_reconf_timeout);
        for addr in self.replicas.keys().cloned().collect::<Vec<_>>() {
            if in_progress >= self.config.parallel_syncs as usize {
                break;
            }
            let Some(node) = self.replicas.get_mut(&addr) else { continue };
            if addr == *promoted || node.reconf == ReconfPhase::Done {
                continue;
            }
            if node.reconf == ReconfPhase::Sent && world.now - node.reconf_sent > limit {
                node.reconf = ReconfPhase::Done;
                self.tell(world, Level::Notice, Event::ReconfSentTimeout, &Part::Replica(addr));
                continue;
            }
            if !is_busy(node) && self.reconf_one(&addr, promoted, Event::ReconfSent, world) {
                in_progress += 1;
            }
        }
        self.detect_end(promoted, world);
    }

    fn reconf_one(&mut self, addr: &Endpoint, promoted: &Endpoint, event: Event, world: &mut World) -> bool {
        if !self.replica_of(addr, Some(promoted.clone()), world) {
            return false;
        }
        if let Some(node) = self.replicas.get_mut(addr) {
            (node.reconf, node.reconf_sent) = (ReconfPhase::Sent, world.now);
        }
        self.tell(world, Level::Notice, event, &Part::Replica(addr.clone()));
        true
    }

    fn detect_end(&mut self, promoted: &Endpoint, world: &mut World) {
        if self.replicas.get(promoted).is_none_or(|node| node.down.is_down) {
            return;
        }
        let is_open = |(addr, node): &(&Endpoint, &Node)| {
            *addr != promoted && node.reconf != ReconfPhase::Done && !node.down.is_down
        };
        let timeout = world.now - self.failover_change > span(self.config.failover_timeout);
        let finished = timeout || !self.replicas.iter().any(|entry| is_open(&entry));
        if timeout {
            self.tell(world, Level::Warning, Event::FailoverEndForTimeout, &Part::Master);
        }
        if finished {
            self.tell(world, Level::Warning, Event::FailoverEnd, &Part::Master);
            self.enter(Failover::UpdateConfig(promoted.clone()), world);
        }
        if timeout {
            let left = |(addr, node): &(&Endpoint, &Node)| {
                *addr != promoted && !matches!(node.reconf, ReconfPhase::Done | ReconfPhase::Sent)
            };
            let left: Vec<_> = self.replicas.iter().filter(left).map(|(addr, _)| addr.clone()).collect();
            for addr in left {
                self.reconf_one(&addr, promoted, Event::ReconfSentBestEffort, world);
            }
        }
    }
}
