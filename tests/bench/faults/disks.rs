//! The sentinels' disks are slow when the master is killed.

use super::sheet::Sheet;
use super::survivors::Survivors;
use crate::figures::beyond;
use crate::options::Options;
use crate::round::PING_PERIOD;
use consentinel_lab::{Cluster, Program, Setup, SlowDisks};
use std::time::{Duration, Instant};

const DELAYS: [u64; 5] = [0, 200, 500, 1000, 2000];
const PATIENCE: Duration = Duration::from_secs(95);

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet =
        Sheet::new("Each fsync of sentinels takes longer; times from the master's kill on, less down-after");
    for round in 0..options.rounds {
        let phase = (round as f64 + 0.5) / options.rounds as f64;
        for delay in DELAYS {
            for slow in if delay == 0 { 3..=3 } else { 1..=3 } {
                for program in &options.programs {
                    let recovery = one(program, Duration::from_millis(delay), slow, phase);
                    let row = |what: &str| format!("{delay} ms on {slow} of 3: {what}");
                    sheet.add(&row("first write"), program, recovery.write.map(beyond));
                    sheet.add(&row("named by all"), program, recovery.named.map(beyond));
                }
            }
        }
    }
    sheet
}

fn one(program: &Program, delay: Duration, slow: usize, phase: f64) -> super::survivors::Recovery {
    let disks = SlowDisks::new(3);
    let mut setup = Setup::new(vec![program.clone(); 3]);
    setup.extra = disks.extras();
    let mut cluster = Cluster::start(&setup);
    let survivors = Survivors::watch(&cluster);
    (0..slow).for_each(|number| disks.set(number, delay));
    std::thread::sleep(PING_PERIOD.mul_f64(phase)); // no wait for anything: it spreads the disasters
    let begin = Instant::now();
    cluster.redis[0].kill();
    survivors.recovery(begin, PATIENCE)
}
