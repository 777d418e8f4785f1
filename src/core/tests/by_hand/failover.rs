//! Masters that die, return, come back empty.

use crate::bench::{Bench, MASTER, MS, endpoint, info};
use consentinel_core::{Event, Info, Offset, Role, RunId, SaveError};
use std::time::Duration;

#[test]
fn a_killed_master_is_replaced_a_few_milliseconds_after_down_after() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(MS * 999);
    assert!(!bench.saw(Event::Sdown));
    bench.run(MS * 20);
    assert_eq!(bench.master(), endpoint(6380));
    assert_eq!(bench.turned, [(6380, None)]);
    let names: Vec<_> =
        bench.events.iter().map(|(event, _)| event.as_str()).filter(|name| *name != "+monitor").collect();
    let story = [
        "+slave",
        "+sdown",
        "+odown",
        "+new-epoch",
        "+try-failover",
        "+vote-for-leader",
        "+elected-leader",
        "+failover-state-select-slave",
        "+selected-slave",
        "+failover-state-send-slaveof-noone",
        "+failover-state-wait-promotion",
        "-role-change",
        "+promoted-slave",
        "+failover-state-reconf-slaves",
        "+failover-end",
        "+switch-master",
        "+slave",
    ];
    assert_eq!(names, story);
}

#[test]
fn a_master_that_returns_becomes_a_replica_at_first_sight() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(3));
    bench.turned.clear();
    bench
        .servers
        .insert(MASTER, Info { role: Some(Role::Master), run_id: Some(RunId::new("again")), ..info(MASTER) });
    bench.run(MS * 600);
    assert_eq!(bench.turned, [(MASTER, Some(endpoint(6380)))]);
    assert!(bench.saw(Event::ConvertToReplica));
}

#[test]
fn without_a_disk_nobody_leads_until_it_works_again() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.disk = Err(SaveError("no space left".to_owned()));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(20));
    assert_eq!(bench.master(), endpoint(MASTER));
    assert!(bench.turned.is_empty() && !bench.saw(Event::ElectedLeader));
    bench.disk = Ok(());
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn a_master_that_restarts_empty_does_not_wipe_its_replicas() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    let empty = Info { role: Some(Role::Master), run_id: Some(RunId::new("empty")), ..info(MASTER) };
    bench.servers.insert(MASTER, Info { keys: 0, replid: Some(RunId::new("new")), ..empty });
    bench.run(MS * 100);
    assert_eq!(bench.master(), endpoint(6380));
}

/// A leader promoted one and died. Another replica, which did not notice that its master was restarted, has a larger
/// offset of a history that is over.
#[test]
fn a_promoted_replica_is_kept_against_one_of_another_history() {
    let mut bench = Bench::new(&[6380, 6381]);
    let replid = |text: &str| Some(RunId::new(text));
    bench.servers.get_mut(&MASTER).expect("it runs").replid = replid("present");
    bench.run(Duration::from_secs(12));
    let promoted = bench.servers.get_mut(&6380).expect("it runs");
    (promoted.role, promoted.master) = (Some(Role::Master), None);
    (promoted.replid, promoted.former_replid) = (replid("forked"), replid("present"));
    promoted.master_repl_offset = Offset(1000);
    let stale = bench.servers.get_mut(&6381).expect("it runs");
    (stale.replid, stale.repl_offset) = (replid("over"), Offset(9000));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.master(), endpoint(6380));
}
