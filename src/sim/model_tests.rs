//! What the models of the network and of Redis servers promise, without any sentinel that would interfere.

use crate::blueprint::{Blueprint, GroupPlan, RedisPlan};
use crate::data::DataRef;
use crate::network::{NodeId, Path, Weather};
use crate::redis::UpstreamLink;
use crate::step::{Crash, Finds, Step};
use crate::world::World;
use consentinel_core::{Config, GroupConfig, GroupName, Info, Quorum, Role, Time};
use std::time::Duration;

/// A master and its replicas: no sentinels, no clients.
fn servers(count: usize) -> World {
    let server = |place: usize| RedisPlan {
        name: format!("r{}", place + 1),
        follows: (place > 0).then_some(0),
        priority: 100,
        load_time: Duration::from_millis(10),
        sync_time: Duration::from_millis(300),
        backlog: 10_000,
    };
    let group = GroupPlan {
        name: GroupName::new("mymaster"),
        config: GroupConfig::new(Quorum(1)),
        redises: (0..count).map(server).collect(),
        clients: 0,
    };
    let blueprint = Blueprint {
        sentinels: Vec::new(),
        groups: vec![group],
        config: Config::default(),
        host_names: false,
        acquainted: true,
        weather: Weather::lan(count),
        consul: None,
        compound: None,
        waiting: false,
    };
    let mut world = blueprint.build(1, false, None);
    pass(&mut world, 5_000);
    world
}

/// Lets milliseconds pass.
fn pass(world: &mut World, millis: u64) {
    let end = world.now + Duration::from_millis(millis);
    world.run_until(end).expect("no sentinel, no violation");
}

fn node(world: &World, name: &str) -> NodeId {
    world.addresses.by_name(name).expect("it is there")
}

fn info(world: &World, redis: usize) -> Info {
    let server = &world.redises[redis];
    server.info(world.now, world.writes.count(server.data))
}

fn follow(world: &mut World, who: usize, master: Option<&str>) {
    let master = master.map(|name| world.addresses.current(node(world, name)));
    world.redis_follows(who as u16, master);
}

#[test]
fn writes_reach_the_replicas() {
    let mut world = servers(3);
    let data = world.write(0);
    pass(&mut world, 10);
    assert!(world.redises.iter().all(|server| server.data == data));
    assert_eq!(info(&world, 1).repl_offset, info(&world, 0).master_repl_offset);
    assert_eq!(info(&world, 0).replicas.len(), 2);
}

#[test]
fn a_replica_that_was_away_for_a_moment_gets_what_it_missed() {
    let mut world = servers(2);
    world.write(0);
    pass(&mut world, 10);
    let (a, b) = (node(&world, "r1"), node(&world, "r2"));
    world.apply(Step::Reset { a, b });
    let missed = world.write(0);
    pass(&mut world, 2_000);
    assert_eq!(world.redises[1].data, missed);
    assert!(info(&world, 1).master_link_up);
    assert_eq!(world.stats.rolled_back, 0);
}

#[test]
fn a_replica_that_was_away_for_too_long_gets_everything() {
    let mut world = servers(2);
    let replica = node(&world, "r2");
    world.apply(Step::Crash { node: replica, how: Crash::Kill });
    for _ in 0..300 {
        world.write(0);
    }
    world.apply(Step::Restart { node: replica, finds: Finds::History });
    pass(&mut world, 150);
    assert!(matches!(
        world.redises[1].upstream.as_ref().map(|upstream| upstream.link),
        Some(UpstreamLink::Syncing(_))
    ));
    assert_eq!(info(&world, 1).repl_offset.0, 1, "a copy that is under way has no offset");
    pass(&mut world, 1_500);
    assert_eq!(world.redises[1].data, world.redises[0].data);
}

#[test]
fn the_replicas_of_a_promoted_server_need_no_copy() {
    let mut world = servers(3);
    world.write(0);
    pass(&mut world, 10);
    world.apply(Step::Crash { node: node(&world, "r1"), how: Crash::Kill });
    follow(&mut world, 1, None);
    follow(&mut world, 2, Some("r2"));
    let data = world.write(1);
    pass(&mut world, 100);
    assert_eq!(world.redises[2].data, data);
    assert_eq!(info(&world, 1).role, Some(Role::Master));
}

#[test]
fn an_old_master_with_writes_of_its_own_loses_them() {
    let mut world = servers(2);
    let common = world.write(0);
    pass(&mut world, 10);
    let all: Vec<NodeId> = vec![node(&world, "r2")];
    let path = |path| Step::SetPath { from: vec![NodeId(0)], to: all.clone(), both_ways: true, path };
    world.apply(path(Path::Cut));
    follow(&mut world, 1, None);
    let lost = world.write(0);
    let kept = world.write(1);
    world.apply(path(Path::Open));
    follow(&mut world, 0, Some("r2"));
    pass(&mut world, 3_000);
    assert_eq!(world.redises[0].data, kept);
    assert!(world.writes.contains(kept, common) && !world.writes.contains(kept, lost));
    assert_eq!(world.stats.rolled_back, 1);
}

#[test]
fn an_empty_master_empties_its_replicas() {
    let mut world = servers(2);
    world.write(0);
    pass(&mut world, 10);
    let master = node(&world, "r1");
    world.apply(Step::Bounce { node: master, after: Duration::from_millis(50), finds: Finds::Nothing });
    pass(&mut world, 3_000);
    assert_eq!(world.redises[1].data, DataRef::EMPTY);
    assert_eq!(world.stats.wiped, 1);
}

#[test]
fn a_cascade_passes_the_stream_on() {
    let mut world = servers(3);
    follow(&mut world, 2, Some("r2"));
    pass(&mut world, 1_000);
    let data = world.write(0);
    pass(&mut world, 10);
    assert_eq!(world.redises[2].data, data);
    assert_eq!(info(&world, 0).replicas.len(), 1);
}

#[test]
fn a_stopped_server_does_everything_later() {
    let mut world = servers(2);
    let replica = node(&world, "r2");
    world.apply(Step::Pause { node: replica });
    let data = world.write(0);
    pass(&mut world, 1_000);
    assert_ne!(world.redises[1].data, data);
    world.apply(Step::Resume { node: replica });
    assert_eq!(world.redises[1].data, data);
}

#[test]
fn what_a_partition_held_up_arrives_after_it_in_order() {
    let mut world = servers(2);
    let path = |path| Step::SetPath { from: vec![NodeId(0)], to: vec![NodeId(1)], both_ways: false, path };
    world.apply(path(Path::Held));
    for _ in 0..20 {
        world.write(0);
    }
    pass(&mut world, 1_000);
    assert_eq!(world.redises[1].data, DataRef::EMPTY);
    world.apply(path(Path::Open));
    pass(&mut world, 10);
    assert_eq!(world.redises[1].data, world.redises[0].data);
}

#[test]
fn a_vanished_master_is_missed_after_the_replication_timeout() {
    let mut world = servers(2);
    world.apply(Step::Crash { node: node(&world, "r1"), how: Crash::Vanish });
    pass(&mut world, 30_000);
    assert!(info(&world, 1).master_link_up, "nobody has told it");
    pass(&mut world, 60_000);
    assert!(!info(&world, 1).master_link_up);
}

#[test]
fn time_goes_on_when_nothing_happens() {
    let mut world = servers(1);
    world.run_until(Time::from_millis(3_600_000)).expect("nothing to violate");
    assert_eq!(world.now, Time::from_millis(3_600_000));
}
