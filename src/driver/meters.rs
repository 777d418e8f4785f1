//! What is measured of the daemon itself. Measuring is an addition to a counter: nobody feels it.

use super::picture::FailoverCounts;
use crate::dns;
use crate::histogram::{Histogram, SHORT};
use crate::registrar::Counted;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What threads other than the loop's add to.
#[derive(Debug)]
pub(super) struct Meters {
    /// How long saves take, the failed ones, too.
    pub(super) saves: Histogram,
    /// Saves that failed.
    pub(super) failed_saves: AtomicU64,
    /// How late the loop comes to what has its time.
    pub(super) lag: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Meters { saves: Histogram::new(SHORT), failed_saves: AtomicU64::new(0), lag: Histogram::new(SHORT) }
    }
}

impl Meters {
    /// A save has ended.
    pub(super) fn saved(&self, took: Duration, failed: bool) {
        self.saves.add(took);
        self.failed_saves.fetch_add(u64::from(failed), Ordering::Relaxed);
    }
}

/// All that was counted, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Clients of the sentinel port, and how many there may be.
    pub(super) clients: usize,
    pub(super) most_clients: usize,
    /// Connections to it since the start, and those that were refused.
    pub(super) connections: u64,
    pub(super) refused: u64,
    /// Commands, and those that were answered by an error.
    pub(super) commands: u64,
    pub(super) errors: u64,
    /// Bytes.
    pub(super) input: u64,
    pub(super) output: u64,
    /// Failovers of each master that had any.
    pub(super) failovers: Vec<(String, FailoverCounts)>,
    /// Consul, when something is published.
    pub(super) consul: Option<Arc<Counted>>,
    /// DNS, where it is answered.
    pub(super) dns: Option<dns::Counted>,
}
