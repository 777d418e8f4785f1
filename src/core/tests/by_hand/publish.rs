//! What Consul is told, and when.

use crate::bench::{Bench, LOCAL, MASTER, MS, endpoint, group, info};
use consentinel_core::{
    Durable, Endpoint, Entry, Epoch, Event, Fence, Guard, Health, Hello, Host, Info, Input, Offset, Record,
    RegistryFault, RegistryRequest, Role, RunId, SaveError, SentinelId,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn publishing(replicas: &[u16]) -> Bench {
    publishing_with(replicas, |_| {})
}

fn publishing_with(replicas: &[u16], change: impl FnOnce(&mut Durable)) -> Bench {
    let mut bench = Bench::with(replicas, |durable| {
        durable.config.registry.on = true;
        change(durable);
    });
    bench.run(SECOND * 3);
    bench
}

/// What stands in Consul: role, port, health.
fn catalog(bench: &Bench) -> Vec<(Role, u16, Health)> {
    let entry = |entry: &Entry| (entry.role, entry.addr.port, entry.health);
    let mut entries: Vec<_> = bench.registry.held.entries.iter().map(entry).collect();
    entries.sort();
    entries
}

fn record(bench: &Bench) -> (Epoch, Endpoint) {
    let record = bench.registry.held.record.as_ref().expect("there is a record");
    (record.epoch, record.master.clone())
}

fn newer(epoch: u64, port: u16, publisher: &str) -> Option<Record> {
    Some(Record {
        epoch: Epoch(epoch),
        master: endpoint(port),
        run_id: RunId::new("another"),
        publisher: SentinelId::new(publisher),
        sentinels: vec![],
    })
}

fn tell(bench: &mut Bench) {
    let event = bench.registry.seen();
    bench.input(Input::Registry { group: group(), event });
}

use Health::{Critical, Passing, Warning};
use Role::{Master, Replica};

#[test]
fn a_healthy_master_is_published_at_first_sight_with_its_replicas() {
    let bench = publishing(&[6380, 6381]);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
    let entries = [(Master, MASTER, Passing), (Replica, 6380, Passing), (Replica, 6381, Passing)];
    assert_eq!(catalog(&bench), entries);
    let sentence = &bench.registry.held.entries.iter().find(|entry| entry.role == Master);
    assert_eq!(sentence.map(|entry| &*entry.sentence), Some("master by the configuration"));
}

#[test]
fn a_failover_is_published_in_one_transaction_at_the_promotion() {
    let mut bench = publishing(&[6380, 6381]);
    bench.registry.writes();
    bench.kill(MASTER);
    bench.run(MS * 1020);
    assert_eq!(bench.master(), endpoint(6380));
    let writes = bench.registry.writes();
    let [flip] = &writes[..] else { panic!("one transaction, not {}", writes.len()) };
    let Guard::Claim { before, record, .. } = &flip.guard else { panic!("it replaces the record") };
    assert_eq!((before.as_ref(), &record.master), (Some(&endpoint(MASTER)), &endpoint(6380)));
    assert_eq!(flip.set[0].key(), consentinel_core::EntryKey { role: Master, addr: endpoint(6380) });
    bench.run(SECOND * 30);
    let entries = [(Master, 6380, Passing), (Replica, MASTER, Critical), (Replica, 6381, Passing)];
    assert_eq!(catalog(&bench), entries);
}

#[test]
fn a_consul_that_hangs_or_fails_does_not_slow_a_failover_and_gets_the_state_of_now_once() {
    let story = |fault: Option<RegistryFault>, hangs: bool, on: bool| {
        let mut bench = Bench::with(&[6380, 6381], |durable| durable.config.registry.on = on);
        bench.run(SECOND * 3);
        (bench.registry.fault, bench.registry.hangs) = (fault, hangs);
        bench.kill(MASTER);
        bench.run(SECOND * 20);
        bench
    };
    let plain = story(None, false, false);
    for (fault, hangs) in
        [(Some(RegistryFault::Unreachable), false), (Some(RegistryFault::Denied), false), (None, true)]
    {
        let bench = story(fault, hangs, true);
        assert_eq!(bench.events, plain.events);
        assert_eq!(bench.sentinel.view().current_epoch, Epoch(1));
    }
    let mut bench = story(Some(RegistryFault::Leaderless), false, true);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
    bench.registry.writes();
    bench.registry.fault = None;
    // What the registrar waited for, by the number of tries, is over.
    tell(&mut bench);
    bench.run(SECOND);
    assert_eq!(record(&bench), (Epoch(1), endpoint(6380)));
    assert_eq!(bench.registry.writes().len(), 1);
}

#[test]
fn a_write_whose_answer_was_lost_with_its_record_leaves_no_second_master() {
    let mut bench = Bench::with(&[6380, 6381], |durable| durable.config.registry.on = true);
    (bench.registry.fault, bench.registry.mute) = (Some(RegistryFault::Unreachable), true);
    bench.run(SECOND * 3);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
    bench.registry.lose_keys();
    bench.kill(MASTER);
    bench.run(SECOND * 20);
    // Nothing that Consul said has come back so far.
    assert_eq!(record(&bench), (Epoch(1), endpoint(6380)));
    let masters = catalog(&bench).into_iter().filter(|(role, ..)| *role == Master);
    assert_eq!(masters.collect::<Vec<_>>(), [(Master, 6380, Passing)]);
}

#[test]
fn what_fails_is_tried_again_ever_less_often() {
    let mut bench = publishing(&[6380]);
    bench.registry.fault = Some(RegistryFault::Denied);
    bench.registry.held.entries.clear();
    bench.registry.requests.clear();
    tell(&mut bench);
    let looks: Vec<_> =
        bench.registry.requests.iter().map(|request| format!("{request:?}")).take(3).collect();
    assert!(looks[0].starts_with("Write"), "{looks:?}");
    assert_eq!(looks[1], "Look { tries: 1 }");
    let view = bench.sentinel.group(&group()).and_then(|group| group.publication).expect("it publishes");
    assert!(view.error.is_some_and(|error| error.kind == RegistryFault::Denied));
}

#[test]
fn a_newer_record_is_never_written_over() {
    let mut bench = publishing(&[6380]);
    bench.registry.held.record = newer(7, 6380, "stranger");
    bench.registry.held.fence = Fence(99);
    bench.registry.writes();
    tell(&mut bench);
    bench.run(SECOND * 60);
    bench.registry.held.entries.clear();
    tell(&mut bench);
    bench.run(SECOND * 60);
    assert_eq!(bench.registry.writes(), []);
    assert_eq!(bench.sentinel.view().current_epoch, Epoch(0), "a stranger's record moves nobody");
}

#[test]
fn what_another_fleet_has_published_under_the_same_names_is_left_alone() {
    let mut bench = publishing(&[6380]);
    bench.registry.writes();
    bench.registry.held.record = newer(0, 7000, "stranger");
    bench.registry.held.fence = consentinel_core::Fence(99);
    tell(&mut bench);
    // A failover of ours has a newer epoch than the record of the others.
    bench.kill(MASTER);
    bench.run(SECOND * 60);
    assert_eq!(record(&bench), (Epoch(0), endpoint(7000)));
    assert!(bench.registry.writes().is_empty());
    let said = bench.logs.iter().filter(|text| text.contains("another fleet of sentinels")).count();
    assert_eq!(said, 1, "{:?}", bench.logs);

    // One sentinel that both know is enough: then it is ours, and older.
    let ours = bench.registry.held.record.as_mut().expect("there is a record");
    ours.sentinels = vec![SentinelId::new("gone"), bench.sentinel.myid().clone()];
    tell(&mut bench);
    bench.run(SECOND);
    assert_ne!(record(&bench).1, endpoint(7000));
}

#[test]
fn a_newer_record_of_our_own_that_nobody_remembers_is_outdone_by_an_election() {
    let mut bench = publishing(&[6380]);
    let own = bench.sentinel.myid().clone();
    bench.registry.held.record = newer(7, 6380, own.as_str());
    bench.registry.held.fence = Fence(99);
    tell(&mut bench);
    bench.run(SECOND * 9);
    assert_eq!(record(&bench).0, Epoch(7));
    bench.run(SECOND * 5);
    assert_eq!(record(&bench), (Epoch(8), endpoint(MASTER)));
    assert!(bench.turned.is_empty(), "nobody was turned");
}

#[test]
fn what_somebody_changes_or_removes_is_put_back_at_once() {
    let mut bench = publishing(&[6380, 6381]);
    let before = catalog(&bench);
    bench.registry.held.entries.retain(|entry| entry.addr.port != 6380);
    bench.registry.held.damaged.push("redis-replica:127.0.0.1:6380".into());
    tell(&mut bench);
    assert_eq!(catalog(&bench), before);
    assert_eq!(bench.registry.held.damaged, Vec::<String>::new());
    bench.registry.held.node_intact = false;
    bench.registry.held.entries.clear();
    tell(&mut bench);
    assert_eq!(catalog(&bench), before);
    let view = bench.sentinel.group(&group()).and_then(|group| group.publication).expect("it publishes");
    assert_eq!(view.counters.repairs, 2);
}

#[test]
fn a_master_that_does_not_answer_as_master_is_not_published() {
    let mut bench = Bench::with(&[6380], |durable| durable.config.registry.on = true);
    bench.registry = crate::registry::Registry::new();
    bench.servers.get_mut(&MASTER).expect("it is there").role = Some(Replica);
    bench.run(SECOND * 11);
    bench.registry.held.record = None;
    bench.registry.held.entries.clear();
    bench.registry.held.fence = Fence(0);
    bench.registry.writes();
    tell(&mut bench);
    bench.run(MS * 300);
    assert_eq!(bench.registry.writes(), []);
    bench.servers.get_mut(&MASTER).expect("it is there").role = Some(Master);
    bench.run(SECOND * 11);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
}

#[test]
fn nothing_is_published_that_is_not_on_disk() {
    let mut bench = publishing(&[6380]);
    let hello = Hello {
        addr: Endpoint::parse("127.0.0.9", "26379").expect("an address"),
        id: SentinelId::new("peer"),
        current_epoch: Epoch(3),
        group: group(),
        master: endpoint(6380),
        config_epoch: Epoch(3),
    };
    bench.disk = Err(SaveError("no space".into()));
    let server = bench.servers.get_mut(&6380).expect("it is there");
    (server.role, server.master) = (Some(Master), None);
    bench.hear(hello);
    bench.run(SECOND * 2);
    assert_eq!(record(&bench).0, Epoch(0));
    bench.disk = Ok(());
    bench.run(SECOND * 12);
    assert_eq!(record(&bench), (Epoch(3), endpoint(6380)));
}

#[test]
fn a_master_that_is_objectively_down_and_cannot_be_replaced_is_critical_until_it_is_back() {
    let mut bench = publishing(&[]);
    bench.kill(MASTER);
    bench.run(SECOND * 2);
    assert_eq!(catalog(&bench), [(Master, MASTER, Critical)]);
    bench.servers.insert(MASTER, Info { role: Some(Master), ..info(MASTER) });
    bench.run(SECOND * 5);
    assert_eq!(catalog(&bench), [(Master, MASTER, Passing)]);
}

#[test]
fn a_replica_that_lags_too_far_behind_warns_until_it_is_well_below_the_limit() {
    let mut bench = publishing_with(&[6380], |durable| durable.config.registry.max_lag = 1000);
    let at = |bench: &mut Bench, lag: u64| {
        let master = bench.servers.get_mut(&MASTER).expect("it is there");
        master.master_repl_offset = Offset(5000);
        master.replica_offsets = vec![(endpoint(6380), Offset(5000 - lag))];
        bench.run(SECOND * 21);
        catalog(bench)[1].2
    };
    assert_eq!(at(&mut bench, 1000), Passing);
    assert_eq!(at(&mut bench, 1001), Warning);
    assert_eq!(at(&mut bench, 700), Warning);
    assert_eq!(at(&mut bench, 500), Passing);
}

#[test]
fn a_replica_that_does_not_want_to_be_known_is_not_published() {
    let mut bench = publishing(&[6380, 6381]);
    bench.servers.get_mut(&6381).expect("it is there").announced = false;
    bench.run(SECOND * 11);
    assert_eq!(catalog(&bench), [(Master, MASTER, Passing), (Replica, 6380, Passing)]);
}

#[test]
fn an_observer_publishes_what_hellos_say_and_does_nothing_else() {
    let mut bench = publishing_with(&[6380], |durable| durable.config.observe = true);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
    let hello = Hello {
        addr: Endpoint::parse("127.0.0.9", "26379").expect("an address"),
        id: SentinelId::new("original"),
        current_epoch: Epoch(4),
        group: group(),
        master: endpoint(6380),
        config_epoch: Epoch(4),
    };
    bench.kill(MASTER);
    bench.run(SECOND * 30);
    let server = bench.servers.get_mut(&6380).expect("it is there");
    (server.role, server.master) = (Some(Master), None);
    bench.hear(hello);
    bench.run(MS * 200);
    assert_eq!(record(&bench), (Epoch(4), endpoint(6380)));
    assert!(bench.turned.is_empty() && !bench.saw(Event::TryFailover));
    let spoke = |(_, command): &(u16, consentinel_core::Command)| {
        matches!(command, consentinel_core::Command::Publish(_))
    };
    assert!(!bench.commands.iter().any(spoke));
}

#[test]
fn a_group_that_is_removed_stays_published() {
    let mut bench = publishing(&[6380]);
    let before = catalog(&bench);
    bench.ask(consentinel_core::Request::Remove { group: group() });
    assert_eq!(bench.registry.requests.last(), Some(&RegistryRequest::Forget));
    assert_eq!(catalog(&bench), before);
}

#[test]
fn a_master_whose_name_leads_elsewhere_now_is_published_there_at_once() {
    let mut bench = Bench::with(&[6380], |durable| {
        (durable.config.registry.on, durable.config.resolve_hostnames) = (true, true);
        let host = Host::parse("redis-1.example").expect("a host name");
        durable.groups.get_mut(&group()).expect("the bench watches it").master = Endpoint::new(host, MASTER);
    });
    bench.names.insert("redis-1.example".to_owned(), LOCAL);
    bench.run(SECOND * 5);
    assert_eq!(record(&bench), (Epoch(0), endpoint(MASTER)));
    // Its machine is replaced in less than the time after which it would be taken for down.
    let server = bench.servers.get(&MASTER).cloned().expect("it runs");
    bench.kill(MASTER);
    let elsewhere: std::net::IpAddr = "127.0.0.9".parse().expect("an address");
    bench.names.insert("redis-1.example".to_owned(), elsewhere);
    bench.servers.insert(MASTER, Info { run_id: Some(RunId::new("another")), ..server });
    bench.run(SECOND * 2);
    assert_eq!(record(&bench), (Epoch(0), Endpoint::new(Host::Ip(elsewhere), MASTER)));
    let masters = bench.registry.held.entries.iter().filter(|entry| entry.role == Master);
    let held: Vec<_> = masters.map(|entry| entry.addr.host.to_string()).collect();
    assert_eq!(held, ["127.0.0.9"], "the entry of the old place is gone");
}
