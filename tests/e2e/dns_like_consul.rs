//! The embedded DNS and a real Consul's, asked the same questions by the real dig.

use super::consul_stage::{Stage, epoch};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    ConsulOptions, Dig, Extra, Setup, consul_version, dig_all, eventually, free_port, poll_until,
};
use std::net::{Ipv4Addr, SocketAddr};

/// Every name by which something is found, and some by which nothing is.
const NAMES: &[&str] = &[
    "redis.service.consul",
    "redis.service.dc1.consul",
    "mymaster.redis.service.consul",
    "master.redis.service.dc1.consul",
    "blue.redis.service.consul",
    "_redis._tcp.service.consul",
    "_redis._mymaster.service.consul",
    "_redis._master.service.dc1.consul",
    "ReDiS.SeRvIcE.cOnSuL",
    "redis-replica.service.consul",
    "redis-replica.service.dc1.consul",
    "replica.redis-replica.service.consul",
    "_redis-replica._tcp.service.consul",
    "mymaster.redis-replica.service.consul",
    "redis-sentinel.service.consul",
    "mymaster.redis-sentinel.service.consul",
    "_redis-sentinel._mymaster.service.dc1.consul",
    "nobody.redis.service.consul",
    "replica.redis.service.consul",
    "redis.service.dc2.consul",
    "nothing.service.consul",
    "nothing.consul",
];
const NODES: &[&str] = &["consentinel-mymaster.node.consul", "consentinel-mymaster.node.dc1.consul"];
const ADDRESSES: &[&str] = &["7f000001.addr.dc1.consul", "7f000001.addr.consul"];
const NAMES_ALONE: &[&str] = &["_redis._tcp.consul", "_redis._mymaster.dc1.consul"];

fn questions() -> Vec<String> {
    let ask = |names: &[&str], kinds: &[&str]| {
        let one = |name: &&str| kinds.iter().map(|kind| format!("{name} {kind}")).collect::<Vec<_>>();
        names.iter().flat_map(one).collect::<Vec<_>>()
    };
    [
        ask(NAMES, &["SRV", "A", "AAAA", "ANY", "CNAME", "MX"]),
        ask(NODES, &["A", "AAAA", "TXT", "ANY", "SRV"]),
        // What Consul says of other kinds at these is not what DNS would have it say.
        ask(&["nothing.node.consul"], &["A", "AAAA", "TXT", "ANY"]),
        ask(ADDRESSES, &["A", "ANY"]),
        ask(NAMES_ALONE, &["SRV"]),
        ask(&["consul"], &["SOA"]),
    ]
    .concat()
}

/// Daemons that publish into Consul, and answer DNS themselves.
struct Twice {
    stage: Stage,
    own: Vec<SocketAddr>,
}

impl Twice {
    fn start(setup: Setup, announce: &str) -> Twice {
        let own: Vec<SocketAddr> =
            (0..setup.sentinels.len()).map(|_| (Ipv4Addr::LOCALHOST, free_port()).into()).collect();
        let extra = Extra::default()
            // Otherwise they are where their agent is, by its own name.
            .line(&format!("sentinel announce-ip {announce}"))
            .line("sentinel consul-tags mymaster blue")
            .line("sentinel consul weights 7 2");
        // Each has an address of its own, which no other test has.
        let mut setup = setup;
        setup.extra = own.iter().map(|own| extra.clone().args(&["--dns", &own.to_string()])).collect();
        let stage = Stage::set_each(&ConsulOptions::default(), setup);
        Twice { stage, own }
    }

    /// Waits until every daemon answers what Consul answers.
    fn agree(&self, what: &str) {
        let questions = questions();
        let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
        for own in &self.own {
            let mut differences = Vec::new();
            let same = poll_until(PATIENCE, || {
                let theirs = dig_all(self.stage.consul.dns(), &questions);
                let ours = dig_all(*own, &questions);
                differences = questions
                    .iter()
                    .zip(theirs.iter().zip(&ours))
                    .filter_map(|(question, (theirs, ours))| difference(question, theirs, ours))
                    .collect();
                differences.is_empty().then_some(())
            });
            assert!(same.is_some(), "{what}, {own}:\n{}", differences.join("\n"));
        }
    }

    fn ask(&self, question: &str) -> Dig {
        consentinel_lab::dig(self.own[0], question)
    }
}

/// What is not the same. Consul leaves out the SOA record where a node or an address has no record of that kind, and
/// says at every agent's name what it knows of the agent: neither is a thing of ours. Up to 1.10 it writes the domain of a
/// target in small letters, since then as it was asked, as we do.
fn difference(question: &str, theirs: &Dig, ours: &Dig) -> Option<String> {
    let mut theirs = theirs.clone();
    let mut ours = ours.clone();
    let of_agent = ["consul-network-segment", "consul-version"];
    theirs.additional.retain(|record| !of_agent.iter().any(|text| record.contains(text)));
    if consul_version() < (1, 11) {
        for dig in [&mut theirs, &mut ours] {
            for records in [&mut dig.answer, &mut dig.additional] {
                *records = records.iter().map(|record| record.to_ascii_lowercase()).collect();
            }
        }
    }
    if question == "consul SOA" {
        // Who answers for the zone is somebody else.
        for dig in [&mut theirs, &mut ours] {
            dig.additional.clear();
            dig.authority.clear();
        }
    }
    let is_node = NODES.iter().any(|node| question.starts_with(node));
    if is_node && ours.answer.is_empty() {
        assert_eq!(ours.authority.len(), 1, "nothing of that kind, as DNS says it: {}", ours.text);
        ours.authority.clear();
    }
    let parts = |dig: &Dig| {
        (
            dig.status.clone(),
            dig.flags.clone(),
            dig.answer.clone(),
            dig.authority.clone(),
            dig.additional.clone(),
        )
    };
    (parts(&theirs) != parts(&ours))
        .then(|| format!("--- {question}: Consul\n{}--- we\n{}", theirs.text, ours.text))
}

#[test]
fn they_say_the_same_normally_during_an_outage_and_after_a_failover() {
    let mut setup = three_daemons();
    // At first nobody may succeed the master.
    setup.server_lines = vec![vec![], vec!["replica-priority 0".into()], vec!["replica-priority 0".into()]];
    let mut twice = Twice::start(setup, "127.0.0.1");
    twice.agree("normally");
    let master = twice.stage.cluster.redis[0].port;
    let answer = twice.ask("redis.service.consul SRV");
    assert!(
        answer
            .answer
            .iter()
            .any(|record| record.ends_with(&format!("SRV 1 1 {master} 7f000001.addr.dc1.consul."))),
        "{}",
        answer.text
    );

    twice.stage.cluster.redis[0].kill();
    eventually("the master is down for all", PATIENCE, || {
        let digs = twice.own.iter().map(|own| consentinel_lab::dig(*own, "redis.service.consul A"));
        digs.into_iter().all(|dig| dig.status == "NXDOMAIN").then_some(())
    });
    twice.agree("while the master is down");
    let dig = twice.ask("redis.service.consul A");
    assert_eq!(
        dig.reasons,
        ["0 (Other): (the master of mymaster is objectively down: a quorum of 2 agrees)"]
    );

    for replica in [1, 2] {
        let set = twice.stage.cluster.redis[replica].call(&["CONFIG", "SET", "replica-priority", "100"]);
        super::topologies::accepted(set);
    }
    let new = twice.stage.cluster.wait_for_new_master(0, PATIENCE);
    twice.agree("after a failover");
    let (port, epoch) = (twice.stage.cluster.redis[new].port, epoch(&twice.stage.consul));
    assert!(epoch > 0);
    for own in &twice.own {
        let dig = consentinel_lab::dig(*own, "redis.service.consul SRV");
        assert!(dig.answer.iter().all(|record| record.contains(&format!(" {port} "))), "{}", dig.text);
        assert!(
            dig.additional.iter().any(|record| record.ends_with(&format!("\"epoch={epoch}\""))),
            "{}",
            dig.text
        );
    }

    twice.stage.cluster.redis[0].start();
    twice.stage.cluster.wait_until_settled(new);
    twice.agree("after the old master has come back as a replica");
}

#[test]
fn they_say_the_same_of_a_master_by_its_ipv6_address() {
    Twice::start(three_daemons().on_host("::1"), "127.0.0.1").agree("by an IPv6 address");
}

#[test]
fn they_say_the_same_of_a_master_by_its_host_name() {
    Twice::start(three_daemons().on_host("localhost"), "127.0.0.1").agree("by a host name");
}
