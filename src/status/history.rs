//! What has happened: the last failovers with their phases, and the last events with numbers.
//!
//! It is fed with what is told to everybody, and with what Consul answers while something waits for that. Both lists are
//! bounded, and as long as nothing happens nothing is done.

mod counts;
mod outage;

use super::{Failover, Happening, Outcome};
use consentinel_core::{Detail, Event, GroupName, Sentinel as Core, Time};
pub(crate) use counts::FailoverCounts;

use counts::Counter;
use outage::{Outage, Step};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::watch;

/// Failovers that are remembered after their end.
const FAILOVERS: usize = 64;

/// Events that are remembered.
const HAPPENINGS: usize = 512;

/// The memory of a daemon, since its start.
pub(crate) struct History {
    happenings: VecDeque<Happening>,
    /// The number of the last happening.
    last: watch::Sender<u64>,
    /// What is under way, or may become a failover.
    open: BTreeMap<GroupName, Outage>,
    past: VecDeque<(GroupName, Outage)>,
    /// Masters whose last failover has not been seen in Consul, by what is remembered here.
    unpublished: BTreeMap<GroupName, u64>,
    /// Whether failovers become visible in Consul at all.
    publishes: bool,
    /// The epoch that was announced last.
    epoch: u64,
    /// How many failovers have begun.
    begun: u64,
    /// What the failovers of each master have come to.
    counters: BTreeMap<GroupName, Counter>,
}

/// When something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By the driver's clock.
    pub now: Time,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// What the core knows of a master at that moment, as far as it matters to the history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// For how long the master has been silent.
    pub silence: Option<Duration>,
    /// The epoch of the configuration.
    pub epoch: Option<u64>,
    /// The epoch of Consul's record, and how long ago that was seen.
    pub published: Option<(u64, Duration)>,
}

impl Facts {
    /// What is needed for an event. Most need nothing.
    pub(crate) fn of(core: &Core, event: Event, group: Option<&GroupName>) -> Facts {
        let Some(group) = group else { return Facts::default() };
        match event {
            Event::Sdown => Facts { silence: core.master_silence(group), ..Facts::default() },
            Event::SwitchMaster => Facts::after_switch(core, group),
            _ => Facts::default(),
        }
    }

    /// What is needed after Consul has answered.
    pub(crate) fn after_switch(core: &Core, group: &GroupName) -> Facts {
        let published = core.published(group).map(|(epoch, ago)| (epoch.0, ago));
        Facts { silence: None, epoch: core.config_epoch(group).map(|epoch| epoch.0), published }
    }
}

impl History {
    /// An empty one. Failovers are only looked for in Consul where they are written there.
    pub(crate) fn new(publishes: bool) -> Self {
        History {
            happenings: VecDeque::new(),
            last: watch::Sender::new(0),
            open: BTreeMap::new(),
            past: VecDeque::new(),
            unpublished: BTreeMap::new(),
            publishes,
            epoch: 0,
            begun: 0,
            counters: BTreeMap::new(),
        }
    }

    /// The failovers of one master or of all, newest first; those under way before those that are over.
    pub(crate) fn failovers(&self, master: Option<&str>) -> Vec<Failover> {
        let wanted = |name: &GroupName| master.is_none_or(|master| master == name.as_str());
        let mut open: Vec<&Outage> = self
            .open
            .iter()
            .filter(|(name, outage)| wanted(name) && outage.matters())
            .map(|(_, o)| o)
            .collect();
        open.sort_by_key(|outage| std::cmp::Reverse(outage.shown().number));
        let past = self.past.iter().rev().filter(|(name, _)| wanted(name)).map(|(_, outage)| outage);
        open.into_iter().chain(past).map(|outage| outage.shown().clone()).collect()
    }

    /// What happened after the happening of that number, as far as it is remembered, oldest first.
    pub(crate) fn happenings_after(&self, number: u64) -> impl ExactSizeIterator<Item = &Happening> {
        // Whoever knows a higher number has it from an earlier run of this daemon.
        let number = if number > *self.last.borrow() { 0 } else { number };
        let gone =
            self.happenings.front().map_or(0, |first| number.saturating_add(1).saturating_sub(first.number));
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.happenings.len());
        self.happenings.iter().skip(gone)
    }

    /// The number of the last happening, for whoever wants to wait for the next.
    pub(crate) fn numbers(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// What the failovers of each master that had any have come to.
    pub(crate) fn counts(&self) -> Vec<(String, FailoverCounts)> {
        self.counters.iter().map(|(name, counter)| (name.to_string(), counter.counts())).collect()
    }

    /// Something was told to everybody.
    pub(crate) fn handle_event(
        &mut self,
        moment: Moment,
        event: Event,
        detail: &Detail,
        group: Option<&GroupName>,
        facts: Facts,
    ) {
        self.note(moment, event, detail, group);
        match (event, group) {
            // The epoch of a failover is announced right before it.
            (Event::NewEpoch, _) => self.epoch = detail.epoch().map_or(self.epoch, |epoch| epoch.0),
            (_, Some(group)) => self.follow(moment, event, detail, group, facts),
            _ => {}
        }
    }

    /// Whether what Consul answers for a master may be the publication of its last failover.
    pub(crate) fn awaits_publication(&self, group: &GroupName) -> bool {
        !self.unpublished.is_empty() && self.unpublished.contains_key(group)
    }

    /// Consul has answered for a master.
    pub(crate) fn handle_registry(&mut self, moment: Moment, group: &GroupName, facts: Facts) {
        let Some(number) = self.unpublished.get(group).copied() else { return };
        let past = self.past.iter_mut().filter(|(name, _)| name == group).map(|(_, outage)| (outage, true));
        let mut known = past.chain(self.open.get_mut(group).map(|outage| (outage, false)));
        let Some((outage, is_past)) = known.find(|(outage, _)| outage.shown().number == number) else {
            self.unpublished.remove(group);
            return;
        };
        if outage.note_published(moment.now, facts) {
            self.unpublished.remove(group);
            if is_past && let Some(counter) = self.counters.get_mut(group) {
                counter.add_publication(outage.shown());
            }
        }
    }

    fn note(&mut self, moment: Moment, event: Event, detail: &Detail, group: Option<&GroupName>) {
        let number = *self.last.borrow() + 1;
        if self.happenings.len() == HAPPENINGS {
            self.happenings.pop_front();
        }
        self.happenings.push_back(Happening {
            number,
            unix_ms: moment.unix_ms,
            event: event.as_str().to_owned(),
            text: detail.to_string(),
            master: group.map(ToString::to_string),
        });
        self.last.send_replace(number);
    }

    fn follow(&mut self, moment: Moment, event: Event, detail: &Detail, group: &GroupName, facts: Facts) {
        match event {
            Event::Unmonitor => drop(self.unpublished.remove(group)),
            Event::SwitchMaster => self.counters.entry(group.clone()).or_default().done += 1,
            Event::AbortNotElected | Event::AbortNoGoodReplica | Event::AbortReplicaTimeout => {
                self.counters.entry(group.clone()).or_default().aborted += 1;
            }
            _ => {}
        }
        if let Some(outage) = self.open.get(group)
            && outage.is_followed_by_another(moment.now, event, detail)
        {
            self.close(group);
        }
        let outage = match self.open.get_mut(group) {
            Some(outage) => outage,
            None => {
                let Some(outage) = Outage::begin(moment, event, detail, group) else { return };
                self.begun += 1;
                self.open.entry(group.clone()).or_insert(outage.numbered(self.begun))
            }
        };
        let step = outage.handle(moment.now, event, detail, self.epoch, facts);
        if event == Event::SwitchMaster && self.publishes && !outage.note_published(moment.now, facts) {
            self.unpublished.insert(group.clone(), outage.shown().number);
        }
        if step == Step::Over {
            self.close(group);
        }
    }

    fn close(&mut self, group: &GroupName) {
        let Some(outage) = self.open.remove(group).filter(Outage::matters) else { return };
        let shown = outage.shown();
        match shown.outcome {
            Outcome::Done => self.counters.entry(group.clone()).or_default().add(shown),
            Outcome::Over => self.counters.entry(group.clone()).or_default().over += 1,
            _ => {}
        }
        if self.past.len() == FAILOVERS {
            self.past.pop_front();
        }
        self.past.push_back((group.clone(), outage));
    }
}

#[cfg(test)]
mod tests;
