//! Somebody else registers what DNS answers beside our master.

use super::consul_stage::{SERVICE, is_published};
use super::consul_tool::tool;
use super::http::with_http;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, Extra, Folder, GROUP, Kind, Value, Web, eventually, poll_until, shipped,
};
use serde_json::json;
use std::process::Command;

fn register(consul: &Consul, node: &str) {
    let stranger = json!({ "Node": node, "Address": "198.18.0.9",
        "Service": { "ID": "redis-1", "Service": "redis", "Port": 6379 } });
    consul.put("/v1/catalog/register", &stranger);
}

fn answers(consul: &Consul) -> usize {
    consul.ask(SERVICE, Kind::Srv).map_or(0, |message| message.servers().len())
}

/// What a daemon says in every way in which it says something.
struct Told {
    status: (String, Option<i32>),
    ready: u16,
    metrics: String,
    command: Vec<String>,
    log: String,
}

fn told(cluster: &Cluster, web: Web) -> Told {
    let sentinel = &cluster.sentinels[0];
    let at = format!("127.0.0.1:{}", sentinel.port);
    let output = Command::new(env!("CARGO_BIN_EXE_consentinel"))
        .args(["status", "--sentinel", &at])
        .output()
        .expect("it runs");
    let page = |path: &str| web.get(path).expect("it answers");
    let answer = sentinel.call(&["SENTINEL", "CONSUL", GROUP]).expect("it answers");
    let foreign = answer.items().chunks(2).find(|pair| pair[0].text() == Some("foreign"));
    let foreign = foreign.map(|pair| pair[1].items().to_vec()).unwrap_or_default();
    Told {
        status: (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code()),
        ready: page("/ready").status,
        metrics: page("/metrics").body,
        command: foreign.iter().filter_map(Value::text).map(str::to_owned).collect(),
        log: sentinel.log(),
    }
}

#[test]
fn a_foreign_entry_is_told_everywhere_and_taken_away_only_when_asked_to() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..ConsulOptions::default() });
    let token = consul.token_with("consentinel", &shipped("acl/consentinel.hcl"));
    let extra = Extra::consul(&consul.address()).variable("CONSUL_HTTP_TOKEN", &token);
    let (setup, web) = with_http(three_daemons().with(&extra));
    let cluster = Cluster::start(&setup);
    is_published(&consul, &cluster, 0);
    let dns = shipped("acl/dns.hcl");
    consul.set_default_token(&consul.token_with("dns", &dns));
    eventually("DNS answers the master", PATIENCE, || (answers(&consul) == 1).then_some(()));
    let clean = told(&cluster, web);
    assert_eq!((clean.status.1, clean.ready), (Some(0), 200), "{}", clean.status.0);
    assert!(clean.metrics.contains("consentinel_publication_foreign_entries{master=\"mymaster\"} 0"));

    register(&consul, "other");
    eventually("DNS answers two", PATIENCE, || (answers(&consul) == 2).then_some(()));
    let mut last = None;
    let said = poll_until(PATIENCE, || {
        let told = &*last.insert(told(&cluster, web));
        let everywhere = told.status.0.contains("redis-1 at 198.18.0.9:6379")
            && told.status.1 == Some(2)
            && told.ready == 503
            && told.metrics.contains("consentinel_publication_foreign_entries{master=\"mymaster\"} 1")
            && told.command.len() == 1
            && told.log.contains("DNS answers service redis on node other");
        everywhere.then_some(())
    });
    let last = last.expect("it was asked");
    assert!(said.is_some(), "{:?} {} {:?} {}", last.status, last.ready, last.command, last.log);

    let file = cluster.sentinels[0].folder().join("operators-token");
    let as_who = |token: &str| std::fs::write(&file, token).expect("the folder is ours");
    let address = consul.address();
    let file_name = file.display().to_string();
    let run = |words: &[&str]| tool(&[words, &["--address", &address, "--token-file", &file_name]].concat());
    as_who(consul.token.as_deref().expect("there are ACLs"));
    let (text, code) = run(&["check", "mymaster"]);
    assert!(code == 1 && text.contains("deregister --foreign mymaster"), "{text}");
    let (text, code) = run(&["deregister", "--foreign", "mymaster"]);
    assert!(code == 1 && text.contains("--yes"), "{text}");
    assert_eq!(answers(&consul), 2, "nothing is taken away without being told to");
    let (text, code) = run(&["deregister", "--foreign", "mymaster", "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(answers(&consul), 1);
    eventually("all is well again", PATIENCE, || {
        let told = told(&cluster, web);
        (told.ready == 200 && told.status.1 == Some(0) && told.command.is_empty()).then_some(())
    });

    // Without the right to see every node, what DNS shows is hidden: the check says so.
    let policy = shipped("acl/consentinel.hcl");
    let blocks: Vec<&str> =
        policy.split("\n\n").filter(|block| !block.contains("node_prefix \"\" {")).collect();
    as_who(&consul.token_with("blind", &blocks.join("\n\n")));
    let (text, code) = run(&["check", "mymaster"]);
    assert!(code == 1 && text.contains("node_prefix \"\" { policy = \"read\" }"), "{text}");
}
