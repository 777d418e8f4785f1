//! Consul is away, or serves us no more.

use super::world::ms;
use super::*;
use crate::Call;
use consentinel_core::RegistryFault;

/// Groups that are published.
fn published(groups: usize) -> World {
    let mut world = World::new(1);
    for at in 0..groups {
        world.ask(0, group(at), LOOK);
        world.ask(0, group(at), claim(Fence(0), 1, 7000, None));
    }
    world.pass(ms(5_000));
    world.events(0);
    world.forget_sent();
    world
}

fn failed(events: &[RegistryEvent]) -> usize {
    events.iter().filter(|event| matches!(event, RegistryEvent::Failed(_))).count()
}

#[test]
fn while_consul_is_away_one_call_at_a_time_asks_for_all_and_its_return_is_noticed_at_once() {
    let mut world = published(100);
    world.consul.fault = Some(RegistryFault::Unreachable);
    world.pass(ms(200));
    let events = world.events(0);
    assert_eq!((failed(&events), events.len()), (100, 100), "all are told, once");
    (0..100).for_each(|at| world.ask(0, group(at), RegistryRequest::Look { tries: 9 }));
    world.forget_sent();
    world.pass(ms(60_000));
    assert_eq!(world.events(0), []);
    let calls = world.sent(0, |_| true);
    assert!((500..=600).contains(&calls), "{calls} in a minute");
    world.consul.fault = None;
    world.pass(ms(200));
    let events = world.events(0);
    assert_eq!((failed(&events), events.len()), (0, 100));
    assert_eq!(world.daemons[0].outages.len(), 2);
}

#[test]
fn what_is_asked_while_consul_is_away_fails_at_once_and_is_not_made_up_for() {
    let mut world = published(1);
    let fence = world.consul.records[&group(0)].fence;
    world.consul.fault = Some(RegistryFault::Leaderless);
    world.pass(ms(200));
    world.events(0);
    for request in [claim(fence, 2, 7001, Some(7000)), RegistryRequest::Lock] {
        world.ask(0, group(0), request);
        assert_eq!(failed(&world.events(0)), 1);
    }
    world.ask(0, group(0), LOOK);
    world.consul.fault = None;
    world.pass(ms(200));
    let events = world.events(0);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.fence == fence), "{events:?}");
}

#[test]
fn one_connection_that_is_lost_is_no_outage() {
    let mut world = published(2);
    world.consul.fault = Some(RegistryFault::Unreachable);
    // The watches end with it; the next attempt succeeds.
    world.pass(std::time::Duration::from_micros(700));
    world.consul.fault = None;
    world.pass(ms(1_000));
    assert_eq!(world.events(0), []);
    assert_eq!(world.daemons[0].outages, []);
    world.consul.drift(&group(1));
    world.pass(ms(1_000));
    assert_eq!(world.events(0).len(), 1);
}

#[test]
fn who_is_limited_says_it_once_comes_less_often_and_recovers() {
    let mut world = published(100);
    world.consul.fault = Some(RegistryFault::Limited);
    world.ask(0, group(7), LOOK);
    world.pass(ms(60_000));
    let calls = world.sent(0, |_| true);
    assert!(calls < 50, "{calls} in a minute");
    let failures = failed(&world.events(0));
    assert!(failures <= 1, "one message is enough: {failures}");
    assert_eq!(world.daemons[0].outages.len(), 1);
    world.consul.fault = None;
    world.ask(0, group(7), LOOK);
    world.pass(ms(3_000));
    assert_eq!((world.events(0).len(), world.daemons[0].outages.len()), (1, 2));
}

#[test]
fn a_right_that_is_missing_is_told_and_tried_ever_less_often() {
    let mut world = World::new(1);
    world.consul.fault = Some(RegistryFault::Denied);
    world.ask(0, group(0), LOOK);
    world.pass(ms(50));
    assert_eq!(failed(&world.events(0)), 1);
    world.ask(0, group(0), RegistryRequest::Look { tries: 1 });
    world.pass(ms(60_000));
    assert!(world.sent(0, |call| !matches!(call, Call::Chore(_))) < 50);
    world.consul.fault = None;
    world.events(0);
    world.ask(0, group(0), LOOK);
    world.pass(ms(13_000));
    let events = world.events(0);
    assert!(matches!(events.last(), Some(RegistryEvent::Seen(_))), "{events:?}");
}
