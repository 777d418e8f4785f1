//! SENTINEL FAILOVER on all sentinels at the same time, under writers that use WAIT 1.

use super::sheet::Sheet;
use super::survivors::LONG;
use crate::options::Options;
use consentinel_lab::{Cluster, Events, Ledger, Program, Sentinel, Setup, Writer, eventually, poll_until};
use std::time::Duration;

const WRITERS: usize = 6;
const A_SWITCH: Duration = Duration::from_secs(30);

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet = Sheet::new("SENTINEL FAILOVER on three sentinels at once");
    let start = |program: &Program| Cluster::start(&Setup::new(vec![program.clone(); 3]));
    let mut stages: Vec<_> = options.programs.iter().map(|it| (it, start(it), 0)).collect();
    for _ in 0..options.rounds {
        for (program, cluster, master) in &mut stages {
            *master = one(cluster, *master, program, &mut sheet);
        }
    }
    sheet
}

/// One round; returns the new master's number.
fn one(cluster: &Cluster, old: usize, program: &Program, sheet: &mut Sheet) -> usize {
    let events = cluster.events();
    let mut ledger = Ledger::start(&cluster.sentinels, WRITERS, 1);
    eventually("writes are confirmed", LONG, || (ledger.len() > 50).then_some(()));
    let writers: Vec<_> = cluster.redis.iter().map(|redis| Writer::start(redis.port)).collect();
    for reply in cluster.order_at_once() {
        let word = reply.split(' ').next().unwrap_or_default();
        sheet.add("replies", program, word.to_owned());
    }
    let switched = poll_until(A_SWITCH, || {
        let mut ports = cluster.sentinels.iter().map(Sentinel::master_port);
        let first = ports.next()??;
        (first != cluster.redis[old].port && ports.all(|port| port == Some(first))).then_some(first)
    });
    let number = |port| cluster.redis.iter().position(|redis| redis.port == port);
    let new = switched.map_or(old, |port| number(port).expect("it is one of the servers"));
    sheet.add("ended without a new master", program, usize::from(switched.is_none()));
    cluster.wait_until_settled(new);
    ledger.stop();
    let lost = ledger.missing_on(&cluster.redis[new]);
    sheet.add("acknowledged under WAIT 1 and lost", program, lost.len());
    sheet.add("acknowledged under WAIT 1", program, ledger.len());
    let leaders = Events::leaders(&events);
    sheet.add(
        "epochs with more than one leader",
        program,
        leaders.values().filter(|count| **count > 1).count(),
    );
    sheet.add("leaders", program, leaders.values().sum::<usize>());
    sheet.add("two masters took writes for", program, Writer::overlap(&writers));
    new
}
