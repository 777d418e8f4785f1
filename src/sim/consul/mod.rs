//! A model of Consul: what a cluster holds, how it fails, and how each sentinel's registrar speaks with it.
//!
//! [`state`] is the one state that all servers share; [`server`] hears requests and answers them, or fails to;
//! [`registrar`] lets the daemon's own publisher speak with it; [`meddle`] is what strangers do to it, [`chaos`] what happens to it in random
//! worlds.
//! All chance comes from a generator of its own, and no message takes the network of the others: a world in which
//! Consul is silent differs from one without Consul in nothing else.

mod chaos;
mod meddle;
mod registrar;
mod server;
mod state;
mod tale;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use meddle::{ConsulDeed, Drift, is_of_others};
pub(crate) use registrar::Registrar;
pub(crate) use state::{SessionId, Shelf, State};
pub(crate) use wire::{Answer, Ask, Bell};

use crate::network::NodeId;
use consentinel_core::{GroupName, Rng, Time};
use consentinel_publisher::CallId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A cluster to be.
#[derive(Clone, Debug)]
pub(crate) struct ConsulPlan {
    /// How many servers it has. They share one state, for a registrar asks for consistent answers; of several one may
    /// die, and they lose their leader for a moment only.
    pub(crate) servers: u8,
    /// Microseconds that a message takes at least, and what may come on top.
    pub(crate) latency: (u64, u64),
    /// Microseconds that a server needs to write something down.
    pub(crate) commit: u64,
    /// Whether it never answers anything.
    pub(crate) always_silent: bool,
    /// The seed of its chance.
    pub(crate) seed: u64,
}

/// How a cluster behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// As it should.
    Well,
    /// It refuses connections.
    Down,
    /// It answers that it has no leader.
    Leaderless,
    /// It does not answer. What is written may be done all the same.
    Silent,
    /// It answers that a right is missing: to write; also to read.
    Denying { reads: bool },
    /// It answers what nobody understands. What is written may be done all the same.
    Nonsense,
    /// It serves others, and has no room for us.
    #[cfg(test)]
    Limiting,
    /// Of a thousand requests so many meet one of the fates above.
    Flaky(u64),
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Consul {
    pub(crate) node: NodeId,
    pub(crate) plan: ConsulPlan,
    pub(crate) state: State,
    /// What it held before its last records were written.
    pub(crate) past: VecDeque<State>,
    pub(crate) behaviour: Behaviour,
    /// What everything takes longer.
    pub(crate) delay: Duration,
    /// Requests that wait for a change.
    pub(crate) watchers: Vec<Ask>,
    /// The connections of each sentinel's registrar, by the requests that they serve, and how many were refused.
    pub(crate) connections: BTreeSet<(u16, CallId)>,
    pub(crate) refused: u64,
    pub(crate) rng: Rng,
    /// When somebody who is no sentinel last changed something.
    pub(crate) meddled: Time,
    /// When something was last written for a group.
    pub(crate) written: BTreeMap<GroupName, Time>,
}

impl Consul {
    pub(crate) fn new(node: NodeId, plan: ConsulPlan) -> Self {
        let behaviour = if plan.always_silent { Behaviour::Silent } else { Behaviour::Well };
        Consul {
            node,
            rng: Rng::new(plan.seed),
            plan,
            state: State::default(),
            past: VecDeque::new(),
            behaviour,
            delay: Duration::ZERO,
            watchers: Vec::new(),
            connections: BTreeSet::new(),
            refused: 0,
            meddled: Time::ZERO,
            written: BTreeMap::new(),
        }
    }

    /// How long a message takes.
    fn latency(&mut self) -> Duration {
        let (least, jitter) = self.plan.latency;
        Duration::from_micros(least + self.rng.below(jitter)) + self.rng.span(self.delay)
    }
}
