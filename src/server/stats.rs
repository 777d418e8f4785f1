//! The counters of INFO.

use consentinel_core::Time;
use std::time::Duration;

/// Counters since the start.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) connections: u64,
    pub(super) refused: u64,
    pub(super) commands: u64,
    pub(super) errors: u64,
    pub(super) input: u64,
    pub(super) output: u64,
    /// Turns of clients, and those that were answered.
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// What was counted a moment ago, and what came of the moment before.
    sample: Sample,
    last: Rates,
}

#[derive(Clone, Copy, Default)]
struct Sample {
    at: Option<Time>,
    commands: u64,
    input: u64,
    output: u64,
}

/// How much there was in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) commands: f64,
    pub(super) input: f64,
    pub(super) output: f64,
}

/// How long a moment is at least.
const MOMENT: Duration = Duration::from_secs(1);

impl Stats {
    /// Notes that time has passed.
    pub(super) fn tick(&mut self, now: Time) {
        let due = self.sample.at.is_none_or(|at| now - at >= MOMENT);
        if due {
            self.last = self.since_sample(now);
            let Stats { commands, input, output, .. } = *self;
            self.sample = Sample { at: Some(now), commands, input, output };
        }
    }

    /// How much there was lately.
    pub(super) fn rates(&self, now: Time) -> Rates {
        match self.sample.at {
            Some(at) if now - at < MOMENT => self.last,
            _ => self.since_sample(now),
        }
    }

    fn since_sample(&self, now: Time) -> Rates {
        let Some(at) = self.sample.at else { return Rates::default() };
        let seconds = (now - at).as_secs_f64().max(f64::EPSILON);
        let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
        Rates {
            commands: rate(self.commands, self.sample.commands),
            input: rate(self.input, self.sample.input),
            output: rate(self.output, self.sample.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_moment() {
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut stats = Stats::default();
        stats.tick(at(0));
        stats.commands = 100;
        stats.tick(at(500));
        stats.tick(at(1000));
        assert_eq!(stats.rates(at(1100)).commands, 100.0);
        assert_eq!(stats.rates(at(3000)).commands, 0.0, "nothing came since");
    }
}
