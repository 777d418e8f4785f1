//! Consul is away, or has forgotten: what is published when it is back is what is so then.

use super::consul_stage::{NODE, SERVICE, STATE, Stage, epoch, is_named, is_published, says};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, ConsulServers, Extra, Folder, GROUP, Named, Prober, Proxy, Setup,
    eventually, shipped,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// From the return of Consul to the answer of DNS. It is noticed within 200 ms, and then the record is read and written; the
/// rest is for a machine that does other things, too.
const RETURN: Duration = Duration::from_secs(1);

/// How the request begins that publishes.
const WRITE: &str = "PUT /v1/txn";

/// The counters of all daemons, added up.
fn sum(cluster: &Cluster, field: &str) -> u64 {
    let value = |sentinel| says(cluster, sentinel, field).and_then(|value| value.parse::<u64>().ok());
    (0..cluster.sentinels.len()).filter_map(value).sum()
}

fn failovers(consul: &Consul) -> usize {
    let history = consul.kv_json("consentinel/mymaster/history").unwrap_or_default();
    history.as_array().map_or(0, Vec::len)
}

/// Has the daemon move the master, and waits until everybody follows.
fn move_master(cluster: &Cluster, by: usize, master: usize) -> usize {
    let reply = cluster.sentinels[by].call(&["SENTINEL", "FAILOVER", GROUP]);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
    cluster.wait_for_new_master(master, PATIENCE)
}

/// Two failovers, one after the other, to two other servers than the first. Everybody is well afterwards.
fn two_failovers(cluster: &mut Cluster) -> (usize, usize) {
    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    let second = 3 - first;
    eventually("the last one follows the new master", PATIENCE, || {
        (cluster.redis[second].follows() == Some(cluster.redis[first].port)).then_some(())
    });
    cluster.redis[first].kill();
    assert_eq!(cluster.wait_for_new_master(first, PATIENCE), second);
    cluster.redis[0].start();
    cluster.redis[first].start();
    cluster.wait_until_settled(second);
    (first, second)
}

#[test]
fn an_agent_that_is_restarted_finds_out_what_is_so_now() {
    let on_disk = ConsulOptions { on_disk: true, ..ConsulOptions::default() };
    let mut stage = Stage::set_with(&on_disk, three_daemons(), &Extra::default());
    let claims = sum(&stage.cluster, "claims");
    stage.consul.kill();
    let (_, second) = two_failovers(&mut stage.cluster);
    stage.consul.spawn();
    is_published(&stage.consul, &stage.cluster, second);
    // Of the failover in between Consul never hears.
    assert_eq!(failovers(&stage.consul), 1);
    assert_eq!(sum(&stage.cluster, "claims"), claims + 1);
}

#[test]
fn an_agent_that_has_forgotten_everything_is_told_again() {
    let mut stage = Stage::set();
    let before = epoch(&stage.consul);
    stage.consul.kill();
    stage.consul.start();
    is_published(&stage.consul, &stage.cluster, 0);
    assert_eq!(epoch(&stage.consul), before);
    let sentinels = stage.cluster.sentinels.len();
    eventually("the sentinels are registered again", PATIENCE, || {
        (stage.consul.entries("redis-sentinel").len() == sentinels).then_some(())
    });
}

#[test]
fn what_is_wiped_from_catalog_and_kv_comes_back() {
    let mut stage = Stage::set();
    stage.consul.wipe();
    is_published(&stage.consul, &stage.cluster, 0);
    stage.consul.delete_kv(STATE);
    stage.consul.deregister(NODE, None);
    is_published(&stage.consul, &stage.cluster, 0);
    let new = stage.fail_over(0);
    is_named(&stage.consul, stage.cluster.redis[new].port);
}

#[test]
fn the_leader_of_three_servers_is_killed_in_the_middle_of_a_failover() {
    let folder = Folder::new();
    // As it is shipped: every question goes to the leader, so that DNS never goes back, not even that of a server that has
    // just been restarted and reads its log.
    let files = vec![("dns.hcl".to_owned(), shipped("agent/dns.hcl"))];
    let mut servers = ConsulServers::start_with(&folder, &ConsulOptions { files, ..Default::default() });
    let mut setup = three_daemons();
    setup.extra = servers.0.iter().map(|server| Extra::consul(&server.address())).collect();
    let mut cluster = Cluster::start(&setup);
    is_published(&servers.0[0], &cluster, 0);
    let old = cluster.redis[0].port;
    let probers: Vec<_> = servers.0.iter().map(|server| Prober::start(server.dns(), SERVICE)).collect();
    eventually("every server's DNS names the master", PATIENCE, || {
        probers.iter().all(|prober| prober.now().is_only(old)).then_some(())
    });

    let events = cluster.events();
    let leader = servers.wait_until_led();
    cluster.redis[0].kill();
    eventually("a failover begins", PATIENCE, || {
        events.iter().any(|events| events.has("+try-failover")).then_some(())
    });
    servers.0[leader].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
    servers.wait_until_led();
    let others: Vec<_> = (0..3).filter(|server| *server != leader).collect();
    for server in &others {
        is_published(&servers.0[*server], &cluster, new);
    }
    servers.0[leader].start();
    let port = cluster.redis[new].port;
    eventually("every server's DNS names the new master", PATIENCE, || {
        probers.iter().all(|prober| prober.now().is_only(port)).then_some(())
    });
    for prober in &probers {
        assert_eq!(prober.timeline().complaint(), None);
    }
    eventually("every daemon is content", PATIENCE, || {
        (0..3).all(|daemon| says(&cluster, daemon, "state").as_deref() == Some("published")).then_some(())
    });
}

/// Three daemons, each with a proxy of its own between itself and Consul.
struct Partition {
    cluster: Cluster,
    proxies: Vec<Proxy>,
    consul: Consul,
    _folder: Folder,
}

impl Partition {
    fn set(setup: Setup) -> Partition {
        let folder = Folder::new();
        let consul = Consul::dev(&folder);
        let proxies: Vec<_> = setup.sentinels.iter().map(|_| Proxy::start(consul.http())).collect();
        let extra = proxies.iter().map(|proxy| Extra::consul(&proxy.address())).collect();
        let cluster = Cluster::start(&Setup { extra, ..setup });
        is_published(&consul, &cluster, 0);
        Partition { cluster, proxies, consul, _folder: folder }
    }
}

#[test]
fn when_the_leader_of_the_failover_cannot_reach_consul_the_others_publish() {
    for cut in [Proxy::cut, Proxy::hold] {
        let mut setup = three_daemons();
        setup.leader = Some(0);
        let mut stage = Partition::set(setup);
        let prober = Prober::start(stage.consul.dns(), SERVICE);
        cut(&stage.proxies[0]);
        stage.cluster.redis[0].kill();
        let new = stage.cluster.wait_for_new_master(0, PATIENCE);
        is_named(&stage.consul, stage.cluster.redis[new].port);
        let publisher = stage.consul.kv_json(STATE).expect("a record")["publisher"].clone();
        assert_ne!(publisher, stage.cluster.sentinels[0].id());
        stage.proxies[0].heal();
        stage.cluster.redis[0].start();
        is_published(&stage.consul, &stage.cluster, new);
        assert_eq!(prober.timeline().complaint(), None);
        eventually("the leader is content, too", PATIENCE, || {
            (says(&stage.cluster, 0, "state").as_deref() == Some("published")).then_some(())
        });
    }
}

#[test]
fn when_nobody_can_reach_consul_what_is_so_afterwards_is_published_once() {
    let mut stage = Partition::set(three_daemons());
    let claims = sum(&stage.cluster, "claims");
    stage.proxies.iter().for_each(Proxy::cut);
    let (first, second) = two_failovers(&mut stage.cluster);
    is_named(&stage.consul, stage.cluster.redis[0].port);
    let prober = Prober::start(stage.consul.dns(), SERVICE);
    eventually("the prober has begun", PATIENCE, || (prober.now() != Named::Nothing).then_some(()));
    let healed = Instant::now();
    stage.proxies.iter().for_each(Proxy::heal);
    let port = stage.cluster.redis[second].port;
    let named =
        eventually("DNS names the master of now", PATIENCE, || prober.timeline().first_only(port, healed));
    println!("the master of now is in DNS {:?} after the return", named - healed);
    assert!(named - healed < RETURN, "{:?} after the return", named - healed);
    is_published(&stage.consul, &stage.cluster, second);
    assert_eq!(failovers(&stage.consul), 1);
    assert_eq!(sum(&stage.cluster, "claims"), claims + 1);
    assert_eq!(prober.timeline().complaint(), None);
    assert!(prober.timeline().0.iter().all(|span| !span.named.has(stage.cluster.redis[first].port)));
}

#[test]
fn what_a_daemon_wrote_before_it_was_cut_off_bounces_when_it_arrives_late() {
    let stage = Partition::set(three_daemons());
    let prober = Prober::start(stage.consul.dns(), SERVICE);
    // The leader of the failover writes at once, and its packets are lost. Before it gives up, another one has published,
    // and a newer epoch stands in the record.
    stage.proxies[0].hold();
    let new = move_master(&stage.cluster, 0, 0);
    eventually("the leader writes", PATIENCE, || stage.proxies[0].has_held(WRITE).then_some(()));
    let master = stage.cluster.redis[new].port;
    is_named(&stage.consul, master);
    let newer = epoch(&stage.consul) + 1;
    let record = json!({ "epoch": newer, "master": format!("127.0.0.1:{master}"), "run_id": "0".repeat(40),
        "publisher": stage.cluster.sentinels[1].id() });
    stage.consul.put_kv(STATE, &record);
    stage.proxies[0].heal();
    eventually("its write has bounced", PATIENCE, || {
        says(&stage.cluster, 0, "stale").is_some_and(|stale| stale != "0").then_some(())
    });
    assert!(epoch(&stage.consul) >= newer, "the newer record stands");
    assert_eq!(prober.timeline().complaint(), None);
}

#[test]
fn what_a_daemon_wrote_two_failovers_ago_changes_nothing_when_it_arrives() {
    let mut stage = Partition::set(three_daemons());
    let prober = Prober::start(stage.consul.dns(), SERVICE);
    stage.proxies[0].hold();
    let first = move_master(&stage.cluster, 0, 0);
    eventually("the leader writes", PATIENCE, || stage.proxies[0].has_held(WRITE).then_some(()));
    is_named(&stage.consul, stage.cluster.redis[first].port);
    stage.cluster.wait_until_settled(first);
    stage.cluster.redis[first].kill();
    let second = stage.cluster.wait_for_new_master(first, PATIENCE);
    is_named(&stage.consul, stage.cluster.redis[second].port);
    let before = epoch(&stage.consul);
    stage.proxies[0].heal();
    stage.cluster.redis[first].start();
    is_published(&stage.consul, &stage.cluster, second);
    eventually("the leader of then has looked again", PATIENCE, || {
        (says(&stage.cluster, 0, "record-epoch")? == before.to_string()).then_some(())
    });
    assert_eq!(epoch(&stage.consul), before);
    assert_eq!(prober.timeline().complaint(), None);
}

#[test]
fn of_those_that_publish_at_the_same_instant_one_wins() {
    let stage = Partition::set(three_daemons());
    let claims = sum(&stage.cluster, "claims");
    let prober = Prober::start(stage.consul.dns(), SERVICE);
    stage.proxies.iter().for_each(Proxy::hold);
    let new = move_master(&stage.cluster, 0, 0);
    eventually("every one has written, and heard of nobody else", PATIENCE, || {
        stage.proxies.iter().all(|proxy| proxy.has_held(WRITE)).then_some(())
    });
    stage.proxies.iter().for_each(Proxy::heal);
    is_published(&stage.consul, &stage.cluster, new);
    eventually("the others have bounced", PATIENCE, || (sum(&stage.cluster, "stale") >= 1).then_some(()));
    assert_eq!(sum(&stage.cluster, "claims"), claims + 1);
    assert_eq!(failovers(&stage.consul), 1);
    assert_eq!(prober.timeline().complaint(), None);
}
