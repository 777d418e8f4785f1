//! A running system is moved to Consentinel one sentinel at a time, and back, while applications write.

use super::mixed::DOWN_AFTER;
use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Ledger, Program, Sentinel, Setup, eventually};
use std::time::Duration;

#[test]
fn a_running_system_is_moved_there_and_back_under_load() {
    let mut setup = Setup::new(vec![Program::Original; 3]);
    setup.down_after = DOWN_AFTER;
    // The next failover may come after twice this time.
    setup.failover_timeout = Duration::from_secs(3);
    let mut cluster = Cluster::start(&setup);
    let ids: Vec<_> = cluster.sentinels.iter().map(Sentinel::id).collect();
    let mut ledger = Ledger::start(&cluster.sentinels, 2, setup.replicas);

    let mut master = 0;
    for program in [ours(), Program::Original] {
        move_to(&mut cluster, 0, &program, master);
        // The quorum is mixed.
        master = fail_over(&mut cluster, &ledger, master);
        move_to(&mut cluster, 1, &program, master);
        move_to(&mut cluster, 2, &program, master);
        writes_go_on(&ledger);
    }

    ledger.stop();
    cluster.wait_until_settled(master);
    assert_eq!(cluster.sentinels.iter().map(Sentinel::id).collect::<Vec<_>>(), ids);
    for redis in &cluster.redis {
        eventually("every promised write is on every server", PATIENCE, || {
            ledger.missing_on(redis).is_empty().then_some(())
        });
    }
}

/// Another program takes over the sentinel's file and port.
fn move_to(cluster: &mut Cluster, number: usize, program: &Program, master: usize) {
    let before: Vec<_> = cluster.sentinels.iter().map(|sentinel| sentinel.log().len()).collect();
    let port = cluster.redis[master].port;
    let sentinel = &mut cluster.sentinels[number];
    let epochs = epochs_of(sentinel);
    sentinel.terminate();
    sentinel.program = program.clone();
    sentinel.start();
    // What it was told is known from the first moment on.
    assert_eq!(sentinel.master_port(), Some(port));
    assert_eq!((sentinel.replicas().len(), sentinel.sentinels().len()), (2, 2));
    assert_eq!(epochs_of(sentinel), epochs);
    cluster.wait_until_settled(master);
    for (sentinel, before) in cluster.sentinels.iter().zip(before) {
        for event in ["+sdown", "+odown", "+new-epoch", "+switch-master", "+reset-master", "-monitor"] {
            assert_eq!(logged(sentinel, before, event), Vec::<String>::new(), "when {number} was moved");
        }
    }
}

/// The master is killed, replaced once, and comes back; says which server is the master then.
fn fail_over(cluster: &mut Cluster, ledger: &Ledger, master: usize) -> usize {
    let before: Vec<_> = cluster.sentinels.iter().map(|sentinel| sentinel.log().len()).collect();
    let epoch = epochs_of(&cluster.sentinels[0]).0;
    cluster.redis[master].kill();
    let new = cluster.wait_for_new_master(master, PATIENCE);
    cluster.redis[master].start();
    cluster.wait_until_settled(new);
    writes_go_on(ledger);
    let (old_port, new_port) = (cluster.redis[master].port, cluster.redis[new].port);
    let mut leaders = 0;
    for (sentinel, before) in cluster.sentinels.iter().zip(before) {
        let switches = logged(sentinel, before, "+switch-master");
        assert_eq!(switches, [format!("mymaster 127.0.0.1 {old_port} 127.0.0.1 {new_port}")]);
        leaders += logged(sentinel, before, "+elected-leader").len();
        for down in logged(sentinel, before, "+sdown") {
            assert!(down.contains(&old_port.to_string()), "{down}");
        }
        assert!(epochs_of(sentinel).0 > epoch, "the new configuration has a later epoch");
        assert_eq!(epochs_of(sentinel), epochs_of(&cluster.sentinels[0]));
    }
    assert_eq!(leaders, 1, "one failover for one death");
    new
}

/// The epoch of the master's configuration, and the sentinel's own.
fn epochs_of(sentinel: &Sentinel) -> (u64, u64) {
    let number = |text: &str| text.trim().parse().unwrap_or_default();
    let config_epoch = sentinel.master().get("config-epoch").map(|epoch| number(epoch));
    let text = sentinel.config_text();
    let current = text.lines().find_map(|line| line.strip_prefix("sentinel current-epoch"));
    (config_epoch.unwrap_or_default(), current.map(number).unwrap_or_default())
}

/// What a sentinel has logged of that kind since its log was so long.
fn logged(sentinel: &Sentinel, from: usize, event: &str) -> Vec<String> {
    let log = sentinel.log();
    let payload = |line: &str| line.split_once(&format!(" {event} ")).map(|(_, payload)| payload.to_owned());
    log[from..].lines().filter_map(payload).collect()
}

fn writes_go_on(ledger: &Ledger) {
    let before = ledger.len();
    eventually("writes are acknowledged", PATIENCE, || (ledger.len() > before + 100).then_some(()));
}
