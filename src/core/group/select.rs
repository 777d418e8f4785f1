//! Which replica is to become master.

use super::Group;
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::node::{Node, Reboot};
use crate::{Offset, Role, RunId, Suitability, Time, Unfit, Worse};
use std::cmp::Ordering;
use std::time::Duration;

impl Group {
    /// The best replica that may be promoted at all.
    pub(crate) fn select_replica(&self, cx: &Context) -> Option<NodeId> {
        let candidates = self.candidates(cx);
        let best = candidates.iter().min_by(|(_, a), (_, b)| a.compare(b)).map(|(id, _)| *id);
        self.orphaned_promotion(&candidates).or(best)
    }

    fn candidates(&self, cx: &Context) -> Vec<(NodeId, Merit)> {
        let candidates = self.nodes.replicas().filter(|(_, node)| self.unfit(node, cx).is_none());
        candidates.map(|(id, node)| (id, self.merit(node))).collect()
    }

    /// How each replica stands in the choice, by what is known now: the chosen one first.
    pub(super) fn suitabilities(&self, cx: &Context) -> Vec<(NodeId, Suitability)> {
        let chosen = self.select_replica(cx);
        let best = chosen.and_then(|id| self.nodes.get(id)).map(|node| self.merit(node));
        let suitability = |id: NodeId, node: &Node| match (self.unfit(node, cx), &best) {
            (Some(unfit), _) => Suitability::Unfit(unfit),
            (None, Some(best)) if chosen != Some(id) => {
                // Only one that is master already comes before others that would be better.
                match self.merit(node).differs(best) {
                    (Ordering::Greater, Some(worse)) => Suitability::Behind(worse),
                    _ => Suitability::Behind(Worse::NotMasterYet),
                }
            }
            _ => Suitability::Chosen,
        };
        let replicas = self.nodes.replicas();
        let mut all: Vec<_> = replicas.map(|(id, node)| (id, suitability(id, node))).collect();
        all.sort_by_key(|(id, suitability)| {
            let rank = match suitability {
                Suitability::Chosen => 0,
                Suitability::Behind(_) => 1,
                Suitability::Unfit(_) => 2,
            };
            (rank, self.nodes.get(*id).map(|node| node.addr.clone()))
        });
        all
    }

    /// Whether all replicas that could be chosen have told their offsets since then.
    pub(super) fn all_told_since(&self, then: Time) -> bool {
        let mut usable = self.nodes.replicas().filter(|(_, node)| node.is_usable());
        usable.all(|(_, node)| node.told_since(then))
    }

    /// Why a replica may not be promoted at all; nothing when it may.
    fn unfit(&self, node: &Node, cx: &Context) -> Option<Unfit> {
        let (ping, info_period) = (cx.config.timing.ping_period, cx.config.timing.info_period);
        if let Some(since) = node.sdown {
            return Some(Unfit::Down(cx.now - since));
        }
        if !node.command.is_open() {
            return Some(Unfit::NoLink);
        }
        let Some((told, info)) = &node.info else { return Some(Unfit::Unseen) };
        let fresh = if self.master().sdown.is_some() { ping * 5 } else { info_period * 3 };
        let (silent, age) = (cx.now - node.alive.last_ok, cx.now - *told);
        let unlinked_limit = self.config.down_after * 10 + self.master_gone(cx);
        if info.priority == 0 && !active(Mutation::PriorityZeroPromoted) {
            Some(Unfit::PriorityZero)
        } else if info.loading {
            Some(Unfit::Loading)
        } else if self.was_wiped(node) {
            Some(Unfit::Wiped)
        } else if silent > ping * 5 {
            Some(Unfit::Silent(silent))
        } else if age > fresh {
            Some(Unfit::StaleInfo { age, limit: fresh })
        } else if info.master_link_down > unlinked_limit {
            Some(Unfit::Unlinked { span: info.master_link_down, limit: unlinked_limit })
        } else {
            None
        }
    }

    /// For how long replicas have had to do without the master: as long as this sentinel takes it for down, or, when it
    /// was started later than that, as long as the one that had it last.
    fn master_gone(&self, cx: &Context) -> Duration {
        let Some(since) = self.master().sdown else { return Duration::ZERO };
        let usable = self.nodes.replicas().filter(|(_, node)| node.is_usable());
        let unlinked = usable.filter_map(|(_, node)| node.info()).map(|info| info.master_link_down);
        unlinked.min().unwrap_or_default().max(cx.now - since)
    }

    /// It has already copied the emptiness of a master that came back without its data.
    fn was_wiped(&self, node: &Node) -> bool {
        let master = self.master();
        matches!(master.reboot, Some(Reboot::Emptied { .. })) && {
            let replid = |node: &Node| node.info().and_then(|info| info.replid.clone());
            replid(node).is_some() && replid(node) == replid(master)
        }
    }

    fn merit(&self, node: &Node) -> Merit {
        let info = node.info().cloned().unwrap_or_default();
        let history = self.master().info().and_then(|master| master.replid.clone());
        let is_master = info.role == Some(Role::Master);
        Merit {
            syncing: info.syncing,
            ousted: is_master && node.ousted,
            priority: info.priority,
            // What was promoted after it had that history goes on from it.
            foreign: history.is_some()
                && info.replid.is_some()
                && history != info.replid
                && history != info.former_replid,
            offset: if is_master { info.master_repl_offset } else { info.repl_offset },
            is_master,
            run_id: node.run_id.clone(),
        }
    }

    /// A replica that a leader promoted before he vanished is master already, and may have taken writes: it is
    /// preferred, as long as no other one has more. What another has of a history of its own is not more.
    fn orphaned_promotion(&self, candidates: &[(NodeId, Merit)]) -> Option<NodeId> {
        let has_more =
            |other: &Merit, merit: &Merit| other.offset > merit.offset && (merit.foreign || !other.foreign);
        let orphan = |merit: &Merit| {
            let beaten = candidates.iter().any(|(_, other)| has_more(other, merit));
            merit.is_master && !merit.ousted && !beaten
        };
        candidates.iter().find(|(_, merit)| orphan(merit)).map(|(id, _)| *id)
    }
}

/// What a replica has to offer.
struct Merit {
    /// It is in the middle of copying somebody's data: what it has is neither old nor new.
    syncing: bool,
    /// It was replaced, and says that it is master all the same: better than nobody.
    ousted: bool,
    priority: u32,
    /// Its data come from another history than the master's: it followed somebody else.
    foreign: bool,
    offset: Offset,
    is_master: bool,
    run_id: Option<RunId>,
}

impl Merit {
    /// The better one is less.
    fn compare(&self, other: &Merit) -> Ordering {
        self.differs(other).0
    }

    /// How it compares, and by what it is worse or better; nothing when there is no difference.
    fn differs(&self, other: &Merit) -> (Ordering, Option<Worse>) {
        let by_priority = match active(Mutation::PriorityOrderReversed) {
            true => other.priority.cmp(&self.priority),
            false => self.priority.cmp(&other.priority),
        };
        let by_offset = match active(Mutation::OffsetOrderReversed) {
            true => self.offset.cmp(&other.offset),
            false => other.offset.cmp(&self.offset),
        };
        let by_run_id = match (&self.run_id, &other.run_id) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let criteria = [
            (self.syncing.cmp(&other.syncing), Worse::Syncing),
            (self.ousted.cmp(&other.ousted), Worse::Ousted),
            (by_priority, Worse::Priority { this: self.priority, chosen: other.priority }),
            (self.is_master.cmp(&other.is_master), Worse::IsMaster),
            (self.foreign.cmp(&other.foreign), Worse::OtherHistory),
            (by_offset, Worse::Offset { behind: other.offset.0.saturating_sub(self.offset.0) }),
            (by_run_id, Worse::RunId),
        ];
        let first = criteria.into_iter().find(|(order, _)| *order != Ordering::Equal);
        first.map_or((Ordering::Equal, None), |(order, by)| (order, Some(by)))
    }
}
