//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer; panics with what was waited for when the time is over.
pub fn eventually<T>(what: &str, within: Duration, ask: impl FnMut() -> Option<T>) -> T {
    poll_until(within, ask).unwrap_or_else(|| panic!("waited {within:?} in vain: {what}"))
}

/// The same, for a condition that may fail to come true.
pub fn poll_until<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(PAUSE); // between two polls
    }
}
