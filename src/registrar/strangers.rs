//! Entries under our service names that stand on other nodes than ours: DNS answers them beside ours.
//!
//! They are somebody else's, and are never taken away without being told to. Consul is asked for all groups at once, by
//! a request that waits for changes of the catalog; only where it names another node than ours is the service read.

use super::api::{Api, Versioned, escaped};
use super::catalog::{Check, Node, Service};
use super::consul_names::{NODE_PREFIX, Names};
use super::fault::Rule;
use super::roster::Roster;
use consentinel_core::{GroupName, RegistryError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{info, warn};

/// From one look to the next: the catalog of others may change all the time, and Consul reads all of it to answer.
const PACE: Duration = Duration::from_secs(5);
/// Of more services than this, a look is at a part.
const MOST: usize = 100;

/// An entry under one of our service names that stands on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stranger {
    /// The service.
    pub service: String,
    /// Its ID.
    pub id: String,
    /// Its node.
    pub node: String,
    /// Where it says that it is.
    pub address: String,
    /// Whether DNS answers it: not while one of its checks is critical.
    pub is_answered: bool,
    /// Whether another fleet of sentinels seems to publish it.
    pub is_published: bool,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stranger { service, id, node, address, .. } = self;
        let whose = if self.is_published { ", published by another fleet of sentinels" } else { "" };
        write!(f, "service {service} on node {node} ({id} at {address}{whose})")
    }
}

/// What was found, to be read from any thread.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    found: Mutex<BTreeMap<GroupName, Vec<Stranger>>>,
    /// Other groups are published than before.
    changed: Notify,
}

/// A service in a few words, as Consul's own page has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    name: String,
    #[serde(default)]
    nodes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

impl Strangers {
    /// What DNS answers beside the entries of a group.
    pub(crate) fn of(&self, group: &GroupName) -> Vec<Stranger> {
        self.lock().get(group).cloned().unwrap_or_default()
    }

    /// Other groups are published than before.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Looks for them for as long as it is let.
    pub(super) async fn watch(&self, api: &Api, roster: &Roster) {
        let (mut index, mut part) = (None, 0);
        loop {
            let names = roster.active_names();
            let parts = names.len().div_ceil(MOST / 2);
            part = if part + 1 < parts { part + 1 } else { 0 };
            let some: Vec<_> = names.into_iter().skip(part * (MOST / 2)).take(MOST / 2).collect();
            // A request that waits for changes keeps a connection: it is worth that where it is the only one.
            let since = index.filter(|_| parts == 1);
            let result = tokio::select! {
                result = self.look(api, &some, since), if !some.is_empty() => result.map(Some),
                () = self.changed.notified() => Ok(None),
            };
            // Why Consul cannot be asked is told by those who have to ask it.
            index = result.ok().flatten();
            tokio::time::sleep(PACE).await;
        }
    }

    async fn look(&self, api: &Api, names: &[Arc<Names>], since: Option<u64>) -> Result<u64, RegistryError> {
        let services: Vec<&str> = names.iter().flat_map(|names| names.services()).collect();
        // The names of services are DNS labels: nothing in them means anything to a regular expression.
        let filter = format!("Service.Service matches \"(?i)^({})$\"", services.join("|"));
        let answer: Versioned<Vec<Summary>> =
            api.versioned("/v1/internal/ui/services", &[("filter", &filter)], since, &[], true).await?;
        let known = answer.value.unwrap_or_default();
        for names in names {
            let is_foreign = |summary: &Summary| {
                let mut nodes = summary.nodes.iter().flatten();
                names.services().iter().any(|service| service.eq_ignore_ascii_case(&summary.name))
                    && nodes.any(|node| !names.is_node(node))
            };
            let found = match known.iter().any(is_foreign) {
                true => of(api, names).await?.into_iter().filter(|stranger| stranger.is_answered).collect(),
                false => Vec::new(),
            };
            self.found(names, found);
        }
        Ok(answer.index)
    }

    /// Takes in what was found of a group, and says what is news.
    fn found(&self, names: &Names, found: Vec<Stranger>) {
        let group = &names.group;
        let before = match found.is_empty() {
            true => self.lock().remove(group).unwrap_or_default(),
            false => self.lock().insert(group.clone(), found.clone()).unwrap_or_default(),
        };
        for stranger in found.iter().filter(|stranger| !before.contains(stranger)) {
            warn!("{}", sentence(group, stranger));
        }
        for stranger in before.iter().filter(|stranger| !found.contains(stranger)) {
            info!("Consul: DNS does not answer {stranger} beside {group} any more");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupName, Vec<Stranger>>> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with a stranger, and what can be done.
pub(crate) fn sentence(group: &GroupName, stranger: &Stranger) -> String {
    format!(
        "Consul: DNS answers {stranger} beside {group}. Take it away: consentinel consul deregister --foreign {group}; or \
         name our service otherwise: sentinel consul-service {group} <name>"
    )
}

/// Entries under a group's service names that are not on its node.
pub(super) async fn of(api: &Api, names: &Names) -> Result<Vec<Stranger>, RegistryError> {
    let mut strangers = Vec::new();
    for service in names.services() {
        let needs = [Rule::read("service", service), Rule::read("node_prefix", "")];
        let path = format!("/v1/health/service/{}", escaped(service));
        let found: Option<Vec<Instance>> = api.get(&path, &[("consistent", "")], &needs).await?;
        let others = found.unwrap_or_default().into_iter().filter(|found| !names.is_node(&found.node.name));
        strangers.extend(others.map(stranger));
    }
    Ok(strangers)
}

fn stranger(Instance { node, service, checks }: Instance) -> Stranger {
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    let has = |key: &str| service.meta.contains_key(key);
    Stranger {
        address: format!("{host}:{}", service.port),
        is_answered: checks.iter().flatten().all(|check| check.status != "critical"),
        is_published: node.name.to_ascii_lowercase().starts_with(NODE_PREFIX) && has("role") && has("epoch"),
        service: service.name,
        id: service.id,
        node: node.name,
    }
}
