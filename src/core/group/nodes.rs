//! The servers of a group: one of them is the master.

use crate::host_cache::HostCache;
use crate::ids::NodeId;
use crate::node::Node;
use crate::time::Beat;
use crate::{Endpoint, Role, Time};
use std::collections::BTreeMap;

/// The servers, by number.
pub(super) struct Nodes {
    /// Boxed, as a map makes room for eleven at once, and most groups have one to three.
    all: BTreeMap<NodeId, Box<Node>>,
    last: u32,
    master: NodeId,
    beat: Beat,
}

impl Nodes {
    /// A master without replicas.
    pub(super) fn new(master: Endpoint, beat: Beat, now: Time) -> Self {
        let id = NodeId(0);
        let all = BTreeMap::from([(id, Box::new(Node::new(master, Role::Master, beat, now)))]);
        Nodes { all, last: 0, master: id, beat }
    }

    /// Who is the master.
    pub(super) fn master_id(&self) -> NodeId {
        self.master
    }

    pub(super) fn master(&self) -> &Node {
        self.all.get(&self.master).expect("a group always has its master among its nodes")
    }

    pub(super) fn master_mut(&mut self) -> &mut Node {
        self.all.get_mut(&self.master).expect("a group always has its master among its nodes")
    }

    /// Another one is the master now. Returns the one before. What follows from it is done by `switch_to`.
    pub(super) fn make_master(&mut self, new: NodeId) -> NodeId {
        debug_assert!(self.all.contains_key(&new), "the new master is one of the nodes");
        std::mem::replace(&mut self.master, new)
    }

    /// Takes in a server that was not known.
    pub(super) fn add(&mut self, addr: Endpoint, role: Role, now: Time) -> NodeId {
        self.last += 1;
        let id = NodeId(self.last);
        self.all.insert(id, Box::new(Node::new(addr, role, self.beat, now)));
        id
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<Box<Node>> {
        self.all.remove(&id)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.all.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.all.get_mut(&id).map(Box::as_mut)
    }

    /// The server to which that address, or that name, leads.
    pub(super) fn find(&self, addr: &Endpoint, hosts: &HostCache) -> Option<NodeId> {
        self.iter().find(|(_, node)| node.is_at(addr, hosts)).map(|(id, _)| id)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.all.iter().map(|(id, node)| (*id, node.as_ref()))
    }

    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Node)> {
        self.all.iter_mut().map(|(id, node)| (*id, node.as_mut()))
    }

    /// All of them, without their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.all.values().map(Box::as_ref)
    }

    /// All of them, without their numbers, to be changed.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.all.values_mut().map(Box::as_mut)
    }

    /// All but the master.
    pub(super) fn replicas(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.iter().filter(|(id, _)| *id != self.master)
    }

    /// The numbers of all: a list, as each is then worked upon.
    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.all.keys().copied().collect()
    }

    /// The numbers of all but the master.
    pub(super) fn replica_ids(&self) -> Vec<NodeId> {
        self.replicas().map(|(id, _)| id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
