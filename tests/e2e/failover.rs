//! A master that is gone.

use crate::{PATIENCE, three_daemons, write_everywhere};
use consentinel_lab::{Cluster, Events};

/// What the leader of a failover says, in this order, between other things.
const STORY: [&str; 12] = [
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
    "+promoted-slave",
    "+failover-state-reconf-slaves",
];

#[test]
fn a_killed_master_is_replaced() {
    let mut cluster = Cluster::start(&three_daemons());
    write_everywhere(&cluster, "before");
    let events = cluster.events();
    cluster.redis[0].kill();
    the_failover_is_complete(&cluster, &events);
}

#[test]
fn a_master_that_stands_still_is_replaced() {
    let cluster = Cluster::start(&three_daemons());
    write_everywhere(&cluster, "before");
    let events = cluster.events();
    cluster.redis[0].pause();
    the_failover_is_complete(&cluster, &events);
}

fn the_failover_is_complete(cluster: &Cluster, events: &[Events]) {
    let old = cluster.redis[0].port;
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let payload = format!("mymaster 127.0.0.1 {old} 127.0.0.1 {}", cluster.redis[new].port);
    for events in events {
        assert_eq!(events.expect("+switch-master", PATIENCE).payload, payload);
    }
    let leaders: Vec<_> = events.iter().filter(|events| events.has("+elected-leader")).collect();
    let [leader] = leaders[..] else { panic!("{} sentinels were elected", leaders.len()) };
    let told = leader.names();
    let mut told = told.iter();
    for part in STORY {
        assert!(told.any(|name| name == part), "{part} is missing or late in {:?}", leader.names());
    }
    let third = 3 - new;
    consentinel_lab::eventually("the other replica follows the new master", PATIENCE, || {
        (cluster.redis[third].follows() == Some(cluster.redis[new].port)).then_some(())
    });
    assert_eq!(cluster.redis[new].get("before").as_deref(), Some("kept"));
    assert!(cluster.redis[new].set("after", "x"), "the new master takes writes");
}
