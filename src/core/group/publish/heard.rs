//! What Consul has answered, or told by itself.

use super::{Asked, Awaited, WriteKind, Writing};
use crate::context::Context;
use crate::group::Group;
use crate::{Entry, EntryKey, Level, Lock, Record, RegistryError, RegistryEvent, RegistryFault, Transaction};

impl Group {
    pub(crate) fn on_registry(&mut self, event: RegistryEvent, cx: &mut Context) {
        if !cx.config.registry.on {
            return;
        }
        match event {
            RegistryEvent::Seen(seen) => {
                // A watch may have brought it: a write goes on.
                let answered = self.publishing.awaited.kind().filter(|kind| *kind != Asked::Write);
                if answered.is_some() {
                    self.publishing.awaited = Awaited::Nothing;
                }
                self.on_registry_answers(answered.unwrap_or(Asked::Look), cx);
                if seen.lock != Lock::Ours {
                    self.on_registry_answers(Asked::Unlock, cx);
                    self.publishing.unlocking = false;
                }
                if let Some(record) = &seen.record {
                    // Nobody has come there by elections: it is written over.
                    let _ = cx.is_absurd(record.epoch);
                }
                self.publishing.seen = Some((cx.now, *seen));
            }
            RegistryEvent::Written(fence) => {
                self.on_registry_answers(Asked::Write, cx);
                self.on_written(fence, cx);
            }
            RegistryEvent::Stale => {
                let text = format!("Consul: {} has been published by somebody else meanwhile", self.name);
                cx.log(Level::Notice, text);
                self.on_registry_answers(Asked::Write, cx);
                self.publishing.counters.stale += 1;
                self.publishing.awaited = Awaited::Nothing;
                self.look(cx);
                self.publishing.awaited = Awaited::Look { outdated: true };
                self.publishing.bounces += 1;
            }
            RegistryEvent::Failed(error) => self.on_registry_failed(error, cx),
        }
        self.advance(cx);
    }

    /// What failed before has succeeded.
    fn on_registry_answers(&mut self, what: Asked, cx: &mut Context) {
        let healed = |(failed, _): &mut (Asked, RegistryError)| {
            // Who can write can look, and so on.
            what == *failed || what == Asked::Write || *failed == Asked::Look
        };
        if self.publishing.error.take_if(healed).is_some() {
            self.publishing.tries = 0;
            cx.log(Level::Notice, format!("Consul answers again for {}", self.name));
        }
    }

    fn on_registry_failed(&mut self, error: RegistryError, cx: &mut Context) {
        let publishing = &mut self.publishing;
        if let Some(at) = RegistryFault::ALL.iter().position(|kind| *kind == error.kind) {
            publishing.counters.failures[at] += 1;
        }
        let awaited = std::mem::take(&mut publishing.awaited);
        let unlocking = std::mem::take(&mut publishing.unlocking);
        let otherwise = if unlocking { Asked::Unlock } else { Asked::Look };
        let what = awaited.kind().unwrap_or(otherwise);
        let outdated = matches!(awaited, Awaited::Look { outdated: true });
        if let Awaited::Write(writing) = &awaited
            && writing.kind == WriteKind::Claim
        {
            publishing.failed = Some(writing.transaction.guard.record().epoch);
        }
        publishing.tries = publishing.tries.saturating_add(1);
        let error = (what, error);
        if publishing.error.as_ref() != Some(&error) {
            cx.log(Level::Warning, format!("Consul, for {}: {}", self.name, error.1));
        }
        self.publishing.error = Some(error);
        self.look(cx);
        if outdated {
            self.publishing.awaited = Awaited::Look { outdated };
        }
    }

    fn on_written(&mut self, fence: crate::Fence, cx: &mut Context) {
        let publishing = &mut self.publishing;
        let Some(Writing { transaction, kind }) = publishing.awaited.take_write() else { return };
        publishing.rest();
        let counter = match kind {
            WriteKind::Claim => &mut publishing.counters.claims,
            WriteKind::Update => &mut publishing.counters.amendments,
            WriteKind::Repair => &mut publishing.counters.repairs,
        };
        *counter += 1;
        let before = publishing.seen.take().map(|(_, seen)| seen);
        let known = before.as_ref().map(|seen| seen.entries.clone()).unwrap_or_default();
        publishing.seen = before.map(|seen| (cx.now, seen.after(&transaction, fence)));
        self.tell_written(&transaction, kind, &known, cx);
    }

    fn tell_written(&self, transaction: &Transaction, kind: WriteKind, known: &[Entry], cx: &mut Context) {
        let Record { epoch, master, .. } = transaction.guard.record();
        let (name, master) = (&self.name, master.joined());
        match kind {
            WriteKind::Claim => {
                cx.log(Level::Notice, format!("Consul: {name} is {master} by epoch {epoch}: published"));
            }
            WriteKind::Repair => {
                let text =
                    format!("Consul: somebody has changed what is published of {name}: it is put back");
                cx.log(Level::Warning, text);
            }
            WriteKind::Update => {}
        }
        if kind == WriteKind::Claim {
            return;
        }
        let news = |entry: &&Entry| {
            !known.iter().any(|known| known.key() == entry.key() && known.sentence == entry.sentence)
        };
        for Entry { role, addr, health, sentence, .. } in transaction.set.iter().filter(news) {
            let role = role.name();
            let text = format!("Consul: {name} {role} {} is {}: {sentence}", addr.joined(), health.as_str());
            cx.log(Level::Notice, text);
        }
        for EntryKey { addr, .. } in &transaction.remove {
            cx.log(Level::Notice, format!("Consul: {name} {} is published no more", addr.joined()));
        }
    }
}
