//! What a story tells of Consul.

use super::state::Shelf;
use crate::world::World;
use consentinel_core::{Entry, GroupName, Guard, Transaction};

fn role(entry: &Entry) -> &'static str {
    entry.role.name()
}

impl World {
    fn tell_consul(&mut self, text: impl FnOnce(&World) -> String) {
        if self.story.is_heard() {
            let text = text(self);
            self.story.tell(self.now, || format!("consul: {text}"));
        }
    }

    /// What a transaction has changed.
    pub(super) fn tell_transaction(
        &mut self,
        by: u16,
        group: &GroupName,
        before: &Shelf,
        transaction: &Transaction,
    ) {
        if !self.story.is_heard() {
            return;
        }
        if let Guard::Claim { record, .. } = &transaction.guard {
            let master = self.addresses.call(&record.master);
            let (epoch, by) = (record.epoch, self.sentinel_name(by).to_owned());
            self.tell_consul(|_| format!("{group} epoch {epoch} master {master} (by {by})"));
        }
        for text in self.differences(group, before) {
            self.tell_consul(|_| text);
        }
    }

    /// What the entries of a group are now that they were not before.
    fn differences(&self, group: &GroupName, before: &Shelf) -> Vec<String> {
        let Some(after) = self.consul.as_ref().and_then(|consul| consul.state.shelves.get(group)) else {
            return Vec::new();
        };
        let gone = before.entries.iter().filter(|(name, _)| !after.entries.contains_key(*name));
        let gone = gone.map(|(_, stored)| {
            let name = self.addresses.call(&stored.entry.addr);
            format!("{name} {} removed", role(&stored.entry))
        });
        let differs = |name: &String, entry: &Entry| {
            before.entries.get(name).is_none_or(|known| {
                known.spoilt || known.entry.health != entry.health || known.entry.sentence != entry.sentence
            })
        };
        let changed = after.entries.iter().filter(|(name, stored)| differs(name, &stored.entry));
        let changed = changed.map(|(_, stored)| {
            let entry = &stored.entry;
            let name = self.addresses.call(&entry.addr);
            format!("{name} {} {} \"{}\"", role(entry), entry.health.as_str(), entry.sentence)
        });
        gone.chain(changed).collect()
    }

    /// A transaction did not happen.
    pub(super) fn tell_bounce(&mut self, by: u16, group: &GroupName, transaction: &Transaction) {
        self.stats.bounced += 1;
        self.tell_consul(|world| {
            let wants = match &transaction.guard {
                Guard::Claim { record, .. } => {
                    format!("epoch {} master {}", record.epoch, world.addresses.call(&record.master))
                }
                Guard::Unchanged { .. } => "an amendment".to_owned(),
            };
            let consul = world.consul.as_ref();
            let record = consul.and_then(|consul| consul.state.shelves.get(group)?.record());
            let stands =
                record.map_or_else(|| "no record".into(), |record| format!("epoch {}", record.epoch));
            format!("{group} stays at {stands}; {wants} bounces off (by {})", world.sentinel_name(by))
        });
    }

    /// A lock has another holder.
    pub(super) fn tell_lock(&mut self, group: &GroupName) {
        self.stats.locks += 1;
        self.tell_consul(|world| match world.consul.as_ref().and_then(|consul| consul.state.holder(group)) {
            Some(holder) => format!("{group} lock held by {}", world.sentinel_name(holder)),
            None => format!("{group} lock free"),
        });
    }

    /// Somebody meddles.
    pub(super) fn tell_meddling(&mut self, text: impl FnOnce(&World) -> String) {
        self.tell_consul(text);
    }
}
