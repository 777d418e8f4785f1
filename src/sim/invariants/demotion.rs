//! Demotions: the newest master stays.

use super::Invariant;
use crate::network::NodeId;
use crate::world::{Role, World};

impl World {
    /// A sentinel tells a server to follow another.
    pub(super) fn check_demotion(&mut self, sentinel: u16, node: NodeId) {
        let Role::Redis(redis) = self.processes[node.index()].role else { return };
        let server = &self.redises[usize::from(redis)];
        let (group, is_master) = (server.group, server.is_master());
        if !self.is_ours(sentinel) || !is_master {
            return;
        }
        let Some((newest, master)) = self.witness.newest.get(&group).copied() else { return };
        let name = &self.groups[usize::from(group)].name;
        let view = self.sentinels[usize::from(sentinel)].brain.group(name);
        let epoch = view.map(|view| view.config_epoch).unwrap_or_default();
        if node == master && epoch <= newest {
            let what = format!(
                "{} demotes {}, the master of epoch {newest}, while it knows of epoch {epoch}",
                self.sentinel_name(sentinel),
                self.addresses.name(node)
            );
            self.violated(Invariant::NewestMasterStays, what);
        }
    }
}
