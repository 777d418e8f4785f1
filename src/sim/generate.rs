//! A world from a seed. Small worlds are the rule: they are quick, and most of what can go wrong goes wrong in them.

use crate::blueprint::{Blueprint, GroupPlan, RedisPlan, SentinelPlan};
use crate::brain::Kind;
use crate::consul::ConsulPlan;
use crate::network::Weather;
use crate::run::ConsulChoice;
use consentinel_core::{Config, GroupConfig, GroupName, Quorum, Rng, mix};
use std::time::Duration;

/// One of some things, each with its weight.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, from: &[(u64, T)]) -> T {
    let total = from.iter().map(|(weight, _)| weight).sum();
    let mut at = rng.below(total);
    for (weight, thing) in from {
        if at < *weight {
            return *thing;
        }
        at -= weight;
    }
    from[0].1
}

/// A number from one to another, both included.
pub(crate) fn between(rng: &mut Rng, from: u64, to: u64) -> u64 {
    from + rng.below(to - from + 1)
}

fn millis(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(between(rng, from, to))
}

/// The world of a seed.
pub(crate) fn generate(rng: &mut Rng) -> Blueprint {
    let sentinels = pick(rng, &[(70, 3), (10, 5), (5, 1), (5, 2), (5, 4), (3, 7), (2, 6)]);
    let crowd = pick(rng, &[(895, 1), (70, 2), (30, 4), (5, 20)]);
    let groups = if crowd > 2 { between(rng, 3, crowd) } else { crowd };
    let config = group_config(rng, sentinels);
    let groups: Vec<GroupPlan> = (0..groups).map(|index| group(rng, index, groups, &config)).collect();
    let mixed = sentinels > 1 && rng.per_mille(150);
    let host_names = !mixed && rng.per_mille(60);
    let nodes = Blueprint::count(sentinels, &groups);
    let pace = pick(rng, &[(80, (300, 4000)), (15, (100, 300)), (5, (20_000, 60_000))]);
    let plan = |index: usize, rng: &mut Rng| SentinelPlan {
        name: format!("s{}", index + 1),
        kind: if mixed && rng.per_mille(500) { Kind::Original } else { Kind::Core },
        observes: false,
        disk_pace: pace,
        clock: 1_000_000_000_000 + rng.below(1_000_000_000_000) as i64,
    };
    Blueprint {
        sentinels: (0..sentinels).map(|index| plan(index, rng)).collect(),
        groups,
        config: Config {
            resolve_hostnames: host_names,
            announce_hostnames: host_names && rng.per_mille(500),
            ..Config::default()
        },
        host_names,
        acquainted: rng.per_mille(500),
        weather: weather(rng, nodes),
        consul: None,
        compound: None,
        waiting: false,
    }
}

/// The Consul of a seed, if it has one. Its chance is its own, so that the rest of the world does not depend on it.
pub(crate) fn generate_consul(seed: u64, choice: ConsulChoice) -> Option<ConsulPlan> {
    let mut rng = Rng::new(mix(seed ^ 0xc0_1150_1000));
    let on = rng.per_mille(500);
    let plan = ConsulPlan {
        servers: pick(&mut rng, &[(1, 1), (2, 3)]),
        latency: (between(&mut rng, 100, 1000), pick(&mut rng, &[(6, 300), (3, 3000), (1, 40_000)])),
        commit: pick(&mut rng, &[(6, 500), (3, 3000), (1, 30_000)]),
        always_silent: choice == ConsulChoice::Silent,
        seed: rng.bits(),
    };
    match choice {
        ConsulChoice::BySeed => on.then_some(plan),
        ConsulChoice::Off => None,
        ConsulChoice::On | ConsulChoice::Silent => Some(plan),
    }
}

/// Whether the sentinels of a seed answer DNS. Its chance is its own, too.
pub(crate) fn generate_dns(seed: u64) -> bool {
    Rng::new(mix(seed ^ 0xd4_5000)).per_mille(500)
}

fn group_config(rng: &mut Rng, sentinels: usize) -> GroupConfig {
    let majority = sentinels as u64 / 2 + 1;
    let quorum = if rng.per_mille(700) { majority } else { between(rng, 1, sentinels as u64) };
    let mut config = GroupConfig::new(Quorum(quorum as u32));
    config.down_after = match rng.below(20) {
        0 => millis(rng, 200, 1000),
        1..=3 => millis(rng, 1000, 5000),
        _ => Duration::from_secs(pick(rng, &[(3, 5), (4, 10), (2, 15), (2, 30)])),
    };
    config.failover_timeout =
        Duration::from_secs(pick(rng, &[(5, 3), (10, 5), (30, 10), (30, 20), (20, 60), (5, 180)]));
    config.parallel_syncs = pick(rng, &[(3, 1), (1, 2), (1, 5)]);
    config
}

fn group(rng: &mut Rng, index: u64, of: u64, config: &GroupConfig) -> GroupPlan {
    let servers = if of > 2 {
        between(rng, 2, 3)
    } else {
        pick(rng, &[(3, 1), (17, 2), (62, 3), (10, 4), (5, 5), (2, 7), (1, 9)])
    };
    let cascade = servers > 2 && rng.per_mille(80);
    let sync_time = pick(rng, &[(6, 200), (3, 1500), (1, 6000)]);
    let backlog = pick(rng, &[(4, 1 << 20), (1, 4000)]);
    let load = pick(rng, &[(5, 100), (3, 1000), (1, 8000)]);
    let odd_priorities = rng.per_mille(250);
    let redises = (0..servers)
        .map(|place| {
            let priority = if odd_priorities { pick(rng, &[(4, 100), (2, 90), (1, 0)]) } else { 100 };
            RedisPlan {
                name: if of == 1 {
                    format!("r{}", place + 1)
                } else {
                    format!("g{}r{}", index + 1, place + 1)
                },
                follows: match place {
                    0 => None,
                    place if cascade && place == servers - 1 => Some(1),
                    _ => Some(0),
                },
                priority,
                load_time: millis(rng, 1, load),
                sync_time: millis(rng, 50, sync_time),
                backlog,
            }
        })
        .collect();
    let name = if of == 1 { "mymaster".into() } else { format!("group{}", index + 1) };
    let clients = usize::from(index == 0 && rng.per_mille(800));
    GroupPlan { name: GroupName::new(&name), config: config.clone(), redises, clients }
}

fn weather(rng: &mut Rng, nodes: usize) -> Weather {
    let zones = pick(rng, &[(70, 1), (15, 2), (15, 3)]);
    let near = between(rng, 30, 400);
    let far = between(rng, 1000, 30_000);
    let base = |a: u64, b: u64| if a == b { near } else { far + 1000 * (a + b) };
    Weather {
        zones: (0..nodes).map(|_| rng.below(zones) as u8).collect(),
        base: (0..zones).map(|a| (0..zones).map(|b| base(a, b)).collect()).collect(),
        jitter: pick(rng, &[(5, 100), (3, 600), (1, 5000)]),
        stalls: pick(rng, &[(7, 0), (2, 5), (1, 40)]),
    }
}
