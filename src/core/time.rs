//! A point in time, as the core is told it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Microseconds since an origin that only the driver knows. It must never run backwards in a healthy
/// process; when it does, the core says TILT.
///
/// ```
/// use consentinel_core::Time;
/// use std::time::Duration;
/// let later = Time::ZERO + Duration::from_millis(3);
/// assert_eq!(later - Time::ZERO, Duration::from_millis(3));
/// assert_eq!(Time::ZERO - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);
    /// Later than everything that happens.
    pub const NEVER: Time = Time(u64::MAX);

    /// A time so many microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// A time so many milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Time(millis.saturating_mul(1000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The time that lies so long before this one, but not before the origin.
    pub fn earlier(self, by: Duration) -> Time {
        Time(self.0.saturating_sub(micros(by)))
    }
}

/// What is done again and again is done on a beat: all that one server is sent in a second goes in one packet, and a
/// thousand servers are asked at one go, which is cheapest. How many of them at once, so that nobody else has to wait, is
/// for the driver to say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beat(Duration);

impl Beat {
    /// The beat of a sentinel. Two of them never beat at the same moment, or hardly ever: what they do about the same
    /// server shall not collide.
    pub(crate) fn new(sentinel: u64) -> Self {
        Beat(Duration::from_micros(sentinel % micros(BAR)))
    }

    /// The last beat that is not later than a period after then. Where the period is shorter than a second, so is the
    /// time from beat to beat.
    pub(crate) fn after(self, then: Time, period: Duration) -> Time {
        let due = then + period;
        let gap = micros(period.min(BAR));
        match due.0.checked_sub(micros(self.0)) {
            Some(past) if gap > 0 && due != Time::NEVER => Time(due.0 - past % gap),
            _ => due,
        }
    }
}

/// The beats repeat themselves after that long.
const BAR: Duration = Duration::from_secs(1);

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(micros(span)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

/// The span from the earlier to the later; zero when they stand the other way round.
impl Sub for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Seconds with microseconds, as a trace shows them.
impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_beat_is_never_later_than_the_period() {
        let beat = Beat::new(7_300_000);
        let at = |then, period| beat.after(Time::from_millis(then), period).as_millis();
        assert_eq!(at(9_300, SECOND), 10_300);
        assert_eq!(at(9_301, SECOND), 10_300);
        assert_eq!(at(9_299, SECOND), 9_300);
        assert_eq!(at(9_400, SECOND * 10), 19_300);
        assert_eq!(at(9_350, SECOND / 10), 9_400);
    }

    #[test]
    fn a_beat_is_always_later_than_what_came_before() {
        for micros in (0..3_000_000).step_by(777) {
            let then = Time::from_micros(micros);
            for period in [Duration::from_micros(1), Duration::from_millis(10), SECOND, SECOND * 2] {
                let at = Beat::new(micros).after(then, period);
                assert!(then < at && at <= then + period, "{then:?} {period:?} {at:?}");
            }
        }
    }

    #[test]
    fn there_are_times_that_never_come() {
        assert_eq!(Beat::new(1).after(Time::NEVER, SECOND), Time::NEVER);
        assert_eq!(Beat::new(1).after(Time::ZERO, Duration::MAX), Time::NEVER);
        assert_eq!(Beat::new(1).after(Time::ZERO, Duration::ZERO), Time::ZERO);
    }
}
