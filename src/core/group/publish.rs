//! Consul is to name the master: when to write what, and when not.
//!
//! Any sentinel may publish a newer configuration, the leader of the failover first; compare-and-swap on the record
//! decides between them. How well the servers are is written by the one that holds the lock, so that entries do not
//! flap between two opinions. There is never more than one write under way, and what is written is always what is so
//! now: what could not be written in time is not made up for.

mod health;
mod heard;
mod state;

use self::health::stray;
pub(super) use self::state::Publication;
use self::state::{Asked, Awaited, ShutOut, Slot, WriteKind, Writing};
use super::Group;
use super::failover_state::{FailoverState, Goal};
use crate::context::Context;
use crate::mutation::{Mutation, active};
use crate::node::Node;
use crate::registry::MOST_SENTINELS;
use crate::{
    Action, Cause, EntryKey, Epoch, Guard, Level, Lock, PublicationState, PublicationView, Published, Record,
    RegistryFault, RegistryRequest, Role, SentinelId, Time, Transaction,
};
use std::time::Duration;

impl Group {
    /// Does what is due. At most one thing: its answer brings the next.
    pub(super) fn drive_publication(&mut self, cx: &mut Context) {
        if !cx.config.registry.on {
            return;
        }
        self.publishing.due = None;
        self.publishing.gated = false;
        if self.master().sdown.is_some() {
            // What is said of it next is about another time that it was down.
            self.publishing.lifted = None;
        }
        // Whoever has nothing to wait for any more begins anew when he has.
        self.publishing.held = self.publishing.turn.take();
        if self.publishing.is_busy() {
            return;
        }
        let state = self.publication_state(cx);
        let unseen = state == PublicationState::Unseen;
        if !unseen && self.announced.pending().is_some() && !active(Mutation::PublishedBeforeSaved) {
            return;
        }
        let unheard =
            state == PublicationState::Behind && self.publishing.failed != Some(self.config_epoch());
        if !self.publishing.awaited.is_nothing() && self.publishing.tries > 0 && !unheard {
            return;
        }
        let shut_out = self.publishing.shut_out.take();
        match state {
            PublicationState::Behind => self.claim(cx),
            PublicationState::Published => self.reconcile(cx),
            PublicationState::Unseen => self.look(cx),
            PublicationState::Fenced | PublicationState::Contradicted | PublicationState::Taken => {
                self.stand_aside(state, shut_out, cx);
            }
        }
    }

    /// Whether the master is published as soon as it says that it is one.
    pub(super) fn waits_to_publish(&self) -> bool {
        self.publishing.gated
    }

    pub(super) fn publication_deadline(&self) -> Time {
        self.publishing.due.unwrap_or(Time::NEVER)
    }

    /// How the record compares with our configuration.
    fn publication_state(&self, cx: &Context) -> PublicationState {
        let Some((_, seen)) = self.publishing.seen.as_ref() else { return PublicationState::Unseen };
        let Some(record) =
            seen.record.as_ref().filter(|record| record.epoch <= Epoch::MAX && !cx.is_far(record.epoch))
        else {
            return PublicationState::Behind;
        };
        if self.is_of_others(record, cx) {
            return PublicationState::Taken;
        }
        let (ours, master) = (self.config_epoch(), &self.master().addr);
        // Only the holder of the lock says so: others may show the same server by another address on purpose.
        let moved = record.master != cx.shown(master) && seen.lock == Lock::Ours;
        match record.epoch.cmp(&ours) {
            std::cmp::Ordering::Greater if active(Mutation::PublishedOverNewer) => PublicationState::Behind,
            std::cmp::Ordering::Less => PublicationState::Behind,
            std::cmp::Ordering::Greater => PublicationState::Fenced,
            std::cmp::Ordering::Equal
                if !self.is_master_at(&record.master, cx) && !cx.hosts.was_at(master, &record.master) =>
            {
                PublicationState::Contradicted
            }
            // The same server, by another address: the record must tell, for the next flip goes by it.
            std::cmp::Ordering::Equal if moved => PublicationState::Behind,
            std::cmp::Ordering::Equal => PublicationState::Published,
        }
    }

    /// Whether nothing in a record is of this group: it belongs to another fleet that uses the same names. What is left of
    /// this fleet is enough: a server, or one of the sentinels.
    fn is_of_others(&self, record: &Record, cx: &Context) -> bool {
        let is_server = |node: &Node| {
            node.is_at(&record.master, &cx.hosts)
                || cx.shown(&node.addr) == record.master
                || node.run_id.as_ref() == Some(&record.run_id)
        };
        let is_sentinel = |id: &SentinelId| {
            let is_peer = || cx.peer_named(id).is_some_and(|slot| self.peers.contains_key(&slot));
            *id == cx.myid || is_peer() || cx.gone_peers.contains_key(id)
        };
        let mut sentinels = [&record.publisher].into_iter().chain(&record.sentinels);
        !active(Mutation::PublishedOverOthers)
            && !self.nodes.all().any(is_server)
            && !sentinels.any(is_sentinel)
    }

    /// The sentinels of this group that are known, this one first.
    fn fleet(&self, cx: &Context) -> Vec<SentinelId> {
        let peers = self.peers.keys().filter_map(|slot| cx.peers.get(slot)).map(|peer| peer.id.clone());
        [cx.myid.clone()].into_iter().chain(peers).take(MOST_SENTINELS).collect()
    }

    fn look(&mut self, cx: &mut Context) {
        if self.publishing.awaited.is_nothing() {
            let tries = self.publishing.tries.max(self.publishing.bounces);
            self.ask_registry(RegistryRequest::Look { tries }, cx);
        }
    }

    fn ask_registry(&mut self, request: RegistryRequest, cx: &mut Context) {
        self.publishing.awaited = match request {
            RegistryRequest::Look { .. } => Awaited::Look { outdated: false },
            RegistryRequest::Lock => Awaited::Lock,
            _ => Awaited::Nothing,
        };
        cx.out.push_back(Action::Register { group: self.name.clone(), request });
    }

    /// Whether it is our turn; otherwise when it will be.
    fn is_turn(&mut self, turn: Slot, delay: (Duration, Duration), cx: &mut Context) -> bool {
        let at = match self.publishing.held {
            Some((of, at)) if of == turn => at,
            _ => cx.now + delay.0 + cx.chance.span(delay.1),
        };
        self.publishing.turn = Some((turn, at));
        self.publishing.due = Some(at).filter(|at| *at > cx.now);
        cx.now >= at
    }

    /// The record is missing, or older than our configuration.
    fn claim(&mut self, cx: &mut Context) {
        let Some((_, seen)) = self.publishing.seen.clone() else { return };
        if !self.answers_as_master(cx) && !active(Mutation::PublishedWithoutGate) {
            // Its next word brings us back here: it is asked for soon.
            self.publishing.gated = true;
            return self.advance_node_only(self.nodes.master_id(), cx);
        }
        if seen.record.is_none() && !self.hears_majority(cx) {
            // Where nothing holds back the one who knows less, it takes a majority to begin.
            return;
        }
        let epoch = self.config_epoch();
        let delay = match (self.announced.is_led(), seen.record.is_none()) {
            (true, _) => (Duration::ZERO, Duration::ZERO),
            // Nobody else has led a failover that could publish it first.
            (false, _) if cx.config.observe => (Duration::ZERO, OBSERVER_SPREAD),
            (false, true) => (Duration::ZERO, CLAIM_SPREAD),
            (false, false) => (CLAIM_DELAY, CLAIM_SPREAD),
        };
        if !self.is_turn(Slot::Claim(epoch), delay, cx) {
            return;
        }
        let master = self.master();
        let Some(run_id) = master.run_id.clone() else { return };
        let master = cx.shown(&master.addr);
        let before = seen.record.as_ref().map(|record| record.master.clone());
        let before = before.filter(|before| *before != master);
        let (publisher, sentinels) = (cx.myid.clone(), self.fleet(cx));
        let record = Record { epoch, master, run_id, publisher, sentinels };
        let desired = self.desired(epoch, &seen.entries, cx);
        let mut remove = stray(&seen, &desired);
        // At this version of the record, this is the one entry that is the master's, whatever else was seen.
        remove.extend(before.iter().map(|addr| EntryKey { role: Role::Master, addr: addr.clone() }));
        remove.push(EntryKey { role: Role::Replica, addr: record.master.clone() });
        remove.sort();
        remove.dedup();
        if seen.record.is_none() {
            remove.extend(self.may_stand_as_masters(&remove, cx));
        }
        let guard = Guard::Claim { fence: seen.fence, record, before };
        let sweep = seen.damaged;
        self.write(Transaction { guard, remove, sweep, set: desired }, WriteKind::Claim, cx);
    }

    /// Where there is no record, nothing vouches for what was seen beside it: a write may have come in between, whose
    /// record was then lost. Whichever of the servers it has made the master is one no more.
    fn may_stand_as_masters(&self, removed: &[EntryKey], cx: &Context) -> Vec<EntryKey> {
        let others = self.nodes.replicas();
        let keys = others.map(|(_, node)| EntryKey { role: Role::Master, addr: cx.shown(&node.addr) });
        keys.filter(|key| !removed.contains(key)).collect()
    }

    fn write(&mut self, transaction: Transaction, kind: WriteKind, cx: &mut Context) {
        self.ask_registry(RegistryRequest::Write(Box::new(transaction.clone())), cx);
        self.publishing.awaited = Awaited::Write(Box::new(Writing { transaction, kind }));
        self.publishing.due = None;
    }

    /// The record is not ours to write: it is of a newer epoch, or names another master of the same one. Normally a
    /// hello brings us what we do not know yet. When it does not, and we have a master that is well, an election is to
    /// give it an epoch above the record's: then nobody else's failover can be behind it.
    fn stand_aside(&mut self, state: PublicationState, before: Option<ShutOut>, cx: &mut Context) {
        let before = before.filter(|before| before.state == state);
        let ShutOut { since, told, .. } = before.unwrap_or(ShutOut { state, since: cx.now, told: false });
        let patience = cx.config.timing.publish_period * PATIENCE;
        let is_over = cx.now >= since + patience;
        // A sentinel that has just begun may know none of its own yet.
        let tells = !told && (is_over || state != PublicationState::Taken);
        self.publishing.shut_out = Some(ShutOut { state, since, told: told || tells });
        let Some((_, Published { record: Some(record), lock, .. })) = self.publishing.seen.clone() else {
            return;
        };
        if lock == Lock::Ours {
            self.let_go(cx);
        }
        if tells {
            self.tell_shut_out(state, &record, cx);
        }
        self.publishing.due = Some(if is_over { cx.now } else { since } + patience);
        if !is_over || state == PublicationState::Taken {
            return;
        }
        let publisher = cx.peer_named(&record.publisher).is_some_and(|slot| self.peers.contains_key(&slot));
        // Or the one that came in its place knows nothing of it.
        let publisher = publisher || cx.gone_peers.contains_key(&record.publisher);
        if (publisher || record.publisher == cx.myid)
            && self.failover.state() == FailoverState::Idle
            && self.may_reaffirm(cx)
        {
            cx.adopt_epoch(record.epoch, &self.name, &self.config);
            self.hold(Goal::Reaffirm, cx);
        }
    }

    fn tell_shut_out(&self, state: PublicationState, record: &Record, cx: &mut Context) {
        let Record { epoch, master, publisher, .. } = record;
        let (name, our_epoch, master) = (&self.name, self.config_epoch(), master.joined());
        let ours = cx.shown(&self.master().addr).joined();
        if state == PublicationState::Taken {
            let text = format!(
                "Consul: {name} is published there by another fleet of sentinels: {master} by epoch {epoch}, written by \
                 {publisher}; none of this is known here. Nothing is published. Give this fleet other names: sentinel \
                 consul kv-prefix <prefix>, and sentinel consul service-template <name>. If the other fleet is gone \
                 for good: consentinel consul deregister {name}"
            );
            return cx.log(Level::Warning, text);
        }
        let what = match state {
            PublicationState::Contradicted => "another master of the same epoch",
            _ => "a newer epoch",
        };
        let text = format!(
            "Consul has {what} for {name} than this sentinel: {master} by epoch {epoch}, published by {publisher}; here \
             it is {ours} by epoch {our_epoch}. Nothing is published until a hello or an election settles it. If the \
             record is left from another set-up: consentinel consul deregister {name}"
        );
        cx.log(Level::Warning, text);
    }

    /// The group is watched no more. What is published stays.
    pub(super) fn forget_publication(&mut self, cx: &mut Context) {
        if cx.config.registry.on {
            self.ask_registry(RegistryRequest::Forget, cx);
        }
    }

    /// Why a replica stands in Consul as it does, as it was last seen there.
    pub(super) fn published_cause(&self, node: &Node, cx: &Context) -> Option<Cause> {
        let (_, seen) = self.publishing.seen.as_ref()?;
        let addr = cx.shown(&node.addr);
        let known = seen.entries.iter().find(|entry| entry.role == Role::Replica && entry.addr == addr);
        known.and_then(|entry| entry.cause)
    }

    /// Whether the record in Consul is of our configuration.
    pub(super) fn is_published(&self) -> bool {
        self.published().is_some_and(|(_, epoch)| epoch >= self.config_epoch())
    }

    /// Whether that may still come about soon: there is a Consul, and it answers.
    pub(super) fn is_publishing(&self, cx: &Context) -> bool {
        cx.config.registry.on && self.publishing.error.is_none() && !self.is_published()
    }

    /// The epoch of the record, and when it was seen.
    pub(crate) fn published(&self) -> Option<(Time, Epoch)> {
        let (at, seen) = self.publishing.seen.as_ref()?;
        Some((*at, seen.record.as_ref()?.epoch))
    }

    pub(super) fn view_publication(&self, cx: &Context) -> Option<PublicationView> {
        cx.config.registry.on.then_some(())?;
        let publishing = &self.publishing;
        let seen = publishing.seen.as_ref().map(|(_, seen)| seen);
        let known = seen.map_or(&[][..], |seen| &seen.entries);
        Some(PublicationView {
            state: match &publishing.error {
                Some((_, error)) if error.kind == RegistryFault::Taken => PublicationState::Taken,
                _ => self.publication_state(cx),
            },
            error: publishing.error.as_ref().map(|(_, error)| error.clone()),
            tries: publishing.tries,
            desired: self.desired(self.config_epoch(), known, cx),
            seen: seen.cloned(),
            seen_at: publishing.seen.as_ref().map(|(at, _)| *at),
            counters: publishing.counters,
        })
    }
}

/// How long those wait who did not lead a failover, before they publish it in the leader's place.
const CLAIM_DELAY: Duration = Duration::from_millis(100);
/// Over which time sentinels spread what all of them could do at once.
const CLAIM_SPREAD: Duration = Duration::from_millis(100);
const OBSERVER_SPREAD: Duration = Duration::from_millis(20);
/// After so many hellos' time whoever knows better would have spoken.
const PATIENCE: u32 = 5;
