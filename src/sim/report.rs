//! What a run found.

use crate::failover_times::TimesByFault;
use crate::invariants::Invariant;
use crate::story::Line;
use consentinel_core::{Event, Time};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Events that happened in the world.
    pub events: u64,
    /// Disasters.
    pub faults: u64,
    /// Failovers that a sentinel began.
    pub attempts: u64,
    /// Elections that were won.
    pub elections: u64,
    /// Replicas that were told to be master.
    pub promotions: u64,
    /// Votes that were told to a candidate.
    pub votes: u64,
    /// Writes to sentinels' disks.
    pub saves: u64,
    /// Writes that clients saw acknowledged.
    pub acknowledged: u64,
    /// Writes under WAIT 1 that clients saw acknowledged.
    pub confirmed: u64,
    /// Servers that lost all their data to a master that had come back without its own.
    pub wiped: u64,
    /// How often a full synchronisation took writes from a replica.
    pub rolled_back: u64,
    /// How often a replica lost the stream of its master.
    pub streams_lost: u64,
    /// Records in Consul that were replaced.
    pub claims: u64,
    /// Transactions in Consul that changed entries under the same record.
    pub amendments: u64,
    /// Transactions that bounced off.
    pub bounced: u64,
    /// How often a lock in Consul was taken or became free.
    pub locks: u64,
    /// How long the sentinels took from the death of a master to the promotion of another, less down-after.
    pub failover_times: Vec<Duration>,
    /// How long it took, by what the failover met, until a majority named a master that takes writes.
    pub times_by_fault: TimesByFault,
    /// How long the world took to agree after the disasters.
    pub convergence_times: Vec<Duration>,
    /// How long it took from a promotion to its record, where Consul was well.
    pub publication_times: Vec<Duration>,
    /// How often sentinels told of each event.
    pub told: BTreeMap<&'static str, u64>,
    /// When the master of a group died.
    deaths: BTreeMap<u16, (Time, Duration)>,
    /// When a promotion of a group was seen that is not published yet.
    unpublished: BTreeMap<u16, Time>,
}

impl Stats {
    pub(crate) fn count(&mut self, event: Event) {
        *self.told.entry(event.as_str()).or_default() += 1;
    }

    /// What sentinels brought about in Consul, or wanted to.
    pub(crate) fn transactions(&self) -> u64 {
        self.claims + self.amendments + self.bounced + self.locks
    }

    /// What may happen by itself, in bad weather.
    pub(crate) fn noise(&self) -> u64 {
        self.streams_lost + self.told.get(Event::Sdown.as_str()).copied().unwrap_or_default()
    }

    /// The master of a group died.
    pub(crate) fn master_died(&mut self, group: u16, at: Time, down_after: Duration) {
        self.deaths.insert(group, (at, down_after));
    }

    /// A group has a new master.
    pub(crate) fn promoted(&mut self, group: u16, at: Time) {
        if let Some((died, down_after)) = self.deaths.remove(&group) {
            self.failover_times.push((at - died).saturating_sub(down_after));
        }
    }

    /// A promotion is to be published.
    pub(crate) fn awaits_publication(&mut self, group: u16, at: Time) {
        self.unpublished.insert(group, at);
    }

    /// It will take longer than it should.
    pub(crate) fn publishing_disturbed(&mut self) {
        self.unpublished.clear();
    }

    /// A record was replaced.
    pub(crate) fn published(&mut self, group: u16, at: Time) {
        self.publication_times.extend(self.unpublished.remove(&group).map(|since| at - since));
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Stats) {
        self.events += other.events;
        self.faults += other.faults;
        self.attempts += other.attempts;
        self.elections += other.elections;
        self.promotions += other.promotions;
        self.votes += other.votes;
        self.saves += other.saves;
        self.acknowledged += other.acknowledged;
        self.confirmed += other.confirmed;
        self.wiped += other.wiped;
        self.rolled_back += other.rolled_back;
        self.streams_lost += other.streams_lost;
        self.claims += other.claims;
        self.amendments += other.amendments;
        self.bounced += other.bounced;
        self.locks += other.locks;
        self.failover_times.extend(&other.failover_times);
        self.times_by_fault.extend(&other.times_by_fault);
        self.convergence_times.extend(&other.convergence_times);
        self.publication_times.extend(&other.publication_times);
        for (event, count) in &other.told {
            *self.told.entry(event).or_default() += count;
        }
    }
}

/// A run in which nothing was wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How much time passed in the world.
    pub virtual_time: Duration,
    /// What was counted.
    pub stats: Stats,
    /// The story, if it was asked for.
    pub story: Vec<Line>,
    /// A checksum over everything that happened: equal seeds have equal ones.
    pub fingerprint: u64,
}

/// A run in which something was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// When.
    pub at: Time,
    /// What was violated.
    pub invariant: Invariant,
    /// How.
    pub what: String,
    /// The story so far, if it was asked for.
    pub story: Vec<Line>,
}

impl Failure {
    pub(crate) fn new(seed: u64, at: Time, invariant: Invariant, what: String) -> Self {
        Failure { seed, at, invariant, what, story: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, at, invariant, what, .. } = self;
        write!(f, "seed {seed}, {at:?}: {invariant}: {what}")
    }
}

impl std::error::Error for Failure {}
