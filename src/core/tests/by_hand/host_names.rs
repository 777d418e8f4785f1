//! Host names: looked up when they are needed, and again when they have moved.

use crate::bench::{Bench, LOCAL, MASTER, group};
use consentinel_core::{Endpoint, Hello, Host};
use std::net::IpAddr;
use std::time::Duration;

fn named() -> Bench {
    let mut bench = Bench::with(&[], |durable| {
        durable.config.resolve_hostnames = true;
        let host = Host::parse("redis-1.example").expect("a host name");
        durable.groups.get_mut(&group()).expect("the bench watches it").master = Endpoint::new(host, MASTER);
    });
    bench.names.insert("redis-1.example".to_owned(), LOCAL);
    bench
}

#[test]
fn clients_get_the_address_behind_the_name() {
    let mut bench = named();
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.master(), Endpoint::new(Host::Ip(LOCAL), MASTER));
}

#[test]
fn a_name_that_moves_is_followed_when_the_old_place_is_gone() {
    let mut bench = named();
    bench.run(Duration::from_secs(5));
    let info = bench.servers.get(&MASTER).cloned().expect("it runs");
    bench.kill(MASTER);
    let elsewhere: IpAddr = "127.0.0.9".parse().expect("an address");
    bench.names.insert("redis-1.example".to_owned(), elsewhere);
    bench.servers.insert(MASTER, info);
    bench.connected.clear();
    bench.run(Duration::from_millis(900));
    assert_eq!(bench.connected.first(), Some(&elsewhere));
    assert_eq!(bench.master(), Endpoint::new(Host::Ip(elsewhere), MASTER));
}

#[test]
fn a_name_that_nobody_knows_is_tried_again() {
    let mut bench = named();
    bench.names.clear();
    bench.run(Duration::from_secs(5));
    assert!(bench.connected.is_empty());
    bench.names.insert("redis-1.example".to_owned(), LOCAL);
    bench.run(Duration::from_secs(1));
    assert!(!bench.connected.is_empty());
}

#[test]
fn two_nodes_that_turn_out_to_be_one_server_become_one() {
    let mut bench = named();
    bench.run(Duration::from_secs(5));
    // A peer has looked the moved name up before us: for us its address is another server, until we look it up, too.
    let elsewhere: IpAddr = "127.0.0.9".parse().expect("an address");
    let text = format!("127.0.0.1,26380,{},1,mymaster,127.0.0.9,6379,1", "ab".repeat(20));
    bench.hear(Hello::parse(&text).expect("well formed"));
    // It answers there with the run id that the master has: it is the same process.
    assert!(bench.sentinel.group(&group()).expect("it is watched").replicas.is_empty());
    bench.names.insert("redis-1.example".to_owned(), elsewhere);
    let info = bench.servers.get(&MASTER).cloned().expect("it runs");
    bench.kill(MASTER);
    bench.servers.insert(MASTER, info);
    bench.run(Duration::from_secs(15));
    assert!(bench.sentinel.group(&group()).expect("it is watched").replicas.is_empty());
    assert!(bench.turned.is_empty(), "nobody is told to follow himself: {:?}", bench.turned);
}
