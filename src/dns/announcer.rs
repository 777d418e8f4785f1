//! What the driver does for DNS: it hands over what is said of each group as soon as it changes.
//!
//! Nothing is computed that nothing has happened to: an event of a group, or INFO of one of its servers, is what brings the group's
//! turn at once. What changes by time alone, or without an event, is found by going round: one group at a time, and
//! those more often of which nothing can be said yet.

use super::Dns;
use super::answer::Update;
use super::counters::Counted;
use super::dns_view_builder::DnsViewBuilder;
use super::group_records::{Answerability, GroupRecords};
use consentinel_core::{Event, GroupName, Input, Notice, Reply, Sentinel, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Between two groups while going round.
const STEP: Duration = Duration::from_millis(10);

/// The same, for groups of which nothing can be said.
const SHORT_STEP: Duration = Duration::from_millis(1);

/// So long after the start nobody need be told that a majority is missing: it is not there yet.
const GRACE: Duration = Duration::from_secs(5);

/// Hands over what is said of each group.
pub(crate) struct Announcer {
    dns_views: DnsViewBuilder,
    /// Nothing where DNS is not answered: then nothing is done at all.
    dns: Option<Dns>,
    /// Groups to which something happened.
    dirty: BTreeSet<GroupName>,
    /// Groups of which nothing can be said, and since when a majority has been missing.
    waiting: BTreeMap<GroupName, Waiting>,
    /// Something happened that concerns all.
    everything: bool,
    round: Round,
    short_round: Round,
    /// Groups that cannot be named, of which the log knows.
    nameless: BTreeSet<GroupName>,
}

struct Waiting {
    /// Since when no majority is heard.
    since: Option<Time>,
    /// Whether the log knows.
    told: bool,
}

/// Goes from one group to the next.
#[derive(Default)]
struct Round {
    next: Time,
    last: Option<GroupName>,
}

impl Round {
    /// The next group, if its time has come.
    fn next<T>(&mut self, groups: &BTreeMap<GroupName, T>, step: Duration, now: Time) -> Option<GroupName> {
        if now < self.next {
            return None;
        }
        self.next = now + step;
        let after = self.last.take().and_then(|last| groups.range((Excluded(last), Unbounded)).next());
        self.last = after.or_else(|| groups.first_key_value()).map(|(group, _)| group.clone());
        self.last.clone()
    }
}

impl Announcer {
    /// For whoever answers, if anybody does.
    pub(crate) fn new(dns_views: DnsViewBuilder, dns: Option<Dns>) -> Announcer {
        Announcer {
            dns_views,
            dns,
            dirty: BTreeSet::new(),
            waiting: BTreeMap::new(),
            everything: true,
            round: Round::default(),
            short_round: Round::default(),
            nameless: BTreeSet::new(),
        }
    }

    /// What was asked so far; nothing where DNS is not answered.
    pub(crate) fn counted(&self) -> Option<Counted> {
        self.dns_views.counted()
    }

    /// Something is about to be handed to the core.
    pub(crate) fn hear(&mut self, sentinel: &Sentinel, input: &Input) {
        if let (Some(_), Input::Reply { link, reply: Reply::Info(_), .. }) = (&self.dns, input) {
            self.dirty.extend(sentinel.group_of(*link).cloned());
        }
    }

    /// The core tells something.
    pub(crate) fn hear_notice(&mut self, notice: &Notice) {
        if self.dns.is_none() {
            return;
        }
        match notice {
            Notice::Event { group: Some(group), .. } => drop(self.dirty.insert(group.clone())),
            Notice::Event { event: Event::Tilt | Event::TiltOver, .. } => self.everything = true,
            _ => {}
        }
    }

    /// Hands over what has changed.
    pub(crate) fn announce(&mut self, sentinel: &Sentinel, now: Time) {
        if self.dns.is_none() {
            return;
        }
        if std::mem::take(&mut self.everything) {
            self.dirty.extend(sentinel.group_names().cloned());
        }
        let in_turn = self.round.next(&self.dns_views.groups().borrow(), STEP, now);
        self.dirty.extend(in_turn);
        self.dirty.extend(self.short_round.next(&self.waiting, SHORT_STEP, now));
        while let Some(group) = self.dirty.pop_first() {
            self.refresh(&group, sentinel, now);
        }
        if let Some(dns) = &self.dns {
            dns.beat(now);
        }
    }

    fn refresh(&mut self, group: &GroupName, sentinel: &Sentinel, now: Time) {
        if sentinel.master_of(group.as_str()).is_none() {
            return self.forget(group);
        }
        let names = match self.dns_views.names(group) {
            Ok(names) => names,
            Err(error) => {
                if self.nameless.insert(group.clone()) {
                    warn!("DNS does not name the master '{group}': {}", error.with_hint());
                }
                return;
            }
        };
        let before = self.dns_views.groups().borrow().get(group).cloned();
        let known = before.as_deref().map_or(&[][..], GroupRecords::known);
        // While a new master is being written to disk, what was said before holds.
        let Some(view) = sentinel.dns_view(group, known) else { return };
        let heard = view.heard;
        let group_records =
            GroupRecords::new(names, view, before.as_deref(), self.dns_views.settings().without_majority);
        self.wait(group, &group_records, before.as_deref(), heard, now);
        if before.as_deref() != Some(&group_records) {
            let group_records = Arc::new(group_records);
            self.dns_views.groups().borrow_mut().insert(group.clone(), group_records.clone());
            self.tell(Update::Group(group_records));
        }
    }

    /// Remembers whether something can be said, and lets the log know when a majority is missed or heard again.
    fn wait(
        &mut self,
        group: &GroupName,
        group_records: &GroupRecords,
        before: Option<&GroupRecords>,
        (heard, all): (usize, usize),
        now: Time,
    ) {
        let missed =
            matches!(group_records.answerability, Answerability::Silent(_) | Answerability::Stale(_));
        if group_records.answerability == Answerability::Good || !missed {
            let told = self.waiting.get(group).is_some_and(|waiting| waiting.told);
            if told {
                info!("DNS names the master of {group} again: {heard} of {all} sentinels are heard");
            }
        }
        if group_records.answerability == Answerability::Good {
            self.waiting.remove(group);
            return;
        }
        let known = before.is_some_and(|before| before.answerability == Answerability::Good);
        let waiting = self.waiting.entry(group.clone()).or_insert(Waiting { since: None, told: false });
        if !missed {
            (waiting.since, waiting.told) = (None, false);
            return;
        }
        let since = *waiting.since.get_or_insert(now);
        if waiting.told || !known && now < since + GRACE {
            return;
        }
        waiting.told = true;
        let then = match group_records.answerability {
            Answerability::Stale(_) => "DNS goes on naming the master that was known last",
            _ => "DNS does not name its master until a majority is heard again",
        };
        warn!("only {heard} of the {all} sentinels of {group} are heard, which is no majority: {then}");
    }

    fn forget(&mut self, group: &GroupName) {
        self.waiting.remove(group);
        self.nameless.remove(group);
        if self.dns_views.groups().borrow_mut().remove(group).is_some() {
            self.tell(Update::Gone(group.clone()));
            // Its names are free for others.
            self.nameless.clear();
            self.everything = true;
        }
    }

    fn tell(&self, update: Update) {
        if let Some(dns) = &self.dns {
            dns.tell(update);
        }
    }
}
