//! What the registrar counts, to be read from any thread.

use crate::histogram::{Counts, Histogram, SHORT};
use consentinel_core::{RegistryError, RegistryFault};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    requests: AtomicU64,
    failures: [AtomicU64; RegistryFault::ALL.len()],
    latency_micros: AtomicU64,
    latencies: Histogram,
    sent: AtomicU64,
    received: AtomicU64,
    watched: AtomicU64,
    /// Whether the servers refuse keys with `..` in them.
    refuses_dots: AtomicBool,
    /// What failed last, until something succeeds.
    trouble: Mutex<Option<RegistryError>>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            requests: AtomicU64::default(),
            failures: Default::default(),
            latency_micros: AtomicU64::default(),
            latencies: Histogram::new(SHORT),
            sent: AtomicU64::default(),
            received: AtomicU64::default(),
            watched: AtomicU64::default(),
            refuses_dots: AtomicBool::default(),
            trouble: Mutex::default(),
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that failed, in the order of [`RegistryFault::ALL`].
    pub failures: [u64; RegistryFault::ALL.len()],
    /// How long the last answer took; that of a request that waits for changes does not count.
    pub latency: Duration,
    /// How long all of them took.
    pub latencies: Counts,
    /// Bytes of requests.
    pub sent: u64,
    /// Bytes of answers.
    pub received: u64,
    /// Groups that are published.
    pub watched: u64,
    /// Why Consul cannot be asked, while that is so.
    pub trouble: Option<RegistryError>,
}

impl Counters {
    /// A request has gone over the wire, or was to.
    pub(super) fn transferred(&self, sent: usize, received: usize, latency: Option<Duration>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.received.fetch_add(received as u64, Ordering::Relaxed);
        if let Some(latency) = latency {
            self.latency_micros.store(latency.as_micros() as u64, Ordering::Relaxed);
            self.latencies.add(latency);
        }
    }

    /// Something failed. Whether Consul as a whole cannot be asked, and that is news: another kind of trouble than
    /// before, or the first.
    pub(super) fn failed(&self, error: &RegistryError, whole: bool) -> bool {
        if let Some(at) = RegistryFault::ALL.iter().position(|fault| *fault == error.kind) {
            self.failures[at].fetch_add(1, Ordering::Relaxed);
        }
        if !whole {
            return false;
        }
        let before = self.lock_trouble().replace(error.clone());
        before.is_none_or(|before| before.kind != error.kind)
    }

    /// Something succeeded; whether this is news.
    pub(super) fn succeeded(&self) -> bool {
        self.lock_trouble().take().is_some()
    }

    /// So many groups are published.
    pub(super) fn watches(&self, groups: usize) {
        self.watched.store(groups as u64, Ordering::Relaxed);
    }

    /// This release of Consul refuses keys with `..` in them.
    pub(super) fn dots_are_refused(&self) {
        self.refuses_dots.store(true, Ordering::Relaxed);
    }

    /// Whether that is known.
    pub(crate) fn refuses_dots(&self) -> bool {
        self.refuses_dots.load(Ordering::Relaxed)
    }

    /// All of them, now.
    pub(crate) fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            requests: read(&self.requests),
            failures: std::array::from_fn(|at| read(&self.failures[at])),
            latency: Duration::from_micros(read(&self.latency_micros)),
            latencies: self.latencies.counts(),
            sent: read(&self.sent),
            received: read(&self.received),
            watched: read(&self.watched),
            trouble: self.lock_trouble().clone(),
        }
    }

    fn lock_trouble(&self) -> std::sync::MutexGuard<'_, Option<RegistryError>> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
