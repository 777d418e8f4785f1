//! One server that is known by two addresses: it is kept once, and found by each of them.
//!
//! A server that announces another address at run time, or that has two, is met twice: by the master's list of replicas,
//! by hellos, by the file. Its run id tells that it is one process. If it were kept as two nodes, the promotion of one of
//! them would be followed by the order to the other to be a replica of itself.

use super::Group;
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::{Endpoint, Info, Level};

impl Group {
    /// Whether that address leads to the master.
    pub(super) fn is_master_at(&self, addr: &Endpoint, cx: &Context) -> bool {
        self.master().is_at(addr, &cx.hosts)
    }

    /// Whether a node is the same process as the master.
    pub(super) fn is_master_itself(&self, id: NodeId, cx: &Context) -> bool {
        let Some(node) = self.nodes.get(id) else { return false };
        let same_run = node.run_id.is_some() && node.run_id == self.master().run_id;
        let same_run = same_run && !active(Mutation::MasterTurnedToItself);
        id == self.nodes.master_id() || same_run || self.is_master_at(&node.addr, cx)
    }

    /// A node has told its run id: if another one has the same, the two become one. Returns whether that node is still
    /// there.
    pub(super) fn merge_twin(&mut self, id: NodeId, cx: &mut Context) -> bool {
        if active(Mutation::MasterTurnedToItself) {
            return true;
        }
        let Some(run_id) = self.nodes.get(id).and_then(|node| node.run_id.clone()) else { return true };
        let twin =
            self.nodes.iter().find(|(other, node)| *other != id && node.run_id.as_ref() == Some(&run_id));
        let Some(twin) = twin.map(|(other, _)| other) else { return true };
        let (kept, gone) = if self.is_preferred(id, twin) { (id, twin) } else { (twin, id) };
        let Some(mut old) = self.nodes.remove(gone) else { return true };
        old.retire(self.id, gone, cx);
        let Some(node) = self.nodes.get_mut(kept) else { return true };
        let text = format!(
            "{} and {} are one server of {}: the first address is kept",
            node.addr, old.addr, self.name
        );
        node.other_addrs.extend(std::mem::take(&mut old.other_addrs));
        node.other_addrs.insert(old.addr);
        node.ousted |= old.ousted;
        cx.log(Level::Notice, text);
        cx.save_gate.soon(cx.now);
        kept == id
    }

    /// Which of two nodes is kept: the master or its successor, then the one that the master lists, then the one that
    /// has just answered.
    fn is_preferred(&self, id: NodeId, over: NodeId) -> bool {
        let indispensable =
            |id: NodeId| id == self.nodes.master_id() || self.failover.state().successor() == Some(id);
        let listed = |id: NodeId| {
            let master = self.master().info().map_or(&[][..], |info| &info.replicas);
            self.nodes.get(id).is_some_and(|node| master.contains(&node.addr))
        };
        match (indispensable(id), indispensable(over)) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => id == self.nodes.master_id(),
            (false, false) => listed(id) || !listed(over),
        }
    }

    /// The master lists its replicas by the addresses that they announce now: a replica that is listed by its other
    /// address only is known by that from here on.
    pub(super) fn follow_announced(&mut self, id: NodeId, addr: &Endpoint, info: &Info, cx: &mut Context) {
        let master = self.nodes.master_id();
        let Some(node) =
            self.nodes.get_mut(id).filter(|node| id != master && node.other_addrs.contains(addr))
        else {
            return;
        };
        if !info.replicas.contains(&node.addr) {
            node.call_it(addr);
            cx.save_gate.soon(cx.now);
        }
    }
}
