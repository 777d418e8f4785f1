//! Many groups.

use super::world::ms;
use super::*;
use crate::{Call, Chore};

const MANY: usize = 1000;

fn is_watch(call: &Call) -> bool {
    matches!(call, Call::WatchRecords { .. } | Call::WatchEntries { .. })
}

fn is_write(call: &Call) -> bool {
    matches!(call, Call::Write { .. })
}

/// So many groups, published by daemons that all want to.
fn published(daemons: usize, groups: usize) -> World {
    let mut world =
        World::with(daemons, |settings| settings.chores = vec![Chore::Presence, Chore::DeadmanCheck]);
    let all = |world: &mut World, request: RegistryRequest| {
        for daemon in 0..daemons {
            (0..groups).for_each(|at| world.ask(daemon, group(at), request.clone()));
        }
    };
    all(&mut world, LOOK);
    world.pass(ms(100));
    all(&mut world, claim(Fence(0), 1, 7000, None));
    world.pass(ms(10_000));
    assert_eq!(world.consul.records.len(), groups);
    world
}

#[test]
fn daemons_that_all_want_to_write_the_same_write_it_once() {
    let world = published(3, MANY);
    assert_eq!(world.consul.written, MANY);
    assert!(world.consul.bounced <= MANY / 5, "{} bounced", world.consul.bounced);
}

#[test]
fn at_rest_nothing_is_asked_of_any_group() {
    let mut world = published(1, MANY);
    world.forget_sent();
    world.pass(ms(600_000));
    let others = world.sent(0, |call| !matches!(call, Call::Chore(_)));
    assert_eq!(others, 0, "{:?}", world.daemons[0].sent.first());
}

#[test]
fn a_daemon_that_starts_reads_everything_at_once_and_writes_nothing() {
    let mut world = published(1, MANY);
    let mut second = World::new(1);
    second.consul = std::mem::take(&mut world.consul);
    (0..MANY).for_each(|at| second.ask(0, group(at), LOOK));
    second.pass(ms(1_000));
    assert_eq!(second.events(0).len(), MANY);
    assert_eq!(second.sent(0, |call| !is_watch(call)), 0);
    assert!(second.sent(0, is_watch) <= 4);
}

#[test]
fn a_thousand_locks_take_a_few_calls() {
    let mut world = published(2, MANY);
    world.events(0);
    world.events(1);
    world.forget_sent();
    for daemon in 0..2 {
        (0..MANY).for_each(|at| world.ask(daemon, group(at), RegistryRequest::Lock));
    }
    world.pass(ms(5_000));
    let held = world.consul.records.values().filter(|record| record.locked_by.is_some()).count();
    assert_eq!(held, MANY);
    let sent = |world: &mut World, daemon| {
        world.sent(daemon, |call| !is_watch(call) && !matches!(call, Call::Chore(_)))
    };
    let calls = sent(&mut world, 0) + sent(&mut world, 1);
    let kinds: Vec<String> = world.daemons[1]
        .sent
        .iter()
        .map(|(at, call)| format!("{} {call:?}", at.as_millis()))
        .map(|text| text.chars().take(30).collect())
        .collect();
    assert!(calls <= 60, "{calls}: {kinds:?}");
    let knows = |event: &RegistryEvent| matches!(event, RegistryEvent::Seen(seen) if seen.lock != Lock::Free);
    for daemon in 0..2 {
        assert!(world.events(daemon).iter().filter(|event| knows(event)).count() >= MANY);
    }
}

#[test]
fn a_failover_does_not_wait_for_the_health_of_others() {
    let mut world = published(1, MANY);
    world.events(0);
    world.forget_sent();
    let fences: Vec<Fence> = (0..MANY).map(|at| world.consul.records[&group(at)].fence).collect();
    (1..MANY).for_each(|at| world.ask(0, group(at), health(fences[at], false, Health::Warning)));
    world.ask(0, group(0), claim(fences[0], 2, 7001, Some(7000)));
    world.pass(ms(10));
    let fence = world.consul.records[&group(0)].fence;
    assert!(fence > fences[0] && world.events(0).contains(&RegistryEvent::Written(fence)));
    assert!(world.sent(0, is_write) < 20);
}

#[test]
fn a_hundred_failovers_at_once_are_as_many_writes() {
    let mut world = published(3, 100);
    let before = (world.consul.written, world.consul.bounced);
    let fences: Vec<Fence> = (0..100).map(|at| world.consul.records[&group(at)].fence).collect();
    for (at, fence) in fences.iter().enumerate() {
        world.ask(at % 3, group(at), claim(*fence, 2, 7001, Some(7000)));
    }
    world.pass(ms(120));
    // Those that did not lead it would write it now.
    for (at, fence) in fences.iter().enumerate() {
        for daemon in (0..3).filter(|daemon| *daemon != at % 3) {
            world.ask(daemon, group(at), claim(*fence, 2, 7001, Some(7000)));
        }
    }
    world.pass(ms(2_000));
    assert_eq!((world.consul.written - before.0, world.consul.bounced - before.1), (100, 0));
}
