//! How long to wait after something was in vain. The only file that knows the crate `backoff`, and it uses nothing of
//! it but the exponential policy: the crate is no longer maintained, and leaving it must stay a change of this file.

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const GROWTH: f64 = 2.0;
/// By which part of itself a delay is longer or shorter by chance.
const JITTER: f64 = 0.3;

/// After so many delays the longest is reached.
const MOST_TRIES: u32 = 8;

/// How long to wait when it was in vain so many times in a row.
pub(super) fn delay(tries: u32) -> Duration {
    let mut policy = ExponentialBackoffBuilder::new()
        .with_initial_interval(FIRST)
        .with_multiplier(GROWTH)
        .with_max_interval(LONGEST)
        .with_randomization_factor(JITTER)
        .with_max_elapsed_time(None)
        .build();
    let delays = (0..tries.min(MOST_TRIES)).filter_map(|_| policy.next_backoff());
    delays.last().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_does_not_wait() {
        assert_eq!(delay(0), Duration::ZERO);
    }

    #[test]
    fn delays_grow_to_a_limit_and_differ_by_chance() {
        for _ in 0..50 {
            let first = delay(1);
            assert!((FIRST.mul_f64(0.7)..=FIRST.mul_f64(1.3)).contains(&first), "{first:?}");
            let last = delay(u32::MAX);
            assert!((LONGEST.mul_f64(0.7)..=LONGEST.mul_f64(1.3)).contains(&last), "{last:?}");
        }
        assert!((0..50).map(|_| delay(5)).collect::<std::collections::BTreeSet<_>>().len() > 1);
    }
}
