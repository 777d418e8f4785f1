//! Failovers as spans: what is logged of a master while we try to fail over is logged within one.

use super::event;
use consentinel_core::{Detail, Event, GroupName, Level};
use std::collections::BTreeMap;
use tracing::Span;

/// The failovers under way.
#[derive(Debug, Default)]
pub(crate) struct Failovers {
    epoch: u64,
    open: BTreeMap<GroupName, Span>,
}

impl Failovers {
    /// Logs an event, within the failover that it belongs to.
    pub(crate) fn tell(&mut self, level: Level, what: Event, detail: &Detail, group: Option<&GroupName>) {
        match (what, group) {
            // The epoch of a failover is announced right before it.
            (Event::NewEpoch, _) => self.epoch = detail.epoch().map_or(self.epoch, |epoch| epoch.0),
            (Event::TryFailover, Some(group)) => {
                let span = tracing::trace_span!("failover", master = group.as_str(), epoch = self.epoch);
                self.open.insert(group.clone(), span);
            }
            _ => {}
        }
        let inside = group.and_then(|group| self.open.get(group)).map(Span::enter);
        event(level, what, detail, group);
        drop(inside);
        let over = matches!(
            what,
            Event::FailoverEnd
                | Event::AbortNotElected
                | Event::AbortNoGoodReplica
                | Event::AbortReplicaTimeout
                | Event::Unmonitor
        );
        if let (true, Some(group)) = (over, group) {
            self.open.remove(group);
        }
    }
}
