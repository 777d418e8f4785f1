//! A master that restarts without its data must not wipe the replicas that still have them.
//!
//! A server that was restarted shows another run id. When it holds no key, or next to none, while a replica of the old
//! history holds many, it counts as down for this sentinel, as if it had not come back: the usual agreement, election
//! and promotion follow, before the replicas have copied its emptiness.

use super::Group;
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::node::{Node, Reboot};
use crate::{Info, Level, Role, Time};
use std::time::Duration;

/// Signs that a master which is being replaced has come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Return {
    /// It answers, or a replica has copied from a new run of it.
    Likely,
    /// It answers, says that it is master, and has its data.
    Proven,
}

impl Group {
    /// Whether the master has come back before anybody was promoted. With a replica that has found it first it acknowledges
    /// writes which no other replica has.
    pub(super) fn master_returns(&self, asked: Time, cx: &Context) -> Option<Return> {
        if self.failover.is_ordered() {
            return None;
        }
        let master = self.master();
        if master.sdown.is_none() && master.is_usable() {
            let is_well = master.reboot.is_none() && master.role == Role::Master && master.told_since(asked);
            return Some(if is_well { Return::Proven } else { Return::Likely });
        }
        let history = master.info().and_then(|info| info.replid.as_ref())?;
        let has_copied = |info: &Info| {
            let follows_it = info.master.as_ref().is_some_and(|addr| self.is_master_at(addr, cx));
            info.master_link_up && follows_it && info.replid.as_ref().is_some_and(|replid| replid != history)
        };
        let mut replicas = self.nodes.replicas().map(|(_, node)| node);
        replicas
            .any(|node| node.told_since(asked) && node.info().is_some_and(has_copied))
            .then_some(Return::Likely)
    }

    /// Tries again at once to connect to a master that seems to be there.
    pub(super) fn reach_for_master(&mut self, cx: &mut Context) {
        let master = self.nodes.master_id();
        if let Some(node) = self.nodes.get_mut(master) {
            node.command.hurry(cx);
        }
        self.advance_node_only(master, cx);
    }

    pub(super) fn on_reboot(&mut self, id: NodeId, info: &Info, cx: &mut Context) {
        let is_master = id == self.nodes.master_id();
        let Some(node) = self.nodes.get_mut(id) else { return };
        if info.role == Some(Role::Master) && !active(Mutation::EmptyMasterTrusted) {
            node.reboot = judge(info, cx.now);
        }
        if is_master && node.reboot.is_some() {
            self.ask_replicas(cx);
        }
    }

    /// New facts about a restarted master, or about those who may have what it lost.
    pub(super) fn consider_reboot(&mut self, told: NodeId, cx: &mut Context) {
        let Some(reboot) = self.master().reboot else { return };
        let Some(info) = self.master().info().cloned() else { return };
        let next = match reboot {
            Reboot::Loading(_) if told == self.nodes.master_id() && !info.loading => judge(&info, cx.now),
            // Counted from the restart: what it says while it loads does not start the period anew.
            Reboot::Loading(since) => Some(Reboot::Loading(since)),
            Reboot::Suspected { since, keys } if self.somebody_remembers(&info, keys, since) => {
                Some(Reboot::Emptied { since: cx.now, keys })
            }
            Reboot::Suspected { since, .. } if self.all_told_since(since) && self.has_usable_replica() => {
                None
            }
            Reboot::Suspected { since, .. } if cx.now > since + SUSPICION_LASTS => None,
            Reboot::Emptied { keys, .. } if !self.somebody_remembers(&info, keys, Time::ZERO) => None,
            same => Some(same),
        };
        if next == Some(reboot) {
            return;
        }
        self.nodes.master_mut().reboot = next;
        match next {
            Some(Reboot::Emptied { .. }) => {
                let text = format!(
                    "master {} was restarted without its data, but a replica has them: it counts as down",
                    self.name
                );
                cx.log(Level::Warning, text);
            }
            Some(_) => self.ask_replicas(cx),
            None => {}
        }
        self.advance_node(self.nodes.master_id(), cx);
    }

    fn ask_replicas(&mut self, cx: &mut Context) {
        for id in self.nodes.replica_ids() {
            self.ask_for_info(id, cx);
        }
    }

    /// Whether a replica that answers has said since then that it holds a history other than the master's, with more
    /// than twice the keys that the master had when it came back. (Clients may have written some since it did.)
    fn somebody_remembers(&self, master: &Info, keys: u64, since: Time) -> bool {
        let more = |info: &Info| info.keys > keys.saturating_mul(FAR_MORE) && info.replid != master.replid;
        let remembers = |node: &Node| {
            let info = node.info().filter(|info| info.priority != 0 && more(info));
            info.is_some() && node.is_usable() && node.told_since(since)
        };
        self.nodes.replicas().any(|(_, node)| remembers(node))
    }

    fn has_usable_replica(&self) -> bool {
        self.nodes.replicas().any(|(_, node)| node.is_usable())
    }
}

fn judge(info: &Info, now: Time) -> Option<Reboot> {
    Some(match info.loading {
        true => Reboot::Loading(now),
        false => Reboot::Suspected { since: now, keys: info.keys },
    })
}

const FAR_MORE: u64 = 2;
const SUSPICION_LASTS: Duration = Duration::from_secs(5);
