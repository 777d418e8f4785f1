//! Compound disasters: several faults at once, as they were seen on real processes.
//!
//! The ordinary disasters of a round are independent of each other. Those planned here belong together: the master dies
//! while disks are slow, its failover's leader is hit at a chosen step, operators order the same of all sentinels within
//! milliseconds, a server announces a second address, a sentinel returns with another identity. All chances are drawn
//! from a generator of their own, so that a world without compound disasters lives as it always did.

mod rounds;

use crate::blueprint::Blueprint;
use crate::brain::Kind;
use crate::generate::between;
use consentinel_core::{Rng, SentinelId, mix};
use std::time::Duration;

pub(crate) use rounds::Compounding;

/// Whether a world has compound disasters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompoundChoice {
    /// As the seed says: every third has them.
    #[default]
    BySeed,
    /// No.
    Off,
    /// Yes, unless originals take part: theirs are faults of a model that nobody repairs.
    On,
}

/// What is decided about a world before time begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompoundPlan {
    seed: u64,
    /// Whether messages are delayed so little, and servers are so alike, that no write under WAIT 1 may be lost while
    /// only sentinels and masters fail.
    pub(crate) promises: bool,
}

/// The compound disasters of a world.
#[derive(Debug)]
pub(crate) struct Compound {
    pub(crate) plan: CompoundPlan,
    pub(crate) rng: Rng,
    /// Identities that will never come back: an operator makes the others forget them after the repair.
    pub(crate) abandoned: Vec<SentinelId>,
}

impl Compound {
    pub(crate) fn new(plan: CompoundPlan) -> Self {
        Compound { plan, rng: Rng::new(plan.seed), abandoned: Vec::new() }
    }
}

/// Every so many seeds have compound disasters.
const SHARE: u64 = 3;

/// Decides whether a seed's world has compound disasters, and changes what they need in it.
pub(crate) fn generate_compound(
    seed: u64,
    choice: CompoundChoice,
    blueprint: &mut Blueprint,
) -> Option<CompoundPlan> {
    let wanted = match choice {
        CompoundChoice::BySeed => seed.is_multiple_of(SHARE),
        CompoundChoice::Off => false,
        CompoundChoice::On => true,
    };
    if !wanted || blueprint.sentinels.iter().any(|plan| plan.kind == Kind::Original) {
        return None;
    }
    let mut rng = Rng::new(mix(seed ^ 0xc0_03b0_0000));
    if rng.per_mille(350) {
        let period = Duration::from_millis(between(&mut rng, 300, 5000));
        for group in &mut blueprint.groups {
            group.config.master_reboot_down_after = period;
            for server in &mut group.redises {
                let longer = rng.per_mille(600);
                let extra = Duration::from_millis(between(&mut rng, 1000, 20_000));
                server.load_time = if longer { period + extra } else { server.load_time };
            }
        }
    }
    blueprint.waiting = true;
    Some(CompoundPlan { seed: rng.bits(), promises: promises(blueprint) })
}

/// A replica with a better priority is promoted though another has more data, a message that is sent again may come
/// later than a leader waits for offsets, and a replica of a replica has no say in WAIT: there a write that one replica
/// has acknowledged may be lost.
fn promises(blueprint: &Blueprint) -> bool {
    let servers = &blueprint.groups[0].redises;
    let alike = servers.iter().all(|server| server.priority == servers[0].priority && server.priority > 0);
    let flat = servers.iter().all(|server| server.follows.is_none_or(|master| master == 0));
    blueprint.weather.stalls == 0 && servers.len() > 1 && alike && flat
}
