//! How long something took, counted in buckets. Any thread may add to it, and nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
pub(crate) type Bounds = &'static [u64];

/// What happens within milliseconds when all is well: saves, requests, the loop.
pub(crate) const SHORT: Bounds = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// The phases of failovers: from a round trip to the patience of a failover.
pub(crate) const LONG: Bounds = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
];

/// Counts of durations.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: Bounds,
    /// One a bound, and one for what is longer.
    buckets: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counts {
    /// Upper bounds in microseconds, each with all that was not longer.
    pub buckets: Vec<(u64, u64)>,
    /// All there were.
    pub count: u64,
    /// How long they took together, in microseconds.
    pub micros: u64,
}

impl Histogram {
    /// One that has counted nothing.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, buckets, micros: AtomicU64::new(0) }
    }

    /// Something took so long.
    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|bound| *bound < micros);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds. The counts are those of one look at each bucket: they agree with each other.
    pub(crate) fn counts(&self) -> Counts {
        let mut count = 0;
        let mut up_to = |bucket: &AtomicU64| {
            count += bucket.load(Ordering::Relaxed);
            count
        };
        let buckets =
            self.bounds.iter().zip(&self.buckets).map(|(bound, bucket)| (*bound, up_to(bucket))).collect();
        let longer = self.buckets.last().map_or(0, |bucket| bucket.load(Ordering::Relaxed));
        Counts { buckets, count: count + longer, micros: self.micros.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_all_that_was_not_longer() {
        let histogram = Histogram::new(&[10, 100]);
        for micros in [5, 10, 11, 100, 101] {
            histogram.add(Duration::from_micros(micros));
        }
        let expected = Counts { buckets: vec![(10, 2), (100, 4)], count: 5, micros: 227 };
        assert_eq!(histogram.counts(), expected);
    }
}
