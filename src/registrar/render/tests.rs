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
    let cause = prop_oneof![Just(None), Just(Some(Cause::ObjectivelyDown)), any::<u64>().prop_map(lagging)];
    (role(), addr(), run_id, any::<u64>(), health, cause, "\\PC{0,60}").prop_map(
        |(role, addr, run_id, epoch, health, cause, sentence)| {
            let run_id = run_id.map(|id| RunId::new(&id));
            Entry { role, addr, run_id, epoch: Epoch(epoch), health, cause, sentence }
        },
    )
}

fn lagging(limit: u64) -> Option<Cause> {
    Some(Cause::Lagging(limit))
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

/// What stands in Consul for an entry with that health, cause and sentence, and what is read of it with other notes.
fn read_with(notes: Option<&str>, health: Health, cause: Option<Cause>, sentence: &str) -> Option<Entry> {
    let names = Names::new(&GroupName::new("shop"), &ConsulSettings::default()).expect("a good name");
    let addr = Endpoint::parse("10.0.0.1", "6379").expect("an address");
    let sentence = sentence.to_owned();
    let entry = Entry { role: Role::Master, addr, run_id: None, epoch: Epoch(7), health, cause, sentence };
    let mut check = check(&names, &entry);
    if let Some(notes) = notes {
        check.notes = notes.to_owned();
    }
    parse_entry(&names, &service(&names, &entry), &check)
}

const DOWN: &str = "objectively down: a quorum of 2 agrees";

#[test]
fn the_cause_is_read_from_the_notes_whatever_the_sentence_says() {
    let down = Some(Cause::ObjectivelyDown);
    let read = read_with(None, Health::Critical, down, "other words for it").expect("it is intact");
    assert_eq!(read.cause, down);
    let lag = read_with(None, Health::Warning, lagging(1000), "it is slow").expect("it is intact");
    assert_eq!(lag.cause, lagging(1000));
}

#[test]
fn an_entry_of_a_release_without_notes_is_intact_and_has_its_cause() {
    let read = read_with(Some(""), Health::Critical, Some(Cause::ObjectivelyDown), DOWN);
    assert_eq!(read.expect("it is intact").cause, Some(Cause::ObjectivelyDown));
    let sentence = "lags more than 1000 bytes behind the master";
    let read = read_with(Some(""), Health::Warning, lagging(1000), sentence);
    assert_eq!(read.expect("it is intact").cause, lagging(1000));
    let read = read_with(Some(""), Health::Critical, None, "does not answer");
    assert_eq!(read.expect("it is intact").cause, None);
}

/// A release without notes finds a check intact when all that it knows of is as it would write it.
#[test]
fn a_release_without_notes_reads_what_it_would_have_written() {
    let names = Names::new(&GroupName::new("shop"), &ConsulSettings::default()).expect("a good name");
    let addr = Endpoint::parse("10.0.0.1", "6379").expect("an address");
    let (health, cause) = (Health::Critical, Some(Cause::ObjectivelyDown));
    let sentence = DOWN.to_owned();
    let entry = Entry { role: Role::Master, addr, run_id: None, epoch: Epoch(7), health, cause, sentence };
    let mut written = serde_json::to_value(check(&names, &entry)).expect("JSON");
    assert_eq!(written["Notes"], "objectively-down");
    assert_eq!(written["Output"], DOWN, "an earlier release knows it by the beginning of that");
    written.as_object_mut().expect("an object").remove("Notes");
    let without = serde_json::to_value(check(&names, &Entry { cause: None, ..entry })).expect("JSON");
    assert_eq!(written, without, "beside the notes nothing is new");
}
