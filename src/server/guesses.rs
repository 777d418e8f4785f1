//! Wrong passwords: who gives many of them is answered late, and named in the log.
//!
//! Each address has a supply of wrong passwords that are answered at once, which grows again with time. Beyond that their
//! answers leave at that pace, however many connections they come on. A right password never waits.

use crate::net::client_network;
use consentinel_core::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Between two wrong passwords of one address, in the long run.
const PERIOD: Duration = Duration::from_millis(50);

/// So many are answered at once: a client with an old password that tries again and again, or a hundred of them at one address.
const SUPPLY: u32 = 100;

/// No answer waits longer: the connection is held meanwhile.
const LONGEST: Duration = Duration::from_secs(5);

/// How often an address is named in the log at most.
const SILENCE: Duration = Duration::from_secs(60);

/// Addresses that are remembered.
const MOST: usize = 4096;

/// Wrong passwords of all addresses.
#[derive(Debug, Default)]
pub(super) struct Guesses(BTreeMap<IpAddr, Guesser>);

#[derive(Debug, Default)]
struct Guesser {
    /// When its supply is full again.
    full: Time,
    /// Since it was named last.
    count: u64,
    named: Option<Time>,
}

/// What a wrong password comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Guess {
    /// How long its answer waits.
    pub(super) wait: Duration,
    /// So many have come from there since that was last logged: it is time to do so.
    pub(super) news: Option<u64>,
}

impl Guesses {
    /// One has come from there.
    pub(super) fn add(&mut self, from: IpAddr, now: Time) -> Guess {
        if self.0.len() >= MOST {
            self.0.retain(|_, guesser| now < guesser.full);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let guesser = self.0.entry(client_network(from)).or_default();
        guesser.full = guesser.full.max(now) + PERIOD;
        guesser.count += 1;
        let wait = (guesser.full - now).saturating_sub(PERIOD * SUPPLY).min(LONGEST);
        // What is held back waits no longer than that, and is not owed for longer either.
        guesser.full = guesser.full.min(now + PERIOD * SUPPLY + LONGEST);
        let is_due = guesser.named.is_none_or(|named| named + SILENCE <= now);
        let news = (!wait.is_zero() && is_due).then(|| {
            guesser.named = Some(now);
            std::mem::take(&mut guesser.count)
        });
        Guess { wait, news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_slowed_and_named_and_nobody_else_is() {
        let mut guesses = Guesses::default();
        let (evil, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let at = |millis: u64| Time::from_millis(1_000_000 + millis);
        let first: Vec<_> = (0..100).map(|_| guesses.add(evil, at(0))).collect();
        assert!(first.iter().all(|guess| *guess == Guess::default()));
        assert_eq!(guesses.add(evil, at(0)), Guess { wait: PERIOD, news: Some(101) });
        assert_eq!(guesses.add(evil, at(0)), Guess { wait: PERIOD * 2, news: None });
        assert_eq!(guesses.add(other, at(0)), Guess::default());
        // However many come at once, no answer waits for ever, and what was owed is owed no longer.
        let worst = (0..100_000).map(|_| guesses.add(evil, at(1)).wait).max();
        assert_eq!(worst, Some(LONGEST));
        assert_eq!(guesses.add(evil, at(5_500)).wait, Duration::ZERO);
        let named = |guesses: &mut Guesses, now| (0..200).find_map(|_| guesses.add(evil, now).news);
        assert_eq!(named(&mut guesses, at(59_000)), None, "it was named less than a minute ago");
        let named = named(&mut guesses, at(120_000));
        assert!(named.is_some_and(|count| count > 100_000), "{named:?}");
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let mut guesses = Guesses::default();
        for number in 0..20_000_u32 {
            guesses.add(IpAddr::from(number.to_be_bytes()), Time::from_millis(1));
            assert!(guesses.0.len() <= MOST);
        }
    }
}
