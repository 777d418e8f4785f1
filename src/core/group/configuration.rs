//! By which epoch the master is the master, and since when.

use crate::mutation::{Mutation, active};
use crate::{Epoch, Time};

/// The configuration of a group; who the master is stands among its nodes.
pub(super) struct Configuration {
    epoch: Epoch,
    switched: Time,
}

impl Configuration {
    /// What the file says.
    pub(super) fn new(epoch: Epoch, now: Time) -> Self {
        Configuration { epoch, switched: now }
    }

    /// The epoch of the election that made the master one.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sets the epoch. Three may call it, each at one moment: `on_promoted` when the server that our election chose says that
    /// it is master, `reaffirmed` when a majority has granted the present master a new epoch, and `adopt_config` when a peer
    /// announces a newer configuration than ours. With any other caller two masters could carry one epoch.
    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// When the master became the master: what servers said before is of another time.
    pub(super) fn switched(&self) -> Time {
        self.switched
    }

    /// Another server has just become the master.
    pub(super) fn begin(&mut self, now: Time) {
        self.switched = now;
    }
}

/// Whether the configuration of that epoch takes the place of ours.
pub(super) fn is_newer(epoch: Epoch, ours: Epoch) -> bool {
    epoch > ours && !active(Mutation::NewerConfigIgnored)
        || epoch < ours && active(Mutation::OlderConfigAccepted)
        || epoch == ours && active(Mutation::EqualConfigAccepted)
}
