//! The crate `redis`, as it comes from its authors.

use super::client_journey::{Application, two_failovers_and_a_return};
use crate::ours;
use consentinel_lab::{Cluster, Extra, GROUP, Program, Setup};
use redis::sentinel::{Sentinel, SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Commands, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisResult};
use std::collections::BTreeSet;

const SECRET: &str = "a-word-for-sentinels";

struct RedisRs {
    sentinel: Sentinel,
    master: SentinelClient,
    replica: SentinelClient,
}

impl RedisRs {
    fn start(cluster: &Cluster, protocol: ProtocolVersion) -> RedisRs {
        let ports = cluster.sentinels.iter().map(|sentinel| sentinel.port);
        let addresses: Vec<_> = ports.map(|port| ConnectionAddr::Tcp("127.0.0.1".into(), port)).collect();
        let secret = cluster.sentinels[0].extra.password.as_deref();
        let client = |kind| {
            let builder = SentinelClientBuilder::new(addresses.clone(), GROUP, kind)?
                .set_client_to_sentinel_protocol(protocol);
            match secret {
                Some(word) => builder.set_client_to_sentinel_password(word).build(),
                None => builder.build(),
            }
        };
        let urls = cluster.sentinels.iter().map(|sentinel| match secret {
            Some(word) => format!("redis://:{word}@127.0.0.1:{}", sentinel.port),
            None => format!("redis://127.0.0.1:{}", sentinel.port),
        });
        RedisRs {
            sentinel: Sentinel::build(urls.collect()).expect("the addresses can be read"),
            master: client(SentinelServerType::Master).expect("the addresses can be read"),
            replica: client(SentinelServerType::Replica).expect("the addresses can be read"),
        }
    }
}

fn port_of(client: &redis::Client) -> Option<u16> {
    match client.get_connection_info().clone().into_connection_info().ok()?.addr() {
        ConnectionAddr::Tcp(_, port) => Some(*port),
        _ => None,
    }
}

impl Application for RedisRs {
    fn master(&mut self) -> Option<u16> {
        port_of(&self.sentinel.master_for(GROUP, None).ok()?)
    }

    fn replicas(&mut self) -> BTreeSet<u16> {
        let clients = self.sentinel.get_replica_clients(GROUP, None).unwrap_or_default();
        clients.iter().filter_map(port_of).collect()
    }

    fn write(&mut self, key: &str, value: &str) -> bool {
        let mut write = || -> RedisResult<()> { self.master.get_connection()?.set(key, value) };
        write().is_ok()
    }

    fn read(&mut self, key: &str) -> Option<String> {
        self.replica.get_connection().ok()?.get(key).ok()?
    }
}

#[test]
fn redis_rs_finds_its_way() {
    let begin = |cluster: &Cluster| RedisRs::start(cluster, ProtocolVersion::RESP3);
    two_failovers_and_a_return(&Setup::new(vec![ours(); 3]), begin);
}

#[test]
fn redis_rs_finds_its_way_among_both_with_passwords() {
    let programs = vec![Program::Original, ours(), ours()];
    let mut setup = Setup::new(programs).with(&Extra::default().password(SECRET));
    setup.down_after = super::mixed::DOWN_AFTER;
    let begin = |cluster: &Cluster| RedisRs::start(cluster, ProtocolVersion::RESP2);
    two_failovers_and_a_return(&setup, begin);
}
