//! Failovers in numbers.

use crate::histogram::{Counts, Histogram, LONG};
use crate::status::{Failover, Mark, MarkPhase};
use std::collections::BTreeMap;

/// The phases that are measured: name, the mark that begins it, the mark that ends it.
const PHASES: [(&str, MarkPhase, MarkPhase); 9] = [
    ("detection", MarkPhase::Silent, MarkPhase::Sdown),
    ("agreement", MarkPhase::Sdown, MarkPhase::Odown),
    ("election", MarkPhase::Standing, MarkPhase::Elected),
    ("choice", MarkPhase::Elected, MarkPhase::Selected),
    ("promotion", MarkPhase::Selected, MarkPhase::Promoted),
    ("switch", MarkPhase::Promoted, MarkPhase::Switched),
    ("outage", MarkPhase::Silent, MarkPhase::Switched),
    ("publication", MarkPhase::Switched, MarkPhase::Published),
    ("reconfiguration", MarkPhase::Switched, MarkPhase::End),
];

/// What the failovers of a master have come to.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    /// Those that named a new master.
    pub(super) done: u64,
    /// Attempts that came to nothing.
    pub(super) aborted: u64,
    /// Masters that came back by themselves.
    pub(super) over: u64,
    phases: BTreeMap<&'static str, Histogram>,
}

/// The same, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailoverCounts {
    /// How many ended how, in the order of `RESULTS`.
    pub results: [u64; 3],
    /// How long their phases took.
    pub phases: Vec<(&'static str, Counts)>,
}

impl FailoverCounts {
    /// How a failover can end, in the order of `results`.
    pub(crate) const RESULTS: [&str; 3] = ["done", "aborted", "over"];
}

impl Counter {
    /// A failover has ended well: all of its phases that were seen.
    pub(super) fn add(&mut self, failover: &Failover) {
        PHASES.iter().for_each(|phase| self.add_phase(failover, phase));
    }

    /// Consul has come to know of one that was added before.
    pub(super) fn add_publication(&mut self, failover: &Failover) {
        PHASES
            .iter()
            .filter(|phase| phase.2 == MarkPhase::Published)
            .for_each(|phase| self.add_phase(failover, phase));
    }

    fn add_phase(&mut self, failover: &Failover, (name, first, last): &(&'static str, MarkPhase, MarkPhase)) {
        if let Some(took) = between(&failover.phases, *first, *last) {
            self.phases.entry(name).or_insert_with(|| Histogram::new(LONG)).add(took);
        }
    }

    /// What it holds.
    pub(super) fn counts(&self) -> FailoverCounts {
        FailoverCounts {
            results: [self.done, self.aborted, self.over],
            phases: self.phases.iter().map(|(name, histogram)| (*name, histogram.counts())).collect(),
        }
    }
}

/// From the last such mark before the end to the end. An attempt may have been in vain before the one that succeeded.
fn between(marks: &[Mark], first: MarkPhase, last: MarkPhase) -> Option<std::time::Duration> {
    let end = marks.iter().rposition(|mark| mark.phase == last)?;
    // Consul may have known before we did: that took no time.
    let begin = marks[..end].iter().rfind(|mark| mark.phase == first);
    let begin = begin.or_else(|| marks[end..].iter().find(|mark| mark.phase == first))?;
    let millis = (marks[end].at_ms - begin.at_ms).max(0.0);
    Some(std::time::Duration::from_micros((millis * 1000.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_that_succeeded_is_measured() {
        let marks = [
            ("silent", 0.0),
            ("sdown", 1000.0),
            ("odown", 1002.5),
            ("standing", 1003.0),
            ("aborted", 11_000.0),
            ("standing", 12_000.0),
            ("elected", 12_004.0),
            ("published", 12_009.0),
            ("switched", 12_010.0),
        ];
        let mark = |(phase, at_ms): &(&str, f64)| Mark {
            phase: (*phase).into(),
            at_ms: *at_ms,
            words: String::new(),
        };
        let failover = Failover { phases: marks.iter().map(mark).collect(), ..Failover::default() };
        let mut counter = Counter::default();
        counter.add(&failover);
        let micros: Vec<_> =
            counter.counts().phases.iter().map(|(name, counts)| (*name, counts.micros)).collect();
        let expected = [
            ("agreement", 2_500),
            ("detection", 1_000_000),
            ("election", 4_000),
            ("outage", 12_010_000),
            ("publication", 0),
        ];
        assert_eq!(micros, expected);
    }
}
