//! The state machine.
use crate::{Action, Durable, GroupName, GroupView, Input, Time, View};

/// A Sentinel. (Skeleton: the behaviour lands next.)
pub struct Sentinel {
    _state: Durable,
}

impl Sentinel {
    /// Wakes up with what it knew.
    pub fn new(state: Durable, _seed: u64, _now: Time) -> Self {
        Sentinel { _state: state }
    }
    /// Takes in one thing that happened. Never fails.
    pub fn handle(&mut self, _now: Time, _input: Input) {}
    /// The next thing to do. Call until it returns nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    /// When to send `Input::Wake`, unless something else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }
    /// All that can be seen.
    pub fn view(&self) -> View {
        unimplemented!("the view of the skeleton")
    }
    /// All that can be seen of one group.
    pub fn group(&self, _name: &GroupName) -> Option<GroupView> {
        None
    }
}
