//! Sentinels that are stopped and started again.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Fields, Sentinel};
use std::collections::BTreeSet;

/// What must survive.
#[derive(Debug, PartialEq)]
pub(crate) struct Memory {
    id: String,
    master: Option<u16>,
    config_epoch: Option<String>,
    quorum: Option<String>,
    replicas: BTreeSet<Option<String>>,
    peers: BTreeSet<Option<String>>,
}

pub(crate) fn memory_of(sentinel: &Sentinel) -> Memory {
    let all =
        |list: Vec<Fields>, field: &str| list.into_iter().map(|mut entry| entry.remove(field)).collect();
    Memory {
        id: sentinel.id(),
        master: sentinel.master_port(),
        config_epoch: sentinel.master().remove("config-epoch"),
        quorum: sentinel.master().remove("quorum"),
        replicas: all(sentinel.replicas(), "name"),
        peers: all(sentinel.sentinels(), "runid"),
    }
}

#[test]
fn after_a_restart_of_all_they_know_what_they_knew_and_fail_over() {
    let mut cluster = Cluster::start(&three_daemons());
    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(first);

    let before: Vec<_> = cluster.sentinels.iter().map(memory_of).collect();
    assert!(before.iter().all(|memory| memory.config_epoch.as_deref().is_some_and(|epoch| epoch != "0")));
    for (number, sentinel) in cluster.sentinels.iter_mut().enumerate() {
        if number == 0 { sentinel.terminate() } else { sentinel.kill() }
    }
    cluster.sentinels.iter_mut().for_each(Sentinel::start);
    let after: Vec<_> = cluster.sentinels.iter().map(memory_of).collect();
    assert_eq!(after, before);

    cluster.redis[first].kill();
    let second = cluster.wait_for_new_master(first, PATIENCE);
    assert!(cluster.redis[second].set("after", "x"), "the new master takes writes");
    let epoch = |memory: &Memory| memory.config_epoch.as_ref().and_then(|epoch| epoch.parse::<u64>().ok());
    let grown =
        cluster.sentinels.iter().map(memory_of).zip(&before).all(|(now, then)| epoch(&now) > epoch(then));
    assert!(grown, "the second failover has a later epoch");
}
