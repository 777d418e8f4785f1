//! Who asks too much over UDP, where the sender of a question may be forged: so that nobody is flooded with our answers.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// It goes out.
    Whole,
    /// Only that it should be asked over TCP: whoever is not forged can do that.
    ComeAgain,
    /// Nothing goes out.
    Nothing,
}

/// Counts answers by the network that they go to. However many networks there are, it takes the same room: two that
/// fall onto one place share it.
pub(super) struct Limit {
    /// Answers in a second; zero: no limit.
    rate: u32,
    places: Vec<Place>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Place {
    /// What may still go out.
    left: f32,
    at: Instant,
    /// How many were held back.
    held: u32,
}

const PLACES: usize = 8192;

/// Of so many answers that are held back, one says that TCP will do.
const SLIP: u32 = 2;

impl Limit {
    /// So many answers in a second.
    pub(super) fn new(rate: u32, now: Instant) -> Limit {
        let places = if rate == 0 { 0 } else { PLACES };
        let place = Place { left: rate as f32, at: now, held: 0 };
        Limit { rate, places: vec![place; places], hasher: RandomState::new() }
    }

    /// What may go out to that client.
    pub(super) fn allow(&mut self, client: IpAddr, now: Instant) -> Allowed {
        let client = client.to_canonical();
        if client.is_loopback() || self.rate == 0 {
            return Allowed::Whole;
        }
        let at = (self.hasher.hash_one(network(client)) % PLACES as u64) as usize;
        let (rate, place) = (self.rate as f32, &mut self.places[at]);
        let gone = now.saturating_duration_since(place.at).min(Duration::from_secs(1));
        place.left = (place.left + gone.as_secs_f32() * rate).min(rate);
        place.at = now;
        if place.left >= 1.0 {
            place.left -= 1.0;
            return Allowed::Whole;
        }
        place.held = place.held.wrapping_add(1);
        if place.held.is_multiple_of(SLIP) { Allowed::ComeAgain } else { Allowed::Nothing }
    }
}

/// The network of a client: whoever forges the sender of one machine can do so for its neighbours.
fn network(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(ip) => u128::from(ip.to_bits() >> 8) | 1 << 127,
        IpAddr::V6(ip) => ip.to_bits() >> 72,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_gets_its_share_and_then_every_second_question_is_sent_to_tcp() {
        let now = Instant::now();
        let mut limit = Limit::new(10, now);
        for number in 0..10 {
            let client = ip(&format!("198.18.0.{number}"));
            assert_eq!(limit.allow(client, now), Allowed::Whole);
        }
        let held: Vec<_> = (0..4).map(|_| limit.allow(ip("198.18.0.99"), now)).collect();
        use Allowed::{ComeAgain, Nothing};
        assert_eq!(held, [Nothing, ComeAgain, Nothing, ComeAgain]);
        // It comes back with time, and not more than a second's worth.
        let later = now + Duration::from_millis(100);
        assert_eq!(limit.allow(ip("198.18.0.1"), later), Allowed::Whole);
        assert_ne!(limit.allow(ip("198.18.0.1"), later), Allowed::Whole);
        let much_later = now + Duration::from_secs(3600);
        let whole = (0..50).filter(|_| limit.allow(ip("198.18.0.1"), much_later) == Allowed::Whole).count();
        assert_eq!(whole, 10);
    }

    #[test]
    fn loopback_is_never_held_back_and_neither_is_anybody_without_a_limit() {
        let now = Instant::now();
        let mut limit = Limit::new(1, now);
        for client in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            assert!((0..100).all(|_| limit.allow(ip(client), now) == Allowed::Whole));
        }
        let mut none = Limit::new(0, now);
        assert!((0..100).all(|_| none.allow(ip("198.18.0.1"), now) == Allowed::Whole));
    }

    #[test]
    fn neighbours_are_counted_together_and_others_apart() {
        assert_eq!(network(ip("198.18.0.1")), network(ip("198.18.0.254")));
        assert_ne!(network(ip("198.18.0.1")), network(ip("198.18.1.1")));
        assert_eq!(network(ip("2001:db8:0:1::1")), network(ip("2001:db8:0:2::7")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:100::1")));
    }
}
