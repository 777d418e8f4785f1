//! A disk that takes no more writes.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Sentinel, Value, eventually};
use std::path::PathBuf;

const CANDIDATE: &str = "0123456789abcdef0123456789abcdef01234567";

/// Puts a file where the sentinel's folder was: no user, not even root, can write into that.
fn break_folder(sentinel: &Sentinel) -> PathBuf {
    let aside = sentinel.folder().with_extension("aside");
    std::fs::rename(sentinel.folder(), &aside).expect("the folder is ours");
    std::fs::write(sentinel.folder(), "").expect("the folder's place is free");
    aside
}

fn mend_folder(sentinel: &Sentinel, aside: PathBuf) {
    std::fs::remove_file(sentinel.folder()).expect("the file is ours");
    std::fs::rename(aside, sentinel.folder()).expect("the folder is ours");
}

/// Asks for the vote of an epoch; nothing when it was withheld.
fn vote(sentinel: &Sentinel, master: u16, epoch: u64) -> Option<String> {
    let (master, epoch) = (master.to_string(), epoch.to_string());
    let words = ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", &master, &epoch, CANDIDATE];
    let reply = sentinel.call(&words).expect("it answers");
    let leader = reply.items().get(1).and_then(Value::text).expect("three items").to_owned();
    (leader != "*").then_some(leader)
}

#[test]
fn a_sentinel_that_cannot_save_does_not_vote_says_so_and_recovers() {
    let cluster = Cluster::start(&three_daemons());
    let (sentinel, master) = (&cluster.sentinels[0], cluster.redis[0].port);
    assert_eq!(vote(sentinel, master, 10).as_deref(), Some(CANDIDATE));

    let aside = break_folder(sentinel);
    let log = || std::fs::read_to_string(aside.join("log")).unwrap_or_default();
    let before = log().len();
    assert_eq!(vote(sentinel, master, 20), None);
    let complains = |log: &str| log.to_lowercase().contains("save") || log.to_lowercase().contains("written");
    eventually("it complains", PATIENCE, || log().get(before..).is_some_and(complains).then_some(()));
    assert_eq!(vote(sentinel, master, 21), None);

    mend_folder(sentinel, aside);
    let mut epoch = 30;
    eventually("it votes again", PATIENCE, || {
        epoch += 1;
        (vote(sentinel, master, epoch).as_deref() == Some(CANDIDATE)).then_some(())
    });
    assert!(sentinel.config_text().contains(&format!("current-epoch {epoch}")), "the vote is on disk");
}
