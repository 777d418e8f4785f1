//! What is published, as Consul's catalog and KV have it, and back.

use super::catalog::{CatalogNode, Check, Node, Pair, Service, Weights};
use super::consul_names::{Names, check_id, parse_host_port};
use consentinel_core::{
    Cause, Endpoint, Entry, Epoch, Fence, Health, Host, Lock, MOST_SENTINELS, Published, Record, Role, RunId,
    SentinelId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many failovers the history remembers.
const HISTORY: usize = 20;

/// What checks of entries are called.
const CHECK_NAME: &str = "role";

/// Causes in the notes of a check.
const OBJECTIVELY_DOWN: &str = "objectively-down";
const LAGGING: &str = "lagging:";

/// Stands before the names of checks among the damage, and of services that would look like one.
const CHECK: &str = "check:";
const SERVICE: &str = "service:";
const NODE: &str = "node:";

/// The record as KV has it.
#[derive(Debug, Serialize, Deserialize)]
struct RecordText {
    epoch: Epoch,
    master: String,
    run_id: RunId,
    publisher: SentinelId,
    /// Releases before 0.2 know nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sentinels: Vec<SentinelId>,
    #[serde(default)]
    published_at: String,
}

/// One failover, as the history in KV has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failover {
    /// Its epoch.
    pub epoch: Epoch,
    /// The old master.
    pub from: String,
    /// The new one.
    pub to: String,
    /// Who published it.
    pub publisher: SentinelId,
    /// When, as RFC 3339 has it.
    pub at: String,
}

/// The record's text.
pub(crate) fn record(record: &Record, now: &str) -> Vec<u8> {
    let text = RecordText {
        epoch: record.epoch,
        master: record.master.joined(),
        run_id: record.run_id.clone(),
        publisher: record.publisher.clone(),
        sentinels: record.sentinels.clone(),
        published_at: now.to_owned(),
    };
    serde_json::to_vec(&text).expect("text can be written as JSON")
}

/// The record that a text says; nothing when it is none, or of an epoch that no honest history has reached.
pub(crate) fn parse_record(text: &[u8]) -> Option<Record> {
    let text: RecordText = serde_json::from_slice(text).ok()?;
    let master = parse_host_port(&text.master)?;
    (text.epoch <= Epoch::MAX).then_some(Record {
        epoch: text.epoch,
        master,
        run_id: text.run_id,
        publisher: text.publisher,
        sentinels: text.sentinels.into_iter().take(MOST_SENTINELS).collect(),
    })
}

/// The history with one failover more.
pub(crate) fn history(before: &[Failover], record: &Record, from: &Endpoint, now: &str) -> Vec<Failover> {
    let new = Failover {
        epoch: record.epoch,
        from: from.joined(),
        to: record.master.joined(),
        publisher: record.publisher.clone(),
        at: now.to_owned(),
    };
    let kept = before.iter().skip((before.len() + 1).saturating_sub(HISTORY)).cloned();
    kept.chain([new]).collect()
}

/// The external node on which the entries stand, as it is written with a record.
pub(crate) fn node(names: &Names, record: &Record) -> Node {
    node_of(names, record.epoch, &record.master.host)
}

/// With a record of which epoch and master a node was written, if it reads exactly so.
pub(crate) fn parse_node(names: &Names, node: &Node) -> Option<(Epoch, Host)> {
    let epoch = Epoch(node.meta.get("epoch")?.parse().ok()?);
    let host = Host::parse(&node.address).ok()?;
    (node_of(names, epoch, &host) == *node).then_some((epoch, host))
}

fn node_of(names: &Names, epoch: Epoch, host: &Host) -> Node {
    let meta = [
        ("external-node", "true".to_owned()),
        ("external-probe", "false".to_owned()),
        ("epoch", epoch.to_string()),
        ("master", names.group.to_string()),
    ];
    Node {
        name: names.node.clone(),
        address: host.to_string(),
        meta: meta.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// An entry's service.
pub(crate) fn service(names: &Names, entry: &Entry) -> Service {
    let word = entry.role.name();
    let mut tags = vec![names.group.to_string(), word.to_owned()];
    for tag in &names.tags {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    let mut meta = BTreeMap::from([
        ("epoch".to_owned(), entry.epoch.to_string()),
        ("role".to_owned(), word.to_owned()),
        ("master".to_owned(), names.group.to_string()),
    ]);
    if let Some(run_id) = &entry.run_id {
        meta.insert("run-id".to_owned(), run_id.to_string());
    }
    let weights = match entry.role {
        Role::Master => Weights { passing: 1, warning: 1 },
        Role::Replica => {
            Weights { passing: names.weights.passing.into(), warning: names.weights.warning.into() }
        }
    };
    Service {
        id: names.service_id(entry.role, &entry.addr),
        name: names.service_of(entry.role).to_owned(),
        tags,
        address: entry.addr.host.to_string(),
        port: entry.addr.port.into(),
        meta,
        weights,
    }
}

/// An entry's check.
pub(crate) fn check(names: &Names, entry: &Entry) -> Check {
    let service_id = names.service_id(entry.role, &entry.addr);
    Check {
        node: names.node.clone(),
        id: check_id(&service_id),
        name: CHECK_NAME.to_owned(),
        status: entry.health.as_str().to_owned(),
        output: entry.sentence.clone(),
        notes: entry.cause.map(cause).unwrap_or_default(),
        service_id,
        service_name: names.service_of(entry.role).to_owned(),
    }
}

/// The entry that a service and its check stand for; nothing unless they are exactly what would be written for it.
fn parse_entry(names: &Names, service: &Service, check: &Check) -> Option<Entry> {
    let role =
        [Role::Master, Role::Replica].into_iter().find(|role| names.service_of(*role) == service.name)?;
    let health = [Health::Passing, Health::Warning, Health::Critical]
        .into_iter()
        .find(|health| health.as_str() == check.status)?;
    let host = Host::parse(&service.address).ok()?;
    let entry = Entry {
        role,
        addr: Endpoint::new(host, u16::try_from(service.port).ok()?),
        run_id: service.meta.get("run-id").map(|id| RunId::new(id)),
        epoch: Epoch(service.meta.get("epoch")?.parse().ok()?),
        health,
        cause: parse_cause(check),
        sentence: check.output.clone(),
    };
    // The notes may be missing: releases before they were written are daemons of the same fleet for a while.
    let expected = Check { notes: check.notes.clone(), ..self::check(names, &entry) };
    let exact = self::service(names, &entry) == *service && expected == *check;
    exact.then_some(entry)
}

/// A cause as the notes of a check have it.
fn cause(cause: Cause) -> String {
    match cause {
        Cause::ObjectivelyDown => OBJECTIVELY_DOWN.to_owned(),
        Cause::Lagging(limit) => format!("{LAGGING}{limit}"),
    }
}

/// The cause that a check names in its notes. A check without notes was written by an earlier release, which knew a cause by
/// the beginning of its output.
fn parse_cause(check: &Check) -> Option<Cause> {
    if check.notes == OBJECTIVELY_DOWN {
        return Some(Cause::ObjectivelyDown);
    }
    if let Some(limit) = check.notes.strip_prefix(LAGGING) {
        return limit.parse().ok().map(Cause::Lagging);
    }
    if check.output.starts_with("objectively down") {
        return Some(Cause::ObjectivelyDown);
    }
    let lag = check.output.strip_prefix("lags more than ")?.strip_suffix(" bytes behind the master")?;
    lag.parse().ok().map(Cause::Lagging)
}

/// Something of a node's, by the name under which damage is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Thing<'a> {
    /// A service's ID.
    Service(&'a str),
    /// A check's ID.
    Check(&'a str),
    /// Another node with entries of the group.
    Node(&'a str),
}

impl<'a> Thing<'a> {
    /// What a name stands for.
    pub(crate) fn parse(name: &'a str) -> Thing<'a> {
        if let Some(id) = name.strip_prefix(CHECK) {
            return Thing::Check(id);
        }
        match name.strip_prefix(NODE) {
            Some(node) => Thing::Node(node),
            None => Thing::Service(name.strip_prefix(SERVICE).unwrap_or(name)),
        }
    }

    /// The name.
    pub(crate) fn name(&self) -> String {
        match self {
            Thing::Check(id) => format!("{CHECK}{id}"),
            Thing::Node(node) => format!("{NODE}{node}"),
            Thing::Service(id) if [CHECK, SERVICE, NODE].iter().any(|begin| id.starts_with(begin)) => {
                format!("{SERVICE}{id}")
            }
            Thing::Service(id) => (*id).to_owned(),
        }
    }
}

/// What was read of a group's node, sorted into what stands as it was written and what does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// Entries as they were written.
    pub entries: Vec<Entry>,
    /// The names of everything else.
    pub damaged: Vec<String>,
}

/// Sorts a node's services and checks. The order is always the same.
pub(crate) fn sort(names: &Names, node: Option<&CatalogNode>, checks: &[Check]) -> Sorted {
    let mut sorted = Sorted::default();
    let Some(node) = node else { return sorted };
    let by_id: BTreeMap<&str, &Check> = checks.iter().map(|check| (check.id.as_str(), check)).collect();
    let mut intact = BTreeMap::new();
    for service in node.services.values() {
        let id = check_id(&service.id);
        match by_id.get(id.as_str()).and_then(|check| parse_entry(names, service, check)) {
            Some(entry) => {
                intact.insert(service.id.as_str(), id);
                sorted.entries.push(entry);
            }
            None => sorted.damaged.push(Thing::Service(&service.id).name()),
        }
    }
    // The checks of a damaged service go with it; one whose service is not known yet is newer than what was read.
    let extra = |check: &&Check| match intact.get(check.service_id.as_str()) {
        Some(own) => *own != check.id,
        None => check.service_id.is_empty(),
    };
    sorted.damaged.extend(checks.iter().filter(extra).map(|check| Thing::Check(&check.id).name()));
    sorted.entries.sort_by_key(Entry::key);
    sorted.damaged.sort();
    sorted.damaged.dedup();
    sorted
}

/// What a group's folder in KV holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// The version of the record.
    pub fence: Fence,
    /// The record.
    pub record: Option<Record>,
    /// The last failovers.
    pub history: Vec<Failover>,
    /// When the record was written, as its writer says.
    pub published_at: String,
    /// The session that holds the lock.
    pub locked_by: Option<String>,
    /// Whose session that is, in the words of the holder.
    pub holder: String,
}

impl Folder {
    /// What the keys say; other keys than ours are passed over.
    pub(crate) fn parse(names: &Names, pairs: &[Pair]) -> Folder {
        let (state, history, lock) = (names.state_key(), names.history_key(), names.lock_key());
        let mut folder = Folder::default();
        for pair in pairs {
            if pair.key == state {
                folder.fence = Fence(pair.modify_index);
                let text = pair.bytes().unwrap_or_default();
                folder.record = parse_record(&text);
                let written: Option<RecordText> = serde_json::from_slice(&text).ok();
                folder.published_at = written.map(|text| text.published_at).unwrap_or_default();
            } else if pair.key == history {
                folder.history =
                    pair.bytes().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
            } else if pair.key == lock {
                folder.locked_by = pair.session.clone().filter(|session| !session.is_empty());
                folder.holder = String::from_utf8_lossy(&pair.bytes().unwrap_or_default()).into_owned();
            }
        }
        folder
    }

    /// Who holds the lock, seen from the one whose session this is.
    pub(crate) fn lock(&self, session: Option<&str>) -> Lock {
        match self.locked_by.as_deref() {
            None => Lock::Free,
            holder if holder == session => Lock::Ours,
            Some(_) => Lock::Theirs,
        }
    }
}

/// All that was read of a group, in the core's words.
pub(crate) fn published(
    names: &Names,
    folder: &Folder,
    node: Option<&CatalogNode>,
    sorted: Sorted,
    lock: Lock,
) -> Published {
    let stands = node.and_then(|node| node.node.as_ref());
    let should = folder.record.as_ref().map(|record| self::node(names, record));
    Published {
        fence: folder.fence,
        record: folder.record.clone(),
        lock,
        entries: sorted.entries,
        damaged: sorted.damaged,
        node_intact: should.is_some_and(|should| stands == Some(&should)),
    }
}

#[cfg(test)]
mod tests;
