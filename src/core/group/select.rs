//! Which replica is to become master.

use super::Group;
use crate::context::Context;
use crate::ids::NodeId;
use crate::mutation::{Mutation, active};
use crate::node::{Node, Reboot};
use crate::{Offset, Role, RunId, Time};
use std::cmp::{Ordering, Reverse};
use std::time::Duration;

impl Group {
    /// The best replica that may be promoted at all.
    pub(crate) fn select_replica(&self, cx: &Context) -> Option<NodeId> {
        let candidates =
            self.nodes.iter().filter(|(id, node)| **id != self.master && self.may_promote(node, cx));
        let candidates: Vec<_> = candidates.map(|(id, node)| (*id, self.merit(node))).collect();
        let best = candidates.iter().min_by(|(_, a), (_, b)| a.compare(b)).map(|(id, _)| *id);
        self.orphaned_promotion(&candidates).or(best)
    }

    /// Whether all replicas that could be chosen have told their offsets since then.
    pub(super) fn all_told_since(&self, then: Time) -> bool {
        let mut usable = self.nodes.iter().filter(|(id, node)| **id != self.master && node.is_usable());
        usable.all(|(_, node)| node.told_since(then))
    }

    fn may_promote(&self, node: &Node, cx: &Context) -> bool {
        let (ping, info_period) = (cx.config.timing.ping_period, cx.config.timing.info_period);
        let Some((told, info)) = &node.info else { return false };
        let fresh = if self.master().sdown.is_some() { ping * 5 } else { info_period * 3 };
        node.is_usable()
            && cx.now - node.alive.last_ok <= ping * 5
            && cx.now - *told <= fresh
            && (info.priority != 0 || active(Mutation::PriorityZeroPromoted))
            && info.master_link_down <= self.config.down_after * 10 + self.master_gone(cx)
            && !info.loading
            && !self.was_wiped(node)
    }

    /// For how long replicas have had to do without the master: as long as this sentinel takes it for down, or, when it
    /// was started later than that, as long as the one that had it last.
    fn master_gone(&self, cx: &Context) -> Duration {
        let Some(since) = self.master().sdown else { return Duration::ZERO };
        let usable = self.nodes.iter().filter(|(id, node)| **id != self.master && node.is_usable());
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
            foreign: history.is_some() && info.replid.is_some() && history != info.replid,
            offset: if is_master { info.master_repl_offset } else { info.repl_offset },
            is_master,
            run_id: node.run_id.clone(),
        }
    }

    /// A replica that a leader promoted before he vanished is master already, and may have taken writes: it is
    /// preferred, as long as no other one has more.
    fn orphaned_promotion(&self, candidates: &[(NodeId, Merit)]) -> Option<NodeId> {
        let most = candidates.iter().map(|(_, merit)| merit.offset).max()?;
        let orphan = |merit: &Merit| merit.is_master && !merit.ousted && merit.offset >= most;
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
        let key = |merit: &Merit| {
            let priority = if active(Mutation::PriorityOrderReversed) {
                u32::MAX - merit.priority
            } else {
                merit.priority
            };
            let offset = if active(Mutation::OffsetOrderReversed) {
                u64::MAX - merit.offset.0
            } else {
                merit.offset.0
            };
            (merit.syncing, merit.ousted, priority, merit.is_master, merit.foreign, Reverse(offset))
        };
        key(self).cmp(&key(other)).then_with(|| match (&self.run_id, &other.run_id) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        })
    }
}
