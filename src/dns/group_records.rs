//! The records of one group: what DNS answers of it, and whether it may answer at all.

use super::settings::WithoutMajority;
use crate::registrar::Names;
use consentinel_core::{DnsView, Endpoint, Entry, Epoch, Health, Role, SentinelId};
use std::sync::Arc;

/// What DNS says of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupRecords {
    /// What its things are called.
    pub names: Arc<Names>,
    /// The epoch of the failover that made the master one.
    pub epoch: Epoch,
    /// The servers, the master's entry first.
    pub entries: Vec<Entry>,
    /// Sentinels that are up.
    pub sentinels: Vec<(SentinelId, Endpoint)>,
    /// Whether all this may be answered.
    pub answerability: Answerability,
}

/// Whether something may be answered of a group, and if not, why. The texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answerability {
    /// It is so.
    Good,
    /// It was so when a majority was last heard.
    Stale(String),
    /// Nothing can be said without a majority.
    Silent(String),
    /// Nothing is known yet.
    Unready(String),
}

impl GroupRecords {
    /// The records of what a sentinel sees, after those that were answered before.
    pub(super) fn new(
        names: Arc<Names>,
        view: DnsView,
        before: Option<&GroupRecords>,
        policy: WithoutMajority,
    ) -> GroupRecords {
        let certain = view.is_certain();
        let DnsView { epoch, entries, heard: (heard, all), majority, sentinels, .. } = view;
        let name = &names.group;
        let answerability = match (majority, certain) {
            (true, true) => Answerability::Good,
            (true, false) => Answerability::Unready(format!(
                "the master of {name} has not said yet that it is the master; ask again in a moment"
            )),
            (false, _) => {
                let why = format!(
                    "this sentinel hears {heard} of the {all} sentinels of {name}, which is no majority"
                );
                let known = before.is_some_and(|before| {
                    matches!(before.answerability, Answerability::Good | Answerability::Stale(_))
                });
                match policy {
                    WithoutMajority::Last if known => Answerability::Stale(why),
                    _ => Answerability::Silent(why),
                }
            }
        };
        match (&answerability, before) {
            // What it sees alone by now is not what it knew.
            (Answerability::Stale(_), Some(before)) => GroupRecords {
                names,
                epoch: before.epoch,
                entries: before.entries.clone(),
                sentinels,
                answerability,
            },
            _ => GroupRecords { names, epoch, entries, sentinels, answerability },
        }
    }

    /// The servers of that role which may be named.
    pub(super) fn usable(&self, role: Role) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.role == role && entry.health != Health::Critical)
    }

    /// The master, be it up or not.
    pub(super) fn master(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.role == Role::Master)
    }

    /// Why no master is named; nothing when one is.
    pub(super) fn silence(&self) -> Option<&str> {
        match &self.answerability {
            Answerability::Silent(why) | Answerability::Unready(why) => Some(why),
            Answerability::Good | Answerability::Stale(_) => {
                let master = self.master().filter(|master| master.health == Health::Critical);
                master.map(|master| master.sentence.as_str())
            }
        }
    }
}
