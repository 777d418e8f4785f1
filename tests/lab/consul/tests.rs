use super::*;
use crate::{Code, Data, Named, Prober, eventually, poll_until};
use std::time::Instant;

/// A master on a node of its own, as a catalog registration.
fn master(port: u16, epoch: u64) -> Value {
    json!({
        "Node": "outside", "Address": "127.0.0.1",
        "NodeMeta": { "external-node": "true", "external-probe": "false", "epoch": epoch.to_string() },
        "Service": { "ID": "redis", "Service": "redis", "Address": "127.0.0.1", "Port": port },
    })
}

#[test]
fn what_is_registered_is_answered_and_a_prober_sees_it_change() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let prober = Prober::start(consul.dns(), "redis.service.consul");
    eventually("the prober hears that there is nobody", PATIENCE, || {
        (prober.now() == Named::Nobody).then_some(())
    });
    let begin = Instant::now();
    consul.put("/v1/catalog/register", &master(7001, 1));
    consul.put("/v1/catalog/register", &master(7002, 2));
    eventually("the prober hears of the second", PATIENCE, || prober.now().is_only(7002).then_some(()));
    let timeline = prober.timeline();
    assert_eq!(timeline.complaint(), None);
    assert!(timeline.first_only(7002, begin).is_some());
    assert_eq!(prober.now(), Named::Servers(vec![("127.0.0.1".into(), 7002)], Some(2)));

    let message = consul.ask("redis.service.consul", Kind::A).expect("an answer");
    assert_eq!(message.answers[0].data, Data::Address(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(message.answers[0].ttl, 0);
    consul.wipe();
    assert_eq!(consul.ask("redis.service.consul", Kind::A).map(|it| it.code).ok(), Some(Code::NoSuchName));
    assert!(consul.entries("redis").is_empty());
}

#[test]
fn what_is_on_disk_survives_a_restart() {
    let folder = Folder::new();
    let mut consul = Consul::start_new(&folder, &ConsulOptions { on_disk: true, ..Default::default() });
    consul.put_kv("a/b c", &json!({ "epoch": 7 }));
    let (text, index) = consul.kv("a/b c").expect("it was put there");
    assert_eq!(text, r#"{"epoch":7}"#);
    consul.kill();
    consul.start();
    assert_eq!(consul.kv("a/b c"), Some((text, index)));
}

#[test]
fn when_the_leader_of_three_is_killed_another_one_leads() {
    let folder = Folder::new();
    let mut servers = ConsulServers::start(&folder);
    servers.0[0].put_kv("key", &json!(1));
    let dead = servers.kill_leader();
    let new = servers.wait_until_led();
    assert_ne!(new, dead);
    assert!(servers.0[new].kv("key").is_some());
    servers.0[dead].start();
    assert_eq!(servers.0[dead].kv("key"), servers.0[new].kv("key"));
}

#[test]
fn with_acls_nothing_is_allowed_but_what_a_policy_says() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { acl: true, ..Default::default() });
    consul.put("/v1/catalog/register", &master(7001, 1));
    let status = |token: Option<&str>| {
        let answer = consul.request_as(token, "PUT", "/v1/kv/mine/key", &json!(1));
        answer.map(|answer| answer.status)
    };
    assert_eq!(status(None), Some(403));
    let token = consul.token_with("mine", r#"key_prefix "mine/" { policy = "write" }"#);
    assert_eq!(status(Some(&token)), Some(200));
    consul.change_policy("mine", r#"key_prefix "mine/" { policy = "read" }"#);
    let denied = poll_until(PATIENCE, || (status(Some(&token)) == Some(403)).then_some(()));
    assert!(denied.is_some(), "a policy that was changed counts");

    let named = || consul.ask("redis.service.consul", Kind::Srv).map_or(0, |it| it.servers().len());
    assert_eq!(named(), 0);
    let rules = r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#;
    consul.set_default_token(&consul.token_with("dns", rules));
    eventually("DNS may answer", PATIENCE, || (named() == 1).then_some(()));

    consul.revoke(&token);
    eventually("the token is gone", PATIENCE, || (status(Some(&token)) == Some(403)).then_some(()));
}

#[test]
fn with_certificates_and_a_socket_it_listens_there() {
    let folder = Folder::new();
    let options = ConsulOptions {
        certificates: Some(Certificates::new(&folder)),
        unix_socket: true,
        ..Default::default()
    };
    let consul = Consul::start_new(&folder, &options);
    let https = consul.https_address();
    let https: SocketAddr = https.trim_start_matches("https://").parse().expect("an address");
    assert!(std::net::TcpStream::connect(https).is_ok());
    let socket = consul.unix_address();
    assert!(std::os::unix::net::UnixStream::connect(socket.trim_start_matches("unix://")).is_ok());
}
