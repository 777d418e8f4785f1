//! What the model of Consul and of the registrar promises, asked by hand: the sentinels here are originals, which ask
//! nothing themselves.

use super::state::{SessionId, State};
use super::{Behaviour, ConsulDeed, ConsulPlan, Drift};
use crate::blueprint::{Blueprint, GroupPlan, SentinelPlan};
use crate::brain::Kind;
use crate::network::{NodeId, Path, Weather};
use crate::step::{Crash, Step};
use crate::world::World;
use consentinel_core::{
    Config, Endpoint, Entry, EntryKey, Epoch, Fence, GroupConfig, GroupName, Guard, Health, Input, Lock,
    Published, Quorum, Record, Recorded, RegistryEvent, RegistryFault, RegistryRequest, Role, RunId,
    SentinelId, Time, Transaction,
};
use consentinel_publisher as publisher;
use std::time::Duration;

fn group() -> GroupName {
    GroupName::new("mymaster")
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::parse("10.1.0.1", &port.to_string()).expect("an address")
}

fn record(epoch: u64, port: u16) -> Record {
    let (run_id, publisher) = (RunId::new("run"), SentinelId::new("somebody"));
    Record { epoch: Epoch(epoch), master: endpoint(port), run_id, publisher, sentinels: vec![] }
}

fn entry(role: Role, port: u16, health: Health) -> Entry {
    let sentence = "so it is".to_owned();
    Entry { role, addr: endpoint(port), run_id: None, epoch: Epoch(1), health, cause: None, sentence }
}

fn claim(fence: u64, epoch: u64, port: u16) -> Transaction {
    Transaction {
        guard: Guard::Claim { fence: Fence(fence), record: record(epoch, port), before: Some(endpoint(9)) },
        remove: vec![EntryKey { role: Role::Master, addr: endpoint(9) }],
        sweep: vec![],
        set: vec![entry(Role::Master, port, Health::Passing)],
    }
}

fn hold(fence: Fence, locked: bool, set: Vec<Entry>) -> Transaction {
    let guard = Guard::Unchanged { fence, record: record(1, 1), locked };
    Transaction { guard, remove: vec![], sweep: vec![], set }
}

/// A state in which epoch 1 has been published, and the record's version.
fn published() -> (State, Fence) {
    let mut state = State::default();
    let fence = state.transact(&group(), &claim(0, 1, 1), None).expect("there is no record yet");
    (state, fence)
}

fn seen(state: &mut State, session: Option<SessionId>) -> Published {
    let publisher::Answer::Read { record: (_, record), listing: (_, Ok(listing)) } = state.read(&group())
    else {
        panic!("it is read")
    };
    let session = session.map(SessionId::named);
    let lock = match record.locked_by {
        None => Lock::Free,
        holder if holder == session => Lock::Ours,
        Some(_) => Lock::Theirs,
    };
    let written = record.record.as_ref().map(|record| (record.epoch, record.master.host.clone()));
    Published {
        fence: record.fence,
        lock,
        entries: listing.entries,
        damaged: listing.damaged,
        node_intact: written.is_some() && written == listing.node,
        record: record.record,
    }
}

#[test]
fn a_claim_needs_the_version_that_stands_and_happens_whole() {
    let (mut state, fence) = published();
    let before = seen(&mut state, None);
    assert_eq!(state.transact(&group(), &claim(0, 2, 2), None), None);
    assert_eq!(state.transact(&group(), &claim(fence.0 + 1, 2, 2), None), None);
    assert_eq!(seen(&mut state, None), before, "nothing of a transaction happens when its guard fails");
    let next = state.transact(&group(), &claim(fence.0, 2, 2), None).expect("the version stands");
    assert!(next > fence);
    let after = seen(&mut state, None);
    assert_eq!((after.fence, after.record, after.node_intact), (next, Some(record(2, 2)), true));
}

#[test]
fn what_only_the_lock_s_holder_may_write_needs_the_lock() {
    let (mut state, fence) = published();
    let amendment = hold(fence, true, vec![entry(Role::Replica, 2, Health::Warning)]);
    let (ours, theirs) = (state.begin_session(0, Time::NEVER), state.begin_session(1, Time::NEVER));
    assert_eq!(state.transact(&group(), &amendment, Some(ours)), None);
    assert!(state.lock(&group(), ours) && !state.lock(&group(), theirs));
    assert_eq!(state.transact(&group(), &amendment, Some(theirs)), None);
    assert_eq!(state.transact(&group(), &amendment, None), None);
    assert_eq!(state.transact(&group(), &amendment, Some(ours)), Some(fence), "the record stays as it is");
    assert_eq!((seen(&mut state, Some(ours)).lock, seen(&mut state, None).lock), (Lock::Ours, Lock::Theirs));
    assert_eq!(state.end_session(ours), [group()]);
    assert_eq!(seen(&mut state, Some(ours)).lock, Lock::Free);
    assert!(!state.lock(&group(), ours), "a session that is over locks nothing");
}

#[test]
fn what_changes_nothing_wakes_nobody() {
    let (mut state, fence) = published();
    let index = state.shelf(&group()).catalog_index;
    let same = hold(fence, false, vec![entry(Role::Master, 1, Health::Passing)]);
    assert_eq!(state.transact(&group(), &same, None), Some(fence));
    assert_eq!(state.shelf(&group()).catalog_index, index);
    let other = hold(fence, false, vec![entry(Role::Master, 1, Health::Critical)]);
    assert_eq!(state.transact(&group(), &other, None), Some(fence));
    assert!(state.shelf(&group()).catalog_index > index);
}

#[test]
fn the_last_twenty_failovers_are_remembered() {
    let (mut state, mut fence) = published();
    for epoch in 2..30 {
        let port = u16::try_from(epoch).expect("small");
        fence = state.transact(&group(), &claim(fence.0, epoch, port), None).expect("it stands");
    }
    let history = &state.shelf(&group()).history;
    assert_eq!((history.len(), history[0].epoch, history[19].epoch), (20, Epoch(10), Epoch(29)));
}

#[test]
fn what_strangers_do_can_be_told_from_what_was_written() {
    let (mut state, fence) = published();
    let master = entry(Role::Master, 1, Health::Passing);
    state.drift(&group(), Drift::Turn, Some(&master));
    assert_eq!(seen(&mut state, None).entries[0].health, Health::Critical);
    state.drift(&group(), Drift::Spoil, Some(&master));
    let name = "redis:10.1.0.1 1".to_owned();
    assert_eq!(seen(&mut state, None).damaged, std::slice::from_ref(&name));
    state.drift(&group(), Drift::AlterNode, None);
    assert!(!seen(&mut state, None).node_intact);
    let repair = Transaction { sweep: vec![name], ..hold(fence, false, vec![master.clone()]) };
    assert_eq!(state.transact(&group(), &repair, None), Some(fence));
    let after = seen(&mut state, None);
    assert_eq!((after.entries, after.damaged, after.node_intact), (vec![master], vec![], true));
    state.drift(&group(), Drift::SpoilRecord, None);
    let after = seen(&mut state, None);
    assert!(after.record.is_none() && after.fence > fence);
}

/// Two sentinels that listen, and a Consul.
fn world() -> World {
    let sentinel = |name: &str| SentinelPlan {
        name: name.to_owned(),
        kind: Kind::Original,
        observes: false,
        disk_pace: (1000, 1),
        clock: 0,
    };
    let plan = GroupPlan {
        name: group(),
        config: GroupConfig::new(Quorum(1)),
        redises: vec![crate::blueprint::RedisPlan {
            name: "r1".to_owned(),
            follows: None,
            priority: 100,
            load_time: Duration::ZERO,
            sync_time: Duration::ZERO,
            backlog: 0,
        }],
        clients: 0,
    };
    let blueprint = Blueprint {
        sentinels: vec![sentinel("s1"), sentinel("s2")],
        groups: vec![plan],
        config: Config::default(),
        host_names: false,
        acquainted: true,
        weather: Weather::lan(3),
        compound: None,
        waiting: false,
        consul: Some(ConsulPlan {
            servers: 1,
            latency: (300, 100),
            commit: 500,
            always_silent: false,
            seed: 7,
        }),
    };
    let mut world = blueprint.build(1, false, None);
    world.sentinels.iter_mut().for_each(|host| host.record = Some(Vec::new()));
    world
}

fn pass(world: &mut World, millis: u64) {
    let end = world.now + Duration::from_millis(millis);
    world.run_until(end).expect("nothing is violated");
}

/// Asks, lets time pass, and gives what was answered meanwhile.
fn ask(world: &mut World, sentinel: u16, request: RegistryRequest, millis: u64) -> Vec<RegistryEvent> {
    heard(world, sentinel);
    world.registrar_asked(sentinel, &group(), request);
    pass(world, millis);
    heard(world, sentinel)
}

fn heard(world: &mut World, sentinel: u16) -> Vec<RegistryEvent> {
    let record = world.sentinel(sentinel).record.as_mut().expect("it is recorded");
    let event = |recorded| match recorded {
        Recorded::Input(_, Input::Registry { event, .. }) => Some(event),
        _ => None,
    };
    std::mem::take(record).into_iter().filter_map(event).collect()
}

fn look(tries: u32) -> RegistryRequest {
    RegistryRequest::Look { tries }
}

fn consul(world: &World) -> NodeId {
    world.consul.as_ref().expect("it is there").node
}

fn first(world: &World) -> Transaction {
    // The one server of this world, as whom it was configured, and as it was heard.
    let server = &world.redises[0];
    let master = world.addresses.current(server.node);
    let guard = Guard::Claim {
        fence: Fence(0),
        record: Record { epoch: Epoch(0), master: master.clone(), ..record(0, 1) },
        before: None,
    };
    let set = vec![Entry { addr: master, epoch: Epoch(0), ..entry(Role::Master, 1, Health::Passing) }];
    Transaction { guard, remove: vec![], sweep: vec![], set }
}

fn write(world: &mut World) -> RegistryRequest {
    let mut transaction = first(world);
    let run = world.redises[0].run_id.clone();
    if let Guard::Claim { record, .. } = &mut transaction.guard {
        record.run_id = run;
    }
    RegistryRequest::Write(Box::new(transaction))
}

#[test]
fn a_look_is_answered_and_every_change_is_told() {
    let mut world = world();
    let events = ask(&mut world, 0, look(0), 10);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.record.is_none()), "{events:?}");
    let request = write(&mut world);
    let written = ask(&mut world, 1, request, 100);
    assert!(matches!(&written[..], [RegistryEvent::Written(_), ..]), "{written:?}");
    let events = heard(&mut world, 0);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.entries.len() == 1), "{events:?}");
    pass(&mut world, 100_000);
    assert_eq!(heard(&mut world, 0), [], "nothing changes, nothing is told");
    let deed = ConsulDeed::Drift { what: Drift::Remove, of: None };
    world.apply(Step::Consul(deed));
    pass(&mut world, 1_500);
    let events = heard(&mut world, 0);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.entries.is_empty()), "{events:?}");
}

#[test]
fn what_failed_often_waits_long() {
    let mut world = world();
    ask(&mut world, 0, look(0), 100);
    assert_eq!(ask(&mut world, 0, look(5), 700), []);
    pass(&mut world, 1_500);
    assert_eq!(heard(&mut world, 0).len(), 1);
}

#[test]
fn one_thing_after_the_other_in_order() {
    let mut world = world();
    let request = write(&mut world);
    // Nobody waits for a look that a write has overtaken.
    world.registrar_asked(0, &group(), look(0));
    world.registrar_asked(0, &group(), request);
    let events = ask(&mut world, 0, RegistryRequest::Lock, 100);
    let [RegistryEvent::Written(_), rest @ ..] = &events[..] else { panic!("{events:?}") };
    let Some(RegistryEvent::Seen(last)) = rest.last() else { panic!("{events:?}") };
    assert!(last.record.is_some() && last.lock == Lock::Ours);
}

#[test]
fn a_write_whose_answer_is_lost_has_happened() {
    let mut world = world();
    let (from, to) = (vec![consul(&world)], vec![world.node_of(0)]);
    world.apply(Step::SetPath { from, to, both_ways: false, path: Path::Cut });
    let request = write(&mut world);
    let events = ask(&mut world, 0, request, 4_000);
    let [RegistryEvent::Failed(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.kind, RegistryFault::Silent);
    let events = ask(&mut world, 1, look(0), 10);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.record.is_some()), "{events:?}");
}

#[test]
fn every_fault_has_its_word() {
    let faults = [
        (Behaviour::Down, RegistryFault::Unreachable),
        (Behaviour::Leaderless, RegistryFault::Leaderless),
        (Behaviour::Silent, RegistryFault::Silent),
        (Behaviour::Denying { reads: true }, RegistryFault::Denied),
        (Behaviour::Nonsense, RegistryFault::Nonsense),
        (Behaviour::Limiting, RegistryFault::Limited),
    ];
    let mut world = world();
    for (behaviour, fault) in faults {
        world.set_behaviour(behaviour);
        let events = ask(&mut world, 0, look(0), 4_000);
        let [RegistryEvent::Failed(error)] = &events[..] else { panic!("{behaviour:?}: {events:?}") };
        assert_eq!(error.kind, fault);
    }
    world.set_behaviour(Behaviour::Well);
    assert_eq!(ask(&mut world, 0, look(0), 14_000).len(), 1);
}

#[test]
fn a_watch_ends_with_consul_s_leader() {
    let mut world = world();
    ask(&mut world, 0, look(0), 100);
    world.set_behaviour(Behaviour::Leaderless);
    pass(&mut world, 10);
    let events = heard(&mut world, 0);
    assert!(matches!(&events[..], [RegistryEvent::Failed(_)]), "{events:?}");
}

fn holder(world: &World) -> Option<u16> {
    world.consul.as_ref()?.state.holder(&group())
}

#[test]
fn a_dead_daemon_s_lock_is_free_when_its_session_has_run_out() {
    let mut world = world();
    ask(&mut world, 0, RegistryRequest::Lock, 60_000);
    assert_eq!(holder(&world), Some(0), "it is renewed");
    let node = world.node_of(0);
    world.apply(Step::Crash { node, how: Crash::Kill });
    pass(&mut world, 6_000);
    assert_eq!(holder(&world), Some(0));
    let events = ask(&mut world, 1, RegistryRequest::Lock, 20);
    assert!(matches!(&events[..], [RegistryEvent::Seen(seen)] if seen.lock == Lock::Theirs), "{events:?}");
    pass(&mut world, 15_000);
    assert_eq!(holder(&world), None);
}

#[test]
fn who_stops_in_order_gives_its_lock_back() {
    let mut world = world();
    ask(&mut world, 0, RegistryRequest::Lock, 1_000);
    let node = world.node_of(0);
    world.apply(Step::Crash { node, how: Crash::Stop });
    pass(&mut world, 10);
    assert_eq!(holder(&world), None);
}

#[test]
fn an_unlock_that_is_lost_is_told() {
    let mut world = world();
    ask(&mut world, 0, RegistryRequest::Lock, 1_000);
    world.set_behaviour(Behaviour::Down);
    pass(&mut world, 10);
    let events = ask(&mut world, 0, RegistryRequest::Unlock, 10);
    assert!(matches!(&events[..], [RegistryEvent::Failed(_)]), "{events:?}");
    assert_eq!(holder(&world), Some(0));
}

#[test]
fn everything_that_is_wiped_is_gone_and_the_indexes_begin_anew() {
    let mut world = world();
    let request = write(&mut world);
    ask(&mut world, 0, look(0), 10);
    ask(&mut world, 0, request, 10);
    ask(&mut world, 0, RegistryRequest::Lock, 20);
    world.apply(Step::Consul(ConsulDeed::Wipe { keys: true, catalog: true, anew: true }));
    pass(&mut world, 500);
    let events = heard(&mut world, 0);
    let Some(RegistryEvent::Seen(seen)) = events.last() else { panic!("{events:?}") };
    assert_eq!((seen.fence, &seen.record, seen.lock), (Fence(0), &None, Lock::Free));
    assert!(seen.entries.is_empty() && !seen.node_intact);
    let index = world.consul.as_ref().map(|consul| consul.state.index);
    assert_eq!(index, Some(1));
}

#[test]
fn a_registrar_never_takes_more_connections_than_an_agent_serves() {
    let mut world = world();
    let request = write(&mut world);
    for sentinel in 0..2 {
        world.registrar_asked(sentinel, &group(), look(0));
        world.registrar_asked(sentinel, &group(), request.clone());
        world.registrar_asked(sentinel, &group(), RegistryRequest::Lock);
    }
    let mut most = 0;
    for _ in 0..1_000 {
        pass(&mut world, 1);
        let consul = world.consul.as_ref().expect("it is there");
        most = most.max(consul.connections.iter().filter(|(sentinel, _)| *sentinel == 0).count());
        assert_eq!(consul.refused, 0);
    }
    assert!((2..=consentinel_publisher::MOST_CALLS).contains(&most), "{most}");
}
