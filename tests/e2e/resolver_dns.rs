//! The resolver crate beside real Consul agents, the embedded DNS, and real failovers.

use super::consul_stage::{Stage, epoch, is_published};
use super::dns::cluster_with;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Consul, ConsulOptions, Extra, Folder, Setup, eventually};
use consentinel_resolver::{Builder, Change, Epoch, Resolver};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const SERVICE: &str = "redis.service.consul";

fn wait<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, what).await.expect("it ends in time") })
}

fn builder(servers: &[SocketAddr]) -> Builder {
    let builder = Resolver::builder(SERVICE).reuse(Duration::ZERO);
    servers.iter().fold(builder, |builder, server| builder.name_server(*server))
}

fn resolver(servers: &[SocketAddr]) -> Resolver {
    builder(servers).build().expect("nothing is wrong with it")
}

/// Waits until the resolver names that server as master, and nobody doubts it.
fn names(resolver: &Resolver, port: u16) {
    eventually("the resolver names the master", PATIENCE, || {
        let master = wait(resolver.master()).ok()?;
        (master.addr.port() == port && !master.freshness.is_stale()).then_some(())
    });
}

fn replicas(resolver: &Resolver, cluster: &Cluster, master: usize) {
    let others: BTreeSet<_> = (0..cluster.redis.len()).filter(|number| *number != master).collect();
    let others: BTreeSet<_> = others.into_iter().map(|number| cluster.redis[number].port).collect();
    eventually("the resolver names the replicas", PATIENCE, || {
        let replicas = wait(resolver.replicas()).ok()?;
        let ports: BTreeSet<_> = replicas.iter().map(|replica| replica.addr.port()).collect();
        (ports == others && replicas.len() == others.len()).then_some(())
    });
}

fn sentinels(resolver: &Resolver, cluster: &Cluster) {
    let all: BTreeSet<_> = cluster.sentinels.iter().map(|sentinel| sentinel.port).collect();
    eventually("the resolver names the sentinels", PATIENCE, || {
        let peers = wait(resolver.sentinels()).ok()?;
        (peers.iter().map(|peer| peer.addr.port()).collect::<BTreeSet<_>>() == all).then_some(())
    });
}

/// Somebody who watches, in a thread of his own, and writes down what he sees and when.
struct Follower {
    seen: Arc<Mutex<Vec<(Instant, Change)>>>,
    over: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start(resolver: &Resolver) -> Follower {
        let (resolver, seen, over) =
            (resolver.clone(), Arc::<Mutex<Vec<_>>>::default(), Arc::new(Notify::new()));
        let (noted, ended) = (seen.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut watch = resolver.watch();
                loop {
                    tokio::select! {
                        () = ended.notified() => return,
                        change = watch.next() => lock(&noted).push((Instant::now(), change)),
                    }
                }
            });
        });
        Follower { seen, over, thread: Some(thread) }
    }

    /// When it saw the master on that port first.
    fn saw(&self, port: u16) -> Instant {
        eventually("the watch sees the master", PATIENCE, || {
            lock(&self.seen)
                .iter()
                .find(|(_, change)| matches!(change, Change::Master(it) if it.addr.port() == port))
                .map(|it| it.0)
        })
    }

    /// It has seen these masters in this order, none twice, and no epoch that was older than the one before.
    fn has_seen_only(&self, ports: &[u16]) {
        let (mut masters, mut last) = (Vec::new(), None);
        for (_, change) in &*lock(&self.seen) {
            if let Change::Master(master) = change {
                assert!(master.epoch.is_some(), "{master:?}");
                assert!(master.epoch >= last, "{master:?} after {last:?}");
                last = master.epoch;
                masters.push(master.addr.port());
            }
        }
        masters.dedup();
        assert_eq!(masters, ports);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.over.notify_one();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|it| it.is_ok()) || std::thread::panicking(), "the follower panicked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

#[test]
fn the_resolver_follows_a_failover_by_consuls_dns() {
    let mut stage = Stage::set();
    let resolver = resolver(&[stage.consul.dns()]);
    let old = stage.cluster.redis[0].port;
    names(&resolver, old);
    let master = wait(resolver.master()).expect("a master");
    assert_eq!(master.epoch, Some(Epoch(epoch(&stage.consul))));
    assert_eq!(master.host, "7f000001.addr.dc1.consul");
    replicas(&resolver, &stage.cluster, 0);
    sentinels(&resolver, &stage.cluster);

    let follower = Follower::start(&resolver);
    follower.saw(old);
    let killed = Instant::now();
    let new = stage.fail_over(0);
    let saw = follower.saw(stage.cluster.redis[new].port);
    println!("consul: killed to watch: {:?} (down-after is 1 s)", saw - killed);
    stage.cluster.redis[0].start();
    stage.cluster.wait_until_settled(new);
    is_published(&stage.consul, &stage.cluster, new);
    names(&resolver, stage.cluster.redis[new].port);
    replicas(&resolver, &stage.cluster, new);
    follower.has_seen_only(&[old, stage.cluster.redis[new].port]);
}

#[test]
fn tag_and_datacenter_lead_to_the_same_master() {
    let stage = Stage::set();
    let port = stage.cluster.redis[0].port;
    let dns = stage.consul.dns();
    names(&builder(&[dns]).tag("mymaster").datacenter("dc1").build().expect("it fits"), port);
    names(&Resolver::builder("_redis._tcp.service.consul").name_server(dns).build().expect("a name"), port);
    let other = Resolver::builder("redis").tag("nobody").name_server(dns).build().expect("a name");
    let error = wait(other.master()).expect_err("nobody has that tag");
    assert!(error.is_nobody() && error.to_string().contains("nobody.redis.service.consul"), "{error}");
}

#[test]
fn the_resolver_follows_failovers_by_the_embedded_dns() {
    let (mut cluster, servers) = cluster_with(three_daemons(), &[]);
    let resolver = resolver(&servers);
    let first = cluster.redis[0].port;
    names(&resolver, first);
    replicas(&resolver, &cluster, 0);
    sentinels(&resolver, &cluster);
    let follower = Follower::start(&resolver);
    follower.saw(first);

    let killed = Instant::now();
    cluster.redis[0].kill();
    resolver.invalidate(); // as an application does whose connection breaks
    let second = cluster.wait_for_new_master(0, PATIENCE);
    let saw = follower.saw(cluster.redis[second].port);
    println!("embedded, after a doubt: killed to watch: {:?} (down-after is 1 s)", saw - killed);
    cluster.redis[0].start();
    cluster.wait_until_settled(second);
    names(&resolver, cluster.redis[second].port);

    // The first name server is gone: the next one is asked.
    cluster.sentinels[0].kill();
    resolver.invalidate();
    names(&resolver, cluster.redis[second].port);
    follower.has_seen_only(&[first, cluster.redis[second].port]);
}

#[test]
fn a_daemon_that_hears_no_majority_is_passed_over() {
    let (cluster, servers) = cluster_with(three_daemons(), &[]);
    let resolver = resolver(&servers[..1]);
    names(&resolver, cluster.redis[0].port);
    for sentinel in &cluster.sentinels[1..] {
        sentinel.pause();
    }
    eventually("what was known is stale", PATIENCE, || {
        let master = wait(resolver.master()).expect("it is known");
        master.freshness.is_stale().then_some(())
    });
    let fresh = builder(&servers[..1]).build().expect("it fits");
    let error = wait(fresh.master()).expect_err("it knew nothing");
    assert!(error.to_string().contains("ServFail"), "{error}");
    for sentinel in &cluster.sentinels[1..] {
        sentinel.resume();
    }
    names(&resolver, cluster.redis[0].port);
}

fn found_by_both(setup: Setup, ip: &str) {
    let server = consentinel_lab::free_port();
    let own: SocketAddr = ([127, 0, 0, 1], server).into();
    let mut setup = setup.with(&Extra::default());
    setup.extra[0] = Extra::default().args(&["--dns", &own.to_string()]);
    let stage = Stage::set_each(&ConsulOptions::default(), setup);
    for servers in [[stage.consul.dns()], [own]] {
        let resolver = resolver(&servers);
        names(&resolver, stage.cluster.redis[0].port);
        replicas(&resolver, &stage.cluster, 0);
        let master = wait(resolver.master()).expect("a master");
        assert_eq!(master.addr.ip().to_string(), ip);
        assert_eq!(master.epoch, Some(Epoch(epoch(&stage.consul))));
        assert!(wait(resolver.replicas()).expect("replicas").iter().all(|it| it.addr.ip().to_string() == ip));
    }
}

#[test]
fn a_master_with_an_ipv6_address_is_found() {
    found_by_both(three_daemons().on_host("::1"), "::1");
}

#[test]
fn a_master_with_a_host_name_is_found() {
    found_by_both(three_daemons().on_host("localhost"), "127.0.0.1");
}

fn register(consul: &Consul, node: &str, service: &str, port: u16, epoch: Option<u64>) {
    let meta = epoch.map_or(json!({}), |epoch| json!({ "epoch": epoch.to_string() }));
    let service = json!({ "ID": node, "Service": service, "Address": format!("127.0.1.{}", port - 7000), "Port": port });
    let entry = json!({ "Node": node, "Address": "127.0.0.1", "NodeMeta": meta, "Service": service });
    consul.put("/v1/catalog/register", &entry);
}

#[test]
fn of_two_masters_in_consul_the_newer_counts_and_without_epochs_none() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    register(&consul, "n1", "redis", 7001, Some(5));
    register(&consul, "n2", "redis", 7002, Some(6));
    register(&consul, "n3", "redis", 7003, None);
    let resolver = resolver(&[consul.dns()]);
    // Consul gives them in another order each time.
    for _ in 0..50 {
        let master = wait(resolver.master()).expect("a master");
        assert_eq!((master.addr.to_string().as_str(), master.epoch), ("127.0.1.2:7002", Some(Epoch(6))));
    }
    let classic = Resolver::builder("classic").name_server(consul.dns()).build().expect("a name");
    register(&consul, "n1", "classic", 7001, None);
    assert_eq!(wait(classic.master()).expect("a master").epoch, None, "one alone needs no epoch");
    register(&consul, "n3", "classic", 7003, None);
    classic.invalidate();
    let error = wait(classic.master()).expect_err("nobody may guess");
    for named in ["7f000101.addr.dc1.consul:7001", "7f000103.addr.dc1.consul:7003"] {
        assert!(error.to_string().contains(named), "{error}");
    }
    assert!(classic.current().is_none());
}

#[test]
fn more_replicas_than_consul_names_over_udp_are_found() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    for number in 1..=20 {
        register(&consul, &format!("n{number}"), "redis-replica", 7000 + number, Some(5));
    }
    let resolver = resolver(&[consul.dns()]);
    let replicas = wait(resolver.replicas()).expect("replicas");
    let ports: BTreeSet<_> = replicas.iter().map(|replica| replica.addr.port()).collect();
    assert_eq!(ports, (7001..=7020).collect());
}
