//! What each server of a group should be published as.

use super::Group;
use crate::context::Context;
use crate::ids::NodeId;
use crate::node::Node;
use crate::{Cause, Entry, Epoch, Health, Info, Role, Time};
use std::time::Duration;

impl Group {
    /// Every entry that should stand in Consul, the master's first. What is not known anew stays as it was seen there.
    pub(super) fn desired(&self, epoch: Epoch, seen: &[Entry], cx: &Context) -> Vec<Entry> {
        let Verdict { health, cause, sentence } = self.judge_master(epoch);
        let master = self.master();
        let mut entries = vec![Entry {
            role: Role::Master,
            addr: cx.shown(&master.addr),
            run_id: master.run_id.clone(),
            epoch,
            health,
            cause,
            sentence,
        }];
        for node in self.nodes.replicas().map(|(_, node)| node) {
            if node.info().is_some_and(|info| !info.announced) {
                continue;
            }
            let addr = cx.shown(&node.addr);
            let known = seen.iter().find(|entry| entry.role == Role::Replica && entry.addr == addr);
            let judged = self.judge_replica(node, known.and_then(|entry| entry.cause), cx);
            let Verdict { health, cause, sentence } = match (judged, known) {
                (Some(verdict), _) => verdict,
                (None, Some(known)) => Verdict::of(known),
                (None, None) => continue,
            };
            entries.push(Entry {
                role: Role::Replica,
                addr,
                run_id: node.run_id.clone(),
                epoch,
                health,
                cause,
                sentence,
            });
        }
        if !self.master().told_since(self.configuration.switched()) {
            self.keep_unknown(&mut entries, epoch, seen);
        }
        entries
    }

    /// The master has not told its replicas yet: those that somebody has published stay.
    fn keep_unknown(&self, entries: &mut Vec<Entry>, epoch: Epoch, seen: &[Entry]) {
        for known in seen {
            if known.role == Role::Replica && !entries.iter().any(|entry| entry.addr == known.addr) {
                entries.push(Entry { epoch, ..known.clone() });
            }
        }
    }

    pub(super) fn judge_master(&self, epoch: Epoch) -> Verdict {
        match self.odown() {
            Some(_) => Verdict {
                health: Health::Critical,
                cause: Some(Cause::ObjectivelyDown),
                sentence: format!("objectively down: a quorum of {} agrees", self.config.quorum),
            },
            None if epoch == Epoch(0) => Verdict::new(Health::Passing, "master by the configuration"),
            None => appointed(epoch),
        }
    }

    /// How well a replica is, and why. `None` while it has not been seen.
    pub(super) fn judge_replica(&self, node: &Node, known: Option<Cause>, cx: &Context) -> Option<Verdict> {
        let turning = !node.told_since(self.configuration.switched())
            || cx.now < self.configuration.switched() + TURNING;
        let situation = Situation { master: self.master(), turning, replaced: node.ousted };
        self.judge_beneath(&situation, node, known, cx)
    }

    /// Every entry as it would stand right after that replica had been made the master.
    pub(super) fn desired_after(&self, chosen: NodeId, cx: &Context) -> Vec<Entry> {
        let Some(master) = self.nodes.get(chosen) else { return Vec::new() };
        let epoch = cx.current_epoch.next();
        let entry = |role: Role, node: &Node, verdict: Verdict| Entry {
            role,
            addr: cx.shown(&node.addr),
            run_id: node.run_id.clone(),
            epoch,
            health: verdict.health,
            cause: verdict.cause,
            sentence: verdict.sentence,
        };
        let mut entries = vec![entry(Role::Master, master, appointed(epoch))];
        for (id, node) in self.nodes.iter().filter(|(id, _)| *id != chosen) {
            let situation = Situation { master, turning: true, replaced: id == self.nodes.master_id() };
            if node.info().is_none_or(|info| info.announced)
                && let Some(judged) = self.judge_beneath(&situation, node, None, cx)
            {
                entries.push(entry(Role::Replica, node, judged));
            }
        }
        entries
    }

    fn judge_beneath(
        &self,
        situation: &Situation<'_>,
        node: &Node,
        known: Option<Cause>,
        cx: &Context,
    ) -> Option<Verdict> {
        use Health::{Critical, Warning};
        if node.sdown.is_some() {
            return Some(Verdict::new(Critical, "does not answer"));
        }
        if situation.replaced && node.role == Role::Master {
            let sentence = "was replaced as the master, and has not followed the new one yet";
            return Some(Verdict::new(Critical, sentence));
        }
        let info = node.info()?;
        let turning = situation.turning;
        if info.role != Some(Role::Replica) {
            return Some(Verdict::new(Critical, "says that it is a master"));
        }
        if info.loading {
            return Some(Verdict::new(Critical, "is reading its data"));
        }
        match &info.master {
            Some(follows) if situation.master.is_at(follows, &cx.hosts) => {}
            _ if turning => return Some(Verdict::new(Warning, "is being turned to the new master")),
            _ => return Some(Verdict::new(Critical, "does not follow the master")),
        }
        if info.syncing {
            return Some(Verdict::new(Warning, "is copying the master's data"));
        }
        if !info.master_link_up {
            let lately = turning || info.master_link_down < LINK_GRACE;
            return Some(match lately {
                true => Verdict::new(Warning, "has no link to the master"),
                false => Verdict::new(Critical, "has had no link to the master for a while"),
            });
        }
        Some(self.judge_lag(node, info, known, cx))
    }

    fn judge_lag(&self, node: &Node, info: &Info, known: Option<Cause>, cx: &Context) -> Verdict {
        let most = cx.config.registry.max_lag;
        let cause = Some(Cause::Lagging(most));
        // Once too far behind, it must come well below the limit again.
        let limit = if known == cause { most / 2 } else { most };
        match self.lag_of(node, cx) {
            Some(lag) if limit > 0 && lag > limit => {
                let sentence = format!("lags more than {most} bytes behind the master");
                Verdict { health: Health::Warning, cause, sentence }
            }
            _ => Verdict::new(Health::Passing, format!("replica, linked, priority {}", info.priority)),
        }
    }

    /// By how many bytes a replica is behind the master: both numbers are the master's, and of one moment.
    pub(super) fn lag_of(&self, node: &Node, cx: &Context) -> Option<u64> {
        let master = self.master().info()?;
        let (_, offset) = master.replica_offsets.iter().find(|(addr, _)| node.is_at(addr, &cx.hosts))?;
        Some(master.master_repl_offset.0.saturating_sub(offset.0))
    }

    /// Whether it is the master's own doing that the record may name it: it answers, says that it is master, and is
    /// under no suspicion.
    pub(super) fn answers_as_master(&self, cx: &Context) -> bool {
        let master = self.master();
        let told = master.told_since(self.configuration.switched());
        let info = master.info().filter(|info| told && info.role == Some(Role::Master) && !info.loading);
        info.is_some() && master.reboot.is_none() && master.run_id.is_some() && self.master_looks_sane(cx)
    }

    /// When an entry's health may change although nobody says anything new.
    pub(super) fn entries_deadline(&self, cx: &Context) -> Time {
        let settled = self.configuration.switched() + TURNING;
        if cx.now < settled { settled } else { Time::NEVER }
    }
}

/// What a replica is judged by.
struct Situation<'a> {
    /// Whom it is to follow.
    master: &'a Node,
    /// That has changed lately.
    turning: bool,
    /// It was the master before.
    replaced: bool,
}

/// How well a server is, and why.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) health: Health,
    cause: Option<Cause>,
    pub(super) sentence: String,
}

impl Verdict {
    /// One by whose cause nothing is decided.
    fn new(health: Health, sentence: impl Into<String>) -> Verdict {
        Verdict { health, cause: None, sentence: sentence.into() }
    }

    /// What an entry says.
    fn of(entry: &Entry) -> Verdict {
        Verdict { health: entry.health, cause: entry.cause, sentence: entry.sentence.clone() }
    }
}

fn appointed(epoch: Epoch) -> Verdict {
    Verdict::new(Health::Passing, format!("master by the failover of epoch {epoch}"))
}

/// How long replicas are given to turn to a new master.
const TURNING: Duration = Duration::from_secs(10);
/// How long a replica may be without a link before it must not be used.
const LINK_GRACE: Duration = Duration::from_secs(10);
