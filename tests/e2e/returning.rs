//! A master that comes back after it was replaced.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Writer, eventually};
use std::time::Duration;

/// The original leaves it writable for ten seconds.
const A_MOMENT: Duration = Duration::from_secs(2);

#[test]
fn a_master_that_was_killed_returns_as_a_replica() {
    let mut cluster = Cluster::start(&three_daemons());
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let old = Writer::start(cluster.redis[0].port);
    cluster.redis[0].spawn();
    it_is_soon_a_replica(&cluster, &old, new);
}

#[test]
fn a_master_that_stood_still_goes_on_as_a_replica() {
    let cluster = Cluster::start(&three_daemons());
    cluster.redis[0].pause();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let old = Writer::start(cluster.redis[0].port);
    cluster.redis[0].resume();
    it_is_soon_a_replica(&cluster, &old, new);
}

fn it_is_soon_a_replica(cluster: &Cluster, old: &Writer, new: usize) {
    eventually("the old master is a replica", PATIENCE, || old.outcome().is_over().then_some(()));
    cluster.wait_until_settled(new);
    let writable = old.outcome().writable_for();
    assert!(writable <= A_MOMENT, "the old master took writes for {writable:?}");
}

#[test]
fn a_master_that_restarts_empty_does_not_wipe_its_replicas() {
    // Five seconds are what Redis waits by default before it sends a replica its data, here: nothing.
    let mut setup = three_daemons();
    setup.serving.sync_delay = 5;
    let mut cluster = Cluster::start(&setup);
    crate::write_everywhere(&cluster, "before");
    cluster.redis[0].kill();
    cluster.redis[0].start();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.wait_until_settled(new);
    for redis in &cluster.redis {
        assert_eq!(redis.get("before").as_deref(), Some("kept"), "on port {}", redis.port);
    }
}
