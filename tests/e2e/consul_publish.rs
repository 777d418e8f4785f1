//! What stands in Consul once daemons are told of it.

use super::consul_stage::{NODE, SERVICE, Stage, epoch, record};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Code, ConsulOptions, Data, Extra, Kind, Setup, eventually};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn named(stage: &Stage, name: &str) -> BTreeSet<u16> {
    let message = stage.consul.ask(name, Kind::Srv).expect("an answer");
    message.servers().into_iter().map(|(_, port)| port).collect()
}

#[test]
fn every_name_that_one_would_ask_for_is_answered() {
    let extra = Extra::default()
        .line("sentinel consul tags shop")
        .line("sentinel consul-tags mymaster blue")
        .line("sentinel consul weights 7 2");
    let stage = Stage::set_with(&ConsulOptions::default(), three_daemons(), &extra);
    let ports: Vec<_> = stage.cluster.redis.iter().map(|redis| redis.port).collect();
    let (master, replicas) = (BTreeSet::from([ports[0]]), BTreeSet::from([ports[1], ports[2]]));
    for name in [
        SERVICE,
        "redis.service.dc1.consul",
        "_redis._tcp.service.consul",
        "_redis._master.service.consul",
        "master.redis.service.consul",
        "mymaster.redis.service.consul",
        "shop.redis.service.consul",
        "blue.redis.service.consul",
    ] {
        assert_eq!(named(&stage, name), master, "{name}");
    }
    for name in [
        "redis-replica.service.consul",
        "_redis-replica._tcp.service.consul",
        "replica.redis-replica.service.consul",
        "mymaster.redis-replica.service.consul",
        "blue.redis-replica.service.consul",
    ] {
        assert_eq!(named(&stage, name), replicas, "{name}");
    }
    let sentinels: BTreeSet<_> = stage.cluster.sentinels.iter().map(|sentinel| sentinel.port).collect();
    for name in ["redis-sentinel.service.consul", "mymaster.redis-sentinel.service.consul"] {
        eventually("the sentinels are registered", PATIENCE, || {
            (named(&stage, name) == sentinels).then_some(())
        });
    }

    let message = stage.consul.ask(SERVICE, Kind::A).expect("an answer");
    assert_eq!(message.addresses(), [Ipv4Addr::LOCALHOST]);
    let message = stage.consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(message.servers(), [("127.0.0.1".to_owned(), ports[0])]);
    assert!(message.answers.iter().all(|record| record.ttl == 0));
    assert_eq!(message.text("epoch"), Some(epoch(&stage.consul).to_string().as_str()), "{message:?}");
    let message = stage.consul.ask(&format!("{NODE}.node.consul"), Kind::Txt).expect("an answer");
    assert_eq!(message.text("external-node"), Some("true"), "{message:?}");
    let message = stage.consul.ask("redis-replica.service.consul", Kind::Srv).expect("an answer");
    let weight = |data: &Data| matches!(data, Data::Srv { weight: 7, .. });
    assert!(message.answers.iter().all(|record| weight(&record.data)), "{message:?}");
}

#[test]
fn entries_say_what_they_are() {
    let stage = Stage::set();
    let run_id = |redis: usize| {
        let info = stage.cluster.redis[redis].call(&["INFO", "server"]).expect("it answers");
        let info = info.text().expect("INFO is text").to_owned();
        let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        id.expect("a server has a run id").to_owned()
    };
    let master = stage.cluster.redis[0].port;
    let record = record(&stage.consul).expect("a record");
    assert_eq!(record["master"], format!("127.0.0.1:{master}"));
    assert_eq!(record["run_id"], run_id(0));
    let publishers: BTreeSet<_> = stage.cluster.sentinels.iter().map(|sentinel| sentinel.id()).collect();
    assert!(publishers.contains(record["publisher"].as_str().expect("a publisher")));
    assert!(
        record["published_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.contains('T')),
        "{record}"
    );

    let entries = stage.consul.entries("redis");
    let (node, service, check) = (&entries[0]["Node"], &entries[0]["Service"], &entries[0]["Checks"][0]);
    assert_eq!((&node["Node"], &node["Address"]), (&NODE.into(), &"127.0.0.1".into()));
    assert_eq!(
        (&node["Meta"]["external-node"], &node["Meta"]["external-probe"]),
        (&"true".into(), &"false".into())
    );
    assert_eq!(service["ID"], format!("redis:127.0.0.1:{master}"));
    assert_eq!(service["Tags"], serde_json::json!(["mymaster", "master"]));
    assert_eq!((&service["Meta"]["role"], &service["Meta"]["run-id"]), (&"master".into(), &run_id(0).into()));
    assert_eq!(service["Meta"]["epoch"], record["epoch"].to_string());
    assert_eq!(check["CheckID"], format!("role:redis:127.0.0.1:{master}"));
    assert!(check["Output"].as_str().is_some_and(|text| text.contains("master")), "a sentence: {check}");
    for entry in stage.consul.entries("redis-replica") {
        assert_eq!(entry["Service"]["Tags"], serde_json::json!(["mymaster", "replica"]));
        assert_eq!(entry["Service"]["Meta"]["role"], "replica");
        assert_eq!(entry["Service"]["Weights"]["Passing"], 10);
    }
}

#[test]
fn a_failover_makes_one_entry_another_and_is_remembered() {
    let mut stage = Stage::set();
    let (old, before) = (stage.cluster.redis[0].port, epoch(&stage.consul));
    let prober = stage.prober();
    eventually("DNS names the master", PATIENCE, || prober.now().is_only(old).then_some(()));
    let new = stage.fail_over(0);
    let port = stage.cluster.redis[new].port;
    eventually("DNS names the new master", PATIENCE, || prober.now().is_only(port).then_some(()));
    assert!(epoch(&stage.consul) > before);
    stage.cluster.redis[0].start();
    stage.cluster.wait_until_settled(new);
    super::consul_stage::is_published(&stage.consul, &stage.cluster, new);
    assert_eq!(prober.timeline().complaint(), None);

    let history = stage.consul.kv_json("consentinel/mymaster/history").expect("a history");
    let [failover] = &history.as_array().expect("a list")[..] else { panic!("one failover: {history}") };
    assert_eq!(failover["from"], format!("127.0.0.1:{old}"));
    assert_eq!(failover["to"], format!("127.0.0.1:{port}"));
    assert_eq!(failover["epoch"], epoch(&stage.consul));
    assert_eq!(failover["publisher"], record(&stage.consul).expect("a record")["publisher"]);
}

#[test]
fn a_master_by_its_host_name() {
    let setup = three_daemons().on_host("localhost");
    let stage = by_another_host(setup);
    let port = stage.cluster.redis[0].port;
    let message = stage.consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(message.servers(), [("localhost".to_owned(), port)]);
    let message = stage.consul.ask(SERVICE, Kind::A).expect("an answer");
    assert_eq!(message.answers[0].data, Data::Cname("localhost".into()));
}

#[test]
fn a_master_by_its_ipv6_address() {
    let stage = by_another_host(three_daemons().on_host("::1"));
    let port = stage.cluster.redis[0].port;
    let message = stage.consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(message.servers(), [("::1".to_owned(), port)]);
    let message = stage.consul.ask(SERVICE, Kind::Aaaa).expect("an answer");
    assert_eq!(message.addresses(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
    let message = stage.consul.ask(SERVICE, Kind::A).expect("an answer");
    assert_eq!((message.code, message.addresses().len()), (Code::Good, 0));
    let record = record(&stage.consul).expect("a record");
    assert_eq!(record["master"], format!("[::1]:{port}"));
}

/// A stage whose servers are not known as 127.0.0.1.
fn by_another_host(setup: Setup) -> Stage {
    Stage::set_with(&ConsulOptions::default(), setup, &Extra::default())
}
