//! TILT: when the clock has jumped, or the process has slept, the sentinel watches for a while and decides nothing.

use crate::mutation::{Mutation, active};
use crate::timers::Key;
use crate::{Detail, Event, Sentinel, Time};

impl Sentinel {
    /// Notices when the clock jumped or the process slept, and stops acting until it can be trusted again.
    pub(crate) fn detect_clock_jump(&mut self, now: Time) {
        let mut inside = now + self.skew;
        let mut astray = false;
        if inside < self.cx.now {
            self.skew += self.cx.now - inside;
            inside = self.cx.now;
            astray = true;
        }
        let trigger = self.cx.config.timing.tilt_trigger;
        astray |= self.cx.timers.next().is_some_and(|due| inside - due > trigger);
        self.cx.now = inside;
        self.cx.timers.set_clock(inside);
        if astray && !active(Mutation::TiltIgnored) {
            if self.cx.tilt.is_none() {
                self.cx.event(Event::Tilt, Detail::Text("#tilt mode entered".to_owned()), None);
                self.each_group(|group, cx| group.doubt(cx));
            }
            self.cx.tilt = Some(inside);
            self.cx.timers.set(Key::Tilt, Some(inside + self.cx.config.timing.tilt_period));
        }
    }

    /// The time of TILT is over.
    pub(crate) fn leave_tilt(&mut self) {
        self.cx.tilt = None;
        self.cx.event(Event::TiltOver, Detail::Text("#tilt mode exited".to_owned()), None);
        self.each_group(|group, cx| group.wake_from_tilt(cx));
    }
}
