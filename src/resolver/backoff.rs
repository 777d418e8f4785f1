//! Pauses between tries: each one twice as long as the one before, up to the longest. The only file that knows the crate
//! `backoff`.

use backoff::SystemClock;
use backoff::backoff::Backoff as _;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};
use std::time::Duration;

/// The pauses of one caller.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: ExponentialBackoff<SystemClock>,
    next: Duration,
}

impl Backoff {
    /// From the first pause to the longest. It never gives up: who tries knows for how long.
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(longest)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        let mut pauses = Backoff { policy, next: first };
        pauses.grow();
        pauses
    }

    /// The pause that comes next.
    pub fn current(&self) -> Duration {
        self.next
    }

    /// The pause that comes next; the one after it is twice as long.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.grow();
        pause
    }

    /// Makes the next pause twice as long.
    pub fn grow(&mut self) {
        self.next = self.policy.next_backoff().unwrap_or(self.policy.max_interval);
    }

    /// Begins with the first pause again.
    pub fn reset(&mut self) {
        self.policy.reset();
        self.grow();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_reset() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(10), ms(35));
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause()).collect();
        assert_eq!(pauses, [ms(10), ms(20), ms(35), ms(35)]);
        backoff.reset();
        assert_eq!(backoff.current(), ms(10));
    }
}
