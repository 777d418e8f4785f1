//! A master that is gone.
use consentinel_lab::{Cluster, Program, Setup, Writer, eventually};
use std::time::{Duration, Instant};

#[test]
fn a_killed_master_is_replaced() {
    let mut cluster = Cluster::start(&Setup::new(vec![Program::Original; 3]));
    let events = cluster.events();
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    let killed = Instant::now();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, Duration::from_secs(20));
    eprintln!("new master {new} after {:?}", killed.elapsed());
    for events in &events {
        let switch = events.expect("+switch-master", Duration::from_secs(10));
        eprintln!("+switch-master {:?} {}", switch.at - killed, switch.payload);
    }
    let first = eventually("write", Duration::from_secs(1), || writers[new - 1].outcome().first_accepted);
    eprintln!("write {:?}", first - killed);
    let old = Writer::start(cluster.redis[0].port);
    cluster.redis[0].start();
    eventually("old is replica", Duration::from_secs(30), || old.outcome().is_over().then_some(()));
    eprintln!("old writable for {:?}", old.outcome().writable_for());
    cluster.wait_until_settled(new);
}
