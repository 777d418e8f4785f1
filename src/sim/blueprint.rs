//! A world before time begins: who is there, and how it is set up.

use crate::addresses::{Addresses, REDIS_PORT, SENTINEL_PORT, endpoint, redis_ip, sentinel_ip};
use crate::brain::Kind;
use crate::clients::Client;
use crate::compound::{Compound, CompoundPlan};
use crate::consul::{Consul, ConsulPlan};
use crate::data::{DataRef, Writes};
use crate::disk::Disk;
use crate::event::Event;
use crate::host::SentinelHost;
use crate::invariants::Witness;
use crate::network::{Network, NodeId, Weather};
use crate::queue::Queue;
use crate::redis::{Redis, RedisSettings};
use crate::report::Stats;
use crate::step::Finds;
use crate::story::Story;
use crate::world::{Group, Process, Role, World};
use consentinel_core::{
    Durable, DurableGroup, Endpoint, GroupConfig, GroupName, Host, Rng, RunId, SentinelId, Time,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A sentinel to be.
#[derive(Clone, Debug)]
pub(crate) struct SentinelPlan {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it only looks on and publishes.
    pub(crate) observes: bool,
    /// How long a write to its disk takes: at least, and what may come on top, in microseconds.
    pub(crate) disk_pace: (u64, u64),
    /// By how many microseconds its clock is ahead of the world's.
    pub(crate) clock: i64,
}

/// A Redis server to be.
#[derive(Clone, Debug)]
pub(crate) struct RedisPlan {
    pub(crate) name: String,
    /// Whom it follows: an index in its group.
    pub(crate) follows: Option<usize>,
    pub(crate) priority: u32,
    pub(crate) load_time: Duration,
    pub(crate) sync_time: Duration,
    pub(crate) backlog: u64,
}

/// A master and its replicas to be.
#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub(crate) name: GroupName,
    pub(crate) config: GroupConfig,
    pub(crate) redises: Vec<RedisPlan>,
    pub(crate) clients: usize,
}

/// A world to be.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    pub(crate) sentinels: Vec<SentinelPlan>,
    pub(crate) groups: Vec<GroupPlan>,
    /// Settings that all sentinels share.
    pub(crate) config: consentinel_core::Config,
    /// Whether the Redis servers have host names, by which they are configured.
    pub(crate) host_names: bool,
    /// Whether the sentinels know all others and all replicas from the start.
    pub(crate) acquainted: bool,
    pub(crate) weather: Weather,
    pub(crate) consul: Option<ConsulPlan>,
    pub(crate) compound: Option<CompoundPlan>,
    /// Whether the first group has a client that writes under WAIT 1.
    pub(crate) waiting: bool,
}

impl Blueprint {
    /// How many processes there will be.
    pub(crate) fn count(sentinels: usize, groups: &[GroupPlan]) -> usize {
        sentinels + groups.iter().map(|group| group.redises.len() + group.clients).sum::<usize>()
    }

    /// Whether there is a sentinel that could publish anything.
    pub(crate) fn has_a_publisher(&self) -> bool {
        self.sentinels.iter().any(|plan| plan.kind == Kind::Core)
    }

    /// In a sentence.
    pub(crate) fn describe(&self) -> String {
        let config = &self.groups[0].config;
        let servers: Vec<String> = self.groups.iter().map(|group| group.redises.len().to_string()).collect();
        format!(
            "{} sentinels ({} original), quorum {}, groups of {} servers, down-after {:?}, failover-timeout {:?}, {} zones{}{}{}",
            self.sentinels.len(),
            self.sentinels.iter().filter(|plan| plan.kind == Kind::Original).count(),
            config.quorum,
            servers.join(", "),
            config.down_after,
            config.failover_timeout,
            self.weather.base.len(),
            if self.host_names { ", host names" } else { "" },
            if self.compound.is_some() { ", compound disasters" } else { "" },
            self.consul
                .as_ref()
                .map(|plan| format!(", Consul with {} servers", plan.servers))
                .unwrap_or_default()
        )
    }

    fn endpoint_of(&self, group: usize, redis: usize) -> Endpoint {
        let before: usize = self.groups[..group].iter().map(|group| group.redises.len()).sum();
        if self.host_names {
            let name = Arc::from(format!("{}.example", self.groups[group].redises[redis].name));
            Endpoint::new(Host::Name(name), REDIS_PORT)
        } else {
            endpoint(redis_ip(before + redis), REDIS_PORT)
        }
    }

    /// What a sentinel's configuration file says.
    fn durable(&self, own: usize, ids: &[SentinelId]) -> Durable {
        let mut durable =
            Durable { myid: Some(ids[own].clone()), config: self.config.clone(), ..Durable::default() };
        durable.config.registry.on = self.consul.is_some();
        durable.config.observe = self.sentinels[own].observes;
        for (index, group) in self.groups.iter().enumerate() {
            let master = group.redises.iter().position(|redis| redis.follows.is_none()).unwrap_or(0);
            let mut entry = DurableGroup::new(self.endpoint_of(index, master), group.config.clone());
            if self.acquainted {
                let direct =
                    group.redises.iter().enumerate().filter(|(_, redis)| redis.follows == Some(master));
                entry.replicas = direct.map(|(redis, _)| self.endpoint_of(index, redis)).collect();
                let peers = ids.iter().enumerate();
                let peers = peers.filter(|(peer, _)| *peer != own && !self.sentinels[*peer].observes);
                entry.sentinels = peers
                    .map(|(peer, id)| (id.clone(), endpoint(sentinel_ip(peer), SENTINEL_PORT)))
                    .collect();
            }
            durable.groups.insert(group.name.clone(), entry);
        }
        durable
    }

    /// Lets the world begin; somebody may listen, and somebody may record one sentinel's life.
    pub(crate) fn build(&self, seed: u64, listening: bool, record: Option<&str>) -> World {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut weather = self.weather.clone();
        weather.zones.extend(self.waiting.then_some(0));
        weather.zones.extend(self.consul.iter().map(|_| 0));
        let net = Network::new(weather, Rng::new(rng.bits()));
        let ids: Vec<SentinelId> = self.sentinels.iter().map(|_| SentinelId::new(&rng.hex40())).collect();
        let mut world = World {
            now: Time::ZERO,
            seed,
            queue: Queue::default(),
            rng,
            net,
            processes: Vec::new(),
            sentinels: Vec::new(),
            redises: Vec::new(),
            clients: Vec::new(),
            groups: Vec::new(),
            consul: None,
            compound: self.compound.map(Compound::new),
            addresses: Addresses::default(),
            writes: Writes::new(),
            witness: Witness::default(),
            story: Story::new(listening),
            stats: Stats::default(),
            ambushes: Vec::new(),
            punctual: false,
            era: 0,
            failure: None,
            was_reset: false,
        };
        self.add_sentinels(&mut world, &ids);
        for (host, plan) in world.sentinels.iter_mut().zip(&self.sentinels) {
            host.record = (record == Some(plan.name.as_str())).then(Vec::new);
        }
        for index in 0..self.groups.len() {
            self.add_group(&mut world, index);
        }
        if self.waiting {
            add_waiting_client(&mut world);
        }
        self.add_consul(&mut world);
        for redis in 0..world.redises.len() {
            world.redis_starts(redis as u16, Finds::Data);
        }
        for sentinel in 0..world.sentinels.len() {
            world.sentinel_starts(sentinel as u16);
        }
        world
    }

    fn add_sentinels(&self, world: &mut World, ids: &[SentinelId]) {
        for (index, plan) in self.sentinels.iter().enumerate() {
            let node = NodeId(world.processes.len() as u16);
            world.processes.push(Process::new(Role::Sentinel(index as u16)));
            world.addresses.add(node, &plan.name, sentinel_ip(index), SENTINEL_PORT);
            world.addresses.add_id(node, ids[index].clone());
            let disk = Disk::new(self.durable(index, ids), plan.disk_pace);
            let id = ids[index].clone();
            let mut host = SentinelHost::new(node, plan.kind, id, disk, plan.clock);
            host.observes = plan.observes;
            world.sentinels.push(host);
        }
    }

    fn add_group(&self, world: &mut World, index: usize) {
        let plan = &self.groups[index];
        let mut redises = Vec::new();
        for (place, redis) in plan.redises.iter().enumerate() {
            let node = NodeId(world.processes.len() as u16);
            let number = world.redises.len();
            world.processes.push(Process::new(Role::Redis(number as u16)));
            world.addresses.add(node, &redis.name, redis_ip(number), REDIS_PORT);
            let own = self.endpoint_of(index, place);
            if let Host::Name(host) = &own.host {
                world.addresses.add_host(node, host, REDIS_PORT);
            }
            let settings = RedisSettings {
                priority: redis.priority,
                load_time: redis.load_time,
                sync_time: redis.sync_time,
                backlog: redis.backlog,
                announce: self.host_names.then_some(own),
            };
            redises.push(number as u16);
            let id = RunId::new(&world.rng.hex40());
            world.redises.push(Redis {
                node,
                group: index as u16,
                settings,
                run_id: id.clone(),
                upstream: None,
                config_master: redis.follows.map(|master| self.endpoint_of(index, master)),
                replid: id,
                replid2: None,
                offset: 0,
                has_history: false,
                data: DataRef::EMPTY,
                stream: Default::default(),
                stream_start: 1,
                downstream: Vec::new(),
                subscribers: Vec::new(),
                loading: false,
                fails_over: false,
                holds_until: Time::ZERO,
                hold: None,
                held: BTreeSet::new(),
                settled: BTreeSet::new(),
                unconfirmed: Vec::new(),
                emptied: None,
            });
        }
        for number in 0..plan.clients {
            let node = NodeId(world.processes.len() as u16);
            world.processes.push(Process::new(Role::Client));
            world.addresses.name_only(node, &format!("client{}", world.clients.len() + 1));
            let client = world.clients.len() as u16;
            world.clients.push(Client::new(node, index as u16));
            let at = Time::from_millis(1500 + 37 * number as u64) + world.rng.span(Duration::from_secs(1));
            world.queue.push(at, Event::ClientTurn { client });
        }
        let first = plan.redises.iter().position(|redis| redis.follows.is_none()).unwrap_or(0);
        let configured = world.redises[usize::from(redises[first])].node;
        world.groups.push(Group {
            name: plan.name.clone(),
            config: plan.config.clone(),
            configured,
            redises,
        });
    }

    /// Consul comes last, so that nobody else has another number because of it.
    fn add_consul(&self, world: &mut World) {
        let Some(plan) = &self.consul else { return };
        let node = NodeId(world.processes.len() as u16);
        world.processes.push(Process::new(Role::Consul));
        world.addresses.name_only(node, "consul");
        world.consul = Some(Box::new(Consul::new(node, plan.clone())));
    }
}

/// It comes after all others, so that nobody else has another number because of it.
fn add_waiting_client(world: &mut World) {
    let node = NodeId(world.processes.len() as u16);
    world.processes.push(Process::new(Role::Client));
    let client = world.clients.len() as u16;
    world.addresses.name_only(node, &format!("client{}", client + 1));
    world.clients.push(Client::waiting(node, 0));
    world.queue.push(Time::from_millis(1700), Event::ClientTurn { client });
}
