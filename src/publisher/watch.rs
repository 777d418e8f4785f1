//! A call that waits for changes, over and over.

use crate::call::CallId;
use consentinel_core::{RegistryError, Time};
use std::time::Duration;

/// Between two answers, where they are small: whatever changes all the time is not read all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// An answer in which nothing of ours has changed makes the next pause longer, up to this: other things change in
/// Consul, too.
const LONGEST_QUIET: Duration = Duration::from_secs(1);

/// One of the two watches.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) state: State,
    /// Of the answer before.
    pub(crate) index: Option<u64>,
    /// How many bytes a second it may bring, so that what changes all the time does not keep Consul busy.
    rate: u64,
    /// What it failed with, as long as it does.
    pub(crate) error: Option<RegistryError>,
    pub(crate) failures: u32,
    /// Whether it was ever answered.
    pub(crate) answered: bool,
    quiet: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody wants to know anything yet.
    Off,
    /// To be asked then.
    Due(Time),
    /// Asked.
    Waiting(CallId),
}

impl Watch {
    pub(crate) fn new(rate: u64) -> Self {
        Watch {
            state: State::Off,
            index: None,
            rate,
            error: None,
            failures: 0,
            answered: false,
            quiet: Duration::ZERO,
        }
    }

    /// It was answered. An index of zero is none: Consul would answer at once, again and again.
    pub(crate) fn answered(&mut self, index: u64, bytes: usize, is_news: bool, now: Time) {
        self.index = Some(index.max(1));
        (self.error, self.failures, self.answered) = (None, 0, true);
        let pause = PAUSE + Duration::from_micros(bytes as u64 * 1_000_000 / self.rate);
        self.quiet = match is_news {
            true => Duration::ZERO,
            false => (self.quiet * 2).clamp(PAUSE, LONGEST_QUIET),
        };
        self.state = State::Due(now + pause.max(self.quiet));
    }

    /// To be asked for everything, then.
    pub(crate) fn anew(&mut self, at: Time) {
        (self.index, self.state, self.quiet) = (None, State::Due(at), Duration::ZERO);
    }

    pub(crate) fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Due(at) if at <= now)
    }

    pub(crate) fn deadline(&self) -> Time {
        match self.state {
            State::Due(at) => at,
            State::Off | State::Waiting(_) => Time::NEVER,
        }
    }
}
