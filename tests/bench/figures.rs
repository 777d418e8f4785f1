//! Times, sorted.

use std::fmt;
use std::time::Duration;

/// What every sentinel has to wait anyway; subtracted from whatever is measured from the disaster on.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// What is left of a time since the disaster when everybody has waited as long as he must.
pub(crate) fn beyond(time: Duration) -> Duration {
    time.saturating_sub(DOWN_AFTER)
}

/// Sorted times, at least one.
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    /// Sorts them; nothing when there are none.
    pub(crate) fn of(times: impl Iterator<Item = Duration>) -> Option<Figures> {
        let mut times: Vec<_> = times.collect();
        times.sort();
        (!times.is_empty()).then_some(Figures(times))
    }

    pub(crate) fn median(&self) -> Duration {
        let (low, high) = (self.0[(self.0.len() - 1) / 2], self.0[self.0.len() / 2]);
        (low + high) / 2
    }

    /// The time that all but one of a hundred stay below: with fewer rounds, the longest.
    pub(crate) fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }

    /// How many times as long as this one's median the other's is.
    pub(crate) fn ratio(&self, other: &Figures) -> f64 {
        other.median().as_secs_f64() / self.median().as_secs_f64().max(0.001)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", millis(self.median()), millis(self.p99()))
    }
}

fn millis(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1000.0)
}

/// A cell of a table, empty where there is nothing to say.
pub(crate) fn cell(content: Option<impl fmt::Display>) -> String {
    content.map_or(String::new(), |content| content.to_string())
}
