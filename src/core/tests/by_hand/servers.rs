//! Servers that answer strangely.

use crate::bench::{Bench, MASTER, MS, endpoint};
use consentinel_core::{Command, Event, Reply};
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
