//! Somebody meddles with what is published, or with the lock: it is put right.

use super::consul_stage::{NODE, SERVICE, STATE, Stage, epoch, is_published, says};
use crate::PATIENCE;
use consentinel_lab::{Consul, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What a repair may take: it is noticed by a request that waits for it.
const AT_ONCE: Duration = Duration::from_secs(2);

fn lock_holder(stage: &Stage) -> Option<usize> {
    (0..stage.cluster.sentinels.len()).find(|it| says(&stage.cluster, *it, "lock").as_deref() == Some("ours"))
}

fn wait_for_a_lock_holder(stage: &Stage) -> usize {
    eventually("somebody holds the lock", PATIENCE, || lock_holder(stage))
}

/// Waits until everything is as it should be, and checks that it did not take long.
fn is_repaired(stage: &Stage, what: &str) {
    let begin = Instant::now();
    is_published(&stage.consul, &stage.cluster, 0);
    let took = begin.elapsed();
    assert!(took < AT_ONCE, "{what}: repaired after {took:?}");
}

/// The master's entry, for another registration of the same.
fn master(consul: &Consul) -> Value {
    let entry = consul.entries("redis").remove(0);
    let service = &entry["Service"];
    json!({
        "Node": NODE, "SkipNodeUpdate": true,
        "Service": { "ID": service["ID"], "Service": "redis", "Address": service["Address"], "Port": service["Port"],
            "Tags": service["Tags"], "Meta": service["Meta"] },
    })
}

#[test]
fn whatever_is_removed_or_altered_is_put_back_at_once() {
    let stage = Stage::set();
    wait_for_a_lock_holder(&stage);
    let consul = &stage.consul;
    let before = epoch(consul);
    let id = format!("redis:127.0.0.1:{}", stage.cluster.redis[0].port);
    let replica = format!("redis-replica:127.0.0.1:{}", stage.cluster.redis[1].port);
    let meddle: [(&str, &dyn Fn()); 8] = [
        ("the master's entry is removed", &|| consul.deregister(NODE, Some(&id))),
        ("a replica's entry is removed", &|| consul.deregister(NODE, Some(&replica))),
        ("the node is removed", &|| consul.deregister(NODE, None)),
        ("the master gets another port", &|| {
            let mut altered = master(consul);
            altered["Service"]["Port"] = 1.into();
            drop(consul.put("/v1/catalog/register", &altered));
        }),
        ("the master loses its tags", &|| {
            let mut altered = master(consul);
            altered["Service"]["Tags"] = json!([]);
            drop(consul.put("/v1/catalog/register", &altered));
        }),
        ("another master is added on our node", &|| {
            let stranger = json!({ "ID": "stranger", "Service": "redis", "Address": "127.0.0.1", "Port": 9 });
            let body = json!({ "Node": NODE, "SkipNodeUpdate": true, "Service": stranger });
            drop(consul.put("/v1/catalog/register", &body));
        }),
        ("the master is called critical", &|| {
            let check = json!({ "Node": NODE, "CheckID": format!("role:{id}"), "Name": "role", "Status": "critical",
                "ServiceID": id });
            drop(consul.put(
                "/v1/catalog/register",
                &json!({ "Node": NODE, "SkipNodeUpdate": true, "Check": check }),
            ));
        }),
        ("the record is removed", &|| consul.delete_kv(STATE)),
    ];
    for (what, deed) in meddle {
        deed();
        is_repaired(&stage, what);
        assert_eq!(consul.ports_of("redis").len(), 1, "{what}");
    }
    assert_eq!(epoch(consul), before, "a repair is no failover");
}

#[test]
fn a_record_that_nobody_understands_is_replaced() {
    let stage = Stage::set();
    stage.consul.put_kv(STATE, &json!("what is this?"));
    is_repaired(&stage, "nonsense in the record");
    let new_tags = json!({ "Node": NODE, "Address": "10.0.0.1", "NodeMeta": { "epoch": "999" } });
    stage.consul.put("/v1/catalog/register", &new_tags);
    eventually("the node is as it was", PATIENCE, || {
        let message = stage.consul.ask(SERVICE, consentinel_lab::Kind::Srv).ok()?;
        (message.text("epoch") == Some("0") && message.text("external-node") == Some("true")).then_some(())
    });
}

#[test]
fn a_session_that_is_taken_away_is_made_anew() {
    let stage = Stage::set();
    wait_for_a_lock_holder(&stage);
    for _ in 0..3 {
        for session in stage.consul.sessions() {
            let id = session["ID"].as_str().expect("a session has an id");
            stage.consul.put(&format!("/v1/session/destroy/{id}"), &Value::Null);
        }
        wait_for_a_lock_holder(&stage);
    }
    is_published(&stage.consul, &stage.cluster, 0);
}

#[test]
fn when_the_holder_of_the_lock_dies_another_one_says_how_well_the_replicas_are() {
    let mut stage = Stage::set();
    let holder = wait_for_a_lock_holder(&stage);
    stage.cluster.sentinels[holder].kill();
    stage.cluster.redis[1].kill();
    let replica = stage.cluster.redis[1].port;
    eventually("the replica is critical", PATIENCE, || {
        let entries = stage.consul.entries("redis-replica");
        let entry = entries.into_iter().find(|entry| entry["Service"]["Port"] == replica)?;
        (entry["Checks"][0]["Status"] == "critical").then_some(())
    });
    let holder = wait_for_a_lock_holder(&stage);
    stage.cluster.redis[1].start();
    is_published(&stage.consul, &stage.cluster, 0);
    // One that ends by order gives the lock back: the next one need not wait for the session's end, and may have it already.
    let lock = |stage: &Stage| {
        stage.consul.get("/v1/kv/consentinel/mymaster/lock").map(|found| found[0]["Session"].to_string())
    };
    let ours = lock(&stage).expect("somebody holds it");
    let begin = Instant::now();
    stage.cluster.sentinels[holder].terminate();
    assert_ne!(lock(&stage), Some(ours));
    assert!(begin.elapsed() < AT_ONCE);
}
