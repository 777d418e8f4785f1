//! Watched servers that answer what nobody should read.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Extra, Harm, Hostile, Sentinel, Setup, eventually};
use std::time::{Duration, Instant};

/// PINGs from which the slowest are taken.
const PINGS: usize = 2000;
/// Of 100 PINGs 99 are answered in less, also by a build that is not optimised, on a machine that has other work. Without the
/// limits it is seconds.
const SOON: Duration = Duration::from_millis(40);
/// What a failover takes with a down-after of one second.
const PROMPT: Duration = Duration::from_secs(4);

fn name(server: &Hostile) -> String {
    format!("evil-{:?}", server.harm)
}

/// Those whose answers are over a limit, and not only odd.
fn is_over(harm: Harm) -> bool {
    matches!(harm, Harm::Huge | Harm::ManyLines | Harm::ManyReplicas | Harm::NoText)
}

/// How long 99 of 100 PINGs take.
fn ping_p99(sentinel: &Sentinel) -> Duration {
    let mut client = sentinel.client().expect("it listens");
    let mut took: Vec<_> = (0..PINGS)
        .map(|_| {
            let asked = Instant::now();
            client.call(&["PING"]).expect("it answers");
            let took = asked.elapsed();
            std::thread::sleep(Duration::from_millis(2)); // between two questions
            took
        })
        .collect();
    took.sort();
    took[PINGS * 99 / 100]
}

#[test]
fn ten_servers_that_answer_the_worst_keep_nobody_waiting() {
    let servers = Harm::ALL.map(Hostile::start);
    let watched = servers.iter().fold(Extra::default(), |extra, server| {
        let name = name(server);
        extra
            .line(&format!("sentinel monitor {name} 127.0.0.1 {} 2", server.port))
            .line(&format!("sentinel down-after-milliseconds {name} 2000"))
    });
    let mut setup = Setup::new(vec![ours()]).with(&watched);
    (setup.replicas, setup.quorum) = (1, 1);
    let mut cluster = Cluster::start(&setup);
    eventually("each of them was asked for INFO, twice where that ends the connection", PATIENCE, || {
        servers.iter().all(|server| server.asked() > usize::from(is_over(server.harm))).then_some(())
    });
    let p99 = ping_p99(&cluster.sentinels[0]);
    println!("99 of 100 PINGs took less than {p99:?}");
    assert!(p99 < SOON, "{p99:?}");
    for server in servers.iter().filter(|server| is_over(server.harm)) {
        eventually("it counts as not answering", PATIENCE, || {
            let master = cluster.sentinels[0].call(&["SENTINEL", "MASTER", &name(server)])?.fields();
            master.get("flags")?.contains("s_down").then_some(())
        });
        let told =
            cluster.sentinels[0].log().matches(&format!("127.0.0.1:{} gives an ", server.port)).count();
        assert_eq!(told, 1, "{:?}: {}", server.harm, cluster.sentinels[0].log());
    }
    cluster.redis[0].kill();
    cluster.wait_for_new_master(0, PROMPT);
    let log = cluster.sentinels[0].log();
    assert!(!log.contains("+tilt"), "{log}");
}
