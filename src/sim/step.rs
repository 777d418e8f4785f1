//! The vocabulary of meddling: everything that a story or a plan of disasters can do to a world.

use crate::consul::ConsulDeed;
use crate::disk::DiskMode;
use crate::forger::Forgery;
use crate::network::{NodeId, Path};
use consentinel_core::{Endpoint, Event, Request, SentinelId};
use std::time::Duration;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It is killed; its machine closes its connections.
    Kill,
    /// Its machine vanishes with it, and tells nobody.
    Vanish,
    /// It ends in order, as a service that is stopped.
    Stop,
}

/// What a Redis server finds on its disk when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finds {
    /// Its data, and how far they went in which history: it may go on where it stopped.
    History,
    /// Its data only: as a replica it needs a full synchronisation.
    Data,
    /// Nothing.
    Nothing,
}

/// Stands for the node that an ambush caught.
pub(crate) const IT: NodeId = NodeId(u16::MAX);

/// One deed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Ends a process.
    Crash { node: NodeId, how: Crash },
    /// Starts it again. What a Redis server finds matters to Redis servers only.
    Restart { node: NodeId, finds: Finds },
    /// Crash, and restart after a while.
    Bounce { node: NodeId, after: Duration, finds: Finds },
    /// Stops a process where it stands (SIGSTOP).
    Pause { node: NodeId },
    /// Stops it for a while.
    PauseFor { node: NodeId, time: Duration },
    /// Lets it go on.
    Resume { node: NodeId },
    /// Changes the way from each of some nodes to each of others.
    SetPath { from: Vec<NodeId>, to: Vec<NodeId>, both_ways: bool, path: Path },
    /// Breaks the connections between two nodes.
    Reset { a: NodeId, b: NodeId },
    /// Repairs the whole network.
    Repair,
    /// Changes what a sentinel's disk does.
    Disk { node: NodeId, mode: DiskMode },
    /// Makes a sentinel's clock jump, by microseconds.
    Jump { node: NodeId, by: i64 },
    /// Slows a node's traffic down.
    Slow { node: NodeId, factor: u32 },
    /// Restarts a node at another address; its host name follows.
    Move { node: NodeId },
    /// Makes a Redis server announce its second address to its masters from now on, or its first one again.
    Announce { node: NodeId, second: bool },
    /// Gives a dead sentinel a new disk: it will start with a fresh identity, and knows the configured masters only.
    Renew { node: NodeId },
    /// An operator makes all sentinels forget one that will never come back.
    ForgetIdentity { id: SentinelId },
    /// Asks a sentinel for something, as an operator would.
    Request { node: NodeId, request: Request },
    /// Tells a Redis server whom to follow, as an operator would.
    ReplicaOf { node: NodeId, master: Option<Endpoint> },
    /// A master hangs in a FAILOVER that an operator ordered it, to a replica that does not come.
    OwnFailover { node: NodeId },
    /// Changes a Redis server's priority.
    Priority { node: NodeId, priority: u32 },
    /// Kills a sentinel when it is about to carry out its n-th action from now.
    CrashAtAction { node: NodeId, nth: u32 },
    /// Decides whether the write under way reaches the disk if the next crash comes before its end.
    Torn { node: NodeId, kept: bool },
    /// Does something to Consul.
    Consul(ConsulDeed),
    /// A neighbour publishes a forged hello.
    Forge { what: Forgery, chance: u64 },
    /// Lies in wait.
    Ambush(Ambush),
    /// Ends all disasters: everything runs, is connected and can write.
    Heal,
}

/// A deed that waits for its moment.
#[derive(Clone, Debug)]
pub(crate) struct Ambush {
    /// By whom; anybody when nobody is named.
    pub(crate) by: Option<NodeId>,
    pub(crate) on: Trigger,
    /// How long after it.
    pub(crate) after: Duration,
    /// What to do then; `IT` stands for whoever was caught.
    pub(crate) then: Box<Step>,
}

/// The moment that an ambush waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A sentinel tells of this event.
    Says(Event),
    /// A sentinel begins to save.
    Saves,
    /// A sentinel's save is done; it has not been told yet.
    Saved,
    /// A sentinel is about to answer with its vote.
    Votes,
    /// A sentinel is about to tell a server to be master.
    Promotes,
    /// A sentinel is about to write to Consul.
    Publishes,
}

impl Step {
    /// The same deed, done to the node that an ambush caught.
    pub(crate) fn to(mut self, caught: NodeId) -> Step {
        let fix = |node: &mut NodeId| {
            if *node == IT {
                *node = caught;
            }
        };
        match &mut self {
            Step::Crash { node, .. }
            | Step::Restart { node, .. }
            | Step::Bounce { node, .. }
            | Step::Pause { node }
            | Step::PauseFor { node, .. }
            | Step::Resume { node }
            | Step::Disk { node, .. }
            | Step::Jump { node, .. }
            | Step::Slow { node, .. }
            | Step::Move { node }
            | Step::Announce { node, .. }
            | Step::Renew { node }
            | Step::Request { node, .. }
            | Step::ReplicaOf { node, .. }
            | Step::OwnFailover { node }
            | Step::Priority { node, .. }
            | Step::CrashAtAction { node, .. }
            | Step::Torn { node, .. } => fix(node),
            Step::SetPath { from, to, .. } => from.iter_mut().chain(to).for_each(fix),
            Step::Reset { a, b } => [a, b].into_iter().for_each(fix),
            Step::Consul(
                ConsulDeed::Drift { of: Some(node), .. } | ConsulDeed::EndSession { of: Some(node) },
            ) => {
                fix(node);
            }
            Step::Consul(_)
            | Step::Forge { .. }
            | Step::Repair
            | Step::Ambush(_)
            | Step::ForgetIdentity { .. }
            | Step::Heal => {}
        }
        self
    }
}
