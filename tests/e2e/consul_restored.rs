//! Consul forgets what it knew last: a snapshot is restored, or all of its servers are started again.

use super::consul_stage::{SERVICE, epoch, is_named, is_published};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, ConsulServers, Extra, Folder, Named, Prober, Timeline, consul_program,
    eventually,
};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From the restored snapshot to the right answer.
const AT_ONCE: Duration = Duration::from_secs(1);

fn snapshot(consul: &Consul, what: &str, file: &Path) {
    let mut command = Command::new(consul_program());
    command.args(["snapshot", what, &format!("-http-addr={}", consul.address())]).arg(file);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "consul snapshot {what}");
}

/// Whether the older master was named after the newer one was.
fn goes_back(timeline: &Timeline, from: Instant, newer: u16) -> Option<String> {
    let begin = timeline.first_only(newer, from)?;
    let late = timeline.0.iter().find(|span| {
        span.first > begin && matches!(&span.named, Named::Servers(servers, _) if servers.iter().any(|(_, port)| *port != newer))
    });
    late.map(|span| format!("{span:?}"))
}

#[test]
fn after_a_snapshot_is_restored_the_master_of_now_is_published_at_once() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { on_disk: true, ..ConsulOptions::default() });
    let mut cluster = Cluster::start(&three_daemons().with(&Extra::consul(&consul.address())));
    is_published(&consul, &cluster, 0);
    let file = folder.path().join("snapshot");
    snapshot(&consul, "save", &file);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let port = cluster.redis[new].port;
    is_named(&consul, port);
    let newest = epoch(&consul);

    let prober = Prober::start(consul.dns(), SERVICE);
    eventually("DNS names the new master", PATIENCE, || prober.now().is_only(port).then_some(()));
    snapshot(&consul, "restore", &file);
    let restored = Instant::now();
    is_named(&consul, port);
    let took = restored.elapsed();
    assert!(took < AT_ONCE, "published again after {took:?}");
    assert_eq!(epoch(&consul), newest);
    cluster.redis[0].start();
    is_published(&consul, &cluster, new);
    assert_eq!(goes_back(&prober.timeline(), restored, port), None);
}

#[test]
fn after_all_servers_were_started_again_the_newest_master_is_named_for_good() {
    let folder = Folder::new();
    let mut servers = ConsulServers::start(&folder);
    let address = servers.0[0].address();
    let mut cluster = Cluster::start(&three_daemons().with(&Extra::consul(&address)));
    is_published(&servers.0[0], &cluster, 0);
    let mut master = 0;
    for _ in 0..3 {
        cluster.redis[master].kill();
        let new = cluster.wait_for_new_master(master, PATIENCE);
        cluster.redis[master].start();
        cluster.wait_until_settled(new);
        is_published(&servers.0[0], &cluster, new);
        master = new;
    }
    let (port, newest) = (cluster.redis[master].port, epoch(&servers.0[0]));
    for server in &mut servers.0 {
        server.kill();
    }
    let probers: Vec<Prober> = servers.0.iter().map(|server| Prober::start(server.dns(), SERVICE)).collect();
    for server in &mut servers.0 {
        server.spawn();
    }
    servers.wait_until_led();
    is_published(&servers.0[0], &cluster, master);
    for prober in &probers {
        eventually("DNS names the newest master", PATIENCE, || prober.now().is_only(port).then_some(()));
        // What a server answers while it reads its log is its own; nothing of ours is older than what stood there.
        let timeline = prober.timeline();
        let epochs = timeline.0.iter().filter_map(|span| match &span.named {
            Named::Servers(_, epoch) => *epoch,
            _ => None,
        });
        let epochs: Vec<u64> = epochs.collect();
        println!("epochs that a server named while it read its log: {epochs:?}");
        assert!(epochs.iter().all(|epoch| *epoch <= newest));
        assert_eq!(epochs.last(), Some(&newest));
    }
    assert_eq!(epoch(&servers.0[0]), newest, "nobody wrote another record");
}
