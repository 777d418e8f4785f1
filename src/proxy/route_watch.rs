//! What the main thread tells the workers: where the master and the replicas are, and whether clients are let in.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the master is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// There.
    Master {
        /// Where it answers.
        addr: SocketAddr,
        /// Of its publication, where that is told.
        epoch: Option<u64>,
    },
    /// Nobody is, or nobody tells; and why.
    Nobody(Arc<str>),
}

/// A replica that may be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    /// Where it answers.
    pub(super) addr: SocketAddr,
    /// Those with the lowest number come first.
    pub(super) priority: u16,
    /// Its share among those of one priority.
    pub(super) weight: u16,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients are let in.
    Open,
    /// No more are; those that are in may stay a while.
    Drain,
}

/// All of that, as a worker follows it.
#[derive(Clone)]
pub(super) struct RouteWatch {
    pub(super) master: watch::Receiver<Destination>,
    pub(super) replicas: watch::Receiver<Arc<[Replica]>>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Says that what is known may be wrong: it is looked at again, at once.
    pub(super) doubt: Arc<dyn Fn() + Send + Sync>,
}

/// The main thread's ends of it.
pub(super) struct RouteSenders {
    pub(super) master: watch::Sender<Destination>,
    pub(super) replicas: watch::Sender<Arc<[Replica]>>,
    pub(super) phase: watch::Sender<Phase>,
}

/// Both ends. Nothing is known yet.
pub(super) fn channels(doubt: impl Fn() + Send + Sync + 'static) -> (RouteWatch, RouteSenders) {
    let (tell_master, master) = watch::channel(Destination::Nobody("nobody has answered yet".into()));
    let (tell_replicas, replicas) = watch::channel(Arc::from([]));
    let (tell_phase, phase) = watch::channel(Phase::Open);
    let senders = RouteSenders { master: tell_master, replicas: tell_replicas, phase: tell_phase };
    (RouteWatch { master, replicas, phase, doubt: Arc::new(doubt) }, senders)
}
