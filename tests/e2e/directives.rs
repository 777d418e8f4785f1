//! Every directive of every server: a sentinel's file may have them all.

use crate::{PATIENCE, ours};
use consentinel_lab::{Extra, Folder, Redis, Release, Sentinel, Serving, Value, eventually};
use std::collections::BTreeSet;

/// Directives that would make this very sentinel something else, or that a server says but does not take.
const LEFT_OUT: [&str; 12] = [
    "port",
    "bind",
    "dir",
    "logfile",
    "pidfile",
    "daemonize",
    "unixsocket",
    "replicaof",
    "slaveof",
    "rdma-bind",
    "cluster-enabled",
    "protected-mode",
];

fn is_accepted_whole(release: Release) {
    let folder = Folder::new();
    let serving = Serving { release, ..Serving::default() };
    let server = Redis::start_new(&folder, &serving, None);
    let reply = eventually("the server tells", PATIENCE, || server.call(&["CONFIG", "GET", "*"]));
    let mut words: Vec<String> = reply.items().iter().filter_map(Value::text).map(str::to_owned).collect();
    assert!(words.len() > 250, "{words:?}");
    let hidden = hidden(&server, &words);
    assert!(hidden.iter().any(|word| word == "watchdog-period" || word == "replicaof"), "{hidden:?}");
    words.extend(hidden);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut extra = Extra::default();
    for pair in words.chunks(2).filter(|pair| !LEFT_OUT.contains(&pair[0])) {
        extra = extra.line(&format!("{} \"{}\"", pair[0], pair[1]));
    }
    let sentinel = Sentinel::start_new(&folder, ours(), "", extra);
    let told = eventually("what has no meaning is told", PATIENCE, || {
        sentinel.log().lines().find(|line| line.contains("without meaning for a sentinel")).map(str::to_owned)
    });
    assert!(told.contains("maxmemory") && told.contains("appendonly"), "{told}");
    let config = sentinel.config_text();
    assert!(
        words.iter().step_by(2).filter(|name| !LEFT_OUT.contains(name)).all(|name| config.contains(name))
    );
}

/// Names and values that the server tells only to those who know the names. They stand in its program.
fn hidden(server: &Redis, told: &[String]) -> Vec<String> {
    let info = server.call(&["INFO", "server"]).expect("it answers");
    let info = info.text().expect("INFO is text");
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).expect("INFO has it");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let files = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let programs: BTreeSet<&str> =
        files.filter(|file| file.contains("/redis-") || file.contains("/valkey-")).collect();
    let bytes: Vec<u8> = programs.iter().flat_map(|file| std::fs::read(file).expect("it runs")).collect();
    let is_name = |word: &&str| {
        word.contains('-') && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    let known: BTreeSet<&str> = told.iter().step_by(2).map(String::as_str).collect();
    let words = bytes.split(|c| *c == 0).filter_map(|word| std::str::from_utf8(word).ok()).filter(is_name);
    let words: BTreeSet<&str> =
        words.filter(|word| (5..60).contains(&word.len()) && !known.contains(word)).collect();
    assert!(words.len() > 100, "{words:?}");
    let mut client = server.client().expect("it listens");
    let mut found = Vec::new();
    for word in words.into_iter().chain(["replicaof"]) {
        let reply = client.call(&["CONFIG", "GET", word]).expect("it answers");
        found.extend(reply.items().iter().filter_map(Value::text).map(str::to_owned));
    }
    found
}

#[test]
fn all_that_this_machines_server_knows_is_accepted() {
    is_accepted_whole(Release::Machine);
}

#[test]
fn all_that_redis_8_knows_is_accepted() {
    is_accepted_whole(Release::Redis8);
}

#[test]
fn all_that_valkey_8_knows_is_accepted() {
    is_accepted_whole(Release::Valkey8);
}

#[test]
fn all_that_valkey_9_knows_is_accepted() {
    is_accepted_whole(Release::Valkey9);
}

#[test]
fn all_that_redis_7_4_knows_is_accepted() {
    is_accepted_whole(Release::Redis74);
}

#[test]
fn all_that_redis_6_2_knows_is_accepted() {
    is_accepted_whole(Release::Redis62);
}

#[test]
fn words_that_only_newer_servers_take_are_accepted() {
    let folder = Folder::new();
    let lines = [
        "log-format logfmt",
        "io-threads 256",
        "repl-diskless-load flush-before-load",
        "shutdown-on-sigterm safe nosave",
        "tls-auth-clients-user CN",
        "user few on nopass db=2,0,2 +@all",
        "user all on nopass db=3 alldbs +@all (db=7 +ping)",
        "user none on nopass resetdbs +@all",
    ];
    let extra = lines.iter().fold(Extra::default(), |extra, line| extra.line(line));
    let sentinel = Sentinel::start_new(&folder, ours(), "", extra);
    let users = sentinel.call(&["ACL", "LIST"]).expect("it answers");
    let users: Vec<&str> = users.items().iter().filter_map(Value::text).collect();
    // As a Valkey 9.1 shows them.
    assert!(users.contains(&"user few on nopass resetchannels db=0,2 +@all"), "{users:?}");
    let all = "user all on nopass resetchannels +@all (resetchannels db=7 -@all +ping)";
    assert!(users.contains(&all), "{users:?}");
    assert!(users.contains(&"user none on nopass resetchannels resetdbs +@all"), "{users:?}");
    let wrong = sentinel.call(&["ACL", "SETUSER", "few", "db=-1"]);
    let range = "ERR Error in ACL SETUSER modifier 'db=-1': The provided database ID is out of range";
    assert_eq!(wrong, Some(Value::Error(range.into())));
    let line = eventually("a line of the log", PATIENCE, || sentinel.log().lines().next().map(str::to_owned));
    assert!(line.starts_with("pid=") && line.contains(" role=sentinel timestamp=\""), "{line}");
}
