//! Sentinels and servers that are known by two ids or two addresses.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, GROUP, Value, Writer, eventually};
use std::time::Duration;

/// So long the new master takes writes without a break, before it counts as settled.
const STEADY: Duration = Duration::from_secs(3);

#[test]
fn a_sentinel_that_is_created_anew_on_its_address_takes_the_place_of_the_old_one() {
    let mut cluster = Cluster::start(&three_daemons());
    for _ in 0..3 {
        let old = cluster.sentinels[2].id();
        cluster.sentinels[2].kill();
        cluster.sentinels[2].start_anew();
        assert_ne!(cluster.sentinels[2].id(), old);
        let is_known = |sentinel: &consentinel_lab::Sentinel| {
            sentinel.sentinels().iter().any(|peer| peer.get("runid") == Some(&old))
        };
        eventually(&format!("{old} is gone"), PATIENCE, || {
            (!cluster.sentinels.iter().any(is_known)).then_some(())
        });
        cluster.wait_until_settled(0);
    }
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    assert!(cluster.redis[new].set("after", "x"), "the new master takes writes");
}

#[test]
fn after_servers_have_announced_another_address_the_new_master_takes_writes() {
    let mut setup = three_daemons();
    setup.server_lines = vec![vec!["bind 127.0.0.1 127.0.0.2".into()]; 3];
    let mut cluster = Cluster::start(&setup);
    for redis in &cluster.redis[1..] {
        let set = redis.call(&["CONFIG", "SET", "replica-announce-ip", "127.0.0.2"]);
        assert_eq!(set.as_ref().and_then(Value::text), Some("OK"), "{set:?}");
        // The master hears of it when the replica connects.
        redis.call(&["CLIENT", "KILL", "TYPE", "master"]).expect("it answers");
    }
    eventually("every sentinel has seen the new addresses in the master's INFO", PATIENCE, || {
        let seen = |sentinel: &consentinel_lab::Sentinel| {
            let cache = sentinel.call(&["SENTINEL", "INFO-CACHE", GROUP]).map(|cache| format!("{cache:?}"));
            cache.is_some_and(|text| text.matches("ip=127.0.0.2").count() >= 2)
        };
        cluster.sentinels.iter().all(seen).then_some(())
    });
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    eventually("the new master takes writes without a break", PATIENCE, || {
        let (first, last) = *writers[new - 1].runs().last()?;
        (last - first > STEADY).then_some(())
    });
    let other = &cluster.redis[3 - new];
    eventually("the other replica follows", PATIENCE, || {
        (other.follows() == Some(cluster.redis[new].port)).then_some(())
    });
    assert_eq!(cluster.wait_for_new_master(0, PATIENCE), new, "nobody fails over again");
}
