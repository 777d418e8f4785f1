//! Two fleets of sentinels in one datacenter, with groups of the same name.

use super::consul_stage::{NODE, SERVICE, Stage, is_named, is_passing, is_published, says};
use super::http::with_http;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, Extra, Folder, Sentinel, Setup, Web, eventually, poll_until,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The first fleet, and a second one with these settings.
struct Fleets {
    first: Stage,
    second: Cluster,
    web: Web,
}

impl Fleets {
    fn start(lines: &[&str]) -> Fleets {
        let first = Stage::set();
        let mut extra = Extra::consul(&first.consul.address());
        for line in lines {
            extra = extra.line(&format!("sentinel consul {line}"));
        }
        let (setup, web) = with_http(three_daemons().with(&extra));
        Fleets { second: Cluster::start(&setup), first, web }
    }

    fn consul(&self) -> &Consul {
        &self.first.consul
    }

    /// Waits until every daemon of the second fleet says that the names are taken, and how to get others.
    fn second_stands_aside(&self, setting: &str) {
        eventually("the second fleet says that the names are taken", PATIENCE, || {
            (0..3).all(|at| says(&self.second, at, "state").as_deref() == Some("taken")).then_some(())
        });
        eventually("the log names the other fleet and the setting", PATIENCE, || {
            let tells = |log: String| log.contains("another fleet of sentinels") && log.contains(setting);
            self.second.sentinels.iter().map(Sentinel::log).all(tells).then_some(())
        });
        assert_eq!(self.web.get("/ready").map(|reply| reply.status), Some(503));
    }

    /// Consul's index, which every write moves.
    fn writes_rest(&self) -> bool {
        let index = || {
            let listing =
                self.consul().get("/v1/internal/ui/nodes?filter=Node%20matches%20%22consentinel%22");
            listing.map(|nodes| nodes.to_string())
        };
        let before = index();
        // Two looks of a sentinel at its servers, in which it would write.
        poll_until(Duration::from_secs(3), || (index() != before).then_some(())).is_none()
    }
}

#[test]
fn the_first_of_two_fleets_with_the_same_names_keeps_them() {
    let mut fleets = Fleets::start(&[]);
    fleets.second_stands_aside("kv-prefix");
    // A failover gives the second fleet a newer epoch than the record's: it is nobody's business but its own.
    fleets.second.redis[0].kill();
    fleets.second.wait_for_new_master(0, PATIENCE);
    fleets.second_stands_aside("kv-prefix");
    is_published(fleets.consul(), &fleets.first.cluster, 0);
    let new = fleets.first.fail_over(0);
    is_named(fleets.consul(), fleets.first.cluster.redis[new].port);
}

#[test]
fn a_prefix_alone_does_not_give_a_second_fleet_the_service_of_the_first() {
    let fleets = Fleets::start(&["kv-prefix infra/second"]);
    fleets.second_stands_aside("service-template");
    is_published(fleets.consul(), &fleets.first.cluster, 0);
}

#[test]
fn two_fleets_with_names_of_their_own_leave_each_other_alone() {
    let mut fleets = Fleets::start(&["kv-prefix infra/second", "service-template second"]);
    let named = |fleets: &Fleets, port: u16| {
        eventually("the second fleet is published", PATIENCE, || {
            let entries = fleets.consul().entries("second");
            let ports: BTreeSet<u16> = fleets.consul().ports_of("second");
            (ports == BTreeSet::from([port]) && entries.iter().all(is_passing)).then_some(())
        });
    };
    named(&fleets, fleets.second.redis[0].port);
    is_published(fleets.consul(), &fleets.first.cluster, 0);
    assert!(fleets.consul().nodes().contains("consentinel-infra-second-mymaster"));
    eventually("nobody writes any more", PATIENCE, || fleets.writes_rest().then_some(()));
    let new = fleets.first.fail_over(0);
    is_named(fleets.consul(), fleets.first.cluster.redis[new].port);
    fleets.second.redis[0].kill();
    let new = fleets.second.wait_for_new_master(0, PATIENCE);
    named(&fleets, fleets.second.redis[new].port);
}

/// A fleet with a prefix of its own stands on the node of releases that knew no other until it is told to move.
#[test]
fn a_fleet_moves_to_another_node_in_one_transaction_when_it_is_told_to() {
    let extra = Extra::default().line("sentinel consul kv-prefix infra");
    // As releases before this have it.
    let before = extra.clone().line("sentinel consul node-template consentinel-{master}");
    let setup = Setup { extra: vec![before; 3], ..three_daemons() };
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions::default());
    let with_consul = |setup: Setup| {
        let extra =
            setup.extra.into_iter().map(|extra| extra.args(&["--consul", &consul.address()])).collect();
        Setup { extra, ..setup }
    };
    let mut cluster = Cluster::start(&with_consul(setup));
    let master = cluster.redis[0].port;
    let stands_on = |consul: &Consul, node: &str| {
        eventually(node, PATIENCE, || {
            let entries = consul.entries("redis");
            let [entry] = &entries[..] else { return None };
            let replicas = consul.entries("redis-replica");
            let there = |entry: &serde_json::Value| entry["Node"]["Node"] == node;
            (there(entry) && replicas.len() == 2 && replicas.iter().all(there)).then_some(())
        });
    };
    stands_on(&consul, NODE);
    let prober = consentinel_lab::Prober::start(consul.dns(), SERVICE);
    eventually("DNS names the master", PATIENCE, || prober.now().is_only(master).then_some(()));

    // Without the line it stays where it is.
    let restart = |cluster: &mut Cluster, line: &str| {
        for sentinel in &mut cluster.sentinels {
            sentinel.terminate();
            let text = sentinel.config_text();
            let kept = text.lines().filter(|line| !line.contains("node-template"));
            let text = kept.map(|line| format!("{line}\n")).collect::<String>() + line + "\n";
            std::fs::write(sentinel.config(), text).expect("the folder is ours");
            sentinel.start();
        }
        eventually("they are at work again", PATIENCE, || {
            (0..3).any(|at| says(cluster, at, "lock").as_deref() == Some("ours")).then_some(())
        });
    };
    restart(&mut cluster, "");
    stands_on(&consul, NODE);
    eventually("every daemon stays on the node", PATIENCE, || {
        (0..3).all(|at| says(&cluster, at, "node").as_deref() == Some(NODE)).then_some(())
    });
    // With another one it moves.
    restart(&mut cluster, "sentinel consul node-template consentinel-infra-{master}");
    stands_on(&consul, "consentinel-infra-mymaster");
    assert!(!consul.nodes().contains(NODE));
    assert_eq!(prober.timeline().complaint(), None);
    assert!(prober.now().is_only(master), "{:?}", prober.now());
}
