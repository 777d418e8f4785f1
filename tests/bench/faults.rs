//! Two faults at once, beside the real redis-sentinel in one run: `just bench --table faults`, of which `--fault leader`
//! and so on plays one.
//!
//! Three sentinels, quorum 2, down-after one second unless a table says otherwise, a master and two replicas.

mod applications;
mod disks;
mod haproxies;
mod leader;
mod orders;
mod planned;
mod pools;
mod returning;
mod sheet;
mod stuck;
mod survivors;

use crate::options::Options;
use std::fmt;

/// One group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The leader of a failover dies, restarts or stands still at one of its steps.
    Leader,
    /// The sentinels' disks are slow when the master is killed.
    Disks,
    /// SENTINEL FAILOVER on all sentinels at the same time.
    Orders,
    /// A sentinel returns that was down during a failover.
    Returning,
    /// SENTINEL FAILOVER under clients that follow the sentinels.
    Planned,
    /// SENTINEL FAILOVER under clients that know of it late.
    Stuck,
}

impl Fault {
    pub(crate) const ALL: [Fault; 6] =
        [Fault::Leader, Fault::Disks, Fault::Orders, Fault::Returning, Fault::Planned, Fault::Stuck];

    pub(crate) fn of(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.to_string() == name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Leader => "leader",
            Fault::Disks => "disks",
            Fault::Orders => "orders",
            Fault::Returning => "returning",
            Fault::Planned => "planned",
            Fault::Stuck => "stuck",
        })
    }
}

/// Plays all rounds and prints each group as soon as it is complete.
pub(crate) fn play(options: &Options) {
    for fault in &options.faults {
        let sheet = match fault {
            Fault::Leader => leader::play(options),
            Fault::Disks => disks::play(options),
            Fault::Orders => orders::play(options),
            Fault::Returning => returning::play(options),
            Fault::Planned => planned::play(options),
            Fault::Stuck => stuck::play(options),
        };
        println!("{sheet}");
    }
}
