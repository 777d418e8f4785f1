//! What newer releases of Consul refuse.

use super::consul_stage::{is_named, is_published};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Consul, Extra, Folder, Mood, NewerConsul, Sentinel, Value, eventually};

/// Three daemons that publish into an agent of a newer release.
struct Newer {
    cluster: Cluster,
    agent: NewerConsul,
    consul: Consul,
    _folder: Folder,
}

impl Newer {
    fn start(mood: Mood) -> Newer {
        let folder = Folder::new();
        let consul = Consul::dev(&folder);
        let agent = NewerConsul::before(&consul, mood);
        let cluster = Cluster::start(&three_daemons().with(&Extra::consul(&agent.address())));
        is_published(&consul, &cluster, 0);
        Newer { cluster, agent, consul, _folder: folder }
    }
}

/// Starts it again with further lines in its configuration.
fn change_config(sentinel: &mut Sentinel, lines: &str) {
    sentinel.terminate();
    std::fs::write(sentinel.config(), sentinel.config_text() + lines).expect("the folder is ours");
    sentinel.start();
}

/// Since 2.0 a service keeps its name for as long as it has its ID, and an ID has no big and small letters.
#[test]
fn a_service_gets_the_same_name_in_other_letters_and_failovers_are_published() {
    let mut stage = Newer::start(Mood::Newest);
    for sentinel in &mut stage.cluster.sentinels {
        change_config(sentinel, "\nsentinel consul service-template Redis\n");
    }
    let named = |consul: &Consul, port: u16| {
        eventually("the service has its new name, and the master stands there", PATIENCE, || {
            let entries = consul.entries("Redis");
            let [entry] = &entries[..] else { return None };
            let service = &entry["Service"];
            (service["Service"] == "Redis" && service["Port"] == port).then_some(())
        });
    };
    named(&stage.consul, stage.cluster.redis[0].port);
    stage.cluster.redis[0].kill();
    let new = stage.cluster.wait_for_new_master(0, PATIENCE);
    named(&stage.consul, stage.cluster.redis[new].port);
    assert_eq!(stage.agent.refused(), Vec::<String>::new());
}

#[test]
fn a_name_with_two_dots_is_refused_where_consul_refuses_it() {
    let mut stage = Newer::start(Mood::WithoutDots);
    let master = stage.cluster.redis[0].port.to_string();
    let lines =
        format!("\nsentinel monitor a..b 127.0.0.1 {master} 1\nsentinel consul-service a..b two-dots\n");
    // It starts all the same: it can fail over what it cannot publish.
    change_config(&mut stage.cluster.sentinels[0], &lines);
    eventually("it says why nothing is published", PATIENCE, || {
        let answer = stage.cluster.sentinels[0].call(&["SENTINEL", "CONSUL", "a..b"])?;
        answer.fields().get("error")?.contains("two dots in a row").then_some(())
    });
    let others = ["SENTINEL", "MONITOR", "c..d", "127.0.0.1", &master, "2"];
    let refused = stage.cluster.sentinels[0].call(&others).expect("it answers");
    assert!(refused.error().is_some_and(|error| error.contains("'c..d'")), "{refused:?}");
}

#[test]
fn limits_and_lost_leaders_are_told_apart_and_outlived() {
    let mut stage = Newer::start(Mood::Newest);
    let all_say = |stage: &Newer, state: &str| {
        let line = format!("consul_state:{state}\r\n");
        let says = |sentinel: &Sentinel| {
            let answer = sentinel.call(&["INFO", "consul"]);
            answer.as_ref().and_then(Value::text).is_some_and(|text| text.contains(&line))
        };
        eventually(&line, PATIENCE, || stage.cluster.sentinels.iter().all(says).then_some(()));
    };
    stage.agent.becomes(Mood::Limiting);
    all_say(&stage, "limited");
    // The first refusal is in INFO; the log waits for the second one in a row.
    eventually("all logs say that it limits us", PATIENCE, || {
        stage.cluster.sentinels.iter().all(|sentinel| sentinel.log().contains("limits us")).then_some(())
    });
    stage.agent.becomes(Mood::Newest);
    all_say(&stage, "ok");
    stage.agent.becomes(Mood::Leaderless);
    all_say(&stage, "leaderless");
    stage.agent.becomes(Mood::Newest);
    all_say(&stage, "ok");
    stage.agent.becomes(Mood::Leaderless);
    stage.cluster.redis[0].kill();
    let new = stage.cluster.wait_for_new_master(0, PATIENCE);
    stage.agent.becomes(Mood::Newest);
    is_named(&stage.consul, stage.cluster.redis[new].port);
}
