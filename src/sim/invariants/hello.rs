//! What sentinels announce: one master an epoch, epochs that only grow, and nothing that is not on disk.

use super::Invariant;
use crate::network::NodeId;
use crate::world::World;
use consentinel_core::{Epoch, Hello};

impl World {
    /// A hello leaves.
    pub(super) fn check_hello(&mut self, sentinel: u16, hello: &Hello) {
        let Some(group) = self.group_index(&hello.group) else { return };
        let Some(master) = self.addresses.node(&hello.master) else { return };
        self.note_announcement(sentinel, group, master, hello.config_epoch);
        if self.is_ours(sentinel) {
            self.check_own_hello(sentinel, group, hello);
        }
    }

    /// A sentinel makes known who is the master by which epoch.
    pub(super) fn note_announcement(&mut self, sentinel: u16, group: u16, master: NodeId, epoch: Epoch) {
        if epoch > Epoch(0) {
            if !self.witness.masters.contains_key(&(group, epoch)) {
                self.check_mandate(sentinel, group, epoch);
            }
            let first = *self.witness.masters.entry((group, epoch)).or_insert(master);
            if first != master && !self.is_ours(sentinel) {
                // The original that is in the middle of a failover takes over a newer epoch without its master.
                self.witness.confused.insert((group, epoch));
            }
            if first != master && !self.witness.confused.contains(&(group, epoch)) {
                let (name, a, b) =
                    (self.sentinel_name(sentinel), self.addresses.name(first), self.addresses.name(master));
                let what = format!("{name} announces {b} as master of epoch {epoch}, which was {a}");
                self.violated(Invariant::OneMasterPerEpoch, what);
            }
        }
    }

    /// Whoever announces a config epoch first must have been elected in it.
    fn check_mandate(&mut self, sentinel: u16, group: u16, epoch: Epoch) {
        let at = (sentinel, group);
        if !self.is_ours(sentinel) || self.witness.forced_epochs.contains(&(group, epoch)) {
            return;
        }
        let stood = self.witness.candidacies.contains(&(at, epoch));
        let votes = 1 + self.witness.granted.get(&(at, epoch)).map_or(0, |peers| peers.len());
        let view = self.sentinels[usize::from(sentinel)].brain.group(&self.groups[usize::from(group)].name);
        let counted = self.witness.counted.get(&(at, epoch)).copied();
        // Who came to be known after the election does not count.
        let known = counted.unwrap_or_else(|| view.map_or(0, |view| view.sentinels.len()) + 1);
        if !stood || votes * 2 <= known {
            let name = self.sentinel_name(sentinel);
            let what =
                format!("{name} is the first to announce config epoch {epoch}, with {votes} votes for it");
            self.violated(Invariant::Elected, what);
        }
    }

    /// It does not watch that master any more: when it does again, it begins with nothing.
    pub(crate) fn forget_announcements(&mut self, sentinel: u16, group: u16) {
        self.witness.announced.remove(&(sentinel, group));
    }

    fn check_own_hello(&mut self, sentinel: u16, group: u16, hello: &Hello) {
        let (epoch, current) = (hello.config_epoch, hello.current_epoch);
        let before = self.witness.announced.entry((sentinel, group)).or_insert(epoch);
        let announced = std::mem::replace(before, epoch.max(*before));
        let before = self.witness.epochs.entry(sentinel).or_insert(current);
        let known = std::mem::replace(before, current.max(*before));
        if announced > epoch || known > current {
            let name = self.sentinel_name(sentinel);
            let what = format!("{name} announces epochs {current}, {epoch} after {known}, {announced}");
            self.violated(Invariant::EpochsGrow, what);
        }
        self.check_current_epoch(sentinel, current, "says hello");
        self.check_saved_config(sentinel, group, epoch, "announces");
    }

    /// What a sentinel makes known of a master is on its disk.
    pub(super) fn check_saved_config(&mut self, sentinel: u16, group: u16, epoch: Epoch, what: &str) {
        let disk = self.sentinels[usize::from(sentinel)].disk.stored();
        let name = &self.groups[usize::from(group)].name;
        let saved = disk.groups.get(name).map_or(Epoch(0), |group| group.config_epoch);
        // A leader whose disk fails tells of his own promotion all the same: the epoch is his, as his vote in it is on
        // disk, so that nobody else can ever give it another meaning.
        let led = self.witness.candidacies.contains(&((sentinel, group), epoch));
        let excused = led && self.sentinels[usize::from(sentinel)].disk.has_failed();
        if saved < epoch && !excused {
            let name = self.sentinel_name(sentinel);
            let what = format!("{name} {what} config epoch {epoch}; its disk knows of {saved}");
            self.violated(Invariant::SavedBeforeSaid, what);
        }
    }
}
