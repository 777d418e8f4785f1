//! What an application lives through that knows nothing but the addresses of sentinels.

use crate::PATIENCE;
use consentinel_lab::{Cluster, Setup, eventually};
use std::collections::BTreeSet;

/// An application, by whatever client library.
pub(crate) trait Application {
    /// The port of the master.
    fn master(&mut self) -> Option<u16>;
    /// The ports of the replicas that can be used.
    fn replicas(&mut self) -> BTreeSet<u16>;
    /// Writes to the master.
    fn write(&mut self, key: &str, value: &str) -> bool;
    /// Reads from a replica.
    fn read(&mut self, key: &str) -> Option<String>;
}

/// A master dies, returns, and its successor dies; then a sentinel dies too.
pub(crate) fn two_failovers_and_a_return<A: Application>(
    setup: &Setup,
    begin: impl FnOnce(&Cluster) -> A,
) -> (Cluster, A) {
    let mut cluster = Cluster::start(setup);
    let mut application = begin(&cluster);
    finds_its_way(&cluster, &mut application, 0, "at-first");

    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    finds_its_way(&cluster, &mut application, first, "after-one");
    cluster.redis[0].start();
    cluster.wait_until_settled(first);
    finds_its_way(&cluster, &mut application, first, "after-the-return");

    cluster.redis[first].kill();
    let second = cluster.wait_for_new_master(first, PATIENCE);
    finds_its_way(&cluster, &mut application, second, "after-two");
    cluster.redis[first].start();
    cluster.wait_until_settled(second);

    cluster.sentinels[0].kill();
    finds_its_way(&cluster, &mut application, second, "with-a-sentinel-less");
    cluster.sentinels[0].start();
    (cluster, application)
}

/// It finds the master and every replica that runs, writes to the one and reads from the other.
fn finds_its_way(cluster: &Cluster, application: &mut impl Application, master: usize, key: &str) {
    let port = cluster.redis[master].port;
    assert_eq!(application.master(), Some(port), "{key}");
    eventually(&format!("it writes: {key}"), PATIENCE, || application.write(key, "x").then_some(()));
    assert_eq!(cluster.redis[master].get(key).as_deref(), Some("x"));
    let running = || cluster.redis.iter().filter(|redis| redis.port != port && redis.role().is_some());
    let expected: BTreeSet<_> = running().map(|redis| redis.port).collect();
    eventually(&format!("it finds the replicas: {key}"), PATIENCE, || {
        (application.replicas() == expected).then_some(())
    });
    eventually(&format!("it reads what it wrote: {key}"), PATIENCE, || {
        (application.read(key).as_deref() == Some("x")).then_some(())
    });
}
