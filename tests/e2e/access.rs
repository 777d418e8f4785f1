//! Servers and sentinels that do not let everybody do everything.

use super::topologies::{accepted, kill_and_return};
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Client, Cluster, Extra, Fields, GROUP, Program, Sentinel, Setup, eventually};
use std::time::{Duration, Instant};

#[test]
fn passwords_of_servers_are_used_and_changed_while_running() {
    let mut setup = three_daemons();
    setup.serving.password = Some("the-first".into());
    let mut cluster = Cluster::start(&setup);
    let first = kill_and_return(&mut cluster, 0);

    // A new password, which the servers keep in their files.
    for redis in &mut cluster.redis {
        accepted(redis.call(&["CONFIG", "SET", "requirepass", "the-second", "masterauth", "the-second"]));
        redis.password = Some("the-second".into());
        accepted(redis.call(&["CONFIG", "REWRITE"]));
        // The connections that the old password opened are ended.
        assert!(redis.call(&["CLIENT", "KILL", "TYPE", "normal"]).is_some());
        assert!(redis.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).is_some());
    }
    for sentinel in &cluster.sentinels {
        accepted(sentinel.call(&["SENTINEL", "SET", GROUP, "auth-pass", "the-second"]));
    }
    cluster.wait_until_settled(first);
    let second = kill_and_return(&mut cluster, first);

    // A user with no more rights than a sentinel needs.
    for redis in &cluster.redis {
        let rights = "on >of-the-user allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role \
                      +publish +info +client|setname +client|kill +script|kill +client|pause +client|unpause";
        let words: Vec<_> = ["ACL", "SETUSER", "watcher"].into_iter().chain(rights.split(' ')).collect();
        accepted(redis.call(&words.iter().copied().filter(|word| !word.is_empty()).collect::<Vec<_>>()));
        assert!(redis.call(&["CONFIG", "REWRITE"]).is_some());
    }
    for sentinel in &mut cluster.sentinels {
        let words = ["SENTINEL", "SET", GROUP, "auth-user", "watcher", "auth-pass", "of-the-user"];
        accepted(sentinel.call(&words));
        sentinel.terminate();
        sentinel.start();
    }
    cluster.wait_until_settled(second);
    let clients = cluster.redis[second].call(&["CLIENT", "LIST"]).expect("the master answers");
    let clients = clients.text().unwrap_or_default();
    let watching: Vec<_> = clients.lines().filter(|line| line.contains(" name=sentinel-")).collect();
    assert!(watching.len() == 3 && watching.iter().all(|line| line.contains("user=watcher")), "{clients}");
    kill_and_return(&mut cluster, second);
}

/// The original needs a tenth of a second.
const AT_ONCE: Duration = Duration::from_secs(3);

/// As the original shows it: operators look at the flags after they have changed a password.
#[test]
fn a_wrong_password_shows_as_disconnected_long_before_the_server_counts_as_down() {
    let mut setup = Setup::new(vec![Program::Original, ours()]);
    setup.serving.password = Some("the-first".into());
    setup.down_after = PATIENCE * 6;
    let mut cluster = Cluster::start(&setup);
    for redis in &mut cluster.redis {
        accepted(redis.call(&["CONFIG", "SET", "requirepass", "the-second", "masterauth", "the-second"]));
        redis.password = Some("the-second".into());
        assert!(redis.call(&["CLIENT", "KILL", "TYPE", "normal"]).is_some());
        assert!(redis.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).is_some());
    }
    let missing = |fields: &Fields| fields["flags"].split(',').any(|flag| flag == "disconnected");
    for sentinel in &cluster.sentinels {
        eventually("all servers show as disconnected", AT_ONCE, || {
            let replicas = sentinel.replicas();
            (replicas.len() == 2 && missing(&sentinel.master()) && replicas.iter().all(missing)).then_some(())
        });
        assert!(!sentinel.master()["flags"].contains("down"), "{:?}", sentinel.master());
    }
    for sentinel in &cluster.sentinels {
        accepted(sentinel.call(&["SENTINEL", "SET", GROUP, "auth-pass", "the-second"]));
        eventually("all servers are connected", PATIENCE, || {
            let replicas = sentinel.replicas();
            (!missing(&sentinel.master()) && !replicas.iter().any(missing)).then_some(())
        });
    }
}

/// Sentinels let each other in as a user with no more rights than that takes, and everybody else by a password.
/// What one sentinel asks of another.
const AMONG_SENTINELS: &str = "+ping +auth +hello +publish +client|setname +client|getname \
     +sentinel|is-master-down-by-addr +sentinel|myid +sentinel|get-master-addr-by-name +sentinel|master";

fn with_rights_among_sentinels(rights: &str) -> Cluster {
    let rights = format!("on >among-sentinels resetchannels &__sentinel__:hello -@all {rights}");
    let extra = Extra::default()
        .password("of-the-clients")
        .line(&format!("user peer {}", rights.split_whitespace().collect::<Vec<_>>().join(" ")))
        .line("sentinel sentinel-user peer")
        .line("sentinel sentinel-pass among-sentinels");
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]).with(&extra);
    setup.down_after = super::mixed::DOWN_AFTER;
    Cluster::start(&setup)
}

#[test]
fn sentinels_know_each_other_as_a_user_with_few_rights() {
    let mut cluster = with_rights_among_sentinels(AMONG_SENTINELS);
    kill_and_return(&mut cluster, 0);
    for sentinel in &cluster.sentinels {
        let is_peer = |line: &&str| line.contains("name=sentinel-") && line.contains("user=peer");
        eventually("both peers are connected as that user", PATIENCE, || {
            let clients = sentinel.call(&["CLIENT", "LIST"])?;
            (clients.text()?.lines().filter(is_peer).count() == 2).then_some(())
        });
        let log = sentinel.call(&["ACL", "LOG"]).expect("it answers");
        assert!(log.items().is_empty(), "a peer was refused something: {log:?}");
        let text = sentinel.config_text();
        assert!(text.contains("sentinel sentinel-user") && text.contains("user peer on"), "{text}");
    }
}

/// What was enough for the original, and for our release before, goes on, and the log says what to allow.
#[test]
fn sentinels_that_may_not_be_asked_are_believed() {
    let few =
        AMONG_SENTINELS.replace("+sentinel|myid +sentinel|get-master-addr-by-name +sentinel|master", "");
    let mut cluster = with_rights_among_sentinels(&few);
    kill_and_return(&mut cluster, 0);
    let told = |sentinel: &&Sentinel| sentinel.log().contains("Allow it to be asked: +sentinel|myid");
    assert!(cluster.sentinels[1..].iter().any(|sentinel| told(&sentinel)), "{}", cluster.sentinels[1].log());
}

#[test]
fn servers_whose_commands_have_other_names_fail_over_and_keep_it() {
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]);
    setup.leader = Some(1);
    setup.down_after = super::mixed::DOWN_AFTER;
    let renamed = [
        ("CONFIG", "the-config"),
        ("SLAVEOF", "the-slaveof"),
        ("MULTI", "the-multi"),
        ("CLIENT", "the-client"),
    ];
    let mut extra = Extra::default();
    for (from, to) in renamed {
        setup.serving.lines.push(format!("rename-command {from} {to}"));
        extra = extra.line(&format!("sentinel rename-command {GROUP} {from} {to}"));
    }
    let mut cluster = Cluster::start(&setup.with(&extra));
    let new = kill_and_return(&mut cluster, 0);
    let is_replica = |number: usize| {
        let text = std::fs::read_to_string(cluster.redis[number].config()).expect("the folder is ours");
        text.lines().any(|line| line.starts_with("replicaof "))
    };
    assert!(!is_replica(new) && is_replica(0), "the servers have written their roles down");
    let names = |sentinel: &Sentinel| {
        let text = sentinel.config_text();
        text.lines().filter(|line| line.starts_with("sentinel rename-command")).count()
    };
    assert!(cluster.sentinels.iter().all(|sentinel| names(sentinel) == renamed.len()));
}

/// A hundred wrong passwords are answered at once, as a client with an old one may give them; more of them wait. The right one
/// does not.
#[test]
fn who_guesses_passwords_is_slowed_and_named_and_the_right_one_is_not() {
    let mut setup = Setup::new(vec![ours()]).with(&Extra::default().password("the-right-one"));
    (setup.replicas, setup.quorum) = (0, 1);
    let cluster = Cluster::start(&setup);
    let sentinel = &cluster.sentinels[0];
    let guess = |client: &mut Client| {
        let asked = Instant::now();
        let reply = client.call(&["AUTH", "a-guess"]).expect("it answers");
        assert!(reply.error().is_some_and(|text| text.starts_with("WRONGPASS")), "{reply:?}");
        asked.elapsed()
    };
    // On connections of their own: that does not make it quicker.
    let connect = || Client::connect(sentinel.port, PATIENCE).expect("it listens");
    let begun = Instant::now();
    for _ in 0..120 {
        guess(&mut connect());
    }
    let slowest = (0..10).map(|_| guess(&mut connect())).max().expect("ten");
    assert!(begun.elapsed() > Duration::from_millis(1000), "{:?}", begun.elapsed());
    assert!(slowest >= Duration::from_millis(30), "{slowest:?}");
    let asked = Instant::now();
    let reply = connect().call(&["AUTH", "the-right-one"]).expect("it answers");
    assert_eq!(reply.text(), Some("OK"));
    let ping = connect().authenticated(Some("the-right-one")).and_then(|mut client| client.call(&["PING"]));
    assert_eq!(ping.expect("it answers").text(), Some("PONG"));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let log = sentinel.log();
    assert_eq!(log.matches("wrong passwords from 127.0.0.1").count(), 1, "{log}");
    assert!(!log.contains("a-guess") && !log.contains("the-right-one"), "{log}");
}
