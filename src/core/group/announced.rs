//! What is on disk, and may therefore be told to clients and peers.

use crate::{Endpoint, Epoch, Seq, Time};

/// Who the master is, as it may be told.
pub(super) struct Announced {
    master: Endpoint,
    config: (Endpoint, Epoch),
    pending: Option<Seq>,
    led: bool,
    at: Time,
}

impl Announced {
    /// What the file says.
    pub(super) fn new(master: Endpoint, epoch: Epoch, now: Time) -> Self {
        Announced { config: (master.clone(), epoch), master, pending: None, led: false, at: now }
    }

    /// The master that clients are told.
    pub(super) fn master(&self) -> &Endpoint {
        &self.master
    }

    /// What hellos say: a master, and the epoch that made it one.
    pub(super) fn config(&self) -> (&Endpoint, Epoch) {
        (&self.config.0, self.config.1)
    }

    /// The save after which something newer may be told.
    pub(super) fn pending(&self) -> Option<Seq> {
        self.pending
    }

    /// Whether it was our own failover that changed it.
    pub(super) fn is_led(&self) -> bool {
        self.led
    }

    /// When it was last told.
    pub(super) fn at(&self) -> Time {
        self.at
    }

    /// The configuration has changed: that save has it.
    pub(super) fn wait_for(&mut self, save: Option<Seq>, led: bool) {
        self.pending = save;
        self.led = led;
    }

    /// Clients may be told of that master. Returns the one before.
    pub(super) fn tell_clients(&mut self, master: Endpoint, now: Time) -> Endpoint {
        self.at = now;
        std::mem::replace(&mut self.master, master)
    }

    /// Peers may be told, too: nothing newer is waited for.
    pub(super) fn tell_peers(&mut self, epoch: Epoch) {
        self.config = (self.master.clone(), epoch);
        self.pending = None;
    }
}
