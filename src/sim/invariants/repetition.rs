//! Nothing repeats without end: no order, no write, no line in the log.

use super::Invariant;
use crate::network::NodeId;
use crate::world::World;
use consentinel_core::{Notice, Time};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// How often each thing was done in the present minute.
#[derive(Debug, Default)]
pub(crate) struct Repetitions {
    began: Time,
    orders: BTreeMap<(u16, NodeId), u32>,
    saves: BTreeMap<u16, u32>,
    lines: BTreeMap<(u16, u64), u32>,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Repetitions {
    fn at(&mut self, now: Time) -> &mut Self {
        if now - self.began > MINUTE {
            *self = Repetitions { began: now, ..Repetitions::default() };
        }
        self
    }
}

impl World {
    /// A sentinel tells a server to follow another.
    pub(super) fn count_order(&mut self, sentinel: u16, node: NodeId) {
        // The original repeats an order with each INFO, and those that were held up come all at once.
        if !self.is_ours(sentinel) {
            return;
        }
        let count = self.witness.repetitions.at(self.now).orders.entry((sentinel, node)).or_default();
        *count += 1;
        if *count > MOST_ORDERS {
            let (name, node) = (self.sentinel_name(sentinel), self.addresses.name(node));
            let what = format!("{name} turns {node} more than {MOST_ORDERS} times in a minute");
            self.violated(Invariant::NothingRepeats, what);
        }
    }

    /// A sentinel saves.
    pub(crate) fn count_save(&mut self, sentinel: u16) {
        let most = MOST_SAVES * self.groups.len() as u32;
        let count = self.witness.repetitions.at(self.now).saves.entry(sentinel).or_default();
        *count += 1;
        if *count > most {
            let what = format!("{} saves more than {most} times in a minute", self.sentinel_name(sentinel));
            self.violated(Invariant::NothingRepeats, what);
        }
    }

    /// A sentinel says something.
    pub(super) fn count_line(&mut self, sentinel: u16, notice: &Notice) {
        let mut hasher = DefaultHasher::new();
        match notice {
            Notice::Event { event, detail, .. } => (event, detail.to_string()).hash(&mut hasher),
            Notice::Log { text, .. } => text.hash(&mut hasher),
        }
        let line = (sentinel, hasher.finish());
        let count = self.witness.repetitions.at(self.now).lines.entry(line).or_default();
        *count += 1;
        if *count > MOST_LINES {
            let name = self.sentinel_name(sentinel);
            let line = match notice {
                Notice::Event { event, detail, .. } => {
                    format!("{event} {}", self.addresses.humanise(&detail.to_string()))
                }
                Notice::Log { text, .. } => text.clone(),
            };
            let what = format!("{name} says more than {MOST_LINES} times in a minute: {line}");
            self.violated(Invariant::NothingRepeats, what);
        }
    }
}

/// Above all that several disasters in one minute bring about, and far below a loop.
const MOST_ORDERS: u32 = 30;
const MOST_SAVES: u32 = 200;
const MOST_LINES: u32 = 100;
