//! Somebody who can publish on a Redis server, or connect to a sentinel, forges hellos.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, GROUP, Program, Setup, Value, eventually};
use std::time::Duration;

/// What a failover takes with a down-after of one second, on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

/// A hello as it is published.
fn hello(addr: (&str, u16), id: &str, current: u64, master: u16, config: u64) -> String {
    format!("{},{},{id},{current},{GROUP},127.0.0.1,{master},{config}", addr.0, addr.1)
}

/// Publishes it on every Redis server, and on every sentinel's own port.
fn publish_everywhere(cluster: &Cluster, hello: &str) {
    let words = ["PUBLISH", "__sentinel__:hello", hello];
    for redis in &cluster.redis {
        let _ = redis.call(&words);
    }
    for sentinel in &cluster.sentinels {
        let _ = sentinel.call(&words);
    }
}

fn wait_for_line(cluster: &Cluster, line: &str) {
    for sentinel in &cluster.sentinels[1..] {
        eventually("the forgery is told in the log", PATIENCE, || {
            sentinel.log().contains(line).then_some(())
        });
    }
}

#[test]
fn one_message_takes_over_nothing() {
    let cluster = Cluster::start(&three_daemons());
    let (first, port, replica) = (&cluster.sentinels[0], cluster.redis[0].port, cluster.redis[1].port);
    let id = first.id();
    publish_everywhere(&cluster, &hello(("127.0.0.1", first.port), &id, 9, replica, 9));
    // Each of the others has asked the sentinel that is said to know better.
    wait_for_line(&cluster, "not believed");
    // One that answers where it is has not moved, and nobody has taken its place.
    publish_everywhere(&cluster, &hello(("127.0.0.1", 1), &id, 0, port, 0));
    publish_everywhere(&cluster, &hello(("127.0.0.1", first.port), &"7".repeat(40), 0, port, 0));
    publish_everywhere(&cluster, &hello(("127.0.0.1", first.port), &id, 1 << 62, port, 0));
    wait_for_line(&cluster, "is refused: it is more than");
    for sentinel in &cluster.sentinels {
        assert_eq!(sentinel.master_port(), Some(port));
        assert!(!sentinel.log().contains("+switch-master"), "{}", sentinel.log());
        assert!(!sentinel.log().contains("+sentinel-address-switch"), "{}", sentinel.log());
        assert_eq!(sentinel.sentinels().len(), 2);
    }
    for redis in &cluster.redis[1..] {
        assert_eq!(redis.follows(), Some(port));
    }
    // And there are epochs left to fail over in.
    cluster.redis[0].call(&["SHUTDOWN", "NOSAVE"]);
    cluster.wait_for_new_master(0, PROMPT);
}

#[test]
fn sentinels_that_do_not_exist_do_not_make_a_majority_unreachable() {
    let mut cluster = Cluster::start(&three_daemons());
    let port = cluster.redis[0].port;
    for number in 0..100_u32 {
        publish_everywhere(&cluster, &hello(("127.0.0.1", 1), &format!("{number:040x}"), 0, port, 0));
    }
    // One that listens, but is somebody else.
    publish_everywhere(&cluster, &hello(("127.0.0.1", cluster.redis[1].port), &"8".repeat(40), 0, port, 0));
    for sentinel in &cluster.sentinels {
        let check = sentinel.call(&["SENTINEL", "CKQUORUM", GROUP]).expect("it answers");
        assert!(check.text().is_some_and(|text| text.starts_with("OK 3 usable Sentinels")), "{check:?}");
        assert_eq!(sentinel.sentinels().len(), 2, "{}", sentinel.log());
    }
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PROMPT);
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
    // What was never true is not in the file, nor known after a restart.
    for sentinel in &mut cluster.sentinels {
        sentinel.terminate();
        sentinel.start();
        assert_eq!(sentinel.config_text().matches("known-sentinel").count(), 2, "{}", sentinel.config_text());
    }
}

/// One line that a restart cannot read would stop all sentinels at once.
#[test]
fn what_is_no_identity_is_neither_learned_nor_voted_for() {
    let mut cluster = Cluster::start(&three_daemons());
    let port = cluster.redis[0].port;
    for id in ["x", "a;b", "\"", "6df32341", &"f".repeat(41)] {
        publish_everywhere(&cluster, &hello(("127.0.0.1", 1), id, 0, port, 0));
    }
    for sentinel in &cluster.sentinels {
        let vote =
            ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", &port.to_string(), "1", &"x".repeat(9000)];
        let answer = sentinel.call(&vote).expect("it answers");
        assert_eq!(answer.items().get(1).and_then(Value::text), Some("*"), "{answer:?}");
    }
    for sentinel in &mut cluster.sentinels {
        sentinel.terminate();
        sentinel.start();
        assert_eq!(sentinel.config_text().matches("known-sentinel").count(), 2, "{}", sentinel.config_text());
        assert_eq!(sentinel.master_port(), Some(port));
    }
}

/// Sentinels of both kinds confirm each other's hellos by what the original answers, too.
#[test]
fn an_original_that_leads_is_believed() {
    let cluster = Cluster::start(&Setup::new(vec![ours(), Program::Original, ours()]));
    cluster.redis[0].call(&["SET", "key", "value"]);
    let answer = cluster.sentinels[1].call(&["SENTINEL", "FAILOVER", GROUP]).expect("it answers");
    assert_eq!(answer.text(), Some("OK"));
    let new = cluster.wait_for_new_master(0, PATIENCE);
    for sentinel in &cluster.sentinels {
        eventually("all name the new one", PATIENCE, || {
            (sentinel.master_port() == Some(cluster.redis[new].port)).then_some(())
        });
        assert!(!sentinel.log().contains("not believed"), "{}", sentinel.log());
    }
}
