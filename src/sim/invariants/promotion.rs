//! Promotions: by an elected leader, of a replica that may be promoted, and of none that is worse than another.

use super::{GroupAt, Invariant};
use crate::network::NodeId;
use crate::world::{Role, World};
use consentinel_core::{Endpoint, GroupView, NodeView, Role as RedisRole, Time};
use std::time::Duration;

/// A replica that told its offset and answered so lately could be chosen for certain.
const SURELY_FRESH: Duration = Duration::from_millis(900);

impl World {
    /// A sentinel tells a server to be master.
    pub(super) fn check_promotion(&mut self, sentinel: u16, node: NodeId) {
        let Role::Redis(redis) = self.processes[node.index()].role else { return };
        let server = &self.redises[usize::from(redis)];
        let (group, priority) = (server.group, server.settings.priority);
        self.stats.promotions += 1;
        if !self.is_ours(sentinel) {
            return;
        }
        let (name, target) = (self.sentinel_name(sentinel).to_owned(), self.addresses.name(node).to_owned());
        if priority == 0 {
            self.violated(Invariant::PriorityZero, format!("{name} promotes {target}, whose priority is 0"));
        }
        if self.must_be_idle(sentinel) && !self.witness.forced.contains(&(sentinel, group)) {
            self.violated(Invariant::IdleInTilt, format!("{name} promotes {target} while it is in TILT"));
        }
        if !self.witness.leading.contains_key(&(sentinel, group)) {
            self.violated(Invariant::Elected, format!("{name} promotes {target} and leads nobody"));
        }
    }

    /// `+selected-slave slave <ip:port> <ip> <port> @ ...`
    pub(super) fn hear_choice(&mut self, at: GroupAt, payload: &str) {
        if !self.is_ours(at.0) {
            return;
        }
        let mut words = payload.split(' ').skip(2);
        let chosen = words.next().zip(words.next()).and_then(|(ip, port)| Endpoint::parse(ip, port).ok());
        let Some(chosen) = chosen.and_then(|chosen| self.addresses.node(&chosen)) else { return };
        let host = &self.sentinels[usize::from(at.0)];
        let Some(view) = host.brain.group(&self.groups[usize::from(at.1)].name) else { return };
        let clock = inner_clock(&view, host.clock_at(self.now));
        let is_chosen = |node: &&NodeView| self.addresses.node(&node.addr) == Some(chosen);
        let Some(taken) = view.replicas.iter().find(is_chosen) else { return };
        let better = view.replicas.iter().find(|node| {
            let eligible =
                surely_eligible(node, clock, view.config.down_after) && !was_wiped(node, &view.master);
            !is_chosen(node) && eligible && is_better(node, taken)
        });
        if let Some(better) = better {
            let what = format!(
                "{} chooses {} (priority {}, offset {}) and leaves {} (priority {}, offset {})",
                self.sentinel_name(at.0),
                self.addresses.name(chosen),
                priority(taken),
                taken.offset(),
                self.addresses.call(&better.addr),
                priority(better),
                better.offset()
            );
            self.violated(Invariant::BestReplica, what);
        }
    }
}

/// The time of a sentinel whose clock may have run back: inside it goes on.
pub(super) fn inner_clock(view: &GroupView, clock: Time) -> Time {
    let heard = view.replicas.iter().chain([&view.master]).map(|node| node.link.last_ok);
    heard.fold(clock, Time::max)
}

fn priority(node: &NodeView) -> u32 {
    node.info.as_ref().map_or(0, |(_, info)| info.priority)
}

fn surely_eligible(node: &NodeView, clock: Time, down_after: Duration) -> bool {
    let Some((told, info)) = &node.info else { return false };
    node.link.up
        && node.link.sdown.is_none()
        && clock - node.link.last_ok < SURELY_FRESH
        && clock - *told < SURELY_FRESH
        && info.role == Some(RedisRole::Replica)
        && info.priority > 0
        && !info.loading
        && !info.syncing
        && info.master_link_down <= down_after * 5
}

/// It has copied the emptiness of a master that came back without its data.
fn was_wiped(node: &NodeView, master: &NodeView) -> bool {
    let replid = |node: &NodeView| node.info.as_ref().and_then(|(_, info)| info.replid.clone());
    master.emptied.is_some() && replid(node) == replid(master)
}

/// Better by priority; with the same priority and the same history, better by offset.
fn is_better(node: &NodeView, than: &NodeView) -> bool {
    let (Some((_, a)), Some((_, b))) = (&node.info, &than.info) else { return false };
    // Whoever is a master already, because a leader died after promoting it, may be preferred.
    if b.role != Some(RedisRole::Replica) {
        return false;
    }
    a.priority < b.priority
        || (a.priority == b.priority && a.replid == b.replid && a.repl_offset > b.repl_offset)
}
