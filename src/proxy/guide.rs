//! What the threads are told: where the master is, where the replicas are, and what is to be done.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the master is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
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

/// Somebody who may be read from.
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
    /// Everybody is let in.
    Open,
    /// Nobody is; those who are in may stay a while.
    Drain,
}

/// All of that, as a thread follows it.
#[derive(Clone)]
pub(super) struct Guide {
    pub(super) master: watch::Receiver<Sight>,
    pub(super) replicas: watch::Receiver<Arc<[Replica]>>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Says that what is known may be wrong: it is looked at again, at once.
    pub(super) doubt: Arc<dyn Fn() + Send + Sync>,
}

/// The other ends.
pub(super) struct Tellers {
    pub(super) master: watch::Sender<Sight>,
    pub(super) replicas: watch::Sender<Arc<[Replica]>>,
    pub(super) phase: watch::Sender<Phase>,
}

/// A guide that knows nothing yet, and those who tell it.
pub(super) fn guide(doubt: impl Fn() + Send + Sync + 'static) -> (Guide, Tellers) {
    let (tell_master, master) = watch::channel(Sight::Nobody("nobody has answered yet".into()));
    let (tell_replicas, replicas) = watch::channel(Arc::from([]));
    let (tell_phase, phase) = watch::channel(Phase::Open);
    let tellers = Tellers { master: tell_master, replicas: tell_replicas, phase: tell_phase };
    (Guide { master, replicas, phase, doubt: Arc::new(doubt) }, tellers)
}
