//! Other shapes than a master, two replicas and three sentinels.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{
    Cluster, Events, Extra, Folder, GROUP, Ledger, Program, Proxy, Redis, Sentinel, Serving, Setup,
    eventually, free_port,
};
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) fn accepted(reply: Option<consentinel_lab::Value>) {
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
}

/// Kills the master, waits for another one, and lets it return.
pub(crate) fn kill_and_return(cluster: &mut Cluster, master: usize) -> usize {
    cluster.redis[master].kill();
    let new = cluster.wait_for_new_master(master, PATIENCE);
    cluster.redis[master].start();
    cluster.wait_until_settled(new);
    new
}

/// One more server, that follows the given one.
fn follower_of(cluster: &Cluster, followed: usize, lines: &[&str]) -> Redis {
    let lines = lines.iter().map(|line| String::from(*line)).collect();
    Redis::start_new(
        &cluster.folder,
        &Serving { lines, ..Serving::default() },
        Some(cluster.redis[followed].port),
    )
}

#[test]
fn a_replica_of_a_replica_becomes_one_of_the_new_master() {
    let mut setup = three_daemons();
    setup.replicas = 1;
    let mut cluster = Cluster::start(&setup);
    let cascaded = follower_of(&cluster, 1, &[]);
    eventually("it follows the replica", PATIENCE, || {
        (cascaded.follows() == Some(cluster.redis[1].port)).then_some(())
    });
    cluster.redis.push(cascaded);
    assert_eq!(kill_and_return(&mut cluster, 0), 1, "who is not the master's replica cannot succeed it");
}

#[test]
fn each_size_of_quorum_fails_over() {
    // Sentinels, quorum.
    for (sentinels, quorum) in [(2, 1), (2, 2), (3, 1), (3, 3)] {
        let mut setup = Setup::new(vec![ours(); sentinels]);
        setup.quorum = quorum;
        let mut cluster = Cluster::start(&setup);
        kill_and_return(&mut cluster, 0);
    }
}

#[test]
fn one_of_two_sentinels_is_a_quorum_but_no_majority() {
    let mut setup = Setup::new(vec![ours(); 2]);
    setup.quorum = 1;
    let mut cluster = Cluster::start(&setup);
    cluster.sentinels.remove(1).kill();
    let events = cluster.events();
    cluster.redis[0].kill();
    events[0].expect("+odown", PATIENCE);
    events[0].expect("-failover-abort-not-elected", PATIENCE);
    assert!(!events[0].has("+switch-master"));
    let said = cluster.sentinels[0].call(&["SENTINEL", "CKQUORUM", GROUP]).expect("it answers");
    assert!(said.error().is_some_and(|text| text.starts_with("NOQUORUM")), "{said:?}");
}

#[test]
fn a_lower_priority_succeeds_and_zero_never_does() {
    let mut setup = three_daemons();
    let priority = |number: u32| vec![format!("replica-priority {number}")];
    setup.replicas = 3;
    setup.server_lines = vec![vec![], priority(0), priority(100), priority(90)];
    let mut cluster = Cluster::start(&setup);
    assert_eq!(kill_and_return(&mut cluster, 0), 3);
    // The one that has been master has 100 as number 2 has; take both away.
    cluster.redis[0].kill();
    cluster.redis[2].kill();
    eventually("they are known to be down", PATIENCE, || {
        let down = |sentinel: &Sentinel| {
            let replicas = sentinel.replicas();
            replicas
                .iter()
                .filter(|one| one.get("flags").is_some_and(|flags| flags.contains("s_down")))
                .count()
        };
        cluster.sentinels.iter().all(|sentinel| down(sentinel) == 2).then_some(())
    });
    let refused = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]).expect("it answers");
    assert_eq!(refused.error(), Some("NOGOODSLAVE No suitable replica to promote"));
}

#[test]
fn masters_that_need_a_replica_to_write_are_writable_again_after_a_failover() {
    let mut setup = three_daemons();
    setup.serving.lines = vec!["min-replicas-to-write 1".into(), "min-replicas-max-lag 10".into()];
    let mut cluster = Cluster::start(&setup);
    let mut ledger = Ledger::start(&cluster.sentinels, 1, 1);
    let go_on = || {
        let before = ledger.len();
        eventually("writes go on", PATIENCE, || (ledger.len() > before + 50).then_some(()));
    };
    go_on();
    let new = kill_and_return(&mut cluster, 0);
    go_on();
    accepted(cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]));
    let next = cluster.wait_for_new_master(new, PATIENCE);
    cluster.wait_until_settled(next);
    go_on();
    ledger.stop();
    assert_eq!(ledger.missing_on(&cluster.redis[next]), Vec::<String>::new());
}

#[test]
fn a_replica_behind_another_address_is_known_by_what_it_announces() {
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]);
    setup.replicas = 1;
    setup.leader = Some(2);
    setup.down_after = super::mixed::DOWN_AFTER;
    let mut cluster = Cluster::start(&setup);
    let lines = vec!["replica-priority 90".to_owned()];
    let mut hidden = Redis::start_new(&cluster.folder, &Serving { lines, ..Serving::default() }, None);
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, hidden.port)));
    let announced = proxy.port.to_string();
    let words = ["CONFIG", "SET", "replica-announce-ip", "127.0.0.1", "replica-announce-port", &announced];
    accepted(hidden.call(&words));
    accepted(hidden.call(&["REPLICAOF", "127.0.0.1", &cluster.redis[0].port.to_string()]));
    // From here on everybody knows it by the other address only.
    hidden.port = proxy.port;
    cluster.redis.push(hidden);
    cluster.wait_until_settled(0);
    assert_eq!(kill_and_return(&mut cluster, 0), 2);
    proxy.cut();
    let new = cluster.wait_for_new_master(2, PATIENCE);
    assert_ne!(new, 2, "who cannot be reached where it says is down");
}

#[test]
fn a_replica_that_is_not_announced_is_watched_and_not_listed() {
    let mut setup = Setup::new(vec![Program::Original, ours()]);
    setup.replicas = 1;
    setup.leader = Some(1);
    setup.down_after = super::mixed::DOWN_AFTER;
    let mut cluster = Cluster::start(&setup);
    let hidden = follower_of(&cluster, 0, &["replica-announced no", "replica-priority 0"]);
    let is_alike = |sentinel: &Sentinel| {
        let known = sentinel.master().get("num-slaves").cloned();
        known.as_deref() == Some("2") && sentinel.replicas().len() == 1
    };
    eventually("both count it, and neither lists it", PATIENCE, || {
        cluster.sentinels.iter().all(is_alike).then_some(())
    });
    for sentinel in &cluster.sentinels {
        let said = sentinel.call(&["SENTINEL", "CKQUORUM", GROUP]);
        assert!(
            said.as_ref().and_then(|said| said.text()).is_some_and(|text| text.starts_with("OK")),
            "{said:?}"
        );
    }
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    eventually("it follows the new master", PATIENCE, || {
        (hidden.follows() == Some(cluster.redis[new].port)).then_some(())
    });
}

#[test]
fn all_may_live_at_an_address_of_version_6() {
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]).on_host("::1");
    setup.leader = Some(1);
    setup.down_after = super::mixed::DOWN_AFTER;
    let mut cluster = Cluster::start(&setup);
    for sentinel in &cluster.sentinels {
        let peers = sentinel.sentinels();
        assert!(peers.iter().all(|peer| peer.get("ip").is_some_and(|ip| ip == "::1")), "{peers:?}");
        assert!(sentinel.replicas().iter().all(|one| {
            one.get("name").is_some_and(|name| name.starts_with("[::1]:") || name.starts_with("::1:"))
        }));
    }
    let events = cluster.events();
    let new = kill_and_return(&mut cluster, 0);
    let (old, new) = (cluster.redis[0].port, cluster.redis[new].port);
    let switched = |events: &Events| events.expect("+switch-master", PATIENCE).payload;
    for events in &events {
        assert_eq!(switched(events), format!("mymaster ::1 {old} ::1 {new}"));
    }
    let name = |sentinel: &Sentinel| {
        sentinel.replicas().iter().map(|one| one["name"].clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(name(&cluster.sentinels[0]), name(&cluster.sentinels[1]));
}

#[test]
fn three_of_five_sentinels_are_enough() {
    let mut setup = Setup::new(vec![ours(); 5]);
    setup.quorum = 3;
    let mut cluster = Cluster::start(&setup);
    let mut lost: Vec<_> = cluster.sentinels.drain(3..).collect();
    lost.iter_mut().for_each(Sentinel::kill);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    lost.iter_mut().for_each(Sentinel::start);
    cluster.sentinels.extend(lost);
    cluster.wait_until_settled(new);
}

#[test]
fn sentinels_are_reached_where_they_announce_to_be() {
    let folder = Folder::new();
    let master = Redis::start_new(&folder, &Serving::default(), None);
    let replica = Redis::start_new(&folder, &Serving::default(), Some(master.port));
    let (mut sentinels, mut proxies) = (Vec::new(), Vec::new());
    for program in [Program::Original, ours(), ours()] {
        // Where a sentinel listens is known only when it runs; so the way to it is built first.
        let port = free_port();
        let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let config = format!(
            "sentinel announce-ip 127.0.0.1\nsentinel announce-port {}\n\
             sentinel monitor {GROUP} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {GROUP} 4000\n",
            proxy.port, master.port
        );
        sentinels.push(Sentinel::start_at(&folder, program, port, &config, Extra::default()));
        proxies.push(proxy);
    }
    let mut cluster = Cluster { redis: vec![master, replica], sentinels, folder };
    cluster.wait_until_settled(0);
    for sentinel in &cluster.sentinels {
        let named: Vec<_> = sentinel.sentinels().iter().map(|peer| peer["port"].clone()).collect();
        assert!(
            named.iter().all(|port| proxies.iter().any(|proxy| proxy.port.to_string() == *port)),
            "{named:?}"
        );
    }
    let events = cluster.events();
    proxies[2].cut();
    for events in &events[..2] {
        let lost = events.expect("+sdown", PATIENCE);
        assert!(lost.payload.contains(&format!("127.0.0.1 {} @", proxies[2].port)), "{}", lost.payload);
    }
    proxies[2].heal();
    cluster.wait_until_settled(0);
    kill_and_return(&mut cluster, 0);
}

#[test]
fn groups_that_are_watched_on_request_fail_over_beside_each_other() {
    const OTHER: &str = "the-other";
    let mut cluster = Cluster::start(&three_daemons());
    let mut master = Redis::start_new(&cluster.folder, &Serving::default(), None);
    let replica = Redis::start_new(&cluster.folder, &Serving::default(), Some(master.port));
    for sentinel in &cluster.sentinels {
        accepted(sentinel.call(&["SENTINEL", "MONITOR", OTHER, "127.0.0.1", &master.port.to_string(), "2"]));
        accepted(sentinel.call(&[
            "SENTINEL",
            "SET",
            OTHER,
            "down-after-milliseconds",
            "1000",
            "failover-timeout",
            "10000",
        ]));
    }
    let address = |sentinel: &Sentinel| {
        let reply = sentinel.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", OTHER])?;
        reply.items().get(1)?.text()?.parse::<u16>().ok()
    };
    let is_known = |sentinel: &Sentinel| {
        let master =
            sentinel.call(&["SENTINEL", "MASTER", OTHER]).map(|reply| reply.fields()).unwrap_or_default();
        let is = |field: &str, value: &str| master.get(field).is_some_and(|is| is == value);
        is("num-slaves", "1") && is("num-other-sentinels", "2") && is("flags", "master")
    };
    eventually("everybody knows everybody", PATIENCE, || {
        cluster.sentinels.iter().all(is_known).then_some(())
    });

    cluster.redis[0].kill();
    master.kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    eventually("the other group has its new master", PATIENCE, || {
        cluster.sentinels.iter().all(|sentinel| address(sentinel) == Some(replica.port)).then_some(())
    });
    for sentinel in &cluster.sentinels {
        accepted(sentinel.call(&["SENTINEL", "REMOVE", OTHER]));
        assert!(!sentinel.config_text().contains(OTHER), "it is forgotten on disk");
    }
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
}
