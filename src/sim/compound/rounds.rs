//! The plan of one round of compound disasters.

use crate::disk::DiskMode;
use crate::generate::{between, pick};
use crate::network::{NodeId, Path};
use crate::step::{Ambush, Crash, Finds, IT, Step, Trigger};
use crate::world::{Role, World};
use consentinel_core::{Event, GroupChange, Request, Rng, Time};
use std::time::Duration;

/// What belongs together in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    /// The master dies, and nothing else is wrong.
    PlainDeath,
    /// One sentinel is ordered to fail over while all is well.
    PlainOrder,
    /// The leader of the failover is killed, stopped or cut off at one of its steps.
    LeaderHit,
    /// Disks take 0.2 to 2 s for a write.
    SlowDisks,
    /// Several sentinels are asked for the same within milliseconds.
    Orders,
    /// A server is known by two addresses.
    SecondAddress,
    /// A sentinel returns with another identity, or at another address.
    Identity,
    /// The master is restarted and reads its data for long.
    LoadingMaster,
    /// The master hangs in a FAILOVER of its own, and refuses to be turned.
    OwnFailover,
}

const THEMES: &[(u64, Theme)] = &[
    (1, Theme::PlainDeath),
    (1, Theme::PlainOrder),
    (5, Theme::LeaderHit),
    (4, Theme::SlowDisks),
    (4, Theme::Orders),
    (3, Theme::SecondAddress),
    (3, Theme::Identity),
    (2, Theme::LoadingMaster),
    (1, Theme::OwnFailover),
];

/// What may happen in a round after which no write under WAIT 1 may be lost.
const HARMLESS: &[(u64, Theme)] = &[(3, Theme::LeaderHit), (3, Theme::SlowDisks), (3, Theme::Orders)];

/// The steps of a failover at which its leader may be hit.
const STEPS: &[(u64, Trigger)] = &[
    (2, Trigger::Says(Event::TryFailover)),
    (2, Trigger::Says(Event::VoteForLeader)),
    (3, Trigger::Says(Event::ElectedLeader)),
    (2, Trigger::Says(Event::SelectedReplica)),
    (3, Trigger::Promotes),
    (3, Trigger::Says(Event::PromotedReplica)),
    (2, Trigger::Says(Event::SwitchMaster)),
    (2, Trigger::Says(Event::ReconfSent)),
];

/// How long an election may last at most: who is away for longer has missed all of those in which it voted.
const ELECTION: Duration = Duration::from_secs(10);

/// Plans a round.
#[derive(Debug)]
pub(crate) struct Compounding<'a> {
    world: &'a mut World,
    rng: Rng,
    from: Time,
    down_after: Duration,
    /// The group whose master dies, and that master.
    group: u16,
    master: NodeId,
    /// Whether a sentinel gets a fresh identity in this round.
    renewed: bool,
    /// Whether sentinels are made to forget servers in this round. One that has just been renewed may know of no other:
    /// what the others then forget nobody can ever tell it again.
    forgets: bool,
    /// Whether the round keeps to what WAIT 1 promises to survive.
    promises: bool,
}

impl World {
    /// A chance of the compound disasters' own; none where there are none.
    pub(crate) fn compound_chance(&mut self, per_mille: u64) -> bool {
        self.compound.as_mut().is_some_and(|compound| compound.rng.per_mille(per_mille))
    }
}

impl<'a> Compounding<'a> {
    /// Nothing where there are no compound disasters, or no master.
    pub(crate) fn new(world: &'a mut World) -> Option<Self> {
        let compound = world.compound.as_mut()?;
        let mut rng = Rng::new(compound.rng.bits());
        let promises = compound.plan.promises && rng.per_mille(400);
        let group = if promises { 0 } else { rng.below(world.groups.len() as u64) as u16 };
        let servers = world.groups[usize::from(group)].redises.iter();
        let mut masters = servers.map(|redis| &world.redises[usize::from(*redis)]);
        let master = masters.find(|server| server.is_master())?.node;
        let down_after = world.groups[usize::from(group)].config.down_after;
        Some(Compounding {
            from: world.now,
            world,
            rng,
            down_after,
            group,
            master,
            renewed: false,
            forgets: false,
            promises,
        })
    }

    /// How long the round lasts.
    pub(crate) fn length(&mut self) -> Duration {
        self.down_after * 2
            + Duration::from_secs(20)
            + self.rng.span(self.down_after + Duration::from_secs(15))
    }

    /// Plans what happens. Tells whether no write under WAIT 1 may be lost by it.
    pub(crate) fn plan(mut self) -> bool {
        let at = self.from + Duration::from_secs(1) + self.rng.span(Duration::from_secs(4));
        if self.promises {
            for _ in 0..between(&mut self.rng, 1, 2) {
                let theme = pick(&mut self.rng, HARMLESS);
                self.theme(theme, at);
            }
            if self.rng.per_mille(600) {
                self.master_dies(at);
            } else {
                self.orders_to_several(at, true);
            }
            return true;
        }
        let count = pick(&mut self.rng, &[(5, 1), (4, 2), (2, 3)]);
        let mut dies = false;
        for _ in 0..count {
            let theme = pick(&mut self.rng, THEMES);
            dies |= !matches!(theme, Theme::PlainOrder | Theme::LoadingMaster);
            self.theme(theme, at);
        }
        // Without a failover most of it would come to nothing: the master dies, or some sentinels are ordered one.
        if dies && self.rng.per_mille(850) {
            self.master_dies(at);
        } else if dies {
            self.orders_to_several(at, true);
        }
        false
    }

    fn theme(&mut self, theme: Theme, at: Time) {
        match theme {
            Theme::PlainDeath => {}
            Theme::PlainOrder => {
                let (node, group) = (self.sentinel(), self.name());
                self.step(at, Step::Request { node, request: Request::Failover { group } });
            }
            Theme::LeaderHit => self.leader_hit(),
            Theme::SlowDisks => self.slow_disks(at),
            Theme::Orders => self.orders(at),
            Theme::SecondAddress => self.second_address(at),
            Theme::Identity => self.identity(),
            Theme::OwnFailover => {
                let time = self.from + self.rng.span(at - self.from);
                self.step(time, Step::OwnFailover { node: self.master });
            }
            Theme::LoadingMaster => {
                let after = Duration::from_millis(50) + self.rng.span(Duration::from_millis(500));
                let finds = if self.rng.per_mille(500) { Finds::History } else { Finds::Data };
                self.step(at, Step::Bounce { node: self.master, after, finds });
            }
        }
    }

    fn step(&mut self, at: Time, step: Step) {
        self.world.plan(at, step);
    }

    fn sentinel(&mut self) -> NodeId {
        let index = self.rng.below(self.world.sentinels.len() as u64);
        self.world.sentinels[index as usize].node
    }

    fn name(&self) -> consentinel_core::GroupName {
        self.world.groups[usize::from(self.group)].name.clone()
    }

    /// Another server of the group; the master when it is alone.
    fn replica(&mut self) -> NodeId {
        let servers = &self.world.groups[usize::from(self.group)].redises;
        let nodes: Vec<NodeId> =
            servers.iter().map(|redis| self.world.redises[usize::from(*redis)].node).collect();
        let others: Vec<NodeId> = nodes.into_iter().filter(|node| *node != self.master).collect();
        others.get(self.rng.below(others.len() as u64) as usize).copied().unwrap_or(self.master)
    }

    /// As a rule for the rest of the round.
    fn master_dies(&mut self, at: Time) {
        let how = if self.rng.per_mille(750) { Crash::Kill } else { Crash::Vanish };
        self.step(at, Step::Crash { node: self.master, how });
        if !self.promises && self.rng.per_mille(250) {
            let finds = if self.rng.per_mille(500) { Finds::History } else { Finds::Data };
            let back = at + self.down_after.mul_f64(0.5) + self.rng.span(self.down_after + ELECTION);
            self.step(back, Step::Restart { node: self.master, finds });
        }
    }

    fn leader_hit(&mut self) {
        for _ in 0..pick(&mut self.rng, &[(4, 1), (1, 2)]) {
            let on = pick(&mut self.rng, STEPS);
            let after = match self.rng.below(10) {
                0..=6 => Duration::ZERO,
                7 | 8 => self.rng.span(Duration::from_millis(5)),
                _ => self.rng.span(Duration::from_millis(50)),
            };
            let everybody: Vec<NodeId> =
                (0..self.world.processes.len()).map(|index| NodeId(index as u16)).collect();
            let cut = |path| {
                Box::new(Step::SetPath { from: vec![IT], to: everybody.clone(), both_ways: true, path })
            };
            let lasts = self.rng.span(self.down_after * 2) + Duration::from_millis(200);
            let soon = Duration::from_millis(20) + self.rng.span(Duration::from_secs(2));
            // A process that is stopped may carry out later what it had decided before, whatever has become true since:
            // that is not among the faults that WAIT 1 survives.
            let kinds = if self.promises { 7 } else { 12 };
            let mut hits = Vec::new();
            match self.rng.below(kinds) {
                0..=4 => hits.push((after, Box::new(Step::Crash { node: IT, how: Crash::Kill }))),
                5 | 6 => {
                    let bounce = Step::Bounce { node: IT, after: soon, finds: Finds::History };
                    hits.push((after, Box::new(bounce)));
                }
                7 => hits.push((after, Box::new(Step::Pause { node: IT }))),
                8 | 9 => hits.push((after, Box::new(Step::PauseFor { node: IT, time: lasts }))),
                10 => hits.push((after, cut(Path::Cut))),
                _ => hits.extend([(after, cut(Path::Cut)), (after + lasts, cut(Path::Open))]),
            }
            for (after, then) in hits {
                self.step(self.from, Step::Ambush(Ambush { by: None, on, after, then }));
            }
        }
    }

    fn slow_disks(&mut self, at: Time) {
        let count = self.world.sentinels.len();
        let slow = pick(&mut self.rng, &[(2, 1), (1, 2), (3, count)]).min(count);
        let delay = pick(&mut self.rng, &[(2, 200), (3, 500), (3, 1000), (2, 2000)]);
        let since = self.from + self.rng.span(at - self.from);
        let until = at + self.down_after + Duration::from_secs(8) + self.rng.span(Duration::from_secs(20));
        let first = self.rng.below(count as u64) as usize;
        for place in 0..slow {
            let node = self.world.sentinels[(first + place) % count].node;
            let mode = DiskMode::Slow(Duration::from_millis(delay - self.rng.below(delay / 5)));
            self.step(since, Step::Disk { node, mode });
            self.step(until, Step::Disk { node, mode: DiskMode::Fine });
        }
    }

    fn orders(&mut self, at: Time) {
        let down = at + self.down_after;
        let time = match self.rng.below(4) {
            0 => at,
            1 => self.from + self.rng.span(down - self.from + Duration::from_secs(2)),
            // Among the steps of the failover.
            _ => down + self.rng.span(Duration::from_millis(60)),
        };
        let fails_over = self.promises && self.rng.per_mille(500) || self.rng.per_mille(400);
        self.orders_to_several(time, fails_over);
    }

    fn orders_to_several(&mut self, at: Time, fails_over: bool) {
        let group = self.name();
        let kinds: &[(u64, u8)] = match (self.promises, self.renewed) {
            (true, _) => &[(1, 0)],
            (false, true) => &[(1, 2), (1, 3)],
            (false, false) => &[(3, 0), (2, 1), (1, 2), (1, 3)],
        };
        let request = if fails_over {
            Request::Failover { group }
        } else {
            let kind = pick(&mut self.rng, kinds);
            self.forgets |= kind < 2;
            match kind {
                0 => Request::Reset { pattern: "*".into() },
                1 => self.forgets_a_dead_one(at),
                2 => {
                    let down_after = self.down_after;
                    Request::Set { group, changes: vec![GroupChange::DownAfter(down_after)] }
                }
                _ => {
                    let syncs = between(&mut self.rng, 1, 3) as u32;
                    Request::Set { group, changes: vec![GroupChange::ParallelSyncs(syncs)] }
                }
            }
        };
        let all = self.rng.per_mille(700);
        for index in 0..self.world.sentinels.len() {
            let node = self.world.sentinels[index].node;
            if all || self.rng.per_mille(500) {
                let at = at + self.rng.span(Duration::from_millis(5));
                self.step(at, Step::Request { node, request: request.clone() });
            }
        }
    }

    /// Somebody dies early, so that it can be forgotten.
    fn forgets_a_dead_one(&mut self, at: Time) -> Request {
        let group = self.name();
        let early = self.from + (at - self.from) / 2;
        let dead = if self.rng.per_mille(500) { self.replica() } else { self.sentinel() };
        self.step(early, Step::Crash { node: dead, how: Crash::Kill });
        match self.world.processes[dead.index()].role {
            Role::Sentinel(sentinel) => {
                let sentinel = self.world.sentinels[usize::from(sentinel)].id.clone();
                Request::ForgetSentinel { group, sentinel }
            }
            _ => Request::ForgetReplica { group, replica: self.world.addresses.current(dead) },
        }
    }

    fn second_address(&mut self, at: Time) {
        let node = if self.rng.per_mille(300) { self.master } else { self.replica() };
        let Role::Redis(redis) = self.world.processes[node.index()].role else { return };
        // Where servers have names they announce those.
        let by_name =
            |address: &consentinel_core::Endpoint| matches!(address.host, consentinel_core::Host::Name(_));
        if self.world.redises[usize::from(redis)].settings.announce.as_ref().is_some_and(by_name) {
            return;
        }
        let time = self.from + self.rng.span(at - self.from + self.down_after);
        let second = self.rng.per_mille(800);
        self.step(time, Step::Announce { node, second });
        if self.rng.per_mille(600) {
            let again = time + self.rng.span(Duration::from_secs(2));
            self.step(again, Step::Reset { a: node, b: self.master });
        }
    }

    fn identity(&mut self) {
        let counted = self.world.sentinels.iter().filter(|host| !host.observes).count();
        let node = self.sentinel();
        let time = self.from + self.rng.span(Duration::from_secs(6));
        self.step(time, Step::Crash { node, how: Crash::Kill });
        let kind = self.rng.below(4);
        // A fresh identity may vote where the old one has voted: it comes when those elections are over, and it is the
        // only one of several.
        let fresh = counted > 2 && kind != 0 && !self.renewed && !self.forgets;
        self.renewed |= fresh;
        let away = if fresh { ELECTION + Duration::from_secs(1) } else { Duration::from_millis(100) };
        let back = time + away + self.rng.span(Duration::from_secs(5));
        if fresh {
            self.step(back, Step::Renew { node });
        }
        if kind <= 1 {
            self.step(back, Step::Move { node });
        }
        self.step(back, Step::Restart { node, finds: Finds::History });
    }
}
