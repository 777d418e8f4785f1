//! What well-behaved answers mean.

use super::name_server::{A, AAAA, Act, NAME, NameServer, PATIENCE, Reply, SRV, TXT};
use consentinel_resolver::{Epoch, Freshness, LookupError, Resolver, Source};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

#[tokio::test]
async fn the_address_and_the_epoch_come_along() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let master = server.resolver().master().await.expect("a master");
    assert_eq!(master.addr.to_string(), "127.0.0.1:7001");
    assert_eq!(master.host, "7f000001.addr.dc1.consul");
    assert_eq!((master.epoch, master.source), (Some(Epoch(5)), Source::Dns));
    assert_eq!(master.freshness, Freshness::Fresh);
    assert_eq!(server.questions().len(), 1, "nothing else needs to be asked");
}

#[tokio::test]
async fn an_address_that_is_in_the_name_is_not_asked_for() {
    let server = NameServer::start(|question| match question.kind {
        SRV => Reply::to(question)
            .srv("7f000001.addr.dc1.consul", 7001, 1, 1)
            .text("n.node.consul", "epoch=5")
            .into(),
        kind => panic!("nobody needs {kind}"),
    });
    assert_eq!(server.resolver().master().await.expect("a master").addr.to_string(), "127.0.0.1:7001");
    server.says(|question| {
        let target = "00000000000000000000000000000001.addr.dc1.consul";
        Reply::to(question).srv(target, 7002, 1, 1).text(target, "epoch=6").into()
    });
    assert_eq!(server.resolver().master().await.expect("a master").addr.to_string(), "[::1]:7002");
}

#[tokio::test]
async fn a_host_name_is_looked_up_and_its_text_is_no_address() {
    let server = NameServer::start(|question| match (question.kind, question.name.as_str()) {
        (SRV, _) => {
            Reply::to(question).srv("redis-1.example", 7001, 1, 1).text("n.node.consul", "epoch=5").into()
        }
        (A, "redis-1.example") => Reply::to(question).answer_address("127.0.0.7").into(),
        other => panic!("nobody needs {other:?}"),
    });
    let master = server.resolver().master().await.expect("a master");
    assert_eq!(
        (master.addr.to_string().as_str(), master.host.as_str()),
        ("127.0.0.7:7001", "redis-1.example")
    );
    assert_eq!(master.epoch, Some(Epoch(5)));
}

#[tokio::test]
async fn a_host_with_ipv6_alone_is_found() {
    let server = NameServer::on(IpAddr::V6(Ipv6Addr::LOCALHOST), |question| match question.kind {
        SRV => Reply::to(question).srv("redis-1.example", 7001, 1, 1).text("n.node.consul", "epoch=5").into(),
        AAAA => Reply::to(question).answer_address("::1").into(),
        _ => Reply::to(question).into(),
    });
    assert_eq!(server.resolver().master().await.expect("a master").addr.to_string(), "[::1]:7001");
}

#[tokio::test]
async fn an_epoch_that_does_not_come_along_is_asked_for() {
    let server = NameServer::start(|question| match (question.kind, question.name.as_str()) {
        (SRV, _) => Reply::to(question).server("n1.node.consul", 7001, "127.0.0.1").into(),
        (TXT, "n1.node.consul") => Reply::to(question).answer_text("epoch=9").into(),
        _ => Reply::to(question).into(),
    });
    assert_eq!(server.resolver().master().await.expect("a master").epoch, Some(Epoch(9)));
    server.says(|question| match (question.kind, question.name.as_str()) {
        (SRV, _) => Reply::to(question).server("n1.node.consul", 7001, "127.0.0.1").into(),
        (TXT, NAME) => Reply::to(question).answer_text("epoch=10").into(),
        _ => Reply::to(question).code(3).into(),
    });
    assert_eq!(server.resolver().master().await.expect("a master").epoch, Some(Epoch(10)));
    server.says(|question| match question.kind {
        SRV => Reply::to(question).server("n1.node.consul", 7001, "127.0.0.1").into(),
        _ => Reply::to(question).code(3).into(),
    });
    assert_eq!(server.resolver().master().await.expect("a master").epoch, None);
}

#[tokio::test]
async fn of_two_masters_the_one_of_the_higher_epoch_counts() {
    let two = |first: &'static str, second: &'static str| {
        move |question: &super::name_server::Question| -> Act {
            let reply = Reply::to(question).server("7f000001.addr.dc1.consul", 7001, "127.0.0.1");
            let reply = if first.is_empty() { reply } else { reply.text("n1.node.consul", first) };
            let reply = reply.server("7f000002.addr.dc1.consul", 7002, "127.0.0.2");
            if second.is_empty() { reply.into() } else { reply.text("n2.node.consul", second).into() }
        }
    };
    let server = NameServer::start(two("epoch=4", "epoch=5"));
    assert_eq!(server.resolver().master().await.expect("a master").addr.port(), 7002);
    server.says(two("epoch=10", "epoch=9"));
    assert_eq!(server.resolver().master().await.expect("a master").addr.port(), 7001);
    server.says(two("", "epoch=3"));
    assert_eq!(server.resolver().master().await.expect("a master").addr.port(), 7002);
    for (first, second) in [("", ""), ("epoch=5", "epoch=5")] {
        server.says(two(first, second));
        let error = server.resolver().master().await.expect_err("nobody may guess");
        assert!(matches!(error, LookupError::Ambiguous { .. }), "{error}");
        for named in ["7f000001.addr.dc1.consul:7001", "7f000002.addr.dc1.consul:7002", NAME] {
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}

#[tokio::test]
async fn replicas_come_whole_and_by_weight() {
    let server = NameServer::start(|question| {
        assert_eq!(question.name, "redis-replica.service.consul");
        let all = (1..=40).fold(Reply::to(question), |reply, number: u16| {
            reply.srv(&format!("7f0000{number:02x}.addr.dc1.consul"), 7000 + number, 1 + number % 2, 10)
        });
        if question.tcp {
            all.into()
        } else {
            Reply::to(question).srv("7f000001.addr.dc1.consul", 7001, 1, 1).into()
        }
    });
    let resolver = server.resolver();
    let replicas = resolver.replicas().await.expect("replicas");
    assert_eq!(replicas.len(), 40, "over TCP, where none is left out");
    assert!(replicas.is_sorted_by_key(|replica| replica.priority));
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..50 {
        firsts.insert(resolver.replicas().await.expect("replicas")[0].addr);
    }
    assert!(firsts.len() > 1, "drawn anew each time");
}

#[tokio::test]
async fn sentinels_have_a_name_of_their_own() {
    let server = NameServer::start(|question| {
        assert_eq!(question.name, "redis-sentinel.service.dc1.consul");
        Reply::to(question).server("7f000001.addr.dc1.consul", 26379, "127.0.0.1").into()
    });
    let resolver = server.builder().datacenter("dc1").tag("mymaster").build().expect("it fits");
    let sentinels = resolver.sentinels().await.expect("sentinels");
    assert_eq!(sentinels[0].addr.to_string(), "127.0.0.1:26379");
    let other = Resolver::builder("cache.lan").build().expect("it is a name");
    let error = other.sentinels().await.expect_err("under which name?");
    assert!(error.to_string().contains("sentinel_name"), "{error}");
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_may_be() {
    let server = NameServer::start(|question| {
        let text = Reply::to(question).ttl(3600);
        text.server("7f000001.addr.dc1.consul", 7001, "127.0.0.1").text("n.node.consul", "epoch=5").into()
    });
    let resolver = server.resolver();
    for _ in 0..100 {
        resolver.master().await.expect("a master");
    }
    assert_eq!(server.looks(), 1);
    resolver.invalidate();
    resolver.master().await.expect("a master");
    assert_eq!(server.looks(), 2, "a doubt ends that");

    let unkept = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let resolver = unkept.builder().reuse(PATIENCE).build().expect("it fits");
    for _ in 0..100 {
        resolver.master().await.expect("a master");
    }
    assert_eq!(unkept.looks(), 1, "reuse keeps what DNS would not");
}

#[tokio::test]
async fn truncated_answers_are_had_over_tcp() {
    let server = NameServer::start(|question| {
        if question.tcp {
            Reply::master(question, 7001, 5).into()
        } else {
            Reply::to(question).truncated().into()
        }
    });
    assert_eq!(server.resolver().master().await.expect("a master").addr.port(), 7001);
    assert_eq!(server.questions().iter().map(|question| question.tcp).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn the_next_name_server_is_asked_in_order() {
    let silent = NameServer::start(|_| Act::Silence);
    let failing = NameServer::start(|question| Reply::to(question).code(2).into());
    let good = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let builder = silent.builder().name_server(failing.addr).name_server(good.addr);
    let resolver = builder.timeout(Duration::from_millis(100)).build().expect("it fits");
    for look in 1..=2 {
        assert_eq!(resolver.master().await.expect("a master").addr.port(), 7001);
        assert_eq!([silent.looks(), failing.looks(), good.looks()], [look; 3], "the order stays");
    }
}
