//! `consentinel proxy` with real servers: where it leads to, and what becomes of connections in a failover.

use super::consul_stage::Stage;
use super::dns::{cluster_with, is_named};
use super::proxy_stage::{Alone, ProxyRun, SERVICE, ends, farewell, get, ok, port_of};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Client, Folder, Prober, Serving, Value, eventually};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn through_real_consul_a_failover_cuts_what_led_to_the_old_master() {
    let stage = Stage::set();
    let folder = Folder::new();
    let consul = stage.consul.address();
    let proxy = ProxyRun::leading(&folder, stage.consul.dns(), &["--consul", &consul]);
    let old = stage.cluster.redis[0].port;
    let (mut idle, mut busy) = (proxy.client(), proxy.client());
    assert_eq!(port_of(&mut idle), Some(old));
    assert_eq!(busy.call(&["SET", "key", "kept"]).expect("an answer"), ok());

    // It still runs when it is replaced: nobody but the proxy ends the connections to it.
    stage.cluster.redis[0].pause();
    let new = stage.cluster.wait_for_new_master(0, PATIENCE);
    ends(&mut idle);
    ends(&mut busy);
    let new = stage.cluster.redis[new].port;
    eventually("new clients are led to the new master", PATIENCE, || {
        (proxy.leads_to() == Some(new)).then_some(())
    });
    assert_eq!(proxy.client().call(&["SET", "key", "new"]).expect("an answer"), ok());
    assert!(
        proxy.metric("consentinel_proxy_cut_total{reason=\"moved\"}")
            + proxy.metric("consentinel_proxy_cut_total{reason=\"nobody\"}")
            >= 2.0
    );
    stage.cluster.redis[0].resume();
}

#[test]
fn a_client_that_comes_while_nobody_is_master_is_held_until_there_is_one() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    let old = cluster.redis[0].port;
    is_named(addresses[0], old);
    let patient = ProxyRun::leading(&cluster.folder, addresses[0], &["--hold", "30s"]);
    let hasty = ProxyRun::leading(&cluster.folder, addresses[0], &["--hold", "0s"]);
    let mut before = patient.client();
    assert_eq!(port_of(&mut before), Some(old));
    cluster.redis[0].kill();
    ends(&mut before);
    // It asks before there is anybody who could answer.
    let mut held = patient.client();
    held.send(&["SET", "held", "kept"]).expect("the proxy is there");
    let line = eventually("who is not to be held is told so", PATIENCE, || {
        let line = farewell(hasty.port);
        line.starts_with('-').then_some(line)
    });
    assert!(line.starts_with("-ERR consentinel: no master: "), "{line}");
    assert_eq!(held.read().expect("an answer"), ok());
    let new = cluster.wait_for_new_master(0, PATIENCE);
    assert_eq!(port_of(&mut held), Some(cluster.redis[new].port));
    assert_eq!(cluster.redis[new].get("held").as_deref(), Some("kept"));
}

#[test]
fn a_master_that_was_demoted_while_it_stood_still_gets_no_write_when_it_goes_on() {
    let (cluster, addresses) = cluster_with(three_daemons(), &[]);
    let old = cluster.redis[0].port;
    is_named(addresses[0], old);
    let prober = Prober::start(addresses[0], SERVICE);
    let proxy = ProxyRun::leading(&cluster.folder, addresses[0], &["--hold", "1s"]);
    let promised: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (port, promised, over) = (proxy.port, promised.clone(), over.clone());
            std::thread::spawn(move || write_on(writer, port, &promised, &over))
        })
        .collect();
    let count = || promised.lock().expect("nobody panics").len();
    eventually("writes are acknowledged", PATIENCE, || (count() > 500).then_some(()));
    let begin = Instant::now();
    cluster.redis[0].pause();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let port = cluster.redis[new].port;
    let published =
        eventually("DNS names the new one", PATIENCE, || prober.timeline().first_only(port, begin));
    eventually("the proxy knows", PATIENCE, || (proxy.leads_to() == Some(port)).then_some(()));
    // While the writers write it wakes up, finds what they have sent, and takes itself for the master.
    cluster.redis[0].resume();
    let before = count();
    eventually("writes are acknowledged again", PATIENCE, || (count() > before + 500).then_some(()));
    cluster.wait_until_settled(new);
    over.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    let promised = promised.lock().expect("nobody panics");
    let mut client = cluster.redis[new].client().expect("it answers");
    let later: Vec<_> = promised.iter().filter(|(at, _)| *at > published).collect();
    assert!(later.len() > 500);
    for (_, key) in later {
        assert_eq!(client.call(&["EXISTS", key]).expect("an answer"), Value::Int(1), "{key} was promised");
    }
}

/// Writes a new key every millisecond, and notes which were acknowledged, and when the acknowledgement had come.
fn write_on(writer: usize, port: u16, promised: &Mutex<Vec<(Instant, String)>>, over: &AtomicBool) {
    let mut client = None;
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("key:{writer}:{number}");
        let kept = client.get_or_insert_with(|| Client::connect(port, PATIENCE).ok());
        match kept.as_mut().map(|client| client.call(&["SET", &key, "x"])) {
            Some(Ok(Value::Simple(_))) => promised.lock().expect("nobody panics").push((Instant::now(), key)),
            _ => client = None,
        }
        std::thread::sleep(Duration::from_millis(1)); // between two writes
    }
}

#[test]
fn the_other_port_leads_to_all_replicas_and_to_nobody_else() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    is_named(addresses[0], cluster.redis[0].port);
    let proxy = ProxyRun::leading(&cluster.folder, addresses[0], &[]);
    eventually("it knows the replicas", PATIENCE, || {
        (proxy.metric("consentinel_proxy_replicas") == 2.0).then_some(())
    });
    let led = || -> BTreeSet<u16> {
        (0..30).filter_map(|_| port_of(&mut Client::connect(proxy.replicas, PATIENCE).ok()?)).collect()
    };
    let expected = BTreeSet::from([cluster.redis[1].port, cluster.redis[2].port]);
    assert_eq!(led(), expected);
    let mut clients: Vec<_> =
        (0..20).map(|_| Client::connect(proxy.replicas, PATIENCE).expect("it is let in")).collect();
    let ports: Vec<_> = clients.iter_mut().map(port_of).collect();

    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let (new, other) = (cluster.redis[new].port, cluster.redis[3 - new].port);
    for (client, port) in clients.iter_mut().zip(ports) {
        // The sentinels themselves end what is connected to a server that is told to follow another one.
        if port == Some(new) {
            ends(client);
        }
    }
    eventually("only the other replica is left", PATIENCE, || {
        (led() == BTreeSet::from([other])).then_some(())
    });
}

#[test]
fn without_a_replica_the_master_reads_only_where_that_is_wanted() {
    let alone = Alone::start();
    let strict = alone.proxy(&["--hold", "0s"]);
    let line = farewell(strict.replicas);
    assert_eq!(line, "-ERR consentinel: no replica: there is none\r\n");
    let lenient = alone.proxy(&["--fall-back-to-master"]);
    let mut client = Client::connect(lenient.replicas, PATIENCE).expect("it is let in");
    assert_eq!(port_of(&mut client), Some(alone.redis.port));
}

#[test]
fn redis_cli_and_redis_benchmark_need_not_know() {
    let alone = Alone::start();
    let proxy = alone.proxy(&[]);
    let port = proxy.port.to_string();
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(["-p", &port]).args(words).output().expect("it is there");
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run("redis-cli", &["SET", "a", "b"]).trim(), "OK");
    let text =
        run("redis-benchmark", &["-n", "20000", "-c", "50", "-P", "16", "-t", "set,get,lpush", "--csv"]);
    assert!(["SET", "GET", "LPUSH"].iter().all(|name| text.contains(name)), "{text}");
    let text = run("redis-benchmark", &["-n", "2000", "-c", "20", "-d", "300000", "-t", "set,get", "--csv"]);
    assert!(text.contains("GET"), "{text}");
    let text = run("redis-benchmark", &["-n", "500", "-k", "0", "-t", "ping_mbulk", "--csv"]);
    assert!(text.contains("PING"), "{text}");
}

#[test]
fn a_password_is_the_affair_of_client_and_server() {
    let alone = Alone::start_with(&Serving { password: Some("secret".into()), ..Serving::default() });
    let proxy = alone.proxy(&[]);
    let mut client = proxy.client();
    let reply = client.call(&["GET", "a"]).expect("an answer");
    assert!(reply.error().is_some_and(|text| text.starts_with("NOAUTH")), "{reply:?}");
    let mut client = client.authenticated(Some("secret")).expect("the password is right");
    assert_eq!(client.call(&["SET", "a", "b"]).expect("an answer"), ok());
    assert!(proxy.metric("consentinel_proxy_unverified_total") >= 1.0);
}

#[test]
fn a_server_that_says_it_is_no_master_is_not_led_to() {
    let alone = Alone::start();
    let proxy = alone.proxy(&["--check-role", "always", "--hold", "100ms"]);
    assert_eq!(proxy.leads_to(), Some(alone.redis.port));
    // Nobody else knows yet; the daemon sets it right before long.
    let mut direct = alone.redis.client().expect("it answers");
    let line = eventually("a client is told", PATIENCE, || {
        direct.call(&["REPLICAOF", "127.0.0.1", "1"]).expect("an answer");
        let line = farewell_or_nothing(proxy.port);
        line.contains("is no master").then_some(line)
    });
    assert!(line.starts_with("-ERR consentinel: no master: the master 127.0.0.1:"), "{line}");
    assert!(line.contains("to ROLE it says replica"), "{line}");
}

/// What is said before the first word of the client, if that comes soon.
fn farewell_or_nothing(port: u16) -> String {
    let Ok(mut client) = Client::connect(port, Duration::from_secs(1)) else { return String::new() };
    client.read().ok().and_then(|reply| reply.error().map(|text| format!("-{text}"))).unwrap_or_default()
}

#[test]
fn metrics_and_health_say_how_it_stands() {
    let mut alone = Alone::start();
    let proxy = alone.proxy(&["--hold", "0s"]);
    let mut client = proxy.client();
    client.call(&["SET", "a", "b"]).expect("an answer");
    let (status, text) = get(proxy.http, "/health");
    assert_eq!((status, text.contains(&format!("is 127.0.0.1:{}", alone.redis.port))), (200, true), "{text}");
    for (name, value) in [
        ("consentinel_proxy_master_known", 1.0),
        ("consentinel_proxy_connections{to=\"master\"}", 1.0),
        ("consentinel_proxy_connections_total{to=\"master\"}", 1.0),
        ("consentinel_proxy_bytes_total{from=\"servers\"}", 5.0),
        ("consentinel_proxy_replicas", 0.0),
    ] {
        assert_eq!(proxy.metric(name), value, "{name}");
    }
    assert_eq!(get(proxy.http, "/other").0, 404);
    alone.redis.kill();
    ends(&mut client);
    eventually("nobody is the master", PATIENCE, || (get(proxy.http, "/health").0 == 503).then_some(()));
    assert_eq!(proxy.metric("consentinel_proxy_master_known"), 0.0);
    assert!(farewell(proxy.port).starts_with("-ERR consentinel: no master"));
    assert!(proxy.metric("consentinel_proxy_refused_total{reason=\"no_server\"}") >= 1.0);
}
