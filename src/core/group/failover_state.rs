//! Where a failover of ours stands, since when, and by which order it was begun.

use super::order::Order;
use super::planned_failover::PlannedStep;
use crate::ids::NodeId;
use crate::{Epoch, FailoverPhase, Seq, Time};

/// The failover of a group, if this sentinel has one under way.
pub(super) struct Failover {
    state: FailoverState,
    since: Time,
    order: Option<Order>,
}

impl Failover {
    /// None under way.
    pub(super) fn new(now: Time) -> Self {
        Failover { state: FailoverState::Idle, since: now, order: None }
    }

    /// Where it stands.
    pub(super) fn state(&self) -> FailoverState {
        self.state
    }

    /// Since when it has stood there.
    pub(super) fn since(&self) -> Time {
        self.since
    }

    /// It comes to another state. With the state `Idle` the order is over, too.
    pub(super) fn enter(&mut self, state: FailoverState, now: Time) {
        (self.state, self.since) = (state, now);
        if state == FailoverState::Idle {
            self.order = None;
        }
    }

    /// A planned failover comes further; nothing begins anew by that.
    pub(super) fn step(&mut self, next: PlannedStep) {
        if let FailoverState::Planned { step, .. } = &mut self.state {
            *step = next;
        }
    }

    /// Whether an operator has ordered it.
    pub(super) fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// The order by which it was begun.
    pub(super) fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// The order by which it was begun.
    pub(super) fn order_mut(&mut self) -> Option<&mut Order> {
        self.order.as_mut()
    }

    /// It is begun by that order.
    pub(super) fn obey(&mut self, order: Order) {
        self.order = Some(order);
    }
}

/// What an election is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// The master is objectively down.
    Replace,
    /// An operator ordered a failover.
    Obey,
    /// The master is well, but a server that says it is master may have been promoted behind our back: a new epoch
    /// is to settle who is.
    Reaffirm,
}

/// Where a failover stands. What a state needs, it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailoverState {
    Idle,
    /// The master is objectively down; at that moment this sentinel will stand for election.
    WaitStart {
        at: Time,
        goal: Goal,
    },
    /// It asks for votes. `saved` is the save that has its own vote.
    Election {
        epoch: Epoch,
        saved: Seq,
        since: Time,
        goal: Goal,
    },
    /// It leads, and waits for fresh INFO to choose by.
    Selecting {
        epoch: Epoch,
        since: Time,
        /// INFO counts as fresh when it came after this.
        asked: Time,
    },
    /// It has chosen, and the master is well: the chosen one is to have all that the master has accepted.
    Planned {
        epoch: Epoch,
        successor: NodeId,
        since: Time,
        step: PlannedStep,
    },
    /// It has chosen, but cannot reach the chosen one yet.
    Promoting {
        epoch: Epoch,
        promoted: NodeId,
        since: Time,
    },
    /// It has told the chosen one, and waits for it to say that it is master.
    WaitPromotion {
        epoch: Epoch,
        promoted: NodeId,
        since: Time,
    },
    /// The new master is master; the replicas are led to it.
    Reconfiguring {
        since: Time,
    },
}

impl FailoverState {
    pub(super) fn is_active(&self) -> bool {
        !matches!(self, FailoverState::Idle | FailoverState::WaitStart { .. })
    }

    /// Whether this sentinel leads, and what it does has not led to a new master yet.
    pub(super) fn is_led(&self) -> bool {
        matches!(
            self,
            FailoverState::Selecting { .. }
                | FailoverState::Planned { .. }
                | FailoverState::Promoting { .. }
                | FailoverState::WaitPromotion { .. }
        )
    }

    /// Whether everything waits for that node to become master.
    pub(super) fn waits_for(&self, node: NodeId) -> bool {
        matches!(self, FailoverState::WaitPromotion { promoted, .. } if *promoted == node)
    }

    pub(super) fn promotes(&self, node: NodeId) -> bool {
        matches!(self, FailoverState::WaitPromotion { promoted, .. } | FailoverState::Promoting { promoted, .. } if *promoted == node)
    }

    /// Who is chosen, and is not the master yet.
    pub(super) fn successor(&self) -> Option<NodeId> {
        match self {
            FailoverState::Planned { successor, .. } => Some(*successor),
            FailoverState::Promoting { promoted, .. } | FailoverState::WaitPromotion { promoted, .. } => {
                Some(*promoted)
            }
            _ => None,
        }
    }

    pub(super) fn turns_replicas(&self) -> bool {
        matches!(self, FailoverState::Reconfiguring { .. })
    }

    pub(super) fn phase(&self) -> FailoverPhase {
        match self {
            FailoverState::Idle => FailoverPhase::None,
            FailoverState::WaitStart { .. } => FailoverPhase::WaitStart,
            FailoverState::Election { .. } => FailoverPhase::Election,
            FailoverState::Selecting { .. } => FailoverPhase::SelectReplica,
            FailoverState::Planned { .. } => FailoverPhase::CatchUp,
            FailoverState::Promoting { .. } => FailoverPhase::SendReplicaOfNoOne,
            FailoverState::WaitPromotion { .. } => FailoverPhase::WaitPromotion,
            FailoverState::Reconfiguring { .. } => FailoverPhase::ReconfReplicas,
        }
    }
}
