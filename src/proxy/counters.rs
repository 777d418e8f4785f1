//! What is counted, each thread for itself, so that no two write to the same memory.

use crate::histogram::{Histogram, SHORT};
use consentinel_core::Role;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters of a thread.
#[derive(Debug)]
pub(super) struct Counters {
    /// Connections that are open, to the master and to replicas, held ones included.
    pub(super) open: [AtomicUsize; 2],
    /// Those that wait for a server.
    pub(super) held: AtomicUsize,
    /// All that were let in, to the master and to replicas.
    pub(super) accepted: [AtomicU64; 2],
    /// Those that were refused, by reason.
    pub(super) refused: [AtomicU64; 3],
    /// Those that were cut, by reason.
    pub(super) cut: [AtomicU64; 2],
    /// Servers that could not be reached, or were not what they should be.
    pub(super) failed: AtomicU64,
    /// Servers that did not tell their role.
    pub(super) unverified: AtomicU64,
    /// From clients to servers.
    pub(super) bytes_up: AtomicU64,
    /// From servers to clients.
    pub(super) bytes_down: AtomicU64,
    /// From the accepted connection to the one to the server.
    pub(super) lead: Histogram,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There was nobody to lead it to in time.
    NoServer,
    /// Too many are waiting for that already.
    TooManyHeld,
    /// Too many are open.
    TooMany,
}

impl Refusal {
    /// Each, with its name for Prometheus.
    pub(super) const NAMES: [&str; 3] = ["no_server", "too_many_held", "too_many"];
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            open: Default::default(),
            held: AtomicUsize::new(0),
            accepted: Default::default(),
            refused: Default::default(),
            cut: Default::default(),
            failed: AtomicU64::new(0),
            unverified: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            lead: Histogram::new(SHORT),
        }
    }
}

impl Counters {
    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A connection that is open, as long as this is there.
#[derive(Debug)]
pub(super) struct Entered {
    counters: Arc<Counters>,
    /// Whom it wants.
    pub(super) role: Role,
}

impl Entered {
    /// One more.
    pub(super) fn new(counters: &Arc<Counters>, role: Role) -> Entered {
        counters.open[role as usize].fetch_add(1, Ordering::Relaxed);
        count(&counters.accepted[role as usize]);
        Entered { counters: counters.clone(), role }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.counters.open[self.role as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that waits for a server, as long as this is there.
#[derive(Debug)]
pub(super) struct Held(Arc<Counters>);

impl Held {
    /// One more.
    pub(super) fn new(counters: &Arc<Counters>) -> Held {
        counters.held.fetch_add(1, Ordering::Relaxed);
        Held(counters.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
