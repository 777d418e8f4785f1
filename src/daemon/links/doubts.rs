//! Servers and peers that answer more than is read. Their link is closed; and since they are connected to again, and would then
//! say PONG once more, that is no sign of life until they have answered within the limits.

use crate::clock;
use consentinel_core::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;
use tracing::warn;

/// Addresses that are remembered.
const MOST: usize = 4096;

/// After so long it is said again of an address.
const SILENCE: Duration = Duration::from_secs(3600);

/// Who did so.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    doubted: BTreeSet<SocketAddr>,
    /// When each address was last named in the log.
    told: BTreeMap<SocketAddr, Time>,
}

impl Doubts {
    /// It has answered more than is read.
    pub(crate) fn doubt(&mut self, to: SocketAddr, what: &str) {
        if self.doubted.len() >= MOST {
            self.doubted.clear();
        }
        self.doubted.insert(to);
        if self.is_news(to, clock::now()) {
            warn!(
                "{to} gives {what}: the connection is closed, and it counts as not answering until it answers less; \
                 look what listens there"
            );
        }
    }

    fn is_news(&mut self, to: SocketAddr, now: Time) -> bool {
        if self.told.get(&to).is_some_and(|told| now < *told + SILENCE) {
            return false;
        }
        if self.told.len() >= MOST {
            self.told.clear();
        }
        self.told.insert(to, now);
        true
    }

    /// Whether its signs of life do not count.
    pub(crate) fn is_doubted(&self, to: SocketAddr) -> bool {
        self.doubted.contains(&to)
    }

    /// It has answered within the limits.
    pub(crate) fn believe(&mut self, to: SocketAddr) {
        self.doubted.remove(&to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_an_hour_however_often_it_happens() {
        let mut doubts = Doubts::default();
        let (one, other) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1)));
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert!(doubts.is_news(one, at(1)) && !doubts.is_news(one, at(2)) && doubts.is_news(other, at(2)));
        doubts.believe(one);
        assert!(!doubts.is_news(one, at(3600)) && doubts.is_news(one, at(3601)));
    }
}
