//! Which client has subscribed to which events.

use consentinel_core::{ClientId, glob_matches_bytes};
use std::collections::{BTreeMap, BTreeSet};

/// The subscriptions of all clients.
#[derive(Default)]
pub(crate) struct Subscriptions {
    clients: BTreeMap<ClientId, Wanted>,
}

/// What one client wants to hear.
#[derive(Default)]
struct Wanted {
    channels: BTreeSet<Vec<u8>>,
    /// In the order in which they came.
    patterns: Vec<Vec<u8>>,
}

/// Names of events, or patterns for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name.
    Channel,
    /// A pattern.
    Pattern,
}

/// Subscriptions that one client may have: nobody needs more, and each costs memory.
const MAX: usize = 1024;

impl Subscriptions {
    /// Adds a subscription. Gives the number of the client's subscriptions, or nothing when it has too many.
    pub(crate) fn add(&mut self, client: ClientId, kind: Kind, name: &[u8]) -> Option<usize> {
        let wanted = self.clients.entry(client).or_default();
        if wanted.count() >= MAX {
            return None;
        }
        wanted.insert(kind, name);
        Some(wanted.count())
    }

    /// Takes a subscription away. Gives how many are left.
    pub(crate) fn remove(&mut self, client: ClientId, kind: Kind, name: &[u8]) -> usize {
        let Some(wanted) = self.clients.get_mut(&client) else { return 0 };
        wanted.remove(kind, name);
        let left = wanted.count();
        if left == 0 {
            self.clients.remove(&client);
        }
        left
    }

    /// The names that a client has subscribed to.
    pub(crate) fn names(&self, client: ClientId, kind: Kind) -> Vec<Vec<u8>> {
        let wanted = self.clients.get(&client);
        wanted.map(|wanted| wanted.names(kind).into_iter().cloned().collect()).unwrap_or_default()
    }

    /// How many subscriptions a client has.
    pub(crate) fn count(&self, client: ClientId) -> usize {
        self.clients.get(&client).map_or(0, Wanted::count)
    }

    /// How many subscriptions of a kind a client has.
    pub(crate) fn count_of(&self, client: ClientId, kind: Kind) -> usize {
        self.clients.get(&client).map_or(0, |wanted| wanted.count_of(kind))
    }

    /// How many different names of a kind anybody has subscribed to.
    pub(crate) fn distinct(&self, kind: Kind) -> usize {
        let all: BTreeSet<&Vec<u8>> = self.clients.values().flat_map(|wanted| wanted.names(kind)).collect();
        all.len()
    }

    /// Drops a client with all that it wanted.
    pub(crate) fn forget(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Calls back for every message that a publication becomes: the client, and the pattern that matched.
    pub(crate) fn each(&self, channel: &str, mut deliver: impl FnMut(ClientId, Option<&[u8]>)) {
        for (client, wanted) in &self.clients {
            if wanted.channels.contains(channel.as_bytes()) {
                deliver(*client, None);
            }
            for pattern in
                wanted.patterns.iter().filter(|pattern| glob_matches_bytes(pattern, channel.as_bytes()))
            {
                deliver(*client, Some(pattern));
            }
        }
    }
}

impl Wanted {
    fn insert(&mut self, kind: Kind, name: &[u8]) {
        match kind {
            Kind::Pattern if self.patterns.iter().any(|known| known == name) => {}
            Kind::Pattern => self.patterns.push(name.to_vec()),
            Kind::Channel => {
                self.channels.insert(name.to_vec());
            }
        }
    }

    fn remove(&mut self, kind: Kind, name: &[u8]) {
        match kind {
            Kind::Pattern => self.patterns.retain(|known| known != name),
            Kind::Channel => {
                self.channels.remove(name);
            }
        }
    }

    fn names(&self, kind: Kind) -> Vec<&Vec<u8>> {
        match kind {
            Kind::Channel => self.channels.iter().collect(),
            Kind::Pattern => self.patterns.iter().collect(),
        }
    }

    fn count_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.len(),
            Kind::Pattern => self.patterns.len(),
        }
    }

    fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_once_for_each_subscription_that_fits() {
        let mut all = Subscriptions::default();
        let (anna, bert) = (ClientId(1), ClientId(2));
        all.add(anna, Kind::Channel, b"+sdown");
        all.add(anna, Kind::Pattern, b"*");
        all.add(bert, Kind::Pattern, b"-*");
        let mut got = Vec::new();
        all.each("+sdown", |client, pattern| got.push((client, pattern.map(<[u8]>::to_vec))));
        assert_eq!(got, [(anna, None), (anna, Some(b"*".to_vec()))]);
        assert_eq!((all.remove(bert, Kind::Pattern, b"-*"), all.count(bert), all.count(anna)), (0, 0, 2));
    }
}
