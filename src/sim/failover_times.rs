//! How long failovers took, by the faults that they met.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a failover met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// The master died, and nothing else was wrong.
    Plain,
    /// A sentinel died as well; as a rule the leader.
    LeaderKilled,
    /// A sentinel was stopped, cut off, or vanished.
    LeaderSilent,
    /// A write to the slowest disk took up to 0.35 s.
    Disk200,
    /// Up to 0.75 s.
    Disk500,
    /// Up to 1.5 s.
    Disk1000,
    /// Longer.
    Disk2000,
    /// The master was well; an operator ordered it.
    Ordered,
    /// Anything else, or several of these.
    Other,
}

impl Fault {
    /// All of them, in the order in which they are told.
    pub const ALL: [Fault; 9] = [
        Fault::Plain,
        Fault::LeaderKilled,
        Fault::LeaderSilent,
        Fault::Disk200,
        Fault::Disk500,
        Fault::Disk1000,
        Fault::Disk2000,
        Fault::Ordered,
        Fault::Other,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Plain => "plain death of the master",
            Fault::LeaderKilled => "leader killed",
            Fault::LeaderSilent => "leader stopped or cut off",
            Fault::Disk200 => "slow disks, about 0.2 s",
            Fault::Disk500 => "slow disks, about 0.5 s",
            Fault::Disk1000 => "slow disks, about 1 s",
            Fault::Disk2000 => "slow disks, about 2 s",
            Fault::Ordered => "ordered failover",
            Fault::Other => "others",
        }
    }

    /// The class of a disk, if it is slow.
    pub(crate) fn of_disk(delay: Duration) -> Option<Fault> {
        Some(match delay.as_millis() {
            0..=100 => return None,
            101..=350 => Fault::Disk200,
            351..=750 => Fault::Disk500,
            751..=1500 => Fault::Disk1000,
            _ => Fault::Disk2000,
        })
    }
}

/// From the death of a master, less down-after, or from an order, until a majority of the sentinels names another
/// master that takes writes.
#[derive(Clone, Debug, Default)]
pub struct TimesByFault(BTreeMap<Fault, Vec<Duration>>);

impl TimesByFault {
    pub(crate) fn add(&mut self, fault: Fault, time: Duration) {
        self.0.entry(fault).or_default().push(time);
    }

    pub(crate) fn extend(&mut self, other: &TimesByFault) {
        for (fault, times) in &other.0 {
            self.0.entry(*fault).or_default().extend(times);
        }
    }

    /// The times under one fault.
    pub fn of(&self, fault: Fault) -> &[Duration] {
        self.0.get(&fault).map_or(&[], Vec::as_slice)
    }
}
