//! The leader of a failover goes away at one of its own steps.

use super::{confirmed_writes, nothing_is_lost};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Events, Sentinel, Writer, eventually};
use std::time::{Duration, Instant};

const DOWN_AFTER: Duration = Duration::from_secs(1);
/// What the others may take beyond down-after: one second is what they should need. An election that is waited out takes ten.
const PROMPT: Duration = Duration::from_secs(5);

#[test]
fn killed_when_it_is_elected_it_is_replaced_at_once() {
    the_leader_goes("+elected-leader", Sentinel::kill, DOWN_AFTER + PROMPT);
}

#[test]
fn killed_when_it_has_selected_a_replica_it_is_replaced_at_once() {
    the_leader_goes("+selected-slave", Sentinel::kill, DOWN_AFTER + PROMPT);
}

#[test]
fn killed_when_it_has_promoted_a_replica_that_one_is_kept() {
    the_leader_goes("+promoted-slave", Sentinel::kill, DOWN_AFTER + PROMPT);
}

#[test]
fn killed_and_restarted_at_once_it_does_no_harm() {
    let restart = |leader: &mut Sentinel| {
        leader.kill();
        leader.start();
    };
    the_leader_goes("+elected-leader", restart, DOWN_AFTER + PROMPT);
}

#[test]
fn stopped_when_it_is_elected_it_is_replaced_after_one_more_down_after() {
    the_leader_goes("+elected-leader", |leader| leader.pause(), 2 * DOWN_AFTER + PROMPT);
}

#[test]
fn stopped_when_it_has_selected_a_replica_it_is_replaced_after_one_more_down_after() {
    the_leader_goes("+selected-slave", |leader| leader.pause(), 2 * DOWN_AFTER + PROMPT);
}

fn the_leader_goes(step: &str, goes: fn(&mut Sentinel), within: Duration) {
    let mut cluster = Cluster::start(&three_daemons());
    let events = cluster.events();
    let mut ledger = confirmed_writes(&cluster);
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    let begin = Instant::now();
    cluster.redis[0].kill();
    let number = Events::first_to_say(&events, step, PATIENCE).expect("one is elected");
    let mut leader = cluster.sentinels.remove(number);
    goes(&mut leader);

    let new = cluster.wait_for_new_master(0, PATIENCE);
    let named = begin.elapsed();
    let write = eventually("the new master takes writes", PATIENCE, || {
        writers[new - 1].outcome().first_accepted.map(|at| at - begin)
    });
    println!("{step}: first write after {write:?}, named after {named:?}");
    assert!(write <= within, "the first write came {write:?} after the master's end");
    assert!(named <= within, "the new master was named {named:?} after the old one's end");
    nothing_is_lost(&cluster, &mut ledger, new, 0);
}
