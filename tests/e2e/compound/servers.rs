//! Servers that cannot do what they are asked.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, Extra, GROUP, Value, eventually};
use std::io::Write;
use std::time::Duration;

/// For the reboot to be noticed, the period of two seconds to pass and the failover to be made. Loading takes longer.
const REPLACED: Duration = Duration::from_secs(12);
/// Twenty seconds of loading, at least.
const KEYS: &str = "100000";
const KEY_LOAD_DELAY: &str = "key-load-delay 200\nloading-process-events-interval-bytes 1024\n";

#[test]
fn a_master_that_loads_longer_than_its_reboot_may_take_is_replaced() {
    let mut setup = three_daemons();
    setup.server_lines = vec![vec!["enable-debug-command yes".into()]; 3];
    let line = format!("sentinel master-reboot-down-after-period {GROUP} 2000");
    let mut cluster = Cluster::start(&setup.with(&Extra::default().line(&line)));
    let master = &mut cluster.redis[0];
    for words in [&["DEBUG", "POPULATE", KEYS][..], &["SAVE"]] {
        let reply = master.call(words);
        assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"), "{words:?}: {reply:?}");
    }
    master.kill();
    let config = std::fs::File::options().append(true).open(master.config());
    config.expect("the folder is ours").write_all(KEY_LOAD_DELAY.as_bytes()).expect("the folder is ours");
    master.spawn();
    eventually("it loads", PATIENCE, || {
        let reply = cluster.redis[0].call(&["GET", "x"])?;
        reply.error()?.starts_with("LOADING").then_some(())
    });
    let new = cluster.wait_for_new_master(0, REPLACED);
    assert!(cluster.redis[new].set("after", "x"), "the new master takes writes");
}

#[test]
fn a_server_that_hangs_in_its_own_failover_is_freed() {
    let cluster = Cluster::start(&three_daemons());
    let target = cluster.redis[1].port.to_string();
    cluster.redis[1].pause();
    let words = ["FAILOVER", "TO", "127.0.0.1", &target, "FORCE", "TIMEOUT", "100"];
    let reply = cluster.redis[0].call(&words);
    assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"), "{reply:?}");
    let refusal = eventually("it hangs in its failover", PATIENCE, || {
        let reply = cluster.redis[0].call(&["REPLICAOF", "127.0.0.1", &target])?;
        reply.error().map(str::to_owned)
    });
    assert!(refusal.contains("failing over"), "{refusal}");
    let new = cluster.redis[2].port;
    eventually("the other replica is the master", PATIENCE, || {
        let named = |sentinel: &consentinel_lab::Sentinel| sentinel.master_port() == Some(new);
        cluster.sentinels.iter().all(named).then_some(())
    });
    eventually("the old master follows it", PATIENCE, || {
        (cluster.redis[0].follows() == Some(new)).then_some(())
    });
    cluster.redis[1].resume();
    cluster.wait_until_settled(2);
}
