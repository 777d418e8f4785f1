//! Connections to servers: one for everything where the server speaks RESP3, two where it does not.

use super::topologies::{accepted, kill_and_return};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, GROUP, Redis, Value, eventually};

/// The lines of CLIENT LIST that are of sentinels.
fn sentinels_at(redis: &Redis) -> Vec<String> {
    let list = redis.call(&["CLIENT", "LIST"]);
    let text = list.as_ref().and_then(Value::text).unwrap_or_default();
    text.lines().filter(|line| line.contains(" name=sentinel-")).map(str::to_owned).collect()
}

/// Flags and protocol of those whose name ends so.
fn how(lines: &[String], ending: &str) -> Vec<String> {
    let of = |line: &str, field: &str| {
        let value = line.split(' ').find_map(|word| word.strip_prefix(field));
        value.unwrap_or_default().to_owned()
    };
    let named = lines.iter().filter(|line| of(line, "name=").ends_with(ending));
    named.map(|line| format!("{} {}", of(line, "flags="), of(line, "resp="))).collect()
}

#[test]
fn commands_and_hellos_share_a_connection() {
    let mut cluster = Cluster::start(&three_daemons());
    for redis in &cluster.redis {
        eventually("every sentinel has one connection, which is subscribed", PATIENCE, || {
            let lines = sentinels_at(redis);
            (lines.len() == 3 && how(&lines, "-cmd") == ["P 3"; 3]).then_some(())
        });
    }
    let first = kill_and_return(&mut cluster, 0);
    // The connection is cut: both links come back.
    for redis in &cluster.redis {
        assert!(redis.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).is_some());
    }
    for redis in &cluster.redis {
        eventually("they are back", PATIENCE, || {
            (how(&sentinels_at(redis), "-cmd") == ["P 3"; 3]).then_some(())
        });
    }
    cluster.wait_until_settled(first);
}

#[test]
fn a_server_that_does_not_know_hello_gets_two() {
    let mut setup = three_daemons();
    setup.serving.lines.push("rename-command HELLO \"\"".into());
    let mut cluster = Cluster::start(&setup);
    let in_twos = |redis: &Redis| {
        let lines = sentinels_at(redis);
        let all = lines.len() == 6 && how(&lines, "-cmd") == ["N 2"; 3];
        (all && how(&lines, "-pubsub") == ["P 2"; 3]).then_some(())
    };
    for redis in &cluster.redis {
        eventually("every sentinel has two connections", PATIENCE, || in_twos(redis));
    }
    let first = kill_and_return(&mut cluster, 0);
    cluster.wait_until_settled(first);
    eventually("so it is with the new master", PATIENCE, || in_twos(&cluster.redis[first]));
}

/// A subscription that carries nothing is given up, and tried on a connection of its own.
#[test]
fn a_subscription_that_was_denied_is_tried_on_its_own() {
    let cluster = Cluster::start(&three_daemons());
    let master = &cluster.redis[0];
    accepted(master.call(&["ACL", "SETUSER", "default", "-subscribe"]));
    assert!(master.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).is_some());
    eventually("nobody is subscribed", PATIENCE, || {
        let lines = sentinels_at(master);
        (how(&lines, "-pubsub").len() == 3 && how(&lines, "-cmd") == ["N 3"; 3]).then_some(())
    });
    accepted(master.call(&["ACL", "SETUSER", "default", "+subscribe"]));
    eventually("the subscriptions stand on connections of their own", PATIENCE, || {
        (how(&sentinels_at(master), "-pubsub") == ["P 2"; 3]).then_some(())
    });
    for sentinel in &cluster.sentinels {
        let reply = sentinel.call(&["SENTINEL", "CKQUORUM", GROUP]);
        let text = reply.as_ref().and_then(Value::text).unwrap_or_default();
        assert!(text.starts_with("OK 3 usable Sentinels"), "{text}");
    }
}
