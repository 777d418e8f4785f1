//! SENTINEL FAILOVER.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Client, Cluster, GROUP, Release, Value, eventually};
use std::io::{ErrorKind, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WRITERS: usize = 6;
/// So many writes a writer sends at once.
const PIPELINE: usize = 50;

#[test]
fn a_failover_on_request_moves_a_healthy_master() {
    let cluster = Cluster::start(&three_daemons());
    let events = cluster.events();
    let reply = cluster.sentinels[1].call(&["SENTINEL", "FAILOVER", GROUP]);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.wait_until_settled(new);
    for events in &events {
        events.expect("+switch-master", PATIENCE);
        assert!(!events.has("+odown"), "nobody needed to find the master down");
    }
}

#[test]
fn without_a_good_replica_it_is_refused() {
    let mut setup = three_daemons();
    setup.replicas = 0;
    let cluster = Cluster::start(&setup);
    let refused = |name| cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", name]).expect("it answers");
    assert_eq!(refused(GROUP).error(), Some("NOGOODSLAVE No suitable replica to promote"));
    assert_eq!(refused("nobody").error(), Some("ERR No such master with that name"));
}

/// Writers that send as fast as the master answers; it is a replica before any of them finds another master.
#[test]
fn a_failover_on_request_loses_no_acknowledged_write() {
    let cluster = Cluster::start(&three_daemons());
    let mut master = 0;
    for round in 0..3 {
        let acknowledged: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let key = |writer: usize| format!("round:{round}:{writer}");
        let port = cluster.redis[master].port;
        std::thread::scope(|scope| {
            for (writer, acknowledged) in acknowledged.iter().enumerate() {
                scope.spawn(move || count_up(port, &key(writer), acknowledged));
            }
            eventually("everybody writes", PATIENCE, || {
                acknowledged.iter().all(|count| count.load(Ordering::Relaxed) > 1000).then_some(())
            });
            let reply = cluster.sentinels[round % 3].call(&["SENTINEL", "FAILOVER", GROUP]);
            assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
        });
        master = cluster.wait_for_new_master(master, PATIENCE);
        cluster.wait_until_settled(master);
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let kept = cluster.redis[master].get(&key(writer)).and_then(|text| text.parse::<u64>().ok());
            let acknowledged = acknowledged.load(Ordering::Relaxed);
            println!("round {round}, writer {writer}: {acknowledged} acknowledged, {kept:?} kept");
            assert!(kept >= Some(acknowledged), "{acknowledged} were acknowledged, {kept:?} are there");
        }
    }
}

#[test]
fn a_held_write_is_refused_and_its_client_cut_off_then() {
    for release in [Release::Machine, Release::Redis8, Release::Valkey8] {
        let mut setup = three_daemons();
        setup.serving.release = release;
        let cluster = Cluster::start(&setup);
        let port = cluster.redis[0].port;
        let written = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let written = &written;
            let writer = |number| scope.spawn(move || write_until_refused(port, number, written));
            let writers: Vec<_> = (0..WRITERS).map(writer).collect();
            eventually("they write", PATIENCE, || (written.load(Ordering::Relaxed) > 1000).then_some(()));
            let reply = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]);
            assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"), "{reply:?}");
            for writer in writers {
                let last = writer.join().expect("it does not panic");
                let text = last.as_ref().ok().and_then(Value::error);
                assert!(text.is_some_and(|text| text.starts_with("READONLY")), "{release:?}: {last:?}");
            }
        });
        cluster.wait_until_settled(cluster.wait_for_new_master(0, PATIENCE));
    }
}

/// Sends a write when the one before is answered, until one is refused, and waits for the end of the connection then.
/// Gives the last answer, or how the connection ended without one.
fn write_until_refused(port: u16, number: usize, written: &AtomicU64) -> Result<Value> {
    let mut client = Client::connect(port, PATIENCE)?;
    loop {
        let reply = client.call(&["INCR", &format!("writer:{number}")])?;
        if let Value::Int(_) = reply {
            written.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let end = client.read();
        assert!(end.is_err(), "after {reply:?} came {end:?}");
        assert_ne!(end.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "nobody cut it off");
        return Ok(reply);
    }
}

/// Adds one, again and again, until the server takes no more writes.
fn count_up(port: u16, key: &str, acknowledged: &AtomicU64) {
    let mut client = Client::connect(port, Duration::from_secs(10)).expect("the master is there");
    let commands = vec![vec!["INCR", key]; PIPELINE];
    loop {
        for command in &commands {
            if client.send(command).is_err() {
                return;
            }
        }
        for _ in &commands {
            match client.read() {
                Ok(Value::Int(_)) => acknowledged.fetch_add(1, Ordering::Relaxed),
                _ => return,
            };
        }
    }
}
