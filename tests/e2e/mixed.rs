//! One quorum of both programs.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Program, Release, Setup};
use std::time::Duration;

pub(crate) const DOWN_AFTER: Duration = Duration::from_secs(4);

#[test]
fn the_original_follows_where_ours_leads() {
    one_leads_and_all_follow(vec![Program::Original, Program::Original, ours()], 2, Release::Machine);
}

#[test]
fn ours_follow_where_the_original_leads() {
    one_leads_and_all_follow(vec![Program::Original, ours(), ours()], 0, Release::Machine);
}

/// The master is killed; the given sentinel replaces it.
pub(crate) fn one_leads_and_all_follow(programs: Vec<Program>, leader: usize, servers: Release) {
    let mut setup = Setup::new(programs);
    setup.serving.release = servers;
    setup.leader = Some(leader);
    // An original tries a lost server once a second; with less than that it may take the new master for down before it
    // has tried to reach it, and fail over a second time (tests/scenarios, originals fail over twice).
    setup.down_after = DOWN_AFTER;
    let mut cluster = Cluster::start(&setup);
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
