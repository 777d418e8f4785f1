//! One group.

use super::world::ms;
use super::*;
use crate::Call;

fn seen(event: &RegistryEvent) -> &Published {
    match event {
        RegistryEvent::Seen(published) => published,
        other => panic!("{other:?}"),
    }
}

/// A world in which the group is published by the first daemon, and its fence.
fn published(daemons: usize) -> (World, Fence) {
    let mut world = World::new(daemons);
    (0..daemons).for_each(|daemon| world.ask(daemon, group(0), LOOK));
    world.pass(ms(50));
    (0..daemons).for_each(|daemon| assert_eq!(seen(&world.events(daemon)[0]).fence, Fence(0)));
    world.ask(0, group(0), claim(Fence(0), 1, 7000, None));
    world.pass(ms(200));
    let [RegistryEvent::Written(fence)] = world.events(0)[..] else { panic!("not written") };
    (1..daemons).for_each(|daemon| assert_eq!(seen(&world.events(daemon)[0]).fence, fence));
    (world, fence)
}

#[test]
fn what_we_have_written_is_not_told_back_and_what_others_change_is() {
    let (mut world, fence) = published(2);
    world.pass(ms(5_000));
    assert_eq!((world.events(0), world.events(1)), (vec![], vec![]));
    world.ask(0, group(0), health(fence, false, Health::Warning));
    world.pass(ms(1_000));
    assert_eq!(world.events(0), [RegistryEvent::Written(fence)]);
    assert_eq!(seen(&world.events(1)[0]).entries.len(), 2);
    world.consul.drift(&group(0));
    world.pass(ms(1_500));
    for daemon in 0..2 {
        let events = world.events(daemon);
        assert!(events.len() == 1 && seen(&events[0]).entries.is_empty(), "{events:?}");
    }
}

#[test]
fn whoever_was_slower_sees_what_stands_there_now() {
    let (mut world, fence) = published(2);
    // The second has not heard of it yet.
    world.ask(0, group(0), claim(fence, 2, 7001, Some(7000)));
    world.ask(1, group(0), claim(fence, 2, 7002, Some(7000)));
    world.pass(ms(3));
    world.ask(1, group(0), LOOK);
    world.pass(ms(100));
    let mut events = world.events(1);
    assert_eq!(events.remove(0), RegistryEvent::Stale);
    assert_eq!(seen(&events[0]).record, Some(record(2, 7001)));
    assert_eq!(seen(&events[0]).entries, [entry(Role::Master, 2, 7001)]);
    // When it has heard, it asks nobody.
    world.forget_sent();
    world.ask(1, group(0), claim(fence, 3, 7003, Some(7000)));
    assert_eq!(world.events(1), [RegistryEvent::Stale]);
    world.pass(ms(100));
    assert_eq!(world.sent(1, |call| matches!(call, Call::Write { .. })), 0);
}

#[test]
fn a_group_that_comes_late_is_read_by_itself() {
    let (mut world, _) = published(1);
    world.forget_sent();
    world.ask(0, group(1), LOOK);
    world.pass(ms(10));
    assert_eq!(seen(&world.events(0)[0]).fence, Fence(0));
    assert_eq!(world.sent(0, |call| matches!(call, Call::Read(_))), 1);
}

#[test]
fn the_lock_goes_from_one_to_the_next() {
    let (mut world, fence) = published(2);
    world.ask(0, group(0), RegistryRequest::Lock);
    world.pass(ms(50));
    let events = world.events(0);
    assert!(events.len() == 1 && seen(&events[0]).lock == Lock::Ours, "{events:?}");
    assert_eq!(seen(&world.events(1)[0]).lock, Lock::Theirs);
    world.ask(1, group(0), RegistryRequest::Lock);
    world.pass(ms(50));
    assert_eq!(seen(&world.events(1)[0]).lock, Lock::Theirs);
    world.ask(1, group(0), health(fence, true, Health::Warning));
    assert_eq!(world.events(1), [RegistryEvent::Stale], "it has no session");
    world.ask(0, group(0), health(fence, true, Health::Warning));
    world.ask(0, group(0), RegistryRequest::Unlock);
    world.pass(ms(100));
    let events = world.events(0);
    assert_eq!(events[0], RegistryEvent::Written(fence));
    assert_eq!(seen(events.last().expect("one")).lock, Lock::Free);
    world.events(1);
    world.ask(1, group(0), RegistryRequest::Lock);
    world.pass(ms(50));
    assert_eq!(seen(world.events(1).last().expect("one")).lock, Lock::Ours);
}

#[test]
fn both_want_the_lock_and_one_gets_it() {
    let (mut world, _) = published(2);
    world.ask(0, group(0), RegistryRequest::Lock);
    world.ask(1, group(0), RegistryRequest::Lock);
    world.pass(ms(200));
    let locks: Vec<Lock> =
        (0..2).map(|daemon| seen(world.events(daemon).last().expect("one")).lock).collect();
    assert!(locks.contains(&Lock::Ours) && locks.contains(&Lock::Theirs), "{locks:?}");
}

#[test]
fn a_session_that_was_lost_is_begun_anew() {
    let (mut world, _) = published(1);
    world.ask(0, group(0), RegistryRequest::Lock);
    world.pass(ms(50));
    world.events(0);
    let session = world.daemons[0].publisher.session().cloned().expect("a session");
    world.consul.end_session(&session);
    world.pass(ms(100));
    assert_eq!(seen(&world.events(0)[0]).lock, Lock::Free);
    world.ask(0, group(0), RegistryRequest::Lock);
    world.pass(ms(100));
    assert_eq!(seen(&world.events(0)[0]).lock, Lock::Ours);
    assert_ne!(world.daemons[0].publisher.session(), Some(&session));
}

#[test]
fn a_lock_that_was_asked_for_with_a_session_that_is_found_gone_meanwhile_is_asked_for_again() {
    // The lock is asked for when the session is about to be renewed, at every moment around that.
    for moment in 0..60 {
        let (mut world, _) = published(1);
        world.ask(0, group(0), RegistryRequest::Lock);
        world.pass(ms(50));
        let session = world.daemons[0].publisher.session().cloned().expect("a session");
        world.ask(0, group(0), RegistryRequest::Unlock);
        world.pass(ms(3_250));
        world.events(0);
        world.consul.end_session(&session);
        world.pass(ms(moment));
        world.ask(0, group(0), RegistryRequest::Lock);
        world.pass(ms(1_000));
        let events = world.events(0);
        let is_ours =
            |event: &RegistryEvent| matches!(event, RegistryEvent::Seen(seen) if seen.lock == Lock::Ours);
        assert!(events.iter().any(is_ours), "{moment}: {events:?}");
    }
}

#[test]
fn a_group_that_is_forgotten_gives_its_lock_back_and_is_not_heard_of_again() {
    let (mut world, _) = published(1);
    world.ask(0, group(0), RegistryRequest::Lock);
    world.pass(ms(50));
    world.ask(0, group(0), RegistryRequest::Forget);
    world.pass(ms(50));
    assert_eq!(world.consul.records[&group(0)].locked_by, None);
    world.events(0);
    world.consul.drift(&group(0));
    world.pass(ms(3_000));
    assert_eq!(world.events(0), []);
    assert_eq!(world.daemons[0].publisher.watched(), 0);
}

#[test]
fn a_consul_that_was_restored_is_read_anew() {
    let (mut world, fence) = published(1);
    let then = (world.consul.records.clone(), world.consul.listings.clone());
    world.ask(0, group(0), claim(fence, 2, 7001, Some(7000)));
    world.pass(ms(1_000));
    world.events(0);
    world.consul.restore(then.0, then.1);
    world.pass(ms(1_500));
    let events = world.events(0);
    let last = seen(events.last().expect("it is told"));
    assert_eq!((last.fence, &last.record), (fence, &Some(record(1, 7000))));
    assert_eq!(last.entries, [entry(Role::Master, 1, 7000)]);
}

#[test]
fn in_a_dry_run_nothing_is_written_and_what_would_be_there_is_seen() {
    let mut world = World::with(1, |settings| settings.dry_run = true);
    world.ask(0, group(0), LOOK);
    world.pass(ms(50));
    world.events(0);
    world.ask(0, group(0), claim(Fence(0), 1, 7000, None));
    world.ask(0, group(0), RegistryRequest::Lock);
    world.pass(ms(5_000));
    let events = world.events(0);
    assert_eq!(events[0], RegistryEvent::Written(Fence(0)));
    let last = seen(&events[1]);
    assert_eq!((last.lock, last.entries.len(), last.record.is_some()), (Lock::Ours, 1, true));
    assert_eq!((world.consul.written, events.len()), (0, 2));
}
