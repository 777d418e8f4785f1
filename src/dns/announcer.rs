//! What the driver does for DNS: it hands over what the core tells of a group, and lets the log know when a majority is missed.

use super::Dns;
use super::answer::Update;
use super::counters::Counted;
use super::dns_view_builder::DnsViewBuilder;
use super::group_records::{Answerability, GroupRecords};
use consentinel_core::{DnsView, GroupName, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// So long after the start nobody need be told that a majority is missing: it is not there yet.
const GRACE: Duration = Duration::from_secs(5);

/// Hands over what is said of each group.
pub(crate) struct Announcer {
    dns_views: DnsViewBuilder,
    /// Nothing where DNS is not answered: then nothing is done at all.
    dns: Option<Dns>,
    /// Groups of which no majority is heard.
    missing: BTreeMap<GroupName, Missing>,
    /// When the log is to know of the next one of them.
    tell_at: Option<Time>,
    /// Groups that cannot be named, of which the log knows.
    nameless: BTreeMap<GroupName, DnsView>,
}

/// The majority of a group is missing.
struct Missing {
    since: Time,
    /// How many sentinels are heard instead, of how many.
    heard: (usize, usize),
    /// Whether the master that was known last is named all the same.
    stale: bool,
    /// Whether the log knows.
    told: bool,
}

impl Announcer {
    /// For whoever answers, if anybody does.
    pub(crate) fn new(dns_views: DnsViewBuilder, dns: Option<Dns>) -> Announcer {
        let (missing, nameless) = (BTreeMap::new(), BTreeMap::new());
        Announcer { dns_views, dns, missing, tell_at: None, nameless }
    }

    /// What was asked so far; nothing where DNS is not answered.
    pub(crate) fn counted(&self) -> Option<Counted> {
        self.dns_views.counted()
    }

    /// The core tells what DNS may say of a group; nothing once it is watched no more.
    pub(crate) fn announce(&mut self, group: &GroupName, view: Option<DnsView>, now: Time) {
        if self.dns.is_none() {
            return;
        }
        match view {
            Some(view) => self.update(group, view, now),
            None => self.forget(group, now),
        }
    }

    /// The loop goes round.
    pub(crate) fn beat(&mut self, now: Time) {
        let Some(dns) = &self.dns else { return };
        dns.beat(now);
        if self.tell_at.is_some_and(|at| now >= at) {
            self.tell_missing(now);
        }
    }

    fn update(&mut self, group: &GroupName, view: DnsView, now: Time) {
        let names = match self.dns_views.names(group) {
            Ok(names) => names,
            Err(error) => {
                if self.nameless.insert(group.clone(), view).is_none() {
                    warn!("DNS does not name the master '{group}': {}", error.with_hint());
                }
                return;
            }
        };
        self.nameless.remove(group);
        let before = self.dns_views.groups().borrow().get(group).cloned();
        let heard = view.heard;
        let group_records =
            GroupRecords::new(names, view, before.as_deref(), self.dns_views.settings().without_majority);
        self.note_majority(group, &group_records, before.as_deref(), heard, now);
        if before.as_deref() != Some(&group_records) {
            let group_records = Arc::new(group_records);
            self.dns_views.groups().borrow_mut().insert(group.clone(), group_records.clone());
            self.tell(Update::Group(group_records));
        }
    }

    /// Remembers whether a majority is missed. The log knows at once where it was there before.
    fn note_majority(
        &mut self,
        group: &GroupName,
        group_records: &GroupRecords,
        before: Option<&GroupRecords>,
        heard: (usize, usize),
        now: Time,
    ) {
        let stale = match group_records.answerability {
            Answerability::Stale(_) => true,
            Answerability::Silent(_) => false,
            Answerability::Good | Answerability::Unready(_) => {
                if self.missing.remove(group).is_some_and(|missing| missing.told) {
                    let (heard, all) = heard;
                    info!("DNS names the master of {group} again: {heard} of {all} sentinels are heard");
                }
                return;
            }
        };
        let first = Missing { since: now, heard, stale, told: false };
        let missing = self.missing.entry(group.clone()).or_insert(first);
        (missing.heard, missing.stale) = (heard, stale);
        if before.is_some_and(|before| before.answerability == Answerability::Good) {
            missing.tell(group);
        } else if !missing.told {
            let at = missing.since + GRACE;
            self.tell_at = Some(self.tell_at.map_or(at, |before| before.min(at)));
        }
    }

    /// Lets the log know of each majority that has been missing for long enough.
    fn tell_missing(&mut self, now: Time) {
        for (group, missing) in self.missing.iter_mut().filter(|(_, it)| now >= it.since + GRACE) {
            missing.tell(group);
        }
        let later = self.missing.values().filter(|missing| !missing.told);
        self.tell_at = later.map(|missing| missing.since + GRACE).min();
    }

    fn forget(&mut self, group: &GroupName, now: Time) {
        self.missing.remove(group);
        self.nameless.remove(group);
        if self.dns_views.groups().borrow_mut().remove(group).is_some() {
            self.tell(Update::Gone(group.clone()));
            // Its names are free for others.
            for (group, view) in std::mem::take(&mut self.nameless) {
                self.update(&group, view, now);
            }
        }
    }

    fn tell(&self, update: Update) {
        if let Some(dns) = &self.dns {
            dns.tell(update);
        }
    }
}

impl Missing {
    /// Lets the log know, once.
    fn tell(&mut self, group: &GroupName) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let (heard, all) = self.heard;
        let then = match self.stale {
            true => "DNS goes on naming the master that was known last",
            false => "DNS does not name its master until a majority is heard again",
        };
        warn!("only {heard} of the {all} sentinels of {group} are heard, which is no majority: {then}");
    }
}
