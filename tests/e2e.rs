//! Real daemons and real Redis servers, on this machine, in real disasters.

use consentinel_lab::{Cluster, Program, Setup};
use std::time::Duration;

mod e2e {
    mod accepted;
    mod access;
    mod adopt;
    mod bad_input;
    mod bare_machine;
    mod client_journey;
    mod client_redis_cli;
    mod client_redis_py;
    mod client_redis_rs;
    mod client_wire;
    mod compound;
    mod configuration;
    mod connections;
    mod consul_access;
    mod consul_drift;
    mod consul_files;
    mod consul_fleet;
    mod consul_fleets;
    mod consul_foreign;
    mod consul_hundred;
    mod consul_mass;
    mod consul_modes;
    mod consul_newer;
    mod consul_outage;
    mod consul_publish;
    mod consul_resolvers;
    mod consul_restored;
    mod consul_stage;
    mod consul_stale;
    mod consul_tool;
    mod demo;
    mod differential;
    mod directives;
    mod dns;
    mod dns_flood;
    mod dns_like_consul;
    mod dns_wire;
    mod examples_clients;
    mod examples_network;
    mod examples_scripts;
    mod examples_stage;
    mod failover;
    mod forged;
    mod hostile_servers;
    mod http;
    mod leader;
    mod links;
    mod manual;
    mod metrics;
    mod migration;
    mod mixed;
    mod names;
    mod page;
    mod process;
    mod proxy;
    mod proxy_life;
    mod proxy_stage;
    mod readme;
    mod releases;
    mod resolve;
    mod resolver_application;
    mod resolver_connect;
    mod resolver_consul;
    mod resolver_dns;
    mod resolver_redis;
    mod restart;
    mod returning;
    mod scripts;
    mod status;
    mod storage;
    mod tls;
    mod topologies;
    mod users;
}

/// Longer than anything takes that goes well, even when a machine that stood still has put a sentinel into TILT.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon that was built for this test.
fn ours() -> Program {
    Program::Ours(env!("CARGO_BIN_EXE_consentinel").into())
}

/// Three daemons, a master and two replicas.
fn three_daemons() -> Setup {
    Setup::new(vec![ours(); 3])
}

/// Writes a key to the master and waits until both replicas have it.
fn write_everywhere(cluster: &Cluster, key: &str) {
    assert!(cluster.redis[0].set(key, "kept"), "the master takes writes");
    consentinel_lab::eventually("every replica has the key", PATIENCE, || {
        cluster.redis.iter().all(|redis| redis.get(key).as_deref() == Some("kept")).then_some(())
    });
}
