//! Carrying out deeds: crashes, pauses, partitions, disks, clocks, operators.

use crate::consul::Behaviour;
use crate::disk::DiskMode;
use crate::event::Event;
use crate::network::{NodeId, Path};
use crate::step::{Ambush, Crash, Finds, Step, Trigger};
use crate::story::Story;
use crate::world::{Life, Role, World};
use consentinel_core::Request;
use std::time::Duration;

impl World {
    pub(crate) fn tell(&mut self, node: NodeId, what: impl FnOnce() -> String) {
        let (addresses, story): (_, &mut Story) = (&self.addresses, &mut self.story);
        story.tell(self.now, || format!("{} {}", addresses.name(node), what()));
    }

    fn names(&self, nodes: &[NodeId]) -> String {
        nodes.iter().map(|node| self.addresses.name(*node)).collect::<Vec<_>>().join(" ")
    }

    /// Does one deed.
    pub(crate) fn apply(&mut self, step: Step) {
        if !matches!(step, Step::Ambush(_)) {
            self.stats.publishing_disturbed();
        }
        let disturbs = matches!(
            step,
            Step::Slow { .. }
                | Step::Jump { .. }
                | Step::Reset { .. }
                | Step::Move { .. }
                | Step::ReplicaOf { .. }
                | Step::Priority { .. }
        );
        if disturbs {
            self.watch_disturbance();
        }
        if matches!(
            step,
            Step::SetPath { .. }
                | Step::Reset { .. }
                | Step::Repair
                | Step::Slow { .. }
                | Step::Move { .. }
                | Step::Consul(_)
        ) {
            self.watch_way_to_consul();
        }
        match step {
            Step::Crash { node, how } => self.crash(node, how),
            Step::Restart { node, finds } => self.restart(node, finds),
            Step::Bounce { node, after, finds } => {
                self.crash(node, Crash::Kill);
                self.plan(self.now + after, Step::Restart { node, finds });
            }
            Step::Pause { node } if self.processes[node.index()].running() => {
                self.tell(node, || "is stopped (SIGSTOP)".into());
                self.watch_silence(Some(node));
                self.processes[node.index()].paused = true;
            }
            Step::PauseFor { node, time } => {
                self.apply(Step::Pause { node });
                self.plan(self.now + time, Step::Resume { node });
            }
            Step::Resume { node } if self.processes[node.index()].paused => {
                self.tell(node, || "goes on".into());
                self.resume(node);
            }
            Step::Pause { .. } | Step::Resume { .. } => {}
            Step::SetPath { from, to, both_ways, path } => self.set_paths(&from, &to, both_ways, path),
            Step::Reset { a, b } => self.reset_between(a, b),
            Step::Repair => self.repair_network(),
            Step::Disk { node, mode } => self.set_disk(node, mode),
            Step::Jump { node, by } => self.jump(node, by),
            Step::Slow { node, factor } => {
                self.tell(node, || format!("has a network that is {factor} times slower"));
                self.net.set_slow(node, factor);
            }
            Step::Move { node } => {
                let to = self.addresses.move_away(node);
                self.drop_attempts_to(node);
                self.tell(node, || format!("has moved to {to:?}"));
            }
            Step::Announce { node, second } => self.announce_at(node, second),
            Step::Renew { node } => self.renew(node),
            Step::ForgetIdentity { id } => self.forget_identity(&id),
            Step::Request { node, request } => self.ask(node, request),
            Step::ReplicaOf { node, master } => {
                if let Role::Redis(redis) = self.processes[node.index()].role {
                    self.tell(node, || "is reconfigured by an operator".into());
                    self.redis_follows(redis, master.clone());
                    self.redis(redis).config_master = master;
                }
            }
            Step::OwnFailover { node } => {
                if let Role::Redis(redis) = self.processes[node.index()].role
                    && self.processes[node.index()].running()
                    && self.redis(redis).is_master()
                {
                    self.tell(node, || "hangs in a FAILOVER of its own".into());
                    self.redis(redis).fails_over = true;
                }
            }
            Step::Priority { node, priority } => {
                if let Role::Redis(redis) = self.processes[node.index()].role {
                    self.tell(node, || format!("has priority {priority} from now on"));
                    self.redis(redis).settings.priority = priority;
                }
            }
            Step::CrashAtAction { node, nth } => {
                if let Role::Sentinel(sentinel) = self.processes[node.index()].role {
                    let host = self.sentinel(sentinel);
                    host.actions_left = host.is_core().then_some(nth);
                }
            }
            Step::Torn { node, kept } => {
                if let Role::Sentinel(sentinel) = self.processes[node.index()].role {
                    self.sentinel(sentinel).disk.set_torn(kept);
                }
            }
            Step::Consul(deed) => self.apply_to_consul(deed),
            Step::Forge { what, chance } => self.forge(what, chance),
            Step::Ambush(ambush) => self.ambushes.push(ambush),
            Step::Heal => self.heal(),
        }
        self.watch_deed();
    }

    /// Springs the ambushes that waited for this moment; tells whether the sentinel is dead now.
    pub(crate) fn spring(&mut self, sentinel: u16, on: Trigger) -> bool {
        if self.ambushes.is_empty() {
            return false;
        }
        let node = self.sentinel(sentinel).node;
        let life = self.processes[node.index()].number;
        let waits = |ambush: &Ambush| ambush.on == on && ambush.by.is_none_or(|by| by == node);
        while let Some(index) = self.ambushes.iter().position(waits) {
            let ambush = self.ambushes.remove(index);
            let step = ambush.then.to(node);
            if ambush.after == Duration::ZERO && self.sentinel(sentinel).is_core() {
                self.apply(step);
            } else {
                // The original's write and what follows it cannot be torn apart.
                self.plan(self.now + ambush.after, step);
            }
            if self.processes[node.index()].number != life {
                return true;
            }
        }
        false
    }

    fn crash(&mut self, node: NodeId, how: Crash) {
        if !self.processes[node.index()].running() {
            return;
        }
        self.stats.faults += 1;
        self.tell(node, || match how {
            Crash::Kill => "crashes".into(),
            Crash::Vanish => "vanishes from the network".into(),
            Crash::Stop => "stops".into(),
        });
        if let (Role::Sentinel(sentinel), Crash::Stop) = (self.processes[node.index()].role, how) {
            self.registrar_stops(sentinel);
        }
        if let Role::Redis(redis) = self.processes[node.index()].role {
            self.watch_death(redis);
        }
        let process = &mut self.processes[node.index()];
        process.number += 1;
        process.life = if how == Crash::Vanish { Life::Vanished } else { Life::Dead };
        self.drop_backlog(node);
        let ends: Vec<_> = self
            .net
            .conns()
            .flat_map(|(id, conn)| [(id, false, conn.client.node), (id, true, conn.server.node)])
            .filter(|(_, _, at)| *at == node)
            .collect();
        for (id, server, _) in ends {
            self.net.close(&mut self.queue, self.now, id, server, how == Crash::Vanish);
        }
        match self.processes[node.index()].role {
            Role::Sentinel(sentinel) => {
                self.watch_sentinel_death(how);
                let host = &mut self.sentinels[usize::from(sentinel)];
                host.disk.crash(&mut self.rng);
                host.end_life();
                let stored = host.disk.stored();
                let groups = &self.groups;
                self.witness.sentinel_died(sentinel, |group| {
                    stored
                        .groups
                        .get(&groups[usize::from(group)].name)
                        .map(|group| group.config_epoch)
                        .unwrap_or_default()
                });
            }
            Role::Redis(redis) => {
                self.note_death(redis);
                let server = self.redis(redis);
                server.downstream.clear();
                server.subscribers.clear();
            }
            Role::Client => {}
            Role::Consul => self.set_behaviour(Behaviour::Down),
        }
    }

    /// The clock of a failover starts with the death of a master.
    fn note_death(&mut self, redis: u16) {
        let server = &self.redises[usize::from(redis)];
        let down_after = self.groups[usize::from(server.group)].config.down_after;
        if server.is_master() {
            self.stats.master_died(server.group, self.now, down_after);
        }
    }

    fn restart(&mut self, node: NodeId, finds: Finds) {
        if self.processes[node.index()].running() {
            return;
        }
        self.processes[node.index()].life = Life::Running;
        match self.processes[node.index()].role {
            Role::Sentinel(sentinel) => {
                self.tell(node, || "starts again".into());
                self.sentinel_starts(sentinel);
            }
            Role::Redis(redis) => {
                self.redis_starts(redis, finds);
                self.watch_reboot(redis);
                let master = self.redises[usize::from(redis)].is_master();
                self.tell(node, || {
                    let role = if master { "master" } else { "replica" };
                    let holds = if finds == Finds::Nothing { "without its data" } else { "with its data" };
                    format!("starts again as a {role}, {holds}")
                });
            }
            Role::Client => {}
            Role::Consul => self.set_behaviour(Behaviour::Well),
        }
    }

    fn set_paths(&mut self, from: &[NodeId], to: &[NodeId], both_ways: bool, path: Path) {
        let (a, b) = (self.names(from), self.names(to));
        let way = if both_ways { "between" } else { "from" };
        let and = if both_ways { "and" } else { "to" };
        let what = match path {
            Path::Open => "passes again",
            Path::Cut => "is lost",
            Path::Held => "is held back",
            Path::Refused => "is refused",
        };
        self.stats.faults += u64::from(path != Path::Open);
        if path == Path::Open {
            self.watch_late_words(from);
            if both_ways {
                self.watch_late_words(to);
            }
        } else {
            self.watch_silence(None);
        }
        self.story.tell(self.now, || format!("the network: what goes {way} {a} {and} {b} {what}"));
        for a in from {
            for b in to {
                if a != b {
                    self.net.set_path(&mut self.queue, self.now, *a, *b, path);
                    if both_ways {
                        self.net.set_path(&mut self.queue, self.now, *b, *a, path);
                    }
                }
            }
        }
    }

    fn repair_network(&mut self) {
        self.story.tell(self.now, || "the network is repaired".into());
        let nodes: Vec<NodeId> = (0..self.processes.len()).map(|index| NodeId(index as u16)).collect();
        for a in &nodes {
            self.net.set_slow(*a, 1);
            for b in &nodes {
                if self.net.path(*a, *b) != Path::Open {
                    self.net.set_path(&mut self.queue, self.now, *a, *b, Path::Open);
                }
            }
        }
    }

    /// What tries to connect to an address that a node has left does not reach the node.
    fn drop_attempts_to(&mut self, node: NodeId) {
        let attempts: Vec<_> = self
            .net
            .conns()
            .filter(|(_, conn)| conn.server.node == node && !conn.server.open && conn.client.open)
            .map(|(id, _)| id)
            .collect();
        for conn in attempts {
            self.net.reset(&mut self.queue, self.now, conn);
        }
    }

    fn reset_between(&mut self, a: NodeId, b: NodeId) {
        let between = |x: NodeId, y: NodeId| (x, y) == (a, b) || (x, y) == (b, a);
        let conns: Vec<_> = self
            .net
            .conns()
            .filter(|(_, conn)| between(conn.client.node, conn.server.node))
            .map(|(id, _)| id)
            .collect();
        self.tell(a, || "has its connections broken".into());
        for conn in conns {
            self.net.reset(&mut self.queue, self.now, conn);
        }
    }

    fn set_disk(&mut self, node: NodeId, mode: DiskMode) {
        let Role::Sentinel(sentinel) = self.processes[node.index()].role else { return };
        if !self.sentinel(sentinel).is_core() {
            return;
        }
        self.stats.faults += u64::from(mode != DiskMode::Fine);
        self.tell(node, || match mode {
            DiskMode::Fine => "has a disk that works again".into(),
            DiskMode::Failing => "has a full disk".into(),
            DiskMode::Held => "has a disk that does not answer".into(),
            DiskMode::Slow(delay) => format!("has a disk that takes {delay:?} for a write"),
        });
        if let Some(seq) = self.sentinel(sentinel).disk.set_mode(mode) {
            let life = self.processes[node.index()].number;
            let at = self.now + Duration::from_millis(2);
            self.queue.push(at, Event::DiskDone { sentinel, life, seq });
        }
    }

    fn jump(&mut self, node: NodeId, by: i64) {
        let Role::Sentinel(sentinel) = self.processes[node.index()].role else { return };
        self.stats.faults += 1;
        self.tell(node, || format!("has a clock that jumps by {:.1} s", by as f64 / 1e6));
        self.sentinel(sentinel).clock += by;
        if self.processes[node.index()].running() {
            self.sentinel(sentinel).forget_wake();
            self.plan_wake(sentinel);
        }
    }

    pub(crate) fn ask(&mut self, node: NodeId, request: Request) {
        let process = &self.processes[node.index()];
        let Role::Sentinel(sentinel) = process.role else { return };
        if !process.running() || process.paused {
            return;
        }
        let text = self.addresses.humanise(&crate::story::request(&request));
        self.was_reset |= matches!(request, Request::Reset { .. } | Request::ForgetReplica { .. });
        self.watch_order(&request);
        self.tell(node, || format!("is asked by an operator: {text}"));
        self.operator_asked(sentinel, &request);
        self.operator_asks(sentinel, request);
    }

    /// Ends all disasters.
    fn heal(&mut self) {
        self.story.tell(self.now, || "all is repaired".into());
        self.ambushes.clear();
        self.forget_failovers();
        self.era += 1;
        self.repair_network();
        self.heal_consul();
        for index in 0..self.processes.len() {
            let node = NodeId(index as u16);
            self.apply(Step::Resume { node });
            self.restart(node, Finds::History);
        }
        self.redises.iter_mut().for_each(|server| server.fails_over = false);
        for index in 0..self.sentinels.len() {
            let host = &mut self.sentinels[index];
            host.actions_left = None;
            let node = host.node;
            self.set_disk(node, DiskMode::Fine);
        }
    }
}
