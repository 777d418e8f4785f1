//! Clocks: who was woken much too late, or whose clock went back, must not act for a while.

use super::Invariant;
use crate::world::World;
use consentinel_core::Time;
use std::time::Duration;

/// The original's trigger and period, which no world changes.
const TRIGGER: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(30);
/// So often a sentinel may be woken without that any time passes.
const BUSY: u32 = 5000;

impl World {
    /// A sentinel is about to think; its clock says so much.
    pub(super) fn watch_clock(&mut self, sentinel: u16, clock: Time) {
        let deadline = self.sentinels[usize::from(sentinel)].deadline;
        let before = self.witness.clocks.insert(sentinel, clock).unwrap_or(clock);
        let late = deadline.is_some_and(|deadline| clock > deadline + TRIGGER);
        if self.witness.tilt_until.get(&sentinel).is_some_and(|until| clock >= *until) {
            self.witness.tilt_until.remove(&sentinel);
        }
        if late || before > clock + TRIGGER {
            self.witness.tilt_until.insert(sentinel, clock + PERIOD);
            self.witness.distracted.insert(sentinel);
        }
    }

    /// A sentinel is woken by its own deadline: it must not have one again and again without any time passing.
    pub(super) fn watch_rest(&mut self, sentinel: u16) {
        let busy = self.witness.busy.entry(sentinel).or_default();
        *busy = if busy.0 == self.now { (self.now, busy.1 + 1) } else { (self.now, 0) };
        if busy.1 > BUSY {
            let name = self.sentinel_name(sentinel).to_owned();
            self.violated(Invariant::Contract, format!("{name} never comes to rest"));
        }
    }

    /// Whether any sentinel says that it is in TILT.
    pub(crate) fn is_anybody_in_tilt(&self) -> bool {
        self.sentinels.iter().any(|host| host.brain.view().tilt.is_some())
    }

    /// Whether a sentinel must be in TILT.
    pub(super) fn must_be_idle(&self, sentinel: u16) -> bool {
        self.is_ours(sentinel) && self.witness.tilt_until.contains_key(&sentinel)
    }
}
