//! A plan of disasters: what goes wrong in a round, when, and for how long.

use crate::consul::ConsulDeed;
use crate::disk::DiskMode;
use crate::generate::{between, pick};
use crate::network::{NodeId, Path};
use crate::step::{Ambush, Crash, Finds, IT, Step, Trigger};
use crate::world::{Role, World};
use consentinel_core::{Event, Rng, Time};
use std::time::Duration;

/// A kind of disaster.
#[derive(Clone, Copy, Debug)]
enum Kind {
    MasterDies,
    ServerDies,
    ServerStops,
    SentinelDies,
    SentinelStops,
    ClockJumps,
    DiskFails,
    Isolation,
    Split,
    OneWay,
    Refusal,
    Slowness,
    Reset,
    Ambush,
    Contest,
    AllSentinelsRestart,
    PowerCut,
    DeathAtAction,
    Move,
}

const KINDS: &[(u64, Kind)] = &[
    (30, Kind::MasterDies),
    (8, Kind::ServerDies),
    (8, Kind::ServerStops),
    (8, Kind::SentinelDies),
    (6, Kind::SentinelStops),
    (4, Kind::ClockJumps),
    (6, Kind::DiskFails),
    (10, Kind::Isolation),
    (10, Kind::Split),
    (6, Kind::OneWay),
    (4, Kind::Refusal),
    (3, Kind::Slowness),
    (4, Kind::Reset),
    (20, Kind::Ambush),
    (10, Kind::Contest),
    (2, Kind::AllSentinelsRestart),
    (2, Kind::PowerCut),
    (6, Kind::DeathAtAction),
    (8, Kind::Move),
];

/// Plans the disasters of one round.
pub(crate) struct Chaos<'a> {
    world: &'a mut World,
    rng: &'a mut Rng,
    from: Time,
    length: Duration,
    down_after: Duration,
    /// Whether servers may lose their data in this round.
    losses: bool,
    host_names: bool,
}

impl<'a> Chaos<'a> {
    pub(crate) fn new(world: &'a mut World, rng: &'a mut Rng, length: Duration, host_names: bool) -> Self {
        let from = world.now;
        let down_after = world.groups[0].config.down_after;
        let losses = rng.per_mille(150);
        Chaos { world, rng, from, length, down_after, losses, host_names }
    }

    /// Plans some disasters. Tells whether servers may have lost their data.
    pub(crate) fn plan(mut self) -> bool {
        let count = pick(self.rng, &[(3, 1), (3, 2), (2, 3), (2, 5), (1, 8)]);
        for _ in 0..count {
            let kind = pick(self.rng, KINDS);
            let at = self.from + self.rng.span(self.length.mul_f64(0.6));
            self.disaster(kind, at);
        }
        self.world.plan_consul_disasters(self.from, self.length);
        self.world.plan_forgeries(self.from, self.length);
        self.losses
    }

    fn duration(&mut self) -> Duration {
        let down_after = self.down_after;
        match self.rng.below(5) {
            0 => self.rng.span(Duration::from_secs(1)),
            1 => self.rng.span(down_after),
            2 => down_after.mul_f64(0.9) + self.rng.span(down_after.mul_f64(0.3)),
            _ => down_after + self.rng.span(self.length),
        }
    }

    fn finds(&mut self) -> Finds {
        if self.losses && self.rng.per_mille(400) {
            return Finds::Nothing;
        }
        if self.rng.per_mille(500) { Finds::History } else { Finds::Data }
    }

    fn how(&mut self) -> Crash {
        if self.rng.per_mille(700) { Crash::Kill } else { Crash::Vanish }
    }

    fn sentinel(&mut self) -> NodeId {
        let index = self.rng.below(self.world.sentinels.len() as u64);
        self.world.sentinels[index as usize].node
    }

    fn server(&mut self) -> NodeId {
        let index = self.rng.below(self.world.redises.len() as u64);
        self.world.redises[index as usize].node
    }

    fn master(&mut self) -> NodeId {
        let masters: Vec<NodeId> =
            self.world.redises.iter().filter(|server| server.is_master()).map(|server| server.node).collect();
        masters.get(self.rng.below(masters.len() as u64) as usize).copied().unwrap_or(NodeId(0))
    }

    fn anybody(&mut self) -> NodeId {
        match self.rng.below(3) {
            0 => self.sentinel(),
            1 => self.master(),
            _ => self.server(),
        }
    }

    /// All but one, and but Consul, which must not change the course of chance.
    fn others(&self, node: NodeId) -> Vec<NodeId> {
        let consul = self.world.consul.as_ref().map(|consul| consul.node);
        (0..self.world.processes.len())
            .map(|index| NodeId(index as u16))
            .filter(|other| *other != node && Some(*other) != consul)
            .collect()
    }

    /// Consul is sometimes among them.
    fn perhaps_with_consul(&mut self, mut nodes: Vec<NodeId>, chance: u64) -> Vec<NodeId> {
        if self.world.consul_chance(chance) {
            nodes.extend(self.world.consul.as_ref().map(|consul| consul.node));
        }
        nodes
    }

    fn step(&mut self, at: Time, step: Step) {
        self.world.plan(at, step);
    }

    /// Does something, and its opposite after a while.
    fn for_a_while(&mut self, at: Time, step: Step, undo: Step) {
        let until = (at + self.duration()).min(self.from + self.length);
        self.step(at, step);
        self.step(until, undo);
    }

    fn crash(&mut self, at: Time, node: NodeId) {
        let (how, finds) = (self.how(), self.finds());
        self.for_a_while(at, Step::Crash { node, how }, Step::Restart { node, finds });
    }

    fn path(&mut self, at: Time, from: Vec<NodeId>, to: Vec<NodeId>, both_ways: bool, path: Path) {
        let step = Step::SetPath { from: from.clone(), to: to.clone(), both_ways, path };
        let undo = Step::SetPath { from, to, both_ways, path: Path::Open };
        self.for_a_while(at, step, undo);
    }

    fn disaster(&mut self, kind: Kind, at: Time) {
        let path = if self.rng.per_mille(800) { Path::Cut } else { Path::Held };
        match kind {
            Kind::MasterDies => {
                let node = self.master();
                self.crash(at, node);
            }
            Kind::ServerDies => {
                let node = self.server();
                self.crash(at, node);
            }
            Kind::ServerStops => {
                let node = if self.rng.per_mille(600) { self.master() } else { self.server() };
                self.for_a_while(at, Step::Pause { node }, Step::Resume { node });
            }
            Kind::SentinelDies => {
                let node = self.sentinel();
                self.crash(at, node);
            }
            Kind::SentinelStops => {
                let node = self.sentinel();
                self.for_a_while(at, Step::Pause { node }, Step::Resume { node });
            }
            Kind::ClockJumps => {
                let (node, by) = (self.sentinel(), between(self.rng, 100_000, 60_000_000) as i64);
                let by = if self.rng.per_mille(500) { by } else { -by };
                self.step(at, Step::Jump { node, by });
            }
            Kind::DiskFails => {
                let mode = if self.rng.per_mille(600) { DiskMode::Failing } else { DiskMode::Held };
                let node = self.sentinel();
                self.for_a_while(at, Step::Disk { node, mode }, Step::Disk { node, mode: DiskMode::Fine });
            }
            Kind::Isolation => {
                let node = self.anybody();
                let others = self.others(node);
                let others = self.perhaps_with_consul(others, 600);
                self.path(at, vec![node], others, true, path);
            }
            Kind::Split => {
                let all = self.others(NodeId(u16::MAX));
                let chance = between(self.rng, 200, 800);
                let (left, right) = all.into_iter().partition(|_| self.rng.per_mille(chance));
                let left = self.perhaps_with_consul(left, 400);
                self.path(at, left, right, true, path);
            }
            Kind::OneWay => {
                let node = self.anybody();
                let chance = between(self.rng, 200, 1000);
                let mut others = self.others(node);
                others.retain(|_| self.rng.per_mille(chance));
                let (from, to) =
                    if self.rng.per_mille(500) { (vec![node], others) } else { (others, vec![node]) };
                self.path(at, from, to, false, path);
            }
            Kind::Refusal => {
                let node = self.anybody();
                let others = self.others(node);
                let others = self.perhaps_with_consul(others, 300);
                self.path(at, vec![node], others, true, Path::Refused);
            }
            Kind::Slowness => {
                let (node, factor) = (self.anybody(), between(self.rng, 5, 300) as u32);
                self.for_a_while(at, Step::Slow { node, factor }, Step::Slow { node, factor: 1 });
            }
            Kind::Reset => {
                let (a, b) = (self.sentinel(), self.anybody());
                self.step(at, Step::Reset { a, b });
            }
            Kind::Ambush => self.ambush(at),
            Kind::Contest => self.contest(at),
            Kind::AllSentinelsRestart => {
                for index in 0..self.world.sentinels.len() {
                    let node = self.world.sentinels[index].node;
                    let (at, after) = (at + self.rng.span(Duration::from_millis(500)), self.duration() / 4);
                    self.step(at, Step::Bounce { node, after, finds: Finds::History });
                }
            }
            Kind::PowerCut => {
                if self.world.consul_chance(500) {
                    let down = ConsulDeed::Restart(Duration::from_secs(3));
                    self.step(at, Step::Consul(down));
                }
                for node in self.others(NodeId(u16::MAX)) {
                    if self.world.processes[node.index()].role != Role::Client {
                        let finds = if self.rng.per_mille(500) { Finds::History } else { Finds::Data };
                        self.step(at, Step::Crash { node, how: Crash::Vanish });
                        let back = at + Duration::from_secs(2) + self.rng.span(Duration::from_secs(5));
                        self.step(back, Step::Restart { node, finds });
                    }
                }
            }
            Kind::DeathAtAction => {
                let (node, nth) = (self.sentinel(), self.rng.below(40) as u32);
                let finds = Finds::History;
                self.for_a_while(at, Step::CrashAtAction { node, nth }, Step::Restart { node, finds });
            }
            Kind::Move if self.host_names => {
                let node = self.server();
                self.step(at, Step::Crash { node, how: Crash::Vanish });
                self.step(at, Step::Move { node });
                let finds = self.finds();
                let back = (at + self.duration()).min(self.from + self.length);
                self.step(back, Step::Restart { node, finds });
            }
            Kind::Move => self.disaster(Kind::ServerDies, at),
        }
    }

    /// A candidate is heard by some only, so that others stand in the same epoch; and whoever votes dies over it.
    fn contest(&mut self, at: Time) {
        let to: Vec<NodeId> = (0..self.world.sentinels.len())
            .map(|index| self.world.sentinels[index].node)
            .filter(|_| self.rng.per_mille(600))
            .collect();
        let path = |path| Step::SetPath { from: vec![IT], to: to.clone(), both_ways: true, path };
        let on = Trigger::Says(Event::TryFailover);
        let lasts = Duration::from_millis(20) + self.rng.span(Duration::from_millis(400));
        for (after, path) in [(Duration::ZERO, path(Path::Held)), (lasts, path(Path::Open))] {
            self.step(at, Step::Ambush(Ambush { by: None, on, after, then: Box::new(path) }));
        }
        for _ in 0..between(self.rng, 1, 3) {
            let after = Duration::from_millis(between(self.rng, 1, 60));
            let then = Box::new(Step::Bounce { node: IT, after, finds: Finds::History });
            let on = if self.rng.per_mille(500) { Trigger::Votes } else { Trigger::Saved };
            self.step(at, Step::Ambush(Ambush { by: None, on, after: Duration::ZERO, then }));
        }
        let master = self.master();
        self.crash(at, master);
    }

    /// Somebody is hit at the worst moment. As the moment needs a failover, the master dies as well.
    fn ambush(&mut self, at: Time) {
        let on = pick(
            self.rng,
            &[
                (3, Trigger::Saves),
                (3, Trigger::Saved),
                (4, Trigger::Votes),
                (3, Trigger::Promotes),
                (2, Trigger::Says(Event::TryFailover)),
                (2, Trigger::Says(Event::VoteForLeader)),
                (3, Trigger::Says(Event::ElectedLeader)),
                (2, Trigger::Says(Event::SelectedReplica)),
                (3, Trigger::Says(Event::PromotedReplica)),
                (1, Trigger::Says(Event::SwitchMaster)),
                (1, Trigger::Says(Event::ReconfSent)),
                (1, Trigger::Says(Event::Odown)),
            ],
        );
        let lasts = self.duration().max(Duration::from_millis(50));
        let finds = Finds::History;
        let after = if self.rng.per_mille(600) {
            Duration::ZERO
        } else {
            let longest = pick(self.rng, &[(2, 5), (2, 50), (1, 1000)]);
            self.rng.span(Duration::from_millis(longest))
        };
        let master = self.master();
        let everybody = self.others(NodeId(u16::MAX));
        let everybody = self.perhaps_with_consul(everybody, 300);
        let then = match self.rng.below(8) {
            0..=3 => {
                let soon = Duration::from_millis(20) + self.rng.span(Duration::from_secs(2));
                let after = if self.rng.per_mille(500) { soon } else { lasts };
                Step::Bounce { node: IT, after, finds }
            }
            4 => Step::Pause { node: IT },
            5 => Step::SetPath { from: vec![IT], to: everybody, both_ways: true, path: Path::Cut },
            6 => Step::Disk { node: IT, mode: DiskMode::Failing },
            _ => {
                let by = between(self.rng, 1_000_000, 30_000_000) as i64;
                Step::Jump { node: IT, by: if self.rng.per_mille(500) { by } else { -by } }
            }
        };
        for _ in 0..between(self.rng, 1, 2) {
            self.step(at, Step::Ambush(Ambush { by: None, on, after, then: Box::new(then.clone()) }));
        }
        if self.rng.per_mille(800) {
            self.crash(at, master);
        }
    }
}
