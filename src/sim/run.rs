//! One seed, from its first moment to its verdict.

use crate::chaos::Chaos;
use crate::compound::{CompoundChoice, Compounding, generate_compound};
use crate::data::DataRef;
use crate::generate::{generate, generate_consul, generate_dns, pick};
use crate::host::SentinelHost;
use crate::invariants::Invariant;
use crate::report::{Failure, Report};
use crate::step::{Finds, Step};
use crate::world::World;
use consentinel_core::{GroupChange, Recorded, Request, Rng, Time, mix};
use std::time::Duration;

/// How to run seeds.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many minutes pass in the world.
    pub minutes: u64,
    /// Whether the report tells the story.
    pub story: bool,
    /// The sentinel whose life is recorded.
    pub record: Option<String>,
    /// Whether there is a Consul.
    pub consul: ConsulChoice,
    /// Whether there are compound disasters.
    pub compound: CompoundChoice,
}

/// Whether a world has a Consul.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsulChoice {
    /// As the seed says: every second has one.
    #[default]
    BySeed,
    /// No.
    Off,
    /// Yes.
    On,
    /// Yes, but it never answers anything. Timers ring to the microsecond, as they do when it is off: so the two lives
    /// of a seed can be compared.
    Silent,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            minutes: 10,
            story: false,
            record: None,
            consul: ConsulChoice::BySeed,
            compound: CompoundChoice::BySeed,
        }
    }
}

/// Lives one seed.
pub fn run_seed(seed: u64, options: &Options) -> Result<Report, Failure> {
    run_and_record(seed, options).0
}

/// Lives one seed, and gives what the chosen sentinel lived through.
pub fn run_and_record(seed: u64, options: &Options) -> (Result<Report, Failure>, Vec<Recorded>) {
    let mut rng = Rng::new(mix(seed));
    let mut blueprint = generate(&mut rng);
    blueprint.compound = generate_compound(seed, options.compound, &mut blueprint);
    blueprint.config.registry.dns = generate_dns(seed);
    blueprint.consul = generate_consul(seed, options.consul).filter(|_| blueprint.has_a_publisher());
    let mut world = blueprint.build(seed, options.story, options.record.as_deref());
    world.punctual = matches!(options.consul, ConsulChoice::Off | ConsulChoice::Silent);
    world.story.tell(Time::ZERO, || blueprint.describe());
    let mut run = Run {
        world,
        rng,
        end: Time::from_millis(options.minutes * 60_000),
        host_names: blueprint.host_names,
    };
    let verdict = run.live();
    let Run { mut world, .. } = run;
    let recording = world.sentinels.iter_mut().find_map(|host| host.record.take()).unwrap_or_default();
    let story = world.story.lines().to_vec();
    let result = match verdict {
        Ok(()) => {
            world.stats.events = world.queue.planned();
            let fingerprint = mix(world.queue.planned() ^ world.rng.bits());
            Ok(Report { seed, virtual_time: world.now - Time::ZERO, stats: world.stats, story, fingerprint })
        }
        Err(failure) => Err(Failure { story, ..failure }),
    };
    (result, recording)
}

struct Run {
    world: World,
    rng: Rng,
    end: Time,
    host_names: bool,
}

/// How often the world is asked whether all agree, and how often in a row it must say so.
const LOOK: Duration = Duration::from_secs(1);
const STEADY: u32 = 3;
/// How long the last word on a replica may be in coming after all have agreed; and how long nothing comes then.
const RESTLESS: Duration = Duration::from_secs(15);
const REST: Duration = Duration::from_secs(20);
/// How long a replica needs at least to copy its master's data where that matters.
const SLOW_COPY: Duration = Duration::from_secs(2);

impl Run {
    /// Where all is well and nothing happens, nothing is written into Consul for longer than that.
    fn rest(&mut self) -> Result<(), Failure> {
        let (awake, noise) = (!self.world.is_anybody_in_tilt(), self.world.stats.noise());
        let end = self.world.now + RESTLESS;
        self.world.run_until(end)?;
        let copied = self.world.redises.iter().all(|server| server.is_master() || server.is_linked());
        let calm = awake && !self.world.is_anybody_in_tilt() && copied && self.world.all_follow_masters();
        let written = self.world.stats.transactions();
        let end = self.world.now + REST;
        self.world.run_until(end)?;
        let stats = &self.world.stats;
        let more = stats.transactions() - written;
        if more > 0 && calm && stats.noise() == noise && self.world.disagreement().is_none() {
            let what = format!("{more} transactions in {REST:?} in which nothing happened");
            self.world.violated(Invariant::Quiescence, what);
            return Err(self.world.failure.take().expect("it was just noted"));
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), Failure> {
        self.world.run_until(Time::from_millis(8_000))?;
        self.settle()?;
        loop {
            let length = self.round_length();
            if self.world.now + length + Duration::from_secs(20) > self.end {
                break;
            }
            if self.world.consul_chance(150) {
                self.rest()?;
            }
            if self.rng.per_mille(200) {
                self.operate()?;
            }
            if self.world.compound_chance(600) {
                self.compound_round()?;
            } else if self.rng.per_mille(60) {
                self.empty_return()?;
            } else {
                self.round(length)?;
            }
        }
        self.world.run_until(self.end.max(self.world.now))
    }

    fn round_length(&mut self) -> Duration {
        let down_after = self.world.groups[0].config.down_after;
        down_after * 2 + Duration::from_secs(15) + self.rng.span(down_after * 2 + Duration::from_secs(30))
    }

    /// Disasters, repair, agreement.
    fn round(&mut self, length: Duration) -> Result<(), Failure> {
        let safe = self.held_by_all();
        let end = self.world.now + length;
        let losses = Chaos::new(&mut self.world, &mut self.rng, length, self.host_names).plan();
        self.world.watched_until(end)?;
        self.world.apply(Step::Heal);
        let healed = self.world.now;
        self.settle()?;
        let took = self.world.now - healed;
        self.world.stats.convergence_times.push(took);
        if losses { Ok(()) } else { self.check_writes(&safe) }
    }

    /// Disasters that belong together, repair, agreement. Where only sentinels and masters fail, no write that a replica
    /// has acknowledged is lost.
    ///
    /// The promise covers what was acknowledged before the repair, in a round in which no replica dies or is cut off,
    /// no server loses its data, the dead master stays dead, and nobody is stopped or cut off: a replica that has the
    /// write is then alive, can be asked by every leader, and tells the highest offset. It does not cover a master that
    /// returns while its replicas are being turned, nor one replica that dies after it alone has acknowledged.
    fn compound_round(&mut self) -> Result<(), Failure> {
        let safe = self.held_by_all();
        let known = self.confirmed_writes();
        self.world.watched_until(self.world.now)?;
        let Some(mut plan) = Compounding::new(&mut self.world) else { return Ok(()) };
        let length = plan.length();
        let promises = plan.plan();
        let end = self.world.now + length;
        let losses = if !promises && self.world.compound_chance(200) {
            Chaos::new(&mut self.world, &mut self.rng, length, self.host_names).plan()
        } else {
            false
        };
        self.world.watched_until(end)?;
        let confirmed = self.confirmed_writes();
        self.world.apply(Step::Heal);
        let healed = self.world.now;
        self.forget_abandoned();
        self.settle()?;
        let took = self.world.now - healed;
        self.world.stats.convergence_times.push(took);
        if promises {
            self.check_confirmed(&known, &confirmed)?;
        }
        if losses { Ok(()) } else { self.check_writes(&safe) }
    }

    /// Identities that will not come back count for the majority until an operator has them forgotten. A replica that
    /// gets what it missed may repeat their last hellos: it takes a while until it is certain that nobody does.
    fn forget_abandoned(&mut self) {
        let Some(compound) = &mut self.world.compound else { return };
        for id in std::mem::take(&mut compound.abandoned) {
            for seconds in [5, 20] {
                let at = self.world.now + Duration::from_secs(seconds);
                self.world.plan(at, Step::ForgetIdentity { id: id.clone() });
            }
        }
    }

    /// How many writes each client that waits for replicas has seen acknowledged.
    fn confirmed_writes(&self) -> Vec<usize> {
        let count =
            |client: &crate::clients::Client| if client.waits { client.acked_writes.len() } else { 0 };
        self.world.clients.iter().map(count).collect()
    }

    fn check_confirmed(&mut self, from: &[usize], to: &[usize]) -> Result<(), Failure> {
        for (index, client) in self.world.clients.iter().enumerate() {
            let held = self.world.held_by_master(client.group);
            let acked = &client.acked_writes[from[index]..to[index]];
            let lost = acked.iter().filter(|data| !self.world.writes.contains(held, **data)).count();
            if lost > 0 {
                let name = &self.world.groups[usize::from(client.group)].name;
                let what = format!(
                    "{name} lost {lost} of {} writes that a replica had acknowledged, though only sentinels and masters \
                     failed",
                    acked.len()
                );
                self.world.violated(Invariant::WaitedWritesKept, what);
                return Err(self.world.failure.take().expect("it was just noted"));
            }
        }
        Ok(())
    }

    /// The one disaster that well sentinels must turn into none: a master is back at once, but without its data.
    /// Its replicas need a while to copy its emptiness; one of them must be promoted before.
    fn empty_return(&mut self) -> Result<(), Failure> {
        let index = self.rng.below(self.world.groups.len() as u64) as u16;
        let Some(master) = self.world.can_rescue(index) else { return Ok(()) };
        let group = &self.world.groups[usize::from(index)];
        let away = Duration::from_millis(50) + self.rng.span(group.config.down_after.mul_f64(0.5));
        for redis in group.redises.clone() {
            let settings = &mut self.world.redis(redis).settings;
            settings.sync_time = settings.sync_time.max(SLOW_COPY);
        }
        let safe = self.held_by_all();
        self.world.apply(Step::Bounce { node: master, after: away, finds: Finds::Nothing });
        let end = self.world.now + away + Duration::from_secs(15);
        self.world.run_until(end)?;
        self.settle()?;
        self.check_writes(&safe)
    }

    /// Waits until all agree, but not for ever.
    fn settle(&mut self) -> Result<(), Failure> {
        let config = &self.world.groups[0].config;
        let patience = config.failover_timeout * 3 + config.down_after * 4 + Duration::from_secs(90);
        let deadline = self.world.now + patience;
        let mut steady = 0;
        while steady < STEADY {
            let next = self.world.now + LOOK;
            self.world.run_until(next)?;
            match self.world.disagreement() {
                None => steady += 1,
                Some(_) if next > deadline && self.world.is_confused() => {
                    // Two masters of one epoch: where originals take part that can last until the next failover.
                    self.end = self.world.now;
                    return Ok(());
                }
                Some(why) if next > deadline => {
                    let what = format!("{patience:?} after the repair: {why}");
                    self.world.violated(Invariant::Convergence, what);
                    return Err(self.world.failure.take().expect("it was just noted"));
                }
                Some(_) => steady = 0,
            }
        }
        Ok(())
    }

    /// For each group, the writes that all its servers hold.
    fn held_by_all(&self) -> Vec<DataRef> {
        let held = |group: &crate::world::Group| {
            let data = group.redises.iter().map(|redis| self.world.redises[usize::from(*redis)].data);
            data.reduce(|a, b| self.world.writes.common(a, b)).unwrap_or(DataRef::EMPTY)
        };
        self.world.groups.iter().map(held).collect()
    }

    /// An operator makes a sentinel forget a master, and watch it again.
    fn watch_anew(&mut self, sentinel: usize, group: u16) -> Result<(), Failure> {
        let host = &self.world.sentinels[sentinel];
        let known = &self.world.groups[usize::from(group)];
        let (node, name, config) = (host.node, known.name.clone(), known.config.clone());
        let Some(view) = host.brain.group(&name).filter(|_| host.is_core()) else { return Ok(()) };
        // Where servers have names, operators write them: an address that its server leaves leads nowhere, forever.
        let (master, quorum) = (self.world.addresses.lasting(&view.address), view.config.quorum);
        self.world.apply(Step::Request { node, request: Request::Remove { group: name.clone() } });
        self.world.forget_announcements(sentinel as u16, group);
        let end = self.world.now + self.rng.span(Duration::from_secs(4));
        self.world.run_until(end)?;
        let request = Request::Monitor { group: name.clone(), master, quorum };
        self.world.apply(Step::Request { node, request });
        let mut changes = vec![
            GroupChange::DownAfter(config.down_after),
            GroupChange::FailoverTimeout(config.failover_timeout),
        ];
        if config.master_reboot_down_after > Duration::ZERO {
            changes.push(GroupChange::MasterRebootDownAfter(config.master_reboot_down_after));
        }
        self.world.apply(Step::Request { node, request: Request::Set { group: name, changes } });
        self.settle()
    }

    /// An operator orders a failover while the master is well and takes writes: none that it acknowledges is lost.
    fn ordered_failover(&mut self, sentinel: usize, group: u16) -> Result<(), Failure> {
        let node = self.world.sentinels[sentinel].node;
        let name = self.world.groups[usize::from(group)].name.clone();
        let write_from = self.world.now + self.rng.span(Duration::from_millis(5));
        let client = self.world.burst(group, write_from);
        let known = client.map_or(0, |client| self.world.clients[client].acked_writes.len());
        let elections = self.world.elections_of(group);
        self.world.apply(Step::Request { node, request: Request::Failover { group: name.clone() } });
        self.settle()?;
        let Some(client) = client.filter(|_| self.world.sentinels.iter().all(SentinelHost::is_core)) else {
            return Ok(());
        };
        // A message that stalls may make a single sentinel fail over anew, where one is a quorum: that was not ordered.
        if self.world.elections_of(group) > elections + 1 {
            return Ok(());
        }
        let held = self.world.held_by_master(group);
        let acked = &self.world.clients[client].acked_writes[known..];
        let lost = acked.iter().filter(|data| !self.world.writes.contains(held, **data)).count();
        if lost > 0 {
            let what = format!("{name} lost {lost} acknowledged writes by a failover that was ordered");
            self.world.violated(Invariant::WritesKept, what);
            return Err(self.world.failure.take().expect("it was just noted"));
        }
        Ok(())
    }

    /// What every server of a group held before the disasters is still held by all, acknowledged or not.
    fn check_writes(&mut self, safe: &[DataRef]) -> Result<(), Failure> {
        for (index, held) in self.held_by_all().into_iter().enumerate() {
            if !self.world.writes.contains(held, safe[index]) {
                let common = self.world.writes.common(held, safe[index]);
                let lost = self.world.writes.count(safe[index]) - self.world.writes.count(common);
                let what =
                    format!("{} lost {lost} writes that all its servers held", self.world.groups[index].name);
                self.world.violated(Invariant::WritesKept, what);
                return Err(self.world.failure.take().expect("it was just noted"));
            }
        }
        Ok(())
    }

    /// An operator does something, while all is well.
    fn operate(&mut self) -> Result<(), Failure> {
        let sentinel = self.rng.below(self.world.sentinels.len() as u64) as usize;
        let group = self.rng.below(self.world.groups.len() as u64) as usize;
        let node = self.world.sentinels[sentinel].node;
        let name = self.world.groups[group].name.clone();
        let request = match pick(&mut self.rng, &[(5, 0), (2, 1), (1, 2), (1, 3), (2, 4)]) {
            0 => return self.ordered_failover(sentinel, group as u16),
            1 => Request::Reset { pattern: "*".into() },
            2 => Request::FlushConfig,
            4 => return self.watch_anew(sentinel, group as u16),
            _ => Request::Set { group: name, changes: vec![GroupChange::ParallelSyncs(2)] },
        };
        self.world.apply(Step::Request { node, request });
        self.settle()
    }
}
