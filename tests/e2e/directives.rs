//! Every directive of every server: a sentinel's file may have them all.

use crate::{PATIENCE, ours};
use consentinel_lab::{Extra, Folder, Redis, Release, Sentinel, Serving, Value, eventually};

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
    let words: Vec<&str> = reply.items().iter().filter_map(Value::text).collect();
    assert!(words.len() > 300, "{words:?}");
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
