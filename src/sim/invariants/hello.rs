//! What sentinels announce: one master an epoch, epochs that only grow, and nothing that is not on disk.

use super::Invariant;
use crate::world::World;
use consentinel_core::{Epoch, Hello};

impl World {
    /// A hello leaves.
    pub(super) fn check_hello(&mut self, sentinel: u16, hello: &Hello) {
        let Some(group) = self.group_index(&hello.group) else { return };
        let Some(master) = self.addresses.node(&hello.master) else { return };
        let epoch = hello.config_epoch;
        if epoch > Epoch(0) {
            let first = *self.witness.masters.entry((group, epoch)).or_insert(master);
            if first != master {
                let (name, a, b) =
                    (self.sentinel_name(sentinel), self.addresses.name(first), self.addresses.name(master));
                let what = format!("{name} announces {b} as master of epoch {epoch}, which was {a}");
                self.violated(Invariant::OneMasterPerEpoch, what);
            }
        }
        self.note_heard(sentinel, hello);
        if self.is_ours(sentinel) {
            self.check_own_hello(sentinel, group, hello);
        }
    }

    /// A sentinel knows, by its own or another's hello, of the master of a config epoch.
    pub(super) fn note_heard(&mut self, sentinel: u16, hello: &Hello) {
        let (Some(group), Some(master)) =
            (self.group_index(&hello.group), self.addresses.node(&hello.master))
        else {
            return;
        };
        let epoch = hello.config_epoch;
        if self.witness.newest.get(&group).is_some_and(|(newest, _)| *newest >= epoch) {
            return;
        }
        let heard = self.witness.heard.entry((group, epoch)).or_default();
        heard.insert(sentinel);
        if heard.len() > self.sentinels.len() / 2 {
            self.witness.newest.insert(group, (epoch, master));
        }
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
        let disk = self.sentinels[usize::from(sentinel)].disk.stored();
        let saved = disk.groups.get(&hello.group).map_or(Epoch(0), |group| group.config_epoch);
        // A disk that fails does not keep a sentinel from telling of a master that others agreed on.
        if saved < epoch && !self.sentinels[usize::from(sentinel)].disk.has_failed() {
            let name = self.sentinel_name(sentinel);
            let what = format!("{name} announces config epoch {epoch}; its disk knows of {saved}");
            self.violated(Invariant::SavedBeforeSaid, what);
        }
    }
}
