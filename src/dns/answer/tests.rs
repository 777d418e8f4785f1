//! What is answered, record by record.

use super::*;
use crate::dns::answer_types::Note;
use crate::registrar::{ConsulSettings, Names};
use consentinel_core::{DnsView, Epoch, SentinelId};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

fn entry(role: Role, host: &str, port: u16, health: Health) -> Entry {
    let sentence = match (role, health) {
        (Role::Master, Health::Critical) => "objectively down: a quorum of 2 agrees",
        _ => "as it should be",
    };
    Entry {
        role,
        addr: Endpoint::new(Host::parse(host).expect("a host"), port),
        run_id: None,
        epoch: Epoch(7),
        health,
        cause: None,
        sentence: sentence.into(),
    }
}

fn sentinel(number: u16) -> (consentinel_core::SentinelId, Endpoint) {
    let host = Host::Ip(Ipv4Addr::new(10, 0, 0, 9).into());
    (SentinelId::new(&format!("{number:040}")), Endpoint::new(host, number))
}

/// A group with one master and two replicas, one of which lags.
fn view() -> DnsView {
    DnsView {
        epoch: Epoch(7),
        entries: vec![
            entry(Role::Master, "10.0.0.1", 6379, Health::Passing),
            entry(Role::Replica, "10.0.0.2", 6379, Health::Passing),
            entry(Role::Replica, "10.0.0.3", 6380, Health::Warning),
            entry(Role::Replica, "10.0.0.4", 6379, Health::Critical),
        ],
        vouched: true,
        heard: (2, 3),
        majority: true,
        sentinels: vec![sentinel(26379), sentinel(26380)],
    }
}

fn names(group: &str, service: &str) -> Arc<Names> {
    let settings = ConsulSettings {
        service_template: service.into(),
        tags: vec!["Shop".into()],
        ..ConsulSettings::default()
    };
    Arc::new(Names::new(&GroupName::new(group), &settings).expect("good names"))
}

fn group_records(view: DnsView) -> GroupRecords {
    GroupRecords::new(names("mymaster", "redis"), view, None, crate::dns::WithoutMajority::Silent)
}

fn zone_with(view: DnsView) -> Zone {
    let mut zone = Zone::new(DnsSettings { ttl: 5, ..DnsSettings::default() });
    zone.update(Update::Group(Arc::new(group_records(view))));
    zone
}

fn labels(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn ask(zone: &mut Zone, name: &str, kind: Kind) -> Reply {
    zone.answer(&Question::new(labels(name), kind), Some(Ipv4Addr::LOCALHOST.into()))
}

/// The answer of the usual group.
fn answer(name: &str, kind: Kind) -> Reply {
    ask(&mut zone_with(view()), name, kind)
}

fn data(records: &[Record]) -> Vec<Data> {
    records.iter().map(|record| record.data.clone()).collect()
}

fn srv(weight: u16, port: u16, target: &str) -> Data {
    Data::Srv { weight, port, target: target.into() }
}

fn a(last: u8) -> Data {
    Data::A(Ipv4Addr::new(10, 0, 0, last))
}

fn is_no_such_name(reply: &Reply) -> bool {
    reply.code == Code::NoSuchName && reply.answers.is_empty() && is_soa(&reply.authority)
}

fn is_nothing_of_that_kind(reply: &Reply) -> bool {
    reply.code == Code::Good && reply.answers.is_empty() && is_soa(&reply.authority)
}

fn is_soa(authority: &[Record]) -> bool {
    let soa = Data::Soa("consul".into());
    authority == [Record { owner: Owner::Name("consul".into()), ttl: 0, data: soa }]
}

#[test]
fn the_master_by_every_name_that_consul_gives_it() {
    for name in [
        "redis.service.consul",
        "redis.service.dc1.consul",
        "mymaster.redis.service.consul",
        "master.redis.service.consul",
        "shop.redis.service.dc1.consul",
        "_redis._tcp.service.consul",
        "_redis._mymaster.service.consul",
        "_redis._tcp.consul",
        "_redis._master.dc1.consul",
    ] {
        let reply = answer(name, Kind::Srv);
        assert_eq!(data(&reply.answers), [srv(1, 6379, "0a000001.addr.dc1.consul")], "{name}");
        assert_eq!((reply.code, reply.answers[0].ttl), (Code::Good, 5), "{name}");
        assert_eq!(reply.answers[0].owner, Owner::Asked);
        let (address, texts) = reply.additional.split_first().expect("something comes along");
        assert_eq!(address.owner, Owner::Name("0a000001.addr.dc1.consul".into()));
        assert_eq!(address.data, a(1));
        let node = Owner::Name("consentinel-mymaster.node.dc1.consul".into());
        assert!(texts.iter().all(|text| text.owner == node));
        let said = ["external-node=true", "external-probe=false", "epoch=7", "master=mymaster"];
        assert_eq!(data(texts), said.map(|text| Data::Txt(text.into())));
        assert_eq!(data(&answer(name, Kind::A).answers), [a(1)], "{name}");
        assert!(is_nothing_of_that_kind(&answer(name, Kind::Aaaa)), "{name}");
    }
    let reply = answer("redis.service.consul", Kind::Txt);
    assert!(data(&reply.answers).contains(&Data::Txt("epoch=7".into())));
    assert_eq!(data(&answer("redis.service.consul", Kind::Any).answers), [a(1)]);
    for kind in [Kind::Soa, Kind::Ns, Kind::Cname, Kind::Other] {
        assert!(is_nothing_of_that_kind(&answer("redis.service.consul", kind)), "{kind:?}");
    }
}

#[test]
fn replicas_with_their_weights_without_those_that_must_not_be_used_and_another_one_first_each_time() {
    let mut zone = zone_with(view());
    let passing = srv(10, 6379, "0a000002.addr.dc1.consul");
    let lagging = srv(1, 6380, "0a000003.addr.dc1.consul");
    let first = ask(&mut zone, "redis-replica.service.consul", Kind::Srv);
    assert_eq!(data(&first.answers), [passing.clone(), lagging.clone()]);
    let second = ask(&mut zone, "_redis-replica._replica.service.consul", Kind::Srv);
    assert_eq!(data(&second.answers), [lagging, passing]);
    assert_eq!(data(&ask(&mut zone, "redis-replica.service.consul", Kind::A).answers), [a(2), a(3)]);
}

#[test]
fn several_servers_at_one_address_have_one_address() {
    let mut view = view();
    view.entries.truncate(1);
    for port in [1, 2] {
        view.entries.push(entry(Role::Replica, "10.0.0.2", port, Health::Passing));
    }
    let mut zone = zone_with(view);
    assert_eq!(data(&ask(&mut zone, "redis-replica.service.consul", Kind::A).answers), [a(2)]);
    let reply = ask(&mut zone, "redis-replica.service.consul", Kind::Srv);
    assert_eq!((reply.answers.len(), reply.additional.len()), (2, 5));
}

#[test]
fn names_that_are_not_there_and_names_in_between() {
    for name in [
        "nobody.redis.service.consul",
        "replica.redis.service.consul",
        "redis.service.dc2.consul",
        "other.service.consul",
        "consentinel-other.node.consul",
        "a.b.consul",
    ] {
        assert!(is_no_such_name(&answer(name, Kind::A)), "{name}");
    }
    for name in ["consul", "service.consul", "dc1.consul", "node.dc1.consul", "_tcp.service.consul"] {
        assert!(is_nothing_of_that_kind(&answer(name, Kind::A)), "{name}");
    }
    for name in ["example.com", "org", "consul.org"] {
        let reply = answer(name, Kind::A);
        assert_eq!(reply.code, Code::Refused, "{name}");
        assert_eq!(reply.note.map(|note| note.code), Some(NOT_AUTHORITATIVE));
    }
    assert_eq!(answer("consul", Kind::Transfer).code, Code::Refused);
}

#[test]
fn the_zone_itself() {
    let soa = answer("consul", Kind::Soa);
    assert_eq!(data(&soa.answers), [Data::Soa("consul".into())]);
    let ns = answer("consul", Kind::Ns);
    assert_eq!(data(&ns.answers), [Data::Ns("ns.consul".into())]);
    assert_eq!(data(&ns.additional), [Data::A(Ipv4Addr::LOCALHOST)]);
    assert_eq!(data(&answer("ns.consul", Kind::A).answers), [Data::A(Ipv4Addr::LOCALHOST)]);
}

#[test]
fn the_targets_own_names() {
    assert_eq!(data(&answer("0a0000fe.addr.dc1.consul", Kind::A).answers), [a(254)]);
    assert!(is_nothing_of_that_kind(&answer("0a0000fe.addr.dc1.consul", Kind::Aaaa)));
    let six = "00000000000000000000000000000001.addr.dc1.consul";
    assert_eq!(data(&answer(six, Kind::Aaaa).answers), [Data::Aaaa(Ipv6Addr::LOCALHOST)]);
    let node = "consentinel-mymaster.node.dc1.consul";
    let address = answer(node, Kind::A);
    assert_eq!((data(&address.answers), address.additional.len()), (vec![a(1)], 4));
    assert_eq!(answer(node, Kind::Txt).answers.len(), 4);
    assert_eq!(answer(node, Kind::Any).answers.len(), 5);
    assert!(is_nothing_of_that_kind(&answer(node, Kind::Srv)));
}

#[test]
fn sentinels_by_their_masters_and_all_of_them() {
    let mut zone = zone_with(view());
    let other = DnsView { sentinels: vec![sentinel(26380), sentinel(26381)], ..view() };
    let other =
        GroupRecords::new(names("other", "sessions"), other, None, crate::dns::WithoutMajority::Silent);
    zone.update(Update::Group(Arc::new(other.clone())));
    let mut ports = |name: &str| {
        let reply = ask(&mut zone, name, Kind::Srv);
        let mut ports: Vec<u16> = reply
            .answers
            .iter()
            .filter_map(|record| match record.data {
                Data::Srv { port, .. } => Some(port),
                _ => None,
            })
            .collect();
        ports.sort();
        ports
    };
    assert_eq!(ports("redis-sentinel.service.consul"), [26379, 26380, 26381]);
    assert_eq!(ports("mymaster.redis-sentinel.service.consul"), [26379, 26380]);
    assert_eq!(ports("_redis-sentinel._other.service.dc1.consul"), [26380, 26381]);
    assert!(ports("nobody.redis-sentinel.service.consul").is_empty());
    // The list follows what it is made of.
    let fewer = GroupRecords { sentinels: vec![sentinel(26380)], ..other };
    zone.update(Update::Group(Arc::new(fewer)));
    assert_eq!(data(&ask(&mut zone, "redis-sentinel.service.consul", Kind::Srv).answers).len(), 2);
    zone.update(Update::Gone(GroupName::new("mymaster")));
    assert_eq!(data(&ask(&mut zone, "redis-sentinel.service.consul", Kind::Srv).answers).len(), 1);
    assert!(is_no_such_name(&ask(&mut zone, "redis.service.consul", Kind::A)));
    assert!(is_no_such_name(&ask(&mut zone, "consentinel-mymaster.node.consul", Kind::A)));
    assert_eq!(ask(&mut zone, "sessions.service.consul", Kind::A).answers.len(), 1);
}

#[test]
fn a_master_that_is_objectively_down_is_not_named_and_the_reason_is_told() {
    let mut view = view();
    view.entries[0] = entry(Role::Master, "10.0.0.1", 6379, Health::Critical);
    let mut zone = zone_with(view);
    for kind in [Kind::Srv, Kind::A, Kind::Txt, Kind::Any] {
        let reply = ask(&mut zone, "redis.service.consul", kind);
        assert!(is_no_such_name(&reply), "{kind:?}");
        let text = "the master of mymaster is objectively down: a quorum of 2 agrees";
        assert_eq!(reply.note, Some(Note { code: OTHER, text: text.into() }));
    }
    assert_eq!(ask(&mut zone, "redis-replica.service.consul", Kind::A).answers.len(), 2);
    assert_eq!(ask(&mut zone, "consentinel-mymaster.node.consul", Kind::A).answers.len(), 1);
}

#[test]
fn nothing_is_said_before_the_master_has_spoken() {
    let mut zone = zone_with(DnsView { vouched: false, ..view() });
    for name in ["redis.service.consul", "redis-replica.service.consul", "consentinel-mymaster.node.consul"] {
        let reply = ask(&mut zone, name, Kind::A);
        assert_eq!((reply.code, reply.note.map(|note| note.code)), (Code::Failed, Some(NOT_READY)), "{name}");
    }
    assert_eq!(ask(&mut zone, "redis-sentinel.service.consul", Kind::Srv).answers.len(), 2);
}

#[test]
fn without_a_majority_nothing_is_said_or_what_was_known_last() {
    let (good, lonely) = (group_records(view()), DnsView { heard: (1, 3), majority: false, ..view() });
    let changed = DnsView { epoch: Epoch(9), entries: vec![], ..lonely };
    let silent = GroupRecords::new(
        good.names.clone(),
        changed.clone(),
        Some(&good),
        crate::dns::WithoutMajority::Silent,
    );
    let mut zone = zone_with(view());
    zone.update(Update::Group(Arc::new(silent.clone())));
    let reply = ask(&mut zone, "redis.service.consul", Kind::Srv);
    let text = "this sentinel hears 1 of the 3 sentinels of mymaster, which is no majority";
    assert_eq!(reply, Reply::only(Code::Failed).because(NO_REACHABLE_AUTHORITY, text));

    let last = crate::dns::WithoutMajority::Last;
    let stale = GroupRecords::new(good.names.clone(), changed.clone(), Some(&good), last);
    let later = GroupRecords::new(good.names.clone(), changed.clone(), Some(&stale), last);
    for group_records in [stale, later] {
        zone.update(Update::Group(Arc::new(group_records)));
        let reply = ask(&mut zone, "redis.service.consul", Kind::Srv);
        assert_eq!(data(&reply.answers), [srv(1, 6379, "0a000001.addr.dc1.consul")]);
        assert_eq!(reply.note, Some(Note { code: STALE_ANSWER, text: text.into() }));
        assert!(reply.answers.iter().chain(&reply.additional).all(|record| record.ttl == 0));
        assert!(data(&reply.additional).contains(&Data::Txt("epoch=7".into())));
    }
    // Who has never heard a majority has nothing that was known last.
    let never = GroupRecords::new(good.names.clone(), changed, Some(&silent), last);
    assert!(matches!(never.answerability, Answerability::Silent(_)));
}

#[test]
fn a_host_name_is_answered_as_consul_answers_it() {
    let mut view = view();
    view.entries = vec![entry(Role::Master, "db-1.example", 6379, Health::Passing)];
    let mut zone = zone_with(view);
    let reply = ask(&mut zone, "redis.service.consul", Kind::Srv);
    assert_eq!(data(&reply.answers), [srv(1, 6379, "db-1.example")]);
    assert!(reply.additional.iter().all(|record| matches!(record.data, Data::Txt(_))));
    for kind in [Kind::A, Kind::Aaaa, Kind::Any, Kind::Cname, Kind::Other] {
        let reply = ask(&mut zone, "redis.service.consul", kind);
        assert_eq!(data(&reply.answers), [Data::Cname("db-1.example".into())], "{kind:?}");
    }
}

#[test]
fn an_ipv6_master_has_no_ipv4_address() {
    let mut view = view();
    view.entries = vec![entry(Role::Master, "2001:db8::1", 6379, Health::Passing)];
    let mut zone = zone_with(view);
    let address = Data::Aaaa("2001:db8::1".parse().expect("an address"));
    assert_eq!(
        data(&ask(&mut zone, "redis.service.consul", Kind::Aaaa).answers),
        std::slice::from_ref(&address)
    );
    assert!(is_nothing_of_that_kind(&ask(&mut zone, "redis.service.consul", Kind::A)));
    let reply = ask(&mut zone, "redis.service.consul", Kind::Srv);
    assert_eq!(data(&reply.answers), [srv(1, 6379, "20010db8000000000000000000000001.addr.dc1.consul")]);
    assert_eq!(reply.additional[0].data, address);
}

#[test]
fn targets_have_the_domain_in_the_letters_of_the_question() {
    let reply = answer("redis.service.dc1.cOnSuL", Kind::Srv);
    assert_eq!(data(&reply.answers), [srv(1, 6379, "0a000001.addr.dc1.cOnSuL")]);
    let owners: Vec<&Owner> = reply.additional.iter().map(|record| &record.owner).collect();
    assert_eq!(owners[0], &Owner::Name("0a000001.addr.dc1.cOnSuL".into()));
    assert_eq!(owners[1], &Owner::Name("consentinel-mymaster.node.dc1.cOnSuL".into()));
}

#[test]
fn who_stands_still_says_so() {
    let zone = zone_with(view());
    let question = |name: &str| Question::new(labels(name), Kind::A);
    let reply = zone.out_of_touch(&question("redis.service.consul"), "asleep".into());
    assert_eq!(reply, Reply::only(Code::Failed).because(NOT_READY, "asleep"));
}
