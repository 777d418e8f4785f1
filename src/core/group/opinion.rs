//! What another sentinel thinks of a group's master, and whom it voted for.

use crate::context::Context;
use crate::mutation::{Mutation, active};
use crate::{Endpoint, Epoch, SentinelId, Time};
use std::time::Duration;

/// What another sentinel thinks, as far as it told us.
#[derive(Default)]
pub(super) struct Opinion {
    /// It takes the master for down, and when it said so.
    pub(super) down: Option<Time>,
    /// Its last vote.
    pub(super) vote: Option<(SentinelId, Epoch)>,
    /// An election of ours for which it would not give its vote.
    pub(super) refused: Option<Epoch>,
    /// When it last said hello.
    pub(super) last_hello: Time,
    /// The newest configuration that it has said hello with.
    pub(super) config_epoch: Epoch,
    /// How long its last vote took.
    pub(super) vote_took: Duration,
    /// A newer configuration that was said in its name, and that it has not confirmed yet.
    pub(super) claim: Option<(Endpoint, Epoch)>,
    /// The address with which it began to confirm it.
    pub(super) confirms: Option<Endpoint>,
    /// The epoch of its configuration, as it has told over our own connection.
    pub(super) confirmed: Epoch,
    /// When it was last logged that it does not confirm what is said in its name.
    pub(super) denied: Option<Time>,
    /// When it was last told that its configuration is an old one.
    pub(super) corrected: Option<Time>,
    /// Since when this sentinel has taken it for down.
    pub(super) sdown: Option<Time>,
}

impl Opinion {
    /// The master is another one, or went down anew: what was said before is not about this.
    pub(super) fn forget_verdict(&mut self) {
        self.down = self
            .down
            .filter(|_| active(Mutation::OpinionsNeverExpire) || active(Mutation::OpinionsOutliveTheMaster));
    }

    /// Nothing was heard yet.
    pub(super) fn new(now: Time) -> Self {
        Opinion { last_hello: now, ..Opinion::default() }
    }

    /// Whether it takes the master for down, as far as it said so lately.
    pub(super) fn says_down(&self, cx: &Context) -> bool {
        self.down.is_some_and(|at| {
            active(Mutation::OpinionsNeverExpire) || cx.now < at + cx.config.timing.ask_period * OPINION_LASTS
        })
    }
}

/// An answer is forgotten after so many ask periods.
pub(super) const OPINION_LASTS: u32 = 5;
