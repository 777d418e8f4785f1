//! Who listens where, and the names by which a story calls them.

use crate::network::NodeId;
use consentinel_core::{Endpoint, Host, SentinelId};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub(crate) const REDIS_PORT: u16 = 6379;
pub(crate) const SENTINEL_PORT: u16 = 26379;

/// The address that a Redis server has at first.
pub(crate) fn redis_ip(index: usize) -> IpAddr {
    ip(1, index)
}

/// The address that a sentinel has at first.
pub(crate) fn sentinel_ip(index: usize) -> IpAddr {
    ip(2, index)
}

fn ip(net: u8, index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, net, (index / 250) as u8, (index % 250 + 1) as u8))
}

/// The endpoint of an address.
pub(crate) fn endpoint(ip: IpAddr, port: u16) -> Endpoint {
    Endpoint::new(Host::Ip(ip), port)
}

/// The world's address book.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Who listens there now.
    listening: BTreeMap<(IpAddr, u16), NodeId>,
    /// Who was ever known by that endpoint.
    known: BTreeMap<Endpoint, NodeId>,
    /// Where each node is now.
    current: BTreeMap<NodeId, (IpAddr, u16)>,
    hosts: BTreeMap<Arc<str>, NodeId>,
    names: BTreeMap<NodeId, String>,
    ids: BTreeMap<SentinelId, NodeId>,
    moves: usize,
    /// Where a node listens as well.
    second: BTreeMap<NodeId, Endpoint>,
}

impl Addresses {
    pub(crate) fn add(&mut self, node: NodeId, name: &str, ip: IpAddr, port: u16) {
        self.names.insert(node, name.to_owned());
        self.settle(node, ip, port);
    }

    /// Names somebody who listens nowhere.
    pub(crate) fn name_only(&mut self, node: NodeId, name: &str) {
        self.names.insert(node, name.to_owned());
    }

    fn settle(&mut self, node: NodeId, ip: IpAddr, port: u16) {
        if let Some(before) = self.current.insert(node, (ip, port)) {
            self.listening.remove(&before);
        }
        self.listening.insert((ip, port), node);
        self.known.insert(endpoint(ip, port), node);
    }

    /// Gives a node a host name.
    pub(crate) fn add_host(&mut self, node: NodeId, host: &Arc<str>, port: u16) {
        self.hosts.insert(host.clone(), node);
        self.known.insert(Endpoint::new(Host::Name(host.clone()), port), node);
    }

    pub(crate) fn add_id(&mut self, node: NodeId, id: SentinelId) {
        self.ids.insert(id, node);
    }

    /// Gives a node an address that nobody had before.
    pub(crate) fn move_away(&mut self, node: NodeId) -> Endpoint {
        let (_, port) = self.current[&node];
        let fresh = ip(3, self.moves);
        self.moves += 1;
        self.settle(node, fresh, port);
        endpoint(fresh, port)
    }

    /// The second address of a node. It listens there from the first time on that it is asked for.
    pub(crate) fn second(&mut self, node: NodeId) -> Endpoint {
        if let Some(known) = self.second.get(&node) {
            return known.clone();
        }
        let (ip, port) = (ip(4, self.second.len()), self.current[&node].1);
        self.listening.insert((ip, port), node);
        self.known.insert(endpoint(ip, port), node);
        self.second.insert(node, endpoint(ip, port));
        endpoint(ip, port)
    }

    /// Who listens there.
    pub(crate) fn listener(&self, ip: IpAddr, port: u16) -> Option<NodeId> {
        self.listening.get(&(ip, port)).copied()
    }

    /// The endpoint by which a server is found wherever it moves: its host name, if it has one.
    pub(crate) fn lasting(&self, endpoint: &Endpoint) -> Endpoint {
        let node = self.node(endpoint);
        let host = self.hosts.iter().find(|(_, of)| Some(**of) == node);
        host.map_or_else(
            || endpoint.clone(),
            |(name, _)| Endpoint::new(Host::Name(name.clone()), endpoint.port),
        )
    }

    /// Who is or was known by that endpoint.
    pub(crate) fn node(&self, endpoint: &Endpoint) -> Option<NodeId> {
        self.known.get(endpoint).copied()
    }

    pub(crate) fn by_id(&self, id: &SentinelId) -> Option<NodeId> {
        self.ids.get(id).copied()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<NodeId> {
        self.names.iter().find(|(_, known)| *known == name).map(|(node, _)| *node)
    }

    pub(crate) fn ip(&self, node: NodeId) -> IpAddr {
        self.current[&node].0
    }

    pub(crate) fn current(&self, node: NodeId) -> Endpoint {
        let (ip, port) = self.current[&node];
        endpoint(ip, port)
    }

    pub(crate) fn name(&self, node: NodeId) -> &str {
        &self.names[&node]
    }

    /// The address behind a host name or an address.
    pub(crate) fn resolve(&self, host: &Host) -> Option<IpAddr> {
        match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(name) => self.hosts.get(name).map(|node| self.ip(*node)),
        }
    }

    /// How a story calls an endpoint.
    pub(crate) fn call(&self, endpoint: &Endpoint) -> String {
        self.node(endpoint).map_or_else(|| format!("{endpoint:?}"), |node| self.name(node).to_owned())
    }

    /// How a story calls a sentinel.
    pub(crate) fn call_id(&self, id: &SentinelId) -> String {
        self.by_id(id).map_or_else(|| id.to_string(), |node| self.name(node).to_owned())
    }

    /// Puts names for the addresses and identities in an event's text.
    pub(crate) fn humanise(&self, text: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut rest = text.split(' ').peekable();
        while let Some(word) = rest.next() {
            let paired = rest.peek().and_then(|port| self.node(&Endpoint::parse(word, port).ok()?));
            let joined = || {
                let (host, port) = word.rsplit_once(':')?;
                self.node(&Endpoint::parse(host, port).ok()?)
            };
            let name = if let Some(node) = paired {
                rest.next();
                self.name(node).to_owned()
            } else if let Some(node) = joined().or_else(|| self.by_id(&SentinelId::new(word))) {
                self.name(node).to_owned()
            } else {
                word.to_owned()
            };
            // A replica's name is its address, and both stand in the text.
            if words.last() != Some(&name) {
                words.push(name);
            }
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_with_names() {
        let mut book = Addresses::default();
        book.add(NodeId(0), "r1", redis_ip(0), REDIS_PORT);
        book.add(NodeId(1), "r2", redis_ip(1), REDIS_PORT);
        book.add(NodeId(2), "s1", sentinel_ip(0), SENTINEL_PORT);
        book.add_id(NodeId(2), SentinelId::new("abc"));
        let text = "slave 10.1.0.2:6379 10.1.0.2 6379 @ mymaster 10.1.0.1 6379";
        assert_eq!(book.humanise(text), "slave r2 @ mymaster r1");
        assert_eq!(book.humanise("sentinel abc 10.2.0.1 26379 @ m 10.1.0.1 6379"), "sentinel s1 @ m r1");
    }
}
