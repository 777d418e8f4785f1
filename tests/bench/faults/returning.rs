//! A sentinel that was down during a failover returns with its old file.

use super::sheet::Sheet;
use super::survivors::LONG;
use crate::options::Options;
use consentinel_lab::{Cluster, GROUP, Program, Setup, Views, eventually};

/// The one that goes and returns.
const ABSENT: usize = 2;

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet =
        Sheet::new("A sentinel returns that was down during a failover; times from its first answer on");
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
fn one(cluster: &mut Cluster, old: usize, program: &Program, sheet: &mut Sheet) -> usize {
    cluster.sentinels[ABSENT].terminate();
    let mut absent = cluster.sentinels.remove(ABSENT);
    eventually("the failover is ordered", LONG, || {
        let reply = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP])?;
        (reply.text() == Some("OK")).then_some(())
    });
    let new = cluster.wait_for_new_master(old, LONG);
    let (port, follower) = (cluster.redis[new].port, &cluster.redis[old]);
    eventually("the old master follows", LONG, || (follower.follows() == Some(port)).then_some(()));
    let views = Views::start(absent.port);
    absent.start();
    let since = eventually("it names the new master", LONG, || {
        let (named, since) = views.named()?;
        (named == port).then_some(since)
    });
    let answers = views.first_answer().expect("it has answered");
    sheet.add("until it names the new master", program, since - answers);
    cluster.sentinels.push(absent);
    cluster.wait_until_settled(new);
    new
}
