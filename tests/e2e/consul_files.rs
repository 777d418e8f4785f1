//! The files of the folder `consul`, as an operator copies them.

use crate::PATIENCE;
use consentinel_lab::{
    Code, Consul, ConsulOptions, Folder, Kind, Process, consul_program, eventually, shipped, shipped_path,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const SERVICE: &str = "redis.service.consul";

/// A master on the node of its group.
fn register(consul: &Consul, port: u16) {
    let master = json!({
        "Node": "consentinel-mymaster", "Address": "127.0.0.1",
        "NodeMeta": { "external-node": "true", "external-probe": "false", "epoch": "1" },
        "Service": { "ID": "redis", "Service": "redis", "Address": "127.0.0.1", "Port": port },
        "Check": { "CheckID": "role", "Name": "role", "ServiceID": "redis", "Status": "passing" },
    });
    consul.put("/v1/catalog/register", &master);
}

fn named_by(consul: &Consul, name: &str) -> Vec<u16> {
    let message = consul.ask(name, Kind::Srv).expect("an answer");
    message.servers().into_iter().map(|(_, port)| port).collect()
}

#[test]
fn agents_take_their_configuration() {
    for names in [["server", "dns"], ["client", "dns"]] {
        let folder = Folder::new();
        for name in names {
            let text = shipped(&format!("agent/{name}.hcl")).replace("ADDRESS", "127.0.0.1");
            std::fs::write(folder.path().join(format!("{name}.hcl")), text).expect("the folder is ours");
        }
        let output = Command::new(consul_program()).arg("validate").arg(folder.path()).output();
        let output = output.expect("consul runs");
        assert!(output.status.success(), "{names:?}: {output:?}");
    }
}

#[test]
fn the_development_agent_answers_without_keeping_anything() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &with_files(&["agent/development.hcl", "agent/dns.hcl"]));
    let nobody = consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(nobody.code, Code::NoSuchName);
    assert!(nobody.authority.iter().all(|record| record.ttl == 0), "{nobody:?}");
    register(&consul, 7001);
    let message = consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert!(message.answers.iter().chain(&message.additional).all(|record| record.ttl == 0), "{message:?}");
    assert_eq!(message.servers(), [("127.0.0.1".to_owned(), 7001)]);
}

fn with_files(names: &[&str]) -> ConsulOptions {
    let file = |name: &&str| (name.replace('/', "-"), shipped(name));
    ConsulOptions { files: names.iter().map(file).collect(), ..ConsulOptions::default() }
}

#[test]
fn under_default_deny_dns_answers_what_its_policy_lets_it() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    register(&consul, 7001);
    consul.put("/v1/kv/consentinel/mymaster/state", &json!({}));
    assert_eq!(named_by(&consul, SERVICE), [0_u16; 0]);
    let token = consul.token_with("dns", &shipped("acl/dns.hcl"));
    consul.set_default_token(&token);
    eventually("DNS may answer", PATIENCE, || (named_by(&consul, SERVICE) == [7001]).then_some(()));
    let message = consul.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(message.text("epoch"), Some("1"));
    let status = |method: &str, path: &str| {
        let answer =
            consul.request_as(Some(&token), method, path, &json!({ "Node": "consentinel-mymaster" }));
        answer.map(|answer| answer.status)
    };
    assert_eq!(status("PUT", "/v1/catalog/deregister"), Some(403));
    assert_eq!(status("GET", "/v1/kv/consentinel/mymaster/state"), Some(403));
}

#[test]
fn the_policies_of_agents_and_daemons_are_understood() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    for name in ["agent", "consentinel"] {
        consul.token_with(name, &shipped(&format!("acl/{name}.hcl")));
    }
}

#[test]
fn a_prepared_query_goes_to_the_other_datacenter_when_there_is_nobody_here() {
    let folder = Folder::new();
    let start = |datacenter: &str, more: Value| {
        let options = ConsulOptions { datacenter: datacenter.into(), more, ..ConsulOptions::default() };
        Consul::start_new(&folder, &options)
    };
    let here = start("dc1", json!({}));
    let there = start("dc2", json!({ "retry_join_wan": [here.wan_address()], "retry_interval_wan": "1s" }));
    register(&here, 7001);
    register(&there, 7002);
    let query: Value = serde_json::from_str(&shipped("query/redis.json")).expect("it is JSON");
    here.request("POST", "/v1/query", &query).filter(|answer| answer.is_good()).expect("the query is taken");

    assert_eq!(named_by(&here, "redis.query.consul"), [7001]);
    eventually("dc1 reaches dc2", PATIENCE, || {
        (named_by(&here, "redis.service.dc2.consul") == [7002]).then_some(())
    });
    here.deregister("consentinel-mymaster", None);
    eventually("the other datacenter's is named", PATIENCE, || {
        (named_by(&here, "redis.query.consul") == [7002]).then_some(())
    });
    assert_eq!(named_by(&here, SERVICE), [0_u16; 0]);
    register(&here, 7003);
    eventually("the own one is named again", PATIENCE, || {
        (named_by(&here, "redis.query.consul") == [7003]).then_some(())
    });
}

#[test]
fn a_watch_runs_a_command_once_for_every_new_master() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let (told, memory) = (folder.path().join("told"), folder.path().join("memory"));
    let tell = folder.path().join("tell.sh");
    let script = format!("#!/bin/sh\necho \"$1:$2\" >>{}\n", told.display());
    std::fs::write(&tell, script).expect("the folder is ours");
    let args = [
        "watch",
        &format!("-http-addr={}", consul.address()),
        "-type=service",
        "-service=redis",
        "-passingonly=true",
        "-shell=false",
        &shipped_path("watch/on-new-master.sh").display().to_string(),
        &memory.display().to_string(),
        "/bin/sh",
        &tell.display().to_string(),
    ];
    let _watch = Process::start(&consul_program(), &args, &folder.path().join("watch-log"));
    let lines = || -> Vec<String> {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let mut expected = Vec::new();
    for port in [7001, 7002, 7003] {
        register(&consul, port);
        expected.push(format!("127.0.0.1:{port}"));
        eventually("the command is run", PATIENCE, || (lines() == expected).then_some(()));
    }
    consul.deregister("consentinel-mymaster", None);
    register(&consul, 7003);
    register(&consul, 7004);
    expected.push("127.0.0.1:7004".into());
    eventually("the command is run for the new one only", PATIENCE, || (lines() == expected).then_some(()));
    assert!(Path::new(&memory).is_file());
}
