//! What sentinels say over DNS: one master an epoch, never an older one after a newer one, nothing that is not on disk, and
//! every change at once.

use super::{GroupAt, Invariant};
use crate::world::World;
use consentinel_core::{DnsView, Epoch, GroupName};

impl World {
    /// A sentinel tells what DNS may say of a group. A master that is named is announced, as by a hello: no
    /// sentinel may announce another one in its epoch.
    pub(super) fn check_dns(&mut self, sentinel: u16, name: &GroupName, view: Option<&DnsView>) {
        let Some(group) = self.group_index(name) else { return };
        let at = (sentinel, group);
        let Some(view) = view else { return self.forget_dns(at) };
        self.witness.dns_views.insert(at, view.clone());
        let Some(master) = view.named_master().and_then(|master| self.addresses.node(master)) else { return };
        self.note_announcement(sentinel, group, master, view.epoch);
        if !self.sentinels[usize::from(sentinel)].disk.has_failed() {
            self.check_saved_config(sentinel, group, view.epoch, "names over DNS by");
        }
        let before = self.witness.dns_epochs.insert(at, view.epoch).unwrap_or(Epoch(0));
        if view.epoch < before {
            let (who, master) = (self.sentinel_name(sentinel), self.addresses.name(master));
            let what = format!("{who} names {master} by epoch {} over DNS, after epoch {before}", view.epoch);
            self.violated(Invariant::DnsNeverGoesBack, what);
        }
    }

    /// What a sentinel has told is what it would tell now: nothing that it depends on was overlooked.
    pub(super) fn check_dns_is_told(&mut self, sentinel: u16) {
        let host = &self.sentinels[usize::from(sentinel)];
        let told = self.witness.dns_views.range((sentinel, 0)..=(sentinel, u16::MAX));
        let differs = told.filter_map(|(at, told)| {
            let view = host.brain.dns_view(&self.groups[usize::from(at.1)].name)?;
            (view != *told).then(|| (at.1, format!("{told:?}, and would be {view:?}")))
        });
        if let Some((group, what)) = differs.into_iter().next() {
            let (who, name) = (self.sentinel_name(sentinel), &self.groups[usize::from(group)].name);
            let what = format!("what {who} has told of {name} for DNS is {what}");
            self.violated(Invariant::DnsUpToDate, what);
        }
    }

    /// It is not watched any more: when it is again, it begins with nothing.
    fn forget_dns(&mut self, at: GroupAt) {
        self.witness.dns_views.remove(&at);
        self.witness.dns_epochs.remove(&at);
    }
}
