//! How long to wait after something was in vain. The only file that knows the crate `backoff`, and it uses nothing of
//! it but the exponential policy: the crate is no longer maintained, and leaving it must stay a change of this file.

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;
use consentinel_core::Rng;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
const GROWTH: f64 = 2.0;

/// After so many delays the longest is reached.
const MOST_TRIES: u32 = 8;

/// How long to wait when it was in vain so many times in a row: ever longer, and by up to three tenths more or less by
/// chance. The chance is ours, so that the simulator can repeat it.
///
/// ```
/// use consentinel_core::Rng;
/// assert_eq!(consentinel_publisher::delay(0, &mut Rng::new(1)), std::time::Duration::ZERO);
/// ```
pub fn delay(tries: u32, rng: &mut Rng) -> Duration {
    let mut policy = ExponentialBackoffBuilder::new()
        .with_initial_interval(FIRST)
        .with_multiplier(GROWTH)
        .with_max_interval(LONGEST)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build();
    let delays = (0..tries.min(MOST_TRIES)).filter_map(|_| policy.next_backoff());
    let whole = delays.last().unwrap_or(Duration::ZERO);
    whole * 7 / 10 + rng.span(whole * 6 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_differ_by_chance() {
        let mut rng = Rng::new(7);
        for _ in 0..50 {
            let first = delay(1, &mut rng);
            assert!((FIRST.mul_f64(0.7)..=FIRST.mul_f64(1.3)).contains(&first), "{first:?}");
            let last = delay(u32::MAX, &mut rng);
            assert!((LONGEST.mul_f64(0.7)..=LONGEST.mul_f64(1.3)).contains(&last), "{last:?}");
        }
        assert!((0..50).map(|_| delay(5, &mut rng)).collect::<std::collections::BTreeSet<_>>().len() > 1);
    }
}
