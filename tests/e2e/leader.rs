//! A leader that dies in the middle of a failover.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, eventually};
use std::time::Duration;

#[test]
fn the_leader_dies_after_its_election() {
    the_leader_dies("crash-after-election");
}

#[test]
fn the_leader_dies_after_the_promotion() {
    the_leader_dies("crash-after-promotion");
}

fn the_leader_dies(when: &str) {
    let mut setup = three_daemons();
    setup.failover_timeout = Duration::from_secs(2);
    setup.leader = Some(0);
    let mut cluster = Cluster::start(&setup);
    let reply = cluster.sentinels[0].call(&["SENTINEL", "SIMULATE-FAILURE", when]);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
    cluster.redis[0].kill();
    let mut leader = cluster.sentinels.remove(0);
    eventually("the leader dies", PATIENCE, || leader.has_exited().then_some(()));

    let new = cluster.wait_for_new_master(0, PATIENCE);
    assert!(cluster.redis[new].set("after", "x"), "the new master takes writes");
    leader.start();
    cluster.redis[0].start();
    cluster.sentinels.insert(0, leader);
    cluster.wait_until_settled(new);
}
