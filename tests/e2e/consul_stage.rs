//! What the tests with Consul have in common.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Consul, ConsulOptions, Extra, Folder, GROUP, Prober, Setup, eventually};
use serde_json::Value;
use std::collections::BTreeSet;

/// The name that everybody asks for.
pub(crate) const SERVICE: &str = "redis.service.consul";
/// The record.
pub(crate) const STATE: &str = "consentinel/mymaster/state";
/// The node that carries the entries.
pub(crate) const NODE: &str = "consentinel-mymaster";

/// A Consul, and daemons that publish into it.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) consul: Consul,
    /// Dropped last, when nobody writes into it any more.
    _folder: Folder,
}

impl Stage {
    /// Three daemons beside one agent, all published.
    pub(crate) fn set() -> Stage {
        Stage::set_with(&ConsulOptions::default(), three_daemons(), &Extra::default())
    }

    /// The same, with an agent, a setup and daemons of this kind.
    pub(crate) fn set_with(options: &ConsulOptions, setup: Setup, extra: &Extra) -> Stage {
        Stage::set_each(options, setup.with(extra))
    }

    /// The same, with what the setup has for each daemon.
    pub(crate) fn set_each(options: &ConsulOptions, mut setup: Setup) -> Stage {
        let folder = Folder::new();
        let consul = Consul::start_new(&folder, options);
        for extra in &mut setup.extra {
            extra.args.splice(0..0, ["--consul".into(), consul.address()]);
        }
        let cluster = Cluster::start(&setup);
        is_published(&consul, &cluster, 0);
        Stage { cluster, consul, _folder: folder }
    }

    /// Somebody who asks for the master all the time.
    pub(crate) fn prober(&self) -> Prober {
        Prober::start(self.consul.dns(), SERVICE)
    }

    /// Kills the master with that number, and says who is the next.
    pub(crate) fn fail_over(&mut self, master: usize) -> usize {
        self.cluster.redis[master].kill();
        self.cluster.wait_for_new_master(master, PATIENCE)
    }
}

/// Waits until Consul has the given server as master, all others as replicas, everybody as well as can be, and nobody
/// else.
pub(crate) fn is_published(consul: &Consul, cluster: &Cluster, master: usize) {
    let master = cluster.redis[master].port;
    let replicas: BTreeSet<_> =
        cluster.redis.iter().map(|redis| redis.port).filter(|port| *port != master).collect();
    let stands = |service: &str, ports: &BTreeSet<u16>| {
        let entries = consul.entries(service);
        entries.len() == ports.len() && entries.iter().all(is_passing) && consul.ports_of(service) == *ports
    };
    let masters = BTreeSet::from([master]);
    let whole = || {
        (record_names(consul, master) && stands("redis", &masters) && stands("redis-replica", &replicas))
            .then_some(())
    };
    let complaint = consentinel_lab::poll_until(PATIENCE, whole).is_none().then(|| {
        let [masters, replicas] = ["redis", "redis-replica"].map(|service| consul.entries(service));
        format!("record {:?}, masters {masters:#?}, replicas {replicas:#?}", record(consul))
    });
    assert_eq!(complaint, None, "the master on {master} is not published as it should be");
}

/// Waits until Consul names the given server as master, and no other; of the replicas nothing is said.
pub(crate) fn is_named(consul: &Consul, port: u16) {
    eventually("Consul names the master", PATIENCE, || {
        let entries = consul.entries("redis");
        let only = matches!(&entries[..], [entry] if is_passing(entry) && entry["Service"]["Port"] == port);
        (record_names(consul, port) && only).then_some(())
    });
}

/// Whether the record names a master on that port.
fn record_names(consul: &Consul, port: u16) -> bool {
    let port = format!(":{port}");
    record(consul).is_some_and(|record| record["master"].as_str().is_some_and(|it| it.ends_with(&port)))
}

/// The record, if there is one.
pub(crate) fn record(consul: &Consul) -> Option<Value> {
    consul.kv_json(STATE)
}

/// The epoch of the record.
pub(crate) fn epoch(consul: &Consul) -> u64 {
    record(consul).and_then(|record| record["epoch"].as_u64()).expect("there is a record with an epoch")
}

/// Whether nothing is wrong with an entry of the catalog.
pub(crate) fn is_passing(entry: &Value) -> bool {
    let checks = entry["Checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    !checks.is_empty() && checks.iter().all(|check| check["Status"] == "passing")
}

/// What a daemon says of its publishing: SENTINEL CONSUL.
pub(crate) fn says(cluster: &Cluster, sentinel: usize, field: &str) -> Option<String> {
    cluster.sentinels[sentinel].call(&["SENTINEL", "CONSUL", GROUP])?.fields().remove(field)
}
