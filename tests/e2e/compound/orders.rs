//! SENTINEL FAILOVER on several daemons, and RESET in the middle of it.

use super::confirmed_writes;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Client, Cluster, Events, GROUP, Redis, Sentinel, Value, Writer, eventually};
use std::time::{Duration, Instant};

/// In which two servers may take writes: one is told to follow the other as soon as that is a master.
const A_MOMENT: Duration = Duration::from_secs(1);
/// For a failover to get to a step.
const A_TRY: Duration = Duration::from_secs(5);

#[test]
fn of_three_orders_at_once_one_is_followed_and_nothing_is_lost() {
    let cluster = Cluster::start(&three_daemons());
    let mut master = 0;
    for round in 0..5 {
        let events = cluster.events();
        let mut ledger = confirmed_writes(&cluster);
        let writers: Vec<_> = cluster.redis.iter().map(|redis| Writer::start(redis.port)).collect();
        let replies = cluster.order_at_once();
        master = cluster.wait_for_new_master(master, PATIENCE);
        cluster.wait_until_settled(master);
        ledger.stop();
        println!("round {round}: {replies:?}, {:?}", Events::leaders(&events));
        let is_fit = |reply: &String| reply == "OK" || reply.starts_with("INPROG");
        assert!(replies.iter().all(is_fit), "{replies:?}");
        let leaders = Events::leaders(&events);
        assert_eq!(leaders.values().sum::<usize>(), 1, "leaders by epoch: {leaders:?}");
        let lost = ledger.missing_on(&cluster.redis[master]);
        assert!(lost.is_empty(), "of {} confirmed writes these are lost: {lost:?}", ledger.len());
        let overlap = Writer::overlap(&writers);
        assert!(overlap.is_zero(), "two servers took writes for {overlap:?}");
    }
}

/// A replica that has just got all data without a disk is streamed to from its next REPLCONF ACK on: a second at most.
#[test]
fn an_order_right_after_a_synchronization_is_followed() {
    for _ in 0..4 {
        let cluster = Cluster::start(&three_daemons());
        let reply = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]);
        assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"), "{reply:?}");
        cluster.wait_for_new_master(0, Duration::from_secs(10));
    }
}

#[test]
fn a_reset_after_the_selection_leaves_no_second_master() {
    the_leader_is_reset("+selected-slave");
}

#[test]
fn a_reset_before_the_promotion_is_seen_leaves_no_second_master() {
    the_leader_is_reset("+failover-state-wait-promotion");
}

#[test]
fn a_reset_after_the_promotion_leaves_no_second_master() {
    the_leader_is_reset("+promoted-slave");
}

fn the_leader_is_reset(step: &str) {
    let cluster = Cluster::start(&three_daemons());
    for round in 0..3 {
        let writers: Vec<_> = cluster.redis.iter().map(|redis| Writer::start(redis.port)).collect();
        let reply = reset_at(&cluster, step);
        assert!(matches!(reply, Value::Int(1) | Value::Error(_)), "{reply:?}");
        let master = eventually("all agree on one master, and all follow it", PATIENCE, || agreed(&cluster));
        cluster.wait_until_settled(master);
        let overlap = Writer::overlap(&writers);
        println!("round {round}: the RESET: {reply:?}; two took writes for {overlap:?}");
        assert!(overlap <= A_MOMENT, "two servers took writes for {overlap:?}");
    }
}

/// Orders a failover, and sends the ordered one a RESET as soon as it says that step. A failover may be given up before
/// it gets there, and is ordered again then.
fn reset_at(cluster: &Cluster, step: &str) -> Value {
    let ordered = &cluster.sentinels[0];
    let mut client = ordered.client().expect("it listens");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let events = [ordered.events()];
        let port = ordered.port;
        let order = std::thread::spawn(move || {
            let mut client = Client::connect(port, PATIENCE).expect("it listens");
            client.call(&["SENTINEL", "FAILOVER", GROUP]).expect("it answers")
        });
        let said = Events::first_to_say(&events, step, A_TRY);
        let reply = said.map(|_| client.call(&["SENTINEL", "RESET", GROUP]).expect("it answers"));
        let order = order.join().expect("it does not panic");
        println!("the order: {order:?}");
        if let Some(reply) = reply {
            return reply;
        }
    }
    panic!("waited {PATIENCE:?} in vain for {step}");
}

/// The number of the master that every sentinel names without another flag, and that all servers follow.
fn agreed(cluster: &Cluster) -> Option<usize> {
    let port = cluster.sentinels[0].master_port()?;
    let names = |sentinel: &Sentinel| {
        let master = sentinel.master();
        master.get("port") == Some(&port.to_string()) && master.get("flags").is_some_and(|is| is == "master")
    };
    let follows = |redis: &Redis| redis.port == port || redis.follows() == Some(port);
    let agreed = cluster.sentinels.iter().all(names) && cluster.redis.iter().all(follows);
    agreed.then(|| cluster.redis.iter().position(|redis| redis.port == port)).flatten()
}
