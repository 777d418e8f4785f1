//! The sentinels' disks are slow when the master dies.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, SlowDisks, Writer, poll_until};
use std::time::{Duration, Instant};

const DOWN_AFTER: Duration = Duration::from_secs(1);
/// For a debug build on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn half_a_second_on_all_three_delays_a_failover_by_five_of_them_at_most() {
    a_failover_with_slow_disks(&[0, 1, 2], Duration::from_millis(500));
}

#[test]
fn two_seconds_on_all_three_delay_a_failover_by_five_of_them_at_most() {
    a_failover_with_slow_disks(&[0, 1, 2], Duration::from_secs(2));
}

#[test]
fn a_second_on_two_delays_a_failover_by_five_of_them_at_most() {
    a_failover_with_slow_disks(&[0, 1], Duration::from_secs(1));
}

fn a_failover_with_slow_disks(slow: &[usize], delay: Duration) {
    let disks = SlowDisks::new(3);
    let mut setup = three_daemons();
    setup.extra = disks.extras();
    let mut cluster = Cluster::start(&setup);
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    slow.iter().for_each(|number| disks.set(*number, delay));
    let within = DOWN_AFTER + 5 * delay + SLACK;
    let begin = Instant::now();
    cluster.redis[0].kill();
    let write = poll_until(PATIENCE, || writers.iter().find_map(|writer| writer.outcome().first_accepted));
    let write = write.map(|at| at - begin);
    println!("{delay:?} on {} disks: first write after {write:?}", slow.len());
    assert!(
        write.is_some_and(|write| write <= within),
        "the first write came after {write:?}, not {within:?}"
    );
    let new = cluster.wait_for_new_master(0, PATIENCE);
    assert!(cluster.redis[new].set("after", "x"), "the new master takes writes");
}
