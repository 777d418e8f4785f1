//! One table of deadlines. Whoever has something to do later says when; nothing is scanned.

use crate::Time;
use crate::ids::{GroupId, NodeId, PeerId};
use std::collections::{BTreeMap, BTreeSet};

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Save,
    Scripts,
    Tilt,
    Peer(PeerId),
    Node(GroupId, NodeId),
    Group(GroupId),
}

/// At most one deadline for each key.
#[derive(Default)]
pub(crate) struct Timers {
    now: Time,
    due: BTreeSet<(Time, Key)>,
    at: BTreeMap<Key, Time>,
}

impl Timers {
    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What time it is.
    pub(crate) fn set_clock(&mut self, now: Time) {
        self.now = now;
    }

    /// Moves a deadline, or takes it away. A deadline that has passed before anybody set it is due now: how late the
    /// earliest one is tells whether the process slept, and nobody slept through this one.
    pub(crate) fn set(&mut self, key: Key, at: Option<Time>) {
        let at = at.filter(|at| *at != Time::NEVER).map(|at| at.max(self.now));
        if self.at.get(&key).copied() == at {
            return;
        }
        if let Some(before) = self.at.remove(&key) {
            self.due.remove(&(before, key));
        }
        if let Some(at) = at {
            self.at.insert(key, at);
            self.due.insert((at, key));
        }
    }

    /// Takes out one key whose deadline has come.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Key> {
        let (at, key) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, key));
        self.at.remove(&key);
        Some(key)
    }

    /// Forgets all deadlines of a group.
    pub(crate) fn remove_group(&mut self, group: GroupId) {
        let belongs = |key: &Key| match key {
            Key::Node(of, _) | Key::Group(of) => *of == group,
            _ => false,
        };
        self.at.retain(|key, _| !belongs(key));
        self.due.retain(|(_, key)| !belongs(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_moved_one_comes_once() {
        let mut timers = Timers::default();
        timers.set(Key::Save, Some(Time::from_millis(20)));
        timers.set(Key::Tilt, Some(Time::from_millis(10)));
        timers.set(Key::Save, Some(Time::from_millis(5)));
        assert_eq!(timers.next(), Some(Time::from_millis(5)));
        assert_eq!(timers.pop(Time::from_millis(4)), None);
        assert_eq!(timers.pop(Time::from_millis(30)), Some(Key::Save));
        assert_eq!(timers.pop(Time::from_millis(30)), Some(Key::Tilt));
        assert_eq!(timers.pop(Time::from_millis(30)), None);
    }

    #[test]
    fn what_is_set_for_the_past_is_not_late() {
        let mut timers = Timers::default();
        timers.set_clock(Time::from_millis(50));
        timers.set(Key::Save, Some(Time::from_millis(20)));
        assert_eq!(timers.next(), Some(Time::from_millis(50)));
    }
}
