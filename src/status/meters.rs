//! What is measured of the daemon itself. Measuring is an addition to a counter: nobody feels it.

use crate::dns;
use crate::histogram::{Histogram, SHORT};
use crate::registrar::Counted;
use crate::status::FailoverCounts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What threads other than the loop's add to.
#[derive(Debug)]
pub(crate) struct Meters {
    /// How long saves take, the failed ones, too.
    pub(crate) saves: Histogram,
    /// Saves that failed.
    pub(crate) failed_saves: AtomicU64,
    /// How late the loop comes to what has its time.
    pub(crate) lag: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Meters { saves: Histogram::new(SHORT), failed_saves: AtomicU64::new(0), lag: Histogram::new(SHORT) }
    }
}

impl Meters {
    /// A save has ended.
    pub(crate) fn saved(&self, took: Duration, failed: bool) {
        self.saves.add(took);
        self.failed_saves.fetch_add(u64::from(failed), Ordering::Relaxed);
    }
}

/// All that was counted, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Clients of the sentinel port, and how many there may be.
    pub(crate) clients: usize,
    pub(crate) most_clients: usize,
    /// Connections to it since the start, and those that were refused.
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    /// Commands, and those that were answered by an error.
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    /// Bytes.
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// Failovers of each master that had any.
    pub(crate) failovers: Vec<(String, FailoverCounts)>,
    /// Consul, when something is published.
    pub(crate) consul: Option<Arc<Counted>>,
    /// DNS, where it is answered.
    pub(crate) dns: Option<dns::Counted>,
}
