//! One quorum of both programs.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, GROUP, Program, Sentinel, Setup};

fn set(sentinel: &Sentinel, option: &str, value: &str) {
    let reply = sentinel.call(&["SENTINEL", "SET", GROUP, option, value]);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
}

#[test]
fn the_original_follows_where_ours_leads() {
    let mut cluster = Cluster::start(&Setup::new(vec![Program::Original, Program::Original, ours()]));
    for original in &cluster.sentinels[..2] {
        // It says that the master is down, and votes, but never finds enough who agree to lead itself.
        set(original, "quorum", "5");
    }
    one_leads_and_all_follow(&mut cluster, 2);
}

#[test]
fn ours_follow_where_the_original_leads() {
    let mut cluster = Cluster::start(&Setup::new(vec![Program::Original, ours(), ours()]));
    // It finds the master down before anybody else does, and needs nobody to agree.
    set(&cluster.sentinels[0], "quorum", "1");
    set(&cluster.sentinels[0], "down-after-milliseconds", "300");
    one_leads_and_all_follow(&mut cluster, 0);
}

fn one_leads_and_all_follow(cluster: &mut Cluster, leader: usize) {
    let events = cluster.events();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    for (number, events) in events.iter().enumerate() {
        events.expect("+switch-master", PATIENCE);
        assert_eq!(events.has("+elected-leader"), number == leader, "{:?}", events.names());
        assert_eq!(events.has("+config-update-from"), number != leader, "{:?}", events.names());
    }
    let id = cluster.sentinels[leader].id();
    for events in &events {
        let vote = events.expect("+vote-for-leader", PATIENCE);
        assert!(vote.payload.starts_with(&id), "a vote for somebody else: {}", vote.payload);
    }
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
}
