//! What is left after a fault, and how long it takes until clients can go on.

use consentinel_lab::{Cluster, Ledger, Sentinel, Views, Writer, eventually, poll_until};
use std::time::{Duration, Instant};

/// For what a healthy cluster does.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Writers on the replicas, and those who ask the sentinels that stay alive.
pub(crate) struct Survivors {
    writers: Vec<Writer>,
    views: Vec<(u16, Views)>,
    old: u16,
}

/// How long it took.
pub(crate) struct Recovery {
    /// Until a replica accepted a write.
    pub(crate) write: Option<Duration>,
    /// Until every sentinel that is alive named one new master.
    pub(crate) named: Option<Duration>,
    /// Which that is.
    pub(crate) master: Option<u16>,
}

impl Survivors {
    /// Starts all of them, and returns when every replica has refused a write.
    pub(crate) fn watch(cluster: &Cluster) -> Survivors {
        let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
        let views = cluster.sentinels.iter().map(|it| (it.port, Views::start(it.port))).collect();
        eventually("the writers are refused", LONG, || {
            writers.iter().all(|writer| writer.outcome().last_refused.is_some()).then_some(())
        });
        Survivors { writers, views, old: cluster.redis[0].port }
    }

    /// This sentinel is not alive any more.
    pub(crate) fn forget(&mut self, sentinel: &Sentinel) {
        self.views.retain(|(port, _)| *port != sentinel.port);
    }

    /// Waits for the recovery.
    pub(crate) fn recovery(&self, begin: Instant, within: Duration) -> Recovery {
        let left = || within.saturating_sub(begin.elapsed());
        let write = poll_until(left(), || {
            self.writers.iter().filter_map(|writer| writer.outcome().first_accepted).min()
        });
        let named = poll_until(left(), || {
            let mut all = self.views.iter().map(|(_, views)| views.named());
            let (port, mut last) = all.next()??;
            for other in all {
                let (named, since) = other?;
                if named != port {
                    return None;
                }
                last = last.max(since);
            }
            (port != self.old).then_some((port, last))
        });
        Recovery {
            write: write.map(|at| at.saturating_duration_since(begin)),
            named: named.map(|(_, at)| at.saturating_duration_since(begin)),
            master: named.map(|(port, _)| port),
        }
    }
}

/// How many writes were confirmed and are not on that server, once all servers that are alive follow it.
pub(crate) fn lost(cluster: &Cluster, ledger: &mut Ledger, master: Option<u16>, dead: u16) -> Option<usize> {
    let master = cluster.redis.iter().find(|redis| Some(redis.port) == master)?;
    let mut others = cluster.redis.iter().filter(|redis| ![dead, master.port].contains(&redis.port));
    eventually("the other replica follows", LONG, || {
        others.all(|redis| redis.follows() == Some(master.port)).then_some(())
    });
    ledger.stop();
    Some(ledger.missing_on(master).len())
}
