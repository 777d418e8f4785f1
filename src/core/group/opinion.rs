//! What another sentinel thinks of a group's master, and whom it voted for.

use crate::context::Context;
use crate::mutation::{Mutation, active};
use crate::{Epoch, SentinelId, Time};
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
