//! With a real Consul.

use super::*;
use consentinel_lab::{ConsulOptions, Kind, connections_to};
use serde_json::json;
use std::time::Instant;

const NODE: &str = "consentinel-mymaster";

#[test]
fn what_is_published_is_answered_over_dns_and_read_back_as_it_was_written() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    let nothing = bench.look();
    assert_eq!((nothing.fence, nothing.record, nothing.lock), (Fence(0), None, Lock::Free));
    assert!(nothing.entries.is_empty() && !nothing.node_intact);

    let mut transaction = claim(Fence(0), 1, 7001, None);
    transaction.set.push(Entry {
        health: Health::Warning,
        cause: None,
        sentence: "it lags behind".into(),
        ..entry(Role::Replica, 1, 7002)
    });
    let set = transaction.set.clone();
    let fence = bench.written(transaction);
    let published = bench.look();
    assert_eq!((published.fence, published.record), (fence, Some(record(1, 7001))));
    assert_eq!(published.entries, set);
    assert_eq!((published.damaged.as_slice(), published.node_intact), (&[][..], true));

    for name in ["redis", "mymaster.redis", "master.redis", "_redis._tcp"] {
        let answer = consul.ask(&format!("{name}.service.consul"), Kind::Srv).expect("an answer");
        assert_eq!(answer.servers().len(), 1, "{name}");
    }
    let replicas = consul.ask("redis-replica.service.consul", Kind::Srv).expect("an answer").servers();
    assert_eq!(replicas.iter().map(|server| server.1).collect::<Vec<_>>(), [7002]);
}

#[test]
fn a_failover_is_one_transaction_and_the_history_remembers_it() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let first = bench.written(claim(Fence(0), 1, 7001, None));
    let second = bench.written(claim(first, 2, 7002, Some(7001)));
    assert!(second > first);
    assert_eq!(consul.ports_of("redis"), [7002].into());
    let history = consul.kv_json("consentinel/mymaster/history").expect("a history");
    assert_eq!(history[0]["epoch"], 2);
    assert_eq!(
        (&history[0]["from"], &history[0]["to"]),
        (&json!("127.0.0.1:7001"), &json!("127.0.0.1:7002"))
    );
    let mut fence = second;
    for epoch in 3..30 {
        let (from, to) = (7000 + epoch as u16 - 1, 7000 + epoch as u16);
        fence = bench.written(claim(fence, epoch, to, Some(from)));
    }
    let history = consul.kv_json("consentinel/mymaster/history").expect("a history");
    let history = history.as_array().expect("a list");
    assert_eq!((history.len(), &history[0]["epoch"], &history[19]["epoch"]), (20, &json!(10), &json!(29)));
}

#[test]
fn who_comes_with_an_old_fence_bounces_off_whole() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let (mut quick, mut late) = (Bench::at(&consul.address()), Bench::at(&consul.address()));
    late.look();
    quick.look();
    quick.written(claim(Fence(0), 2, 7002, None));
    assert_eq!(late.write(claim(Fence(0), 1, 7001, None)), RegistryEvent::Stale);
    assert_eq!(consul.ports_of("redis"), [7002].into());
    let stale = hold(Fence(1), record(1, 7001), false, vec![entry(Role::Replica, 1, 7003)]);
    assert_eq!(quick.write(stale), RegistryEvent::Stale);
    assert!(consul.ports_of("redis-replica").is_empty());
}

#[test]
fn changes_of_others_are_told_and_our_own_are_not() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let fence = bench.written(claim(Fence(0), 1, 7001, None));
    bench.written(hold(fence, record(1, 7001), false, vec![entry(Role::Replica, 1, 7002)]));
    bench.stays_silent();

    consul.deregister(NODE, Some("redis-replica:127.0.0.1:7002"));
    let seen = bench.seen();
    assert_eq!(seen.entries, [entry(Role::Master, 1, 7001)]);

    let stranger = json!({ "Node": NODE, "Address": "127.0.0.1", "SkipNodeUpdate": true,
        "Service": { "ID": "x", "Service": "redis", "Port": 1 } });
    consul.put("/v1/catalog/register", &stranger);
    assert_eq!(bench.seen().damaged, ["x"]);
    let check = json!({ "Node": NODE, "Address": "127.0.0.1", "SkipNodeUpdate": true,
        "Check": { "CheckID": "dead", "Name": "dead", "Status": "critical" } });
    consul.put("/v1/catalog/register", &check);
    assert_eq!(bench.seen().damaged, ["check:dead", "x"]);

    let mut repair = hold(fence, record(1, 7001), false, vec![entry(Role::Replica, 1, 7002)]);
    repair.sweep = vec!["check:dead".into(), "x".into()];
    bench.written(repair);
    bench.stays_silent();
    let seen = bench.look();
    assert_eq!((seen.entries.len(), seen.damaged.len()), (2, 0));

    consul.deregister(NODE, None);
    let seen = bench.seen();
    assert!(seen.entries.is_empty() && !seen.node_intact && seen.record.is_some());
    consul.delete_kv("consentinel/mymaster/state");
    assert_eq!(bench.seen().record, None);
}

#[test]
fn altered_entries_are_damaged_and_a_write_mends_them() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let fence = bench.written(claim(Fence(0), 1, 7001, None));
    let id = "redis:127.0.0.1:7001";
    let altered = json!({ "Node": NODE, "Address": "127.0.0.1", "SkipNodeUpdate": true,
        "Service": { "ID": id, "Service": "redis", "Address": "127.0.0.1", "Port": 7001, "Tags": ["mine"] } });
    consul.put("/v1/catalog/register", &altered);
    let seen = bench.seen();
    assert_eq!((seen.entries.len(), seen.damaged.as_slice()), (0, &[id.to_owned()][..]));
    let mut repair = hold(fence, record(1, 7001), false, vec![entry(Role::Master, 1, 7001)]);
    repair.sweep = seen.damaged;
    bench.written(repair);
    assert_eq!(bench.look().entries, [entry(Role::Master, 1, 7001)]);

    let critical = json!({ "Node": NODE, "Address": "127.0.0.1", "SkipNodeUpdate": true,
        "Check": { "CheckID": format!("role:{id}"), "Name": "role", "ServiceID": id, "Status": "critical",
            "Output": "it answers" } });
    consul.put("/v1/catalog/register", &critical);
    let seen = bench.seen();
    assert_eq!((seen.entries[0].health, seen.damaged.len()), (Health::Critical, 0));
}

#[test]
fn one_daemon_holds_the_lock_and_the_next_gets_it_when_it_is_given_back() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let (mut first, mut second) = (Bench::at(&consul.address()), Bench::at(&consul.address()));
    first.look();
    let fence = first.written(claim(Fence(0), 1, 7001, None));
    second.look();
    let locked = hold(fence, record(1, 7001), true, vec![entry(Role::Replica, 1, 7002)]);
    assert_eq!(first.write(locked.clone()), RegistryEvent::Stale);

    first.locks();
    second.ask(RegistryRequest::Lock);
    second.sees(Lock::Theirs);
    first.written(locked.clone());
    assert_eq!(second.write(locked.clone()), RegistryEvent::Stale);

    first.ask(RegistryRequest::Unlock);
    first.sees(Lock::Free);
    second.sees(Lock::Free);
    second.ask(RegistryRequest::Lock);
    second.sees(Lock::Ours);
}

#[test]
fn a_session_that_was_lost_is_made_anew() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.locks();
    let id = consul.sessions()[0]["ID"].as_str().expect("an id").to_owned();
    consul.put(&format!("/v1/session/destroy/{id}"), &json!(null));
    bench.sees(Lock::Free);
    bench.ask(RegistryRequest::Lock);
    bench.sees(Lock::Ours);
    assert_eq!(consul.sessions().len(), 1);
}

#[test]
fn a_clean_end_leaves_the_entries_and_nothing_else() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    bench.written(claim(Fence(0), 1, 7001, None));
    bench.locks();
    let sentinels = || consul.entries("redis-sentinel");
    eventually("the sentinel is registered", PATIENCE, || (sentinels().len() == 1).then_some(()));
    assert_eq!(sentinels()[0]["Service"]["Tags"], json!(["mymaster"]));
    bench.stop();
    assert!(consul.sessions().is_empty());
    eventually("the sentinel is gone", PATIENCE, || sentinels().is_empty().then_some(()));
    assert_eq!(consul.ports_of("redis"), [7001].into());
}

#[test]
fn a_large_group_is_written_in_parts_and_the_master_first() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let mut transaction = claim(Fence(0), 1, 7000, None);
    transaction.set.extend((7001..7200).map(|port| entry(Role::Replica, 1, port)));
    let all = transaction.set.clone();
    bench.written(transaction);
    assert_eq!(bench.look().entries, all);
    bench.stays_silent();
}

#[test]
fn in_a_dry_run_nothing_is_written() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::with(&consul.address(), |settings| settings.dry_run = true);
    bench.look();
    assert_eq!(bench.written(claim(Fence(0), 1, 7001, None)), Fence(0));
    bench.ask(RegistryRequest::Lock);
    let seen = bench.seen();
    assert_eq!((seen.lock, seen.entries.len(), seen.record.is_some()), (Lock::Ours, 1, true));
    bench.stays_silent();
    assert!(consul.ports_of("redis").is_empty() && consul.sessions().is_empty());
    assert!(consul.kv("consentinel/mymaster/state").is_none());
}

#[test]
fn a_consul_that_is_gone_is_told_once_and_its_return_too() {
    let folder = Folder::new();
    let mut consul = Consul::start_new(&folder, &ConsulOptions { on_disk: true, ..Default::default() });
    let mut bench = Bench::at(&consul.address());
    bench.look();
    bench.written(claim(Fence(0), 1, 7001, None));
    bench.stays_silent();
    consul.kill();
    assert_eq!(bench.failed().kind, RegistryFault::Unreachable);
    consul.start();
    let deadline = Instant::now() + PATIENCE;
    let mut tries = 1;
    let published = loop {
        assert!(Instant::now() < deadline, "it does not return");
        bench.ask(RegistryRequest::Look { tries });
        match bench.next() {
            RegistryEvent::Seen(published) => break published,
            _ => tries += 1,
        }
    };
    assert_eq!(published.record, Some(record(1, 7001)));
    assert!(bench.registrar.gauge().counters().trouble.is_none());
}

#[test]
fn with_nobody_left_to_publish_the_agent_makes_the_entries_critical_by_itself() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let critical = |settings: &mut ConsulSettings| {
        settings.set("on-publishers-lost", &["critical"]).expect("a setting");
    };
    let mut bench = Bench::with(&consul.address(), critical);
    bench.look();
    bench.written(claim(Fence(0), 1, 7001, None));
    bench.ask(RegistryRequest::Lock);
    assert_eq!(bench.seen().lock, Lock::Ours);
    eventually("the will is with the agent", PATIENCE, || {
        consul.get("/v1/agent/service/consentinel-will:26379").map(drop)
    });
    assert_eq!(consul.ports_of("redis"), [7001].into());
    drop(bench);
    let named = || consul.ask("redis.service.consul", Kind::Srv).expect("an answer").servers().len();
    eventually("nobody is named any more", PATIENCE, || (named() == 0).then_some(()));

    // Whoever comes back with the other setting takes the will back.
    let _bench = Bench::at(&consul.address());
    eventually("the will is gone", PATIENCE, || {
        consul.get("/v1/agent/service/consentinel-will:26379").is_none().then_some(())
    });
}

#[test]
fn a_consul_that_stands_still_is_silent_and_what_is_asked_meanwhile_is_not_lost() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let fence = bench.written(claim(Fence(0), 1, 7001, None));
    bench.stays_silent();
    consul.pause();
    let begin = Instant::now();
    let second = claim(fence, 2, 7002, Some(7001));
    let RegistryEvent::Failed(error) = bench.write(second.clone()) else { panic!("it stands still") };
    assert_eq!(error.kind, RegistryFault::Silent);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    consul.resume();
    // It may have taken effect after all.
    let seen = bench.look();
    if seen.record != Some(record(2, 7002)) {
        assert!(matches!(bench.write(second), RegistryEvent::Written(_) | RegistryEvent::Stale));
    }
    eventually("the second is published", PATIENCE, || {
        (consul.ports_of("redis") == [7002].into()).then_some(())
    });
}

#[test]
fn an_agent_that_has_forgotten_the_sentinel_is_told_again() {
    let folder = Folder::new();
    let mut consul = Consul::dev(&folder);
    let mut bench = Bench::at(&consul.address());
    bench.look();
    let registered = |consul: &Consul| {
        eventually("the sentinel is registered", PATIENCE, || {
            (consul.entries("redis-sentinel").len() == 1).then_some(())
        });
    };
    registered(&consul);
    consul.kill();
    consul.start();
    registered(&consul);
}

#[test]
fn a_hundred_groups_take_no_more_connections_than_one_and_no_request_when_nothing_changes() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let port = consul.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let mut bench =
        Bench::with(&consul.address(), |settings| settings.service_template = "s-{master}".into());
    let groups: Vec<GroupName> = (0..100).map(|at| GroupName::new(&format!("g{at}"))).collect();
    let mut most = 0;
    for group in &groups {
        bench.registrar.ask(group.clone(), RegistryRequest::Look { tries: 0 });
    }
    groups.iter().for_each(|_| drop(bench.seen()));
    for group in &groups {
        bench.registrar.ask(group.clone(), RegistryRequest::Write(Box::new(claim(Fence(0), 1, 7001, None))));
        bench.registrar.ask(group.clone(), RegistryRequest::Lock);
    }
    let mut locked = 0;
    eventually("all are published and locked", PATIENCE, || {
        most = most.max(connections_to(std::process::id(), port));
        while let Ok(Input::Registry { event, .. }) = bench.inputs.try_recv() {
            locked += usize::from(matches!(event, RegistryEvent::Seen(seen) if seen.lock == Lock::Ours));
        }
        (locked >= groups.len()).then_some(())
    });
    assert!((2..=8).contains(&most), "{most} connections");
    let quiet = consentinel_lab::poll_until(Duration::from_secs(2), || {
        let requests = bench.registrar.gauge().counters().requests;
        consentinel_lab::poll_until(Duration::from_millis(300), || {
            (bench.registrar.gauge().counters().requests != requests).then_some(())
        })
        .is_none()
        .then_some(())
    });
    assert!(quiet.is_some(), "there are requests all the time");
    while bench.inputs.try_recv().is_ok() {}
    let last = groups.last().expect("one");
    consul.put_kv(&format!("consentinel/{last}/state"), &json!("what is this"));
    assert!(bench.seen().record.is_none());
    assert_eq!(bench.registrar.gauge().counters().watched, 100);
    bench.registrar.ask(groups[0].clone(), RegistryRequest::Forget);
    eventually("one is forgotten", PATIENCE, || {
        (bench.registrar.gauge().counters().watched == 99).then_some(())
    });
}
