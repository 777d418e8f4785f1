//! How Consul is reached, and what it allows.

use super::consul_stage::{is_named, is_passing, is_published, record, says};
use super::consul_tool::tool;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Certificates, Cluster, Consul, ConsulOptions, Extra, Folder, Setup, eventually, shipped,
};
use std::time::{Duration, Instant};

/// Down-after is one second; what follows takes far less than another one.
const QUICK: Duration = Duration::from_secs(3);

/// A Consul that denies what no policy allows, and the policy that is shipped.
struct Guarded {
    consul: Consul,
    policy: String,
    folder: Folder,
}

impl Guarded {
    fn set() -> Guarded {
        let folder = Folder::new();
        let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
        Guarded { consul, policy: shipped("acl/consentinel.hcl"), folder }
    }

    /// Three daemons that show the token.
    fn cluster(&self, token: &str) -> Cluster {
        let extra = Extra::consul(&self.consul.address()).variable("CONSUL_HTTP_TOKEN", token);
        Cluster::start(&three_daemons().with(&extra))
    }
}

fn logs(cluster: &Cluster) -> String {
    cluster.sentinels.iter().map(|sentinel| sentinel.log()).collect()
}

#[test]
fn under_default_deny_the_shipped_policy_is_enough() {
    let guarded = Guarded::set();
    let token = guarded.consul.token_with("consentinel", &guarded.policy);
    let mut cluster = guarded.cluster(&token);
    is_published(&guarded.consul, &cluster, 0);
    let file = guarded.folder.path().join("token");
    std::fs::write(&file, &token).expect("the folder is ours");
    let how = ["--address", &guarded.consul.address(), "--token-file", &file.display().to_string()];
    let (text, code) = tool(&[&["check", "mymaster"], &how[..]].concat());
    assert_eq!(code, 0, "{text}");
    eventually("the sentinels are registered", PATIENCE, || {
        (guarded.consul.entries("redis-sentinel").len() == 3).then_some(())
    });
    eventually("somebody holds the lock", PATIENCE, || {
        (0..3).any(|daemon| says(&cluster, daemon, "lock").as_deref() == Some("ours")).then_some(())
    });
    guarded.consul.wipe();
    is_published(&guarded.consul, &cluster, 0);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    is_published(&guarded.consul, &cluster, new);
    let logs = logs(&cluster);
    assert!(!logs.contains("denied") && !logs.contains("denies"), "{logs}");
    assert!(!logs.contains(&token), "a token is no part of a log");
}

/// Without one of its rules the policy is not enough; the log says which one is missing, and for what.
#[test]
fn what_is_denied_is_told_as_the_rule_that_is_missing() {
    let guarded = Guarded::set();
    let rules = [
        ("service_prefix ", r#"service_prefix "redis" { policy = "write" }"#),
        ("key_prefix ", r#"key_prefix "consentinel/mymaster/" { policy = "write" }"#),
        ("node_prefix \"consentinel-", r#"node "consentinel-mymaster" { policy = "write" }"#),
    ];
    let without = |begin: &str| {
        let mut blocks: Vec<_> = guarded.policy.split("\n\n").collect();
        let before = blocks.len();
        blocks.retain(|block| !block.lines().any(|line| line.starts_with(begin)));
        assert_eq!(blocks.len(), before - 1, "one rule begins with {begin}");
        blocks.join("\n\n")
    };
    let token = guarded.consul.token_with("consentinel", &without("service_prefix "));
    let mut cluster = guarded.cluster(&token);
    for (begin, rule) in rules {
        guarded.consul.change_policy("consentinel", &without(begin));
        eventually(rule, PATIENCE, || logs(&cluster).contains(rule).then_some(()));
    }
    eventually("it can be asked for", PATIENCE, || {
        (says(&cluster, 0, "fault").as_deref() == Some("denied")).then_some(())
    });
    assert!(record(&guarded.consul).is_none(), "nothing is written by halves");

    let begin = Instant::now();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let took = begin.elapsed();
    assert!(took < QUICK, "the failover took {took:?}");
    guarded.consul.change_policy("consentinel", &guarded.policy);
    is_named(&guarded.consul, cluster.redis[new].port);
}

#[test]
fn the_last_will_shows_nobody_the_token() {
    let guarded = Guarded::set();
    let token = guarded.consul.token_with("consentinel", &guarded.policy);
    let extra = Extra::consul(&guarded.consul.address())
        .variable("CONSUL_HTTP_TOKEN", &token)
        .line("sentinel consul on-publishers-lost critical");
    let cluster = Cluster::start(&three_daemons().with(&extra));
    is_published(&guarded.consul, &cluster, 0);
    eventually("every agent has its instructions", PATIENCE, || {
        (guarded.consul.entries("consentinel-will").len() == 3).then_some(())
    });
    let reader = r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }
        agent_prefix "" { policy = "read" }"#;
    let reader = guarded.consul.token_with("reader", reader);
    let node = &guarded.consul.name;
    for path in [
        "/v1/agent/checks".to_owned(),
        "/v1/agent/services".to_owned(),
        "/v1/health/service/consentinel-will".to_owned(),
        "/v1/catalog/service/consentinel-will".to_owned(),
        format!("/v1/health/node/{node}"),
        "/v1/health/state/any".to_owned(),
    ] {
        let answer = guarded.consul.request_as(Some(&reader), "GET", &path, &serde_json::Value::Null);
        let answer = answer.expect("Consul answers");
        assert!(answer.body.contains("last will") || path.contains("service"), "{path}: {answer:?}");
        assert!(!answer.body.contains(&token), "{path} shows the token");
    }
}

#[test]
fn the_last_will_is_done_under_default_deny() {
    let guarded = Guarded::set();
    let token = guarded.consul.token_with("consentinel", &guarded.policy);
    let extra = Extra::consul(&guarded.consul.address())
        .variable("CONSUL_HTTP_TOKEN", &token)
        .line("sentinel consul on-publishers-lost critical");
    let mut cluster = Cluster::start(&three_daemons().with(&extra));
    is_published(&guarded.consul, &cluster, 0);
    eventually("every agent has its instructions", PATIENCE, || {
        (guarded.consul.entries("consentinel-will").len() == 3).then_some(())
    });
    let file = guarded.folder.path().join("token");
    std::fs::write(&file, &token).expect("the folder is ours");
    let config = cluster.sentinels[0].config().display().to_string();
    let (address, file) = (guarded.consul.address(), file.display().to_string());
    let check = || tool(&["check", "mymaster", "-c", &config, "--address", &address, "--token-file", &file]);
    let (text, code) = check();
    assert_eq!(code, 0, "{text}");

    cluster.sentinels.iter_mut().for_each(consentinel_lab::Sentinel::kill);
    eventually("there is no master any more", PATIENCE, || {
        guarded.consul.entries("redis").iter().all(|entry| !is_passing(entry)).then_some(())
    });
    cluster.sentinels.iter_mut().for_each(consentinel_lab::Sentinel::start);
    is_published(&guarded.consul, &cluster, 0);
}

#[test]
fn a_token_that_is_replaced_in_its_file_is_read_again() {
    let guarded = Guarded::set();
    let file = guarded.folder.path().join("token");
    let write = |token: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{token}\n")).expect("the folder is ours");
        std::fs::rename(&new, &file).expect("the folder is ours");
    };
    let first = guarded.consul.token_with("first", &guarded.policy);
    write(&first);
    let extra =
        Extra::consul(&guarded.consul.address()).args(&["--consul-token-file", &file.display().to_string()]);
    let mut cluster = Cluster::start(&three_daemons().with(&extra));
    is_published(&guarded.consul, &cluster, 0);
    write(&guarded.consul.token_with("second", &guarded.policy));
    guarded.consul.revoke(&first);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    is_published(&guarded.consul, &cluster, new);
}

#[test]
fn over_https_with_a_clients_certificate() {
    let folder = Folder::new();
    let certificates = Certificates::new(&folder);
    let options = ConsulOptions { certificates: Some(certificates.clone()), ..Default::default() };
    let consul = Consul::start_new(&folder, &options);
    let path = |path: std::path::PathBuf| path.display().to_string();
    let with_ca = Extra::consul(&consul.https_address()).variable("CONSUL_CACERT", &path(certificates.ca()));
    let with_all = with_ca
        .clone()
        .variable("CONSUL_CLIENT_CERT", &path(certificates.client_cert()))
        .variable("CONSUL_CLIENT_KEY", &path(certificates.client_key()));
    let with_nothing = Extra::consul(&consul.https_address());
    let extra = vec![with_all, with_ca, with_nothing];
    let mut cluster = Cluster::start(&Setup { extra, ..three_daemons() });
    is_published(&consul, &cluster, 0);
    let publisher = || record(&consul).map(|record| record["publisher"].clone());
    assert_eq!(publisher(), Some(cluster.sentinels[0].id().into()));
    for (daemon, why) in [(1, "ertificate"), (2, "ertificate")] {
        eventually("the others say what is wrong", PATIENCE, || {
            let log = cluster.sentinels[daemon].log();
            log.lines().any(|line| line.contains("Consul at https://") && line.contains(why)).then_some(())
        });
    }
    certificates.renew_client();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    is_published(&consul, &cluster, new);
}

#[test]
fn over_a_unix_socket() {
    let options = ConsulOptions { unix_socket: true, ..Default::default() };
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &options);
    // As the environment of every Consul tool says it.
    let extra = Extra::default().variable("CONSUL_HTTP_ADDR", &consul.unix_address());
    let mut cluster = Cluster::start(&three_daemons().with(&extra));
    is_published(&consul, &cluster, 0);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    is_named(&consul, cluster.redis[new].port);
}
