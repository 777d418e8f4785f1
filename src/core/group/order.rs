//! A failover that an operator orders.
//!
//! The peers that answer are asked for their votes, so that there is one leader also where several sentinels get the
//! order at once. With no peer answering this sentinel goes on alone, as the original always does. The order is answered
//! when it is known whether this sentinel leads.

use super::Group;
use super::failover_state::Goal;
use crate::context::Context;
use crate::rng::hash;
use crate::{Action, ClientId, Epoch, Level, Refusal, Response, SentinelId, mix};
use std::time::Duration;

/// An order under way, until its failover has ended.
pub(super) struct Order {
    /// Who waits for the answer.
    client: Option<ClientId>,
    /// How many elections were split.
    splits: u32,
    /// Whether no other sentinel could be asked.
    pub(super) alone: bool,
}

impl Group {
    /// Begins a failover by order; the client is answered later.
    pub(crate) fn order_failover(&mut self, client: ClientId, cx: &mut Context) -> Result<(), Refusal> {
        if self.fails_over() {
            return Err(Refusal::InProgress);
        }
        if cx.config.observe {
            return Err(Refusal::Observer);
        }
        if let Some((leader, epoch)) = self.led_by_another(cx).or_else(|| self.elected_elsewhere(cx)) {
            return Err(Refusal::LedByAnother { leader, epoch });
        }
        self.select_replica(cx).ok_or(Refusal::NoGoodReplica)?;
        if cx.save_gate.failure().is_some() {
            return Err(Refusal::NotSaved);
        }
        cx.log(Level::Notice, format!("Executing user requested FAILOVER of '{}'", self.name));
        self.failover.obey(Order { client: Some(client), splits: 0, alone: false });
        self.agreement.ask_from(cx.now);
        self.stand(Goal::Obey, cx);
        self.advance(cx);
        Ok(())
    }

    /// Several were ordered at once, and none has a majority: they stand again, one after the other.
    pub(super) fn order_again(&mut self, cx: &mut Context) {
        match self.failover.order_mut() {
            Some(order) if order.splits < MOST_SPLITS => {
                order.splits += 1;
                self.hold(Goal::Obey, cx);
            }
            _ => self.lose(Goal::Obey, cx),
        }
    }

    /// The epoch in which an ordered failover is begun. Where no other sentinel can be asked, those may begin one of their
    /// own in the next epoch: this one leaves some out, by its identity, so that the same epoch never has two masters.
    pub(super) fn epoch_of_order(&mut self, cx: &mut Context) -> Epoch {
        let next = cx.current_epoch.next();
        let alone = !self.peers.is_empty() && !self.peers.keys().any(|slot| self.is_reachable(*slot, cx));
        if let Some(order) = self.failover.order_mut() {
            order.alone = alone;
        }
        if !alone {
            return next;
        }
        let text = format!("no other sentinel answers: the ordered failover of {} goes on alone", self.name);
        cx.log(Level::Warning, text);
        let apart = 1 + mix(hash(cx.myid.as_str())) % EPOCHS_APART;
        Epoch(next.0.saturating_add(apart).min(Epoch::MAX.0))
    }

    /// The candidate that has the votes of others, in an epoch that is not behind ours.
    fn voted_elsewhere(&self, cx: &Context) -> Option<(SentinelId, Epoch)> {
        let votes = self.peers.values().filter_map(|opinion| opinion.vote.clone());
        votes
            .filter(|(leader, epoch)| *leader != cx.myid && *epoch >= self.ballot.leader_epoch())
            .max_by_key(|vote| vote.1)
    }

    /// The candidate that others have just voted for while we voted for ourselves, if it is still there.
    fn elected_elsewhere(&self, cx: &Context) -> Option<(SentinelId, Epoch)> {
        let (leader, epoch) = self.voted_elsewhere(cx)?;
        let slot = cx.peer_named(&leader)?;
        self.may_act(slot, epoch, cx).then_some((leader, epoch))
    }

    /// It is known whether this sentinel carries the order out.
    pub(super) fn answer_order(&mut self, leads: bool, cx: &mut Context) {
        let Some(client) = self.failover.order_mut().and_then(|order| order.client.take()) else { return };
        let response = match self.led_by_another(cx).or_else(|| self.voted_elsewhere(cx)) {
            _ if leads => Response::Ok,
            Some((leader, epoch)) => Response::Refused(Refusal::LedByAnother { leader, epoch }),
            None => Response::Refused(Refusal::NotAgreed),
        };
        cx.out.push_back(Action::Respond { client, response });
    }
}

/// How long an order waits for the votes of the peers that answer.
pub(super) const ORDER_WAITS: Duration = Duration::from_secs(3);
const EPOCHS_APART: u64 = 1000;
const MOST_SPLITS: u32 = 5;
