//! Connections to servers: one for everything where the server speaks RESP3, two where it does not.

use super::topologies::{accepted, kill_and_return};
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{
    Cluster, Extra, Folder, GROUP, Pretender, Redis, Sentinel, Value, Visitor, eventually,
};

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

/// Its address is remembered: it is not asked again whether it speaks RESP3.
#[test]
fn a_server_that_says_resp3_and_does_not_mean_it_gets_two() {
    let folder = Folder::new();
    let server = Pretender::start();
    let config = format!("sentinel monitor {GROUP} 127.0.0.1 {} 1\n", server.port);
    let sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::default());
    let in_two = |visitors: &[Visitor]| {
        let open: Vec<_> = visitors.iter().filter(|visitor| visitor.is_open).collect();
        let subscribed = open.iter().position(|visitor| visitor.said("SUBSCRIBE") == 1)?;
        let (commands, hellos) = (open.get(1 - subscribed.min(1))?, open[subscribed]);
        let alone = open.len() == 2 && hellos.said("INFO") == 0 && commands.said("SUBSCRIBE") == 0;
        alone.then(|| commands.said("PUBLISH"))
    };
    // A subscription that carried nothing would have been given up by then.
    let visitors =
        eventually("commands and hellos have connections of their own, which last", PATIENCE, || {
            let visitors = server.visitors();
            (in_two(&visitors)? >= 5).then_some(visitors)
        });
    let first = &visitors[0];
    assert!(first.said("HELLO") == 1 && first.said("SUBSCRIBE") == 1, "{first:?}");
    assert!(visitors[1..].iter().all(|visitor| visitor.said("HELLO") == 0), "{visitors:?}");
    assert_eq!(visitors.len(), 3, "nothing was opened more than once: {visitors:?}");
    assert_eq!(sentinel.master().get("flags").map(String::as_str), Some("master"));
    assert!(!sentinel.log().contains("+sdown"), "{}", sentinel.log());
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
