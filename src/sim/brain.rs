//! What drives a sentinel in the world: the real core, or another model with the same interface.

use crate::original::OriginalSentinel;
use consentinel_core::{Action, DnsView, Durable, GroupName, GroupView, Input, Sentinel, Time, View};

/// A sentinel's mind: inputs in, actions out.
pub(crate) trait Brain {
    /// Takes in one thing that happened.
    fn handle(&mut self, now: Time, input: Input);
    /// The next thing to do.
    fn poll_action(&mut self) -> Option<Action>;
    /// When to wake it.
    fn poll_timeout(&self) -> Option<Time>;
    /// All that can be seen.
    fn view(&self) -> View;
    /// All that can be seen of one group.
    fn group(&self, name: &GroupName) -> Option<GroupView>;
    /// What DNS may say of a group.
    fn dns_view(&self, name: &GroupName) -> Option<DnsView>;
}

/// Whose habits a sentinel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Core,
    /// The original redis-sentinel's.
    Original,
}

impl Kind {
    /// Wakes a mind up.
    pub(crate) fn wake(self, durable: Durable, seed: u64, now: Time) -> Box<dyn Brain> {
        match self {
            Kind::Core => Box::new(Sentinel::new(durable, seed, now)),
            Kind::Original => Box::new(OriginalSentinel::new(durable, seed, now)),
        }
    }
}

impl Brain for Sentinel {
    fn handle(&mut self, now: Time, input: Input) {
        Sentinel::handle(self, now, input);
    }
    fn poll_action(&mut self) -> Option<Action> {
        Sentinel::poll_action(self)
    }
    fn poll_timeout(&self) -> Option<Time> {
        Sentinel::poll_timeout(self)
    }
    fn view(&self) -> View {
        Sentinel::view(self)
    }
    fn group(&self, name: &GroupName) -> Option<GroupView> {
        Sentinel::group(self, name)
    }
    fn dns_view(&self, name: &GroupName) -> Option<DnsView> {
        Sentinel::dns_view(self, name)
    }
}

impl Brain for OriginalSentinel {
    fn handle(&mut self, now: Time, input: Input) {
        OriginalSentinel::handle(self, now, input);
    }
    fn poll_action(&mut self) -> Option<Action> {
        OriginalSentinel::poll_action(self)
    }
    fn poll_timeout(&self) -> Option<Time> {
        OriginalSentinel::poll_timeout(self)
    }
    fn view(&self) -> View {
        OriginalSentinel::view(self)
    }
    fn group(&self, name: &GroupName) -> Option<GroupView> {
        OriginalSentinel::group(self, name)
    }
    /// It has no DNS.
    fn dns_view(&self, _: &GroupName) -> Option<DnsView> {
        None
    }
}
