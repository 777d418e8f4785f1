//! Identities and addresses that change: a sentinel with a new disk, a server with a second address.

use crate::network::NodeId;
use crate::world::{Role, World};
use consentinel_core::{Durable, DurableGroup, Request, SentinelId};

impl World {
    /// A server announces its second address, or its first again. Its master hears it when the replica connects.
    pub(crate) fn announce_at(&mut self, node: NodeId, second: bool) {
        let Role::Redis(redis) = self.processes[node.index()].role else { return };
        let address = second.then(|| self.addresses.second(node));
        self.tell(node, || match &address {
            Some(address) => format!("announces {address:?} from now on"),
            None => "announces its first address from now on".into(),
        });
        self.redis(redis).settings.announce = address;
    }

    /// A dead sentinel gets a new disk, with the configuration file that it once began with, and no identity.
    ///
    /// That a sentinel forgets its votes but not its identity is not modelled: it may then vote twice in one epoch, and
    /// nothing that it does could prevent that.
    pub(crate) fn renew(&mut self, node: NodeId) {
        let process = &self.processes[node.index()];
        let (Role::Sentinel(sentinel), false) = (process.role, process.running()) else { return };
        if !self.sentinel(sentinel).is_core() {
            return;
        }
        let config = self.sentinel(sentinel).disk.stored().config.clone();
        let mut durable = Durable { config, ..Durable::default() };
        for (index, group) in self.groups.iter().enumerate() {
            // A server that the others were made to forget leads to nobody: then the file names what the others name.
            let named = self.named_by_a_majority(index as u16).filter(|_| self.was_reset);
            let master = self.addresses.current(named.unwrap_or(group.configured));
            let master = self.addresses.lasting(&master);
            durable.groups.insert(group.name.clone(), DurableGroup::new(master, group.config.clone()));
        }
        self.stats.faults += 1;
        self.tell(node, || "has a new disk, and will start with a fresh identity".into());
        self.sentinel(sentinel).disk.replace(durable);
        self.witness.sentinel_renewed(sentinel);
        self.identity_abandoned(sentinel);
    }

    /// The address book learns the identity that a sentinel has chosen at its start.
    pub(crate) fn note_identity(&mut self, sentinel: u16) {
        let id = self.sentinel(sentinel).brain.view().myid;
        let host = self.sentinel(sentinel);
        if host.id != id {
            host.id = id.clone();
            let node = host.node;
            self.addresses.add_id(node, id);
        }
    }

    /// An operator makes all sentinels that count a dead one forget it.
    pub(crate) fn forget_identity(&mut self, id: &SentinelId) {
        for sentinel in 0..self.sentinels.len() {
            for group in 0..self.groups.len() {
                let (host, name) = (&self.sentinels[sentinel], self.groups[group].name.clone());
                let view = host.brain.group(&name);
                let counts = view.is_some_and(|view| view.sentinels.iter().any(|peer| peer.id == *id));
                if counts {
                    let request = Request::ForgetSentinel { group: name, sentinel: id.clone() };
                    self.ask(host.node, request);
                }
            }
        }
    }

    fn identity_abandoned(&mut self, sentinel: u16) {
        let id = self.sentinels[usize::from(sentinel)].id.clone();
        if let Some(compound) = &mut self.compound {
            compound.abandoned.push(id);
        }
    }
}
