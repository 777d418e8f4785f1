//! Disasters of Consul, mixed among all the others. What chance has to do with them is Consul's own.

use super::Behaviour;
use super::meddle::{ConsulDeed, Drift};
use crate::generate::{between, pick};
use crate::network::{NodeId, Path};
use crate::step::{Ambush, Crash, Finds, IT, Step, Trigger};
use crate::world::World;
use consentinel_core::{Rng, Time};
use std::time::Duration;

/// A kind of disaster.
#[derive(Clone, Copy)]
enum Kind {
    Fails,
    CutFromOne,
    CutFromAll,
    Slow,
    Restarts,
    Replays,
    Wiped,
    Drifts,
    SessionEnds,
    Ambush,
}

const KINDS: &[(u64, Kind)] = &[
    (10, Kind::Fails),
    (6, Kind::CutFromOne),
    (3, Kind::CutFromAll),
    (3, Kind::Slow),
    (3, Kind::Restarts),
    (3, Kind::Replays),
    (3, Kind::Wiped),
    (6, Kind::Drifts),
    (3, Kind::SessionEnds),
    (8, Kind::Ambush),
];

struct Plan<'a> {
    world: &'a mut World,
    rng: Rng,
    consul: NodeId,
    servers: u8,
    from: Time,
    length: Duration,
}

impl World {
    /// A chance of Consul's own; none where there is no Consul, or one that changes nothing.
    pub(crate) fn consul_chance(&mut self, per_mille: u64) -> bool {
        let consul = self.consul.as_mut().filter(|consul| !consul.plan.always_silent);
        consul.is_some_and(|consul| consul.rng.per_mille(per_mille))
    }

    /// Plans the disasters of Consul in one round.
    pub(crate) fn plan_consul_disasters(&mut self, from: Time, length: Duration) {
        let Some(consul) = self.consul.as_mut().filter(|consul| !consul.plan.always_silent) else { return };
        let (mut rng, node, servers) = (Rng::new(consul.rng.bits()), consul.node, consul.plan.servers);
        let count = pick(&mut rng, &[(4, 0), (3, 1), (2, 2), (2, 4)]);
        let mut plan = Plan { world: self, rng, consul: node, servers, from, length };
        for _ in 0..count {
            plan.disaster();
        }
    }
}

impl Plan<'_> {
    fn step(&mut self, at: Time, step: Step) {
        self.world.plan(at, step);
    }

    fn for_a_while(&mut self, at: Time, step: Step, undo: Step) {
        let lasts = match self.rng.below(3) {
            0 => self.rng.span(Duration::from_secs(1)),
            1 => self.rng.span(Duration::from_secs(10)),
            _ => self.rng.span(self.length),
        };
        self.step(at, step);
        self.step((at + lasts).min(self.from + self.length), undo);
    }

    fn sentinel(&mut self) -> NodeId {
        let index = self.rng.below(self.world.sentinels.len() as u64);
        self.world.sentinels[index as usize].node
    }

    fn behaviour(&mut self) -> Behaviour {
        let reads = self.rng.per_mille(500);
        let chance = between(&mut self.rng, 50, 600);
        pick(
            &mut self.rng,
            &[
                (3, Behaviour::Down),
                (3, Behaviour::Leaderless),
                (3, Behaviour::Silent),
                (2, Behaviour::Denying { reads }),
                (2, Behaviour::Nonsense),
                (4, Behaviour::Flaky(chance)),
            ],
        )
    }

    fn cut(&mut self, at: Time, sentinels: Vec<NodeId>) {
        let both_ways = self.rng.per_mille(600);
        let consul = vec![self.consul];
        let (from, to) = if self.rng.per_mille(500) { (sentinels, consul) } else { (consul, sentinels) };
        let refused = self.rng.per_mille(200);
        let path = |path| Step::SetPath { from: from.clone(), to: to.clone(), both_ways, path };
        let cut = if refused { Path::Refused } else { Path::Cut };
        self.for_a_while(at, path(cut), path(Path::Open));
    }

    fn wipe(&mut self) -> ConsulDeed {
        let (keys, catalog) =
            pick(&mut self.rng, &[(2, (true, false)), (2, (false, true)), (2, (true, true))]);
        ConsulDeed::Wipe { keys, catalog, anew: keys && catalog && self.rng.per_mille(600) }
    }

    fn disaster(&mut self) {
        let at = self.from + self.rng.span(self.length.mul_f64(0.7));
        match pick(&mut self.rng, KINDS) {
            Kind::Fails if self.servers > 1 && self.rng.per_mille(500) => {
                // One of several servers dies: there is no leader until the others have elected one.
                let lasts = Duration::from_millis(between(&mut self.rng, 100, 5000));
                self.step(at, Step::Consul(ConsulDeed::Behave(Behaviour::Leaderless)));
                self.step(at + lasts, Step::Consul(ConsulDeed::Behave(Behaviour::Well)));
            }
            Kind::Fails => {
                let step = Step::Consul(ConsulDeed::Behave(self.behaviour()));
                self.for_a_while(at, step, Step::Consul(ConsulDeed::Behave(Behaviour::Well)));
            }
            Kind::CutFromOne => {
                let sentinel = self.sentinel();
                self.cut(at, vec![sentinel]);
            }
            Kind::CutFromAll => {
                let all = self.world.sentinels.iter().map(|host| host.node).collect();
                self.cut(at, all);
            }
            Kind::Slow => {
                let delay = Duration::from_millis(pick(&mut self.rng, &[(2, 50), (2, 500), (2, 8000)]));
                let slow = |delay| Step::Consul(ConsulDeed::Slow(delay));
                self.for_a_while(at, slow(delay), slow(Duration::ZERO));
            }
            Kind::Restarts => {
                let after = Duration::from_millis(100) + self.rng.span(Duration::from_secs(4));
                self.step(at, Step::Consul(ConsulDeed::Restart(after)));
            }
            Kind::Replays => {
                let leaderless = Duration::from_millis(100) + self.rng.span(Duration::from_secs(3));
                self.step(at, Step::Consul(ConsulDeed::Replay(leaderless)));
            }
            Kind::Wiped => {
                let deed = self.wipe();
                self.step(at, Step::Consul(deed));
            }
            Kind::Drifts => {
                let mut at = at;
                for _ in 0..between(&mut self.rng, 1, 4) {
                    let what = Drift::ALL[self.rng.below(Drift::ALL.len() as u64) as usize];
                    self.step(at, Step::Consul(ConsulDeed::Drift { what, of: None }));
                    let longest = pick(&mut self.rng, &[(2, 0), (2, 50), (1, 3000)]);
                    at += self.rng.span(Duration::from_millis(longest));
                }
            }
            Kind::SessionEnds => self.step(at, Step::Consul(ConsulDeed::EndSession { of: None })),
            Kind::Ambush => self.ambush(at),
        }
    }

    /// Something happens while somebody writes.
    fn ambush(&mut self, at: Time) {
        let then = match self.rng.below(8) {
            0 | 1 => {
                let after = Duration::from_millis(between(&mut self.rng, 20, 3000));
                Step::Bounce { node: IT, after, finds: Finds::History }
            }
            2 => Step::PauseFor { node: IT, time: self.rng.span(Duration::from_secs(20)) },
            3 => Step::Consul(ConsulDeed::Behave(self.behaviour())),
            4 => Step::SetPath {
                from: vec![self.consul],
                to: vec![IT],
                both_ways: self.rng.per_mille(500),
                path: Path::Cut,
            },
            5 => Step::Consul(self.wipe()),
            6 => Step::Consul(ConsulDeed::EndSession { of: Some(IT) }),
            _ => Step::Crash { node: IT, how: Crash::Stop },
        };
        let longest = pick(&mut self.rng, &[(3, 0), (3, 3), (2, 100)]);
        let after = self.rng.span(Duration::from_millis(longest));
        let ambush = Ambush { by: None, on: Trigger::Publishes, after, then: Box::new(then) };
        self.step(at, Step::Ambush(ambush));
    }
}
