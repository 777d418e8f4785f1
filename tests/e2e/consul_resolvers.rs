//! A host's own resolver in front of Consul: what must never be cached is not.

use crate::PATIENCE;
use consentinel_lab::{Code, Consul, ConsulOptions, Dns, Folder, Kind, Resolver, eventually};
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const FLIPS: u16 = 50;
const SERVICE: &str = "redis.service.consul";
/// Long enough that a resolver may give its server up.
const OUTAGE: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(3);
/// For an agent that has answered a write until its DNS knows.
const A_MOMENT: Duration = Duration::from_secs(1);

#[test]
fn dnsmasq_keeps_nothing() {
    nothing_is_kept(Resolver::dnsmasq);
}

#[test]
fn unbound_keeps_nothing() {
    nothing_is_kept(Resolver::unbound);
}

fn nothing_is_kept(start: fn(&Folder, &Consul) -> Resolver) {
    let folder = Folder::new();
    let mut consul = Consul::dev(&folder);
    let resolver = start(&folder, &consul);
    every_flip_is_seen(&consul, &resolver.dns());
    // One that is started while there is no agent knows nothing good of it.
    consul.kill();
    let late = start(&folder, &consul);
    an_outage_is_forgotten(&mut consul, &[resolver.dns(), late.dns()]);
}

/// Where Consul says that an answer may be kept, it is: this is what the two tests above would notice.
#[test]
fn with_a_time_to_live_an_old_master_stays() {
    let folder = Folder::new();
    let more = json!({ "dns_config": { "service_ttl": { "*": "60s" } } });
    let consul = Consul::start_new(&folder, &ConsulOptions { more, ..Default::default() });
    let resolver = Resolver::dnsmasq(&folder, &consul);
    let named = || resolver.dns().ask(SERVICE, Kind::Srv).expect("an answer").servers()[0].1;
    flip(&consul, 1, 7001);
    assert_eq!(named(), 7001);
    flip(&consul, 7001, 7002);
    assert_eq!(named(), 7001);
}

/// In one transaction one master goes and the next one comes, as the daemon publishes. Returns when Consul's own DNS
/// says so.
fn flip(consul: &Consul, old: u16, new: u16) {
    let service = |port: u16| json!({ "ID": format!("redis-{port}"), "Service": "redis", "Address": "127.0.0.1", "Port": port });
    let node = json!({ "Node": "consentinel-mymaster", "Address": "127.0.0.1",
        "Meta": { "external-node": "true", "external-probe": "false", "epoch": new.to_string() } });
    let operations = json!([
        { "Node": { "Verb": "set", "Node": node } },
        { "Service": { "Verb": "delete", "Node": "consentinel-mymaster", "Service": service(old) } },
        { "Service": { "Verb": "set", "Node": "consentinel-mymaster", "Service": service(new) } },
    ]);
    consul.put("/v1/txn", &operations);
    eventually("Consul's own DNS knows", A_MOMENT, || {
        let servers = consul.ask(SERVICE, Kind::Srv).ok()?.servers();
        matches!(servers[..], [(_, port)] if port == new).then_some(())
    });
}

/// Right after each flip the resolver must say what Consul says, be it a name or that there is none.
fn every_flip_is_seen(consul: &Consul, resolver: &Dns) {
    let nobody = resolver.ask(SERVICE, Kind::Srv).expect("an answer");
    assert_eq!(nobody.code, Code::NoSuchName);
    for port in 7000..7000 + FLIPS {
        flip(consul, port - 1, port);
        let message = resolver.ask(SERVICE, Kind::Srv).expect("an answer");
        assert_eq!(message.servers(), [("127.0.0.1".to_owned(), port)], "{message:?}");
        assert_eq!(message.text("epoch"), Some(port.to_string().as_str()), "{message:?}");
        assert!(message.answers.iter().all(|record| record.ttl == 0), "{message:?}");
    }
    let addresses = resolver.ask(SERVICE, Kind::A).expect("an answer").addresses();
    assert_eq!(addresses, [Ipv4Addr::LOCALHOST]);
    let text = resolver.ask("consentinel-mymaster.node.consul", Kind::Txt).expect("an answer");
    assert_eq!(text.text("external-node"), Some("true"), "{text:?}");

    consul.wipe();
    eventually("Consul's own DNS knows", A_MOMENT, || {
        (consul.ask(SERVICE, Kind::Srv).ok()?.code == Code::NoSuchName).then_some(())
    });
    assert_eq!(resolver.ask(SERVICE, Kind::Srv).expect("an answer").code, Code::NoSuchName);
}

/// The agent is away, and many ask in vain. When it is back, the resolvers are soon of use again.
fn an_outage_is_forgotten(consul: &mut Consul, resolvers: &[Dns]) {
    let named = |resolver: &Dns| resolver.ask(SERVICE, Kind::A).is_ok_and(|it| it.code == Code::Good);
    let begin = Instant::now();
    eventually("they were asked for a while, in vain", PATIENCE, || {
        assert!(!resolvers.iter().any(named), "there is nobody who could say so");
        (begin.elapsed() > OUTAGE).then_some(())
    });
    consul.start();
    flip(consul, 1, 7001);
    for resolver in resolvers {
        eventually("the resolver names the master", SOON, || named(resolver).then_some(()));
    }
}
