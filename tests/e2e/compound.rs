//! Two faults at once.

mod disks;
mod identity;
mod leader;
mod orders;
mod returning;
mod servers;

use consentinel_lab::{Cluster, GROUP, Ledger, Sentinel, eventually, poll_until};
use std::time::Duration;

/// For a planned failover that is not given up.
const A_SWITCH: Duration = Duration::from_secs(5);

/// Applications that write and have the word of one replica for some of it.
fn confirmed_writes(cluster: &Cluster) -> Ledger {
    let ledger = Ledger::start(&cluster.sentinels, 4, 1);
    eventually("writes are confirmed", crate::PATIENCE, || (ledger.len() > 20).then_some(()));
    ledger
}

/// Ends the writing. The master has all that was confirmed, once the other replica follows it.
fn nothing_is_lost(cluster: &Cluster, ledger: &mut Ledger, master: usize, dead: usize) {
    let port = cluster.redis[master].port;
    let others = || (0..cluster.redis.len()).filter(|number| ![master, dead].contains(number));
    eventually("the other replica follows the new master", crate::PATIENCE, || {
        others().all(|number| cluster.redis[number].follows() == Some(port)).then_some(())
    });
    ledger.stop();
    let lost = ledger.missing_on(&cluster.redis[master]);
    assert!(lost.is_empty(), "of {} confirmed writes these are lost: {lost:?}", ledger.len());
}

/// SENTINEL FAILOVER, again when it is refused or given up; returns the number of the new master.
fn planned_failover(cluster: &Cluster, old: usize) -> usize {
    eventually("every sentinel names the same new master", crate::PATIENCE, || {
        cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP])?;
        poll_until(A_SWITCH, || {
            let mut ports = cluster.sentinels.iter().map(Sentinel::master_port);
            let first = ports.next()??;
            let is_new = first != cluster.redis[old].port && ports.all(|port| port == Some(first));
            is_new.then(|| cluster.redis.iter().position(|redis| redis.port == first)).flatten()
        })
    })
}
