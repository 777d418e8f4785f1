use super::*;
use crate::registrar::ConsulSettings;
use consentinel_core::GroupName;
use proptest::collection::vec;
use proptest::prelude::*;

fn names() -> impl Strategy<Value = Names> {
    (vec("[!-~]{1,10}", 0..4), 1..=65_535u16, 1..=65_535u16, "[a-z][a-z0-9._-]{0,20}").prop_map(
        |(tags, passing, warning, group)| {
            let mut settings = ConsulSettings { tags, ..Default::default() };
            settings.weights = crate::registrar::consul_names::Weighting { passing, warning };
            Names::new(&GroupName::new(&group), &settings).expect("a good name")
        },
    )
}

fn host() -> impl Strategy<Value = Host> {
    let text = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        "[a-z][a-z0-9.-]{0,30}",
    ];
    text.prop_map(|text| Host::parse(&text).expect("a host"))
}

fn addr() -> impl Strategy<Value = Endpoint> {
    (host(), any::<u16>()).prop_map(|(host, port)| Endpoint::new(host, port))
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Master), Just(Role::Replica)]
}

fn entry() -> impl Strategy<Value = Entry> {
    let health = prop_oneof![Just(Health::Passing), Just(Health::Warning), Just(Health::Critical)];
    let run_id = proptest::option::of("[0-9a-f]{0,40}");
    (role(), addr(), run_id, any::<u64>(), health, "\\PC{0,60}").prop_map(
        |(role, addr, run_id, epoch, health, sentence)| {
            let run_id = run_id.map(|id| RunId::new(&id));
            Entry { role, addr, run_id, epoch: Epoch(epoch), health, sentence }
        },
    )
}

/// In the order in which they are read back.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    vec(entry(), 0..8).prop_map(|entries| {
        let by_key: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key(), entry)).collect();
        by_key.into_values().collect()
    })
}

fn record_strategy() -> impl Strategy<Value = Record> {
    let others = proptest::collection::vec("[0-9a-f]{40}", 0..4);
    let parts = (0..=Epoch::MAX.0, addr(), "[0-9a-f]{0,40}", "[0-9a-f]{40}", others);
    parts.prop_map(|(epoch, master, run, who, others)| {
        let sentinels = others.iter().map(|id| SentinelId::new(id)).collect();
        let (run_id, publisher) = (RunId::new(&run), SentinelId::new(&who));
        Record { epoch: Epoch(epoch), master, run_id, publisher, sentinels }
    })
}

/// A node with these on it, as Consul would answer, by way of JSON.
fn answered(names: &Names, record: &Record, entries: &[Entry]) -> (CatalogNode, Vec<Check>) {
    let services: BTreeMap<String, Service> = entries
        .iter()
        .map(|entry| service(names, entry))
        .map(|service| (service.id.clone(), service))
        .collect();
    let checks: Vec<Check> = entries.iter().map(|entry| check(names, entry)).collect();
    let text = serde_json::json!({ "Node": node(names, record), "Services": services }).to_string();
    let checks = serde_json::to_string(&checks).expect("JSON");
    (serde_json::from_str(&text).expect("a node"), serde_json::from_str(&checks).expect("checks"))
}

proptest! {
    #[test]
    fn entries_are_read_back_as_they_were_written(
        names in names(), record in record_strategy(), entries in entries()
    ) {
        let (node, checks) = answered(&names, &record, &entries);
        let sorted = sort(&names, Some(&node), &checks);
        prop_assert_eq!(sorted, Sorted { entries, damaged: Vec::new() });
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written(written in record_strategy()) {
        prop_assert_eq!(parse_record(&record(&written, "now")), Some(written));
    }

    #[test]
    fn no_bytes_make_the_reader_of_records_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse_record(&bytes);
    }

    #[test]
    fn what_is_not_exactly_as_written_is_damaged(
        names in names(), record in record_strategy(), entry in entry(), which in 0..9usize
    ) {
        let (mut node, mut checks) = answered(&names, &record, std::slice::from_ref(&entry));
        let service = node.services.values_mut().next().expect("one");
        let id = service.id.clone();
        match which {
            0 => service.tags.push("\u{e9}".into()),
            1 => drop(service.meta.insert("x".into(), "y".into())),
            2 => service.address.push('x'),
            3 => service.port += 1,
            4 => service.weights.passing += 1,
            5 => service.name.push('x'),
            6 => checks.clear(),
            7 => checks[0].name.push('x'),
            _ => checks[0].status = "odd".into(),
        }
        let sorted = sort(&names, Some(&node), &checks);
        prop_assert_eq!(sorted, Sorted { entries: Vec::new(), damaged: vec![Thing::Service(&id).name()] });
    }

    #[test]
    fn every_name_of_damage_stands_for_one_thing(id in "(check:|service:)?[a-z:]{0,10}") {
        for thing in [Thing::Service(&id), Thing::Check(&id)] {
            let name = thing.name();
            prop_assert_eq!(Thing::parse(&name), thing);
        }
    }
}
