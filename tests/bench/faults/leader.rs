//! The leader of a failover dies at one of its steps.

use super::sheet::Sheet;
use super::survivors::{LONG, Recovery, Survivors, lost};
use crate::figures::beyond;
use crate::options::Options;
use crate::round::PING_PERIOD;
use consentinel_lab::{Cluster, Events, Ledger, Program, Setup, eventually};
use std::time::{Duration, Instant};

const STEPS: [&str; 3] = ["+elected-leader", "+selected-slave", "+promoted-slave"];
const AWAY: Duration = Duration::from_millis(300);
const WRITERS: usize = 4;

/// What happens to the leader.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Killed,
    KilledAndBack,
    Stopped,
}

const FATES: [(Fate, &str); 3] = [
    (Fate::Killed, "killed"),
    (Fate::KilledAndBack, "killed, back after 300 ms"),
    (Fate::Stopped, "stopped"),
];

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet =
        Sheet::new("The leader dies at its own step; times from the master's kill on, less down-after");
    for round in 0..options.rounds {
        for (fate, fate_name) in FATES {
            for step in STEPS {
                for program in &options.programs {
                    let phase = (round as f64 + 0.5) / options.rounds as f64;
                    let Some((recovery, lost)) = one(program, step, fate, phase) else { continue };
                    let row = |what: &str| format!("{fate_name} at {step}: {what}");
                    sheet.add(&row("first write"), program, recovery.write.map(beyond));
                    sheet.add(&row("named by all survivors"), program, recovery.named.map(beyond));
                    sheet.add(&row("WAIT 1 writes lost"), program, lost.unwrap_or_default());
                }
            }
        }
    }
    sheet
}

/// Returns `None` if no sentinel got as far as that step.
fn one(program: &Program, step: &str, fate: Fate, phase: f64) -> Option<(Recovery, Option<usize>)> {
    let mut cluster = Cluster::start(&Setup::new(vec![program.clone(); 3]));
    let events = cluster.events();
    let mut ledger = Ledger::start(&cluster.sentinels, WRITERS, 1);
    eventually("writes are confirmed", LONG, || (ledger.len() > 50).then_some(()));
    let mut survivors = Survivors::watch(&cluster);
    std::thread::sleep(PING_PERIOD.mul_f64(phase)); // no wait for anything: it spreads the disasters
    let begin = Instant::now();
    let dead = cluster.redis[0].port;
    cluster.redis[0].kill();
    let leader = Events::first_to_say(&events, step, LONG)?;
    match fate {
        Fate::Killed => cluster.sentinels[leader].kill(),
        Fate::KilledAndBack => {
            cluster.sentinels[leader].kill();
            std::thread::sleep(AWAY); // the time that it is away
            cluster.sentinels[leader].start();
        }
        Fate::Stopped => cluster.sentinels[leader].pause(),
    }
    survivors.forget(&cluster.sentinels[leader]);
    let recovery = survivors.recovery(begin, LONG);
    let lost = lost(&cluster, &mut ledger, recovery.master, dead);
    Some((recovery, lost))
}
