//! Servers that answer strangely.

use crate::bench::{Bench, MASTER, MS, endpoint};
use consentinel_core::{
    Action, Command, Durable, DurableGroup, Event, GroupConfig, GroupName, Input, Quorum, Reply, Sentinel,
    Time,
};
use std::time::Duration;

#[test]
fn a_busy_master_has_its_script_killed_once_it_is_down() {
    let mut bench = Bench::new(&[]);
    bench.run(Duration::from_secs(5));
    bench.stubborn.insert(MASTER, Reply::Busy);
    bench.run(Duration::from_secs(4));
    assert!(bench.saw(Event::Sdown));
    let kills = bench.commands.iter().filter(|(_, command)| *command == Command::ScriptKill).count();
    assert_eq!(kills, 1);
}

#[test]
fn a_server_that_answers_errors_to_ping_is_down() {
    let mut bench = Bench::new(&[]);
    bench.stubborn.insert(MASTER, Reply::Error("NOAUTH Authentication required.".to_owned()));
    bench.run(Duration::from_secs(5));
    assert!(bench.saw(Event::Sdown));
}

#[test]
fn an_old_server_that_refuses_the_transaction_gets_slaveof_alone() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(MS * 900);
    bench.stubborn.insert(6380, Reply::Error("EXECABORT Transaction discarded".to_owned()));
    bench.run(MS * 200);
    assert_eq!(bench.turned, [(6380, None)]);
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn a_server_that_still_reads_its_data_is_not_pressed() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(MS * 900);
    bench.stubborn.insert(6380, Reply::Error("LOADING Redis is loading the dataset in memory".to_owned()));
    bench.run(MS * 150);
    assert!(bench.turned.is_empty() && bench.saw(Event::AbortReplicaTimeout));
}

#[test]
fn what_is_due_for_a_thousand_masters_is_handed_out_in_portions() {
    let mut state = Durable::default();
    for port in 1..=1000 {
        let group = DurableGroup::new(endpoint(port), GroupConfig::new(Quorum(1)));
        state.groups.insert(GroupName::new(&format!("m{port}")), group);
    }
    let mut sentinel = Sentinel::new(state, 1, Time::ZERO);
    // At its birth it opens two connections to each. Nobody answers, and all attempts are given up at the same time.
    while sentinel.poll_action().is_some() {}
    let (now, mut most, mut given_up) = (Time::from_millis(1000), 0, 0);
    while sentinel.poll_timeout().is_some_and(|at| at <= now) {
        sentinel.handle(now, Input::Wake);
        let actions: Vec<_> = std::iter::from_fn(|| sentinel.poll_action()).collect();
        most = most.max(actions.len());
        given_up += actions.iter().filter(|action| matches!(action, Action::Disconnect(_))).count();
    }
    assert_eq!(given_up, 2000);
    assert!(most < 200, "{most} at once");
}
