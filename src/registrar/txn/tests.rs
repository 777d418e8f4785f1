use super::*;
use consentinel_core::{Endpoint, EntryKey, Epoch, GroupName, Health, Record, RunId, SentinelId};

fn at(port: u16) -> Endpoint {
    Endpoint::parse("10.0.0.1", &port.to_string()).expect("an address")
}

fn record(port: u16) -> Record {
    let (run_id, publisher) = (RunId::new("r"), SentinelId::new("s"));
    Record { epoch: Epoch(7), master: at(port), run_id, publisher, sentinels: vec![] }
}

fn entry(role: Role, port: u16) -> Entry {
    let sentence = "why".into();
    Entry {
        role,
        addr: at(port),
        run_id: None,
        epoch: Epoch(7),
        health: Health::Passing,
        cause: None,
        sentence,
    }
}

/// The plan, and a line for each operation of its parts.
fn planned(transaction: &Transaction, services: &[(&str, &str)]) -> (Plan, Vec<Vec<String>>) {
    let names = Names::new(&GroupName::new("m"), &ConsulSettings::default()).expect("a good name");
    let services = services.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
    let now = "now".to_owned();
    let scope = Scope::default();
    let writer =
        Writer { names: &names, scope, session: Some("s-1"), history: &[], services: &services, now };
    let plan = writer.plan(transaction);
    let lines = std::iter::once(&plan.first).chain(&plan.rest).map(|part| part.iter().map(line).collect());
    (plan.clone(), lines.collect())
}

fn line(operation: &Operation) -> String {
    match operation {
        Operation::Key(key) => format!("{} {}", key.verb, key.key),
        Operation::Node(node) => format!("{} node {}", node.verb, node.node.what.name),
        Operation::Service(it) => format!("{} {} of {}", it.verb, it.service.what.id, it.service.what.name),
        Operation::Check(check) => format!("{} {}", check.verb, check.check.what.id),
    }
}

fn key(role: Role, port: u16) -> EntryKey {
    entry(role, port).key()
}

#[test]
fn a_flip_is_ordered_so_that_it_could_be_read_from_the_top() {
    let transaction = Transaction {
        guard: Guard::Claim { fence: Fence(5), record: record(2), before: Some(at(1)) },
        remove: vec![key(Role::Replica, 9), key(Role::Replica, 2), key(Role::Master, 1)],
        sweep: vec!["check:odd".into(), "foreign".into(), "other".into()],
        set: vec![entry(Role::Master, 2), entry(Role::Replica, 1)],
    };
    let (plan, lines) = planned(&transaction, &[("foreign", "redis"), ("other", "web")]);
    assert_eq!((plan.guards, lines.len()), (1, 1));
    let expected = [
        "cas consentinel/m/state",
        "set consentinel/m/history",
        "set node consentinel-m",
        "delete redis:10.0.0.1:1 of redis",
        "delete foreign of redis",
        "set redis:10.0.0.1:2 of redis",
        "set role:redis:10.0.0.1:2",
        "delete redis-replica:10.0.0.1:2 of redis-replica",
        "delete redis-replica:10.0.0.1:9 of redis-replica",
        "delete odd",
        "delete other of web",
        "set redis-replica:10.0.0.1:1 of redis-replica",
        "set role:redis-replica:10.0.0.1:1",
    ];
    assert_eq!(lines[0], expected);
}

#[test]
fn what_only_holds_checks_the_record_and_the_lock_and_writes_neither() {
    let guard = Guard::Unchanged { fence: Fence(5), record: record(2), locked: true };
    let set = vec![entry(Role::Replica, 1)];
    let transaction = Transaction { guard, remove: Vec::new(), sweep: Vec::new(), set };
    let (plan, lines) = planned(&transaction, &[]);
    assert_eq!(plan.guards, 2);
    assert_eq!(
        lines[0][..3],
        ["check-index consentinel/m/state", "check-session consentinel/m/lock", "set node consentinel-m"]
    );
    let text = serde_json::to_value(&plan.first).expect("JSON");
    assert_eq!(text[0]["KV"]["Index"], 5);
    assert_eq!(text[1]["KV"]["Session"], "s-1");
}

#[test]
fn parts_keep_together_what_belongs_together_and_leave_room_for_guards() {
    let transaction = Transaction {
        guard: Guard::Claim { fence: Fence(5), record: record(1), before: Some(at(2)) },
        remove: vec![key(Role::Master, 2)],
        sweep: (0..100).map(|id| format!("foreign-{id}")).collect(),
        set: (1..200).map(|port| entry(if port == 1 { Role::Master } else { Role::Replica }, port)).collect(),
    };
    let services: Vec<String> = (0..100).map(|id| format!("foreign-{id}")).collect();
    let services: Vec<(&str, &str)> = services.iter().map(|id| (id.as_str(), "redis")).collect();
    let (plan, lines) = planned(&transaction, &services);
    assert!(plan.first.len() <= MOST && plan.rest.iter().all(|part| part.len() <= MOST - 2));
    assert!(lines[0].contains(&"set redis:10.0.0.1:1 of redis".to_owned()));
    for part in &lines {
        let services = part.iter().filter(|line| line.starts_with("set redis")).count();
        let checks = part.iter().filter(|line| line.starts_with("set role:")).count();
        assert_eq!(services, checks, "{part:?}");
    }
    let all: Vec<&String> = lines.iter().flatten().collect();
    assert_eq!(all.len(), 3 + 1 + 100 + 2 * 199);
}

#[test]
fn what_is_not_told_is_not_written() {
    let guard = Guard::Claim { fence: Fence(0), record: record(1), before: None };
    let set = vec![entry(Role::Master, 1)];
    let transaction = Transaction { guard, remove: Vec::new(), sweep: Vec::new(), set };
    let (plan, lines) = planned(&transaction, &[]);
    assert!(!lines[0].iter().any(|line| line.contains("history")));
    let text = serde_json::to_value(&plan.first).expect("JSON");
    assert_eq!(text[0]["KV"]["Index"], 0);
    assert!(text[0]["KV"].get("Session").is_none() && text[0]["KV"].get("Namespace").is_none());
}

#[test]
fn more_masters_than_fit_beside_the_flip_are_taken_away_after_it() {
    let transaction = Transaction {
        guard: Guard::Claim { fence: Fence(0), record: record(1), before: None },
        remove: (2..100).map(|port| key(Role::Master, port)).collect(),
        sweep: Vec::new(),
        set: vec![entry(Role::Master, 1)],
    };
    let (plan, lines) = planned(&transaction, &[]);
    assert!(plan.first.len() <= MOST && plan.rest.iter().all(|part| part.len() <= MOST - 2));
    // What was seen comes first, and goes with the flip.
    assert!(lines[0].contains(&"delete redis:10.0.0.1:2 of redis".to_owned()));
    assert!(lines[0].contains(&"set redis:10.0.0.1:1 of redis".to_owned()));
    assert_eq!(lines.iter().flatten().filter(|line| line.starts_with("delete ")).count(), 98);
}
