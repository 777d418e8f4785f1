//! Which groups are published, and what things of theirs are called.

use super::consul_names::{NameError, Names};
use super::settings::ConsulSettings;
use consentinel_core::GroupName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

/// The groups that were ever asked for.
#[derive(Debug)]
pub(super) struct Roster {
    settings: Arc<ConsulSettings>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    groups: BTreeMap<GroupName, Member>,
    /// By the names of their nodes, in lower case: so Consul finds them.
    nodes: BTreeMap<String, Arc<Names>>,
    /// Groups by what their nodes were called in releases before this, in lower case, where that is something else.
    first_nodes: BTreeMap<String, GroupName>,
}

/// One group.
#[derive(Debug)]
struct Member {
    names: Arc<Names>,
    /// Whether it is published: its names belong to it then.
    active: bool,
    /// Whether its entries were looked for on the node of releases before this.
    settled: bool,
}

impl Roster {
    /// No group yet.
    pub(super) fn new(settings: Arc<ConsulSettings>) -> Roster {
        Roster { settings, members: Mutex::default() }
    }

    /// Gives a group its names, unless others have them. Whether it is new.
    pub(super) fn admit(&self, group: &GroupName) -> Result<bool, NameError> {
        let mut members = self.lock();
        if members.groups.get(group).is_some_and(|member| member.active) {
            return Ok(false);
        }
        let names = Names::new(group, &self.settings)?;
        for member in members.groups.values().filter(|member| member.active) {
            names.check_beside(&member.names)?;
        }
        if group.as_str().contains("..") {
            warn!(
                "the master '{group}' has '..' in its name: Consul refuses that in keys from 1.21.5 to 1.21.x"
            );
        }
        let names = Arc::new(names);
        members.nodes.insert(names.node.to_ascii_lowercase(), names.clone());
        let settled = names.first_node().is_none();
        if let Some(first) = names.first_node() {
            members.first_nodes.insert(first.to_ascii_lowercase(), group.clone());
        }
        members.groups.insert(group.clone(), Member { names, active: true, settled });
        Ok(true)
    }

    /// Whether all groups that are published know on which node they stand.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().groups.values().all(|member| member.settled || !member.active)
    }

    /// The group of which that is the node of releases before this, if it has another one now.
    pub(super) fn by_first_node(&self, node: &str) -> Option<GroupName> {
        self.lock().first_nodes.get(&node.to_ascii_lowercase()).cloned()
    }

    /// All groups are looked for by now: those among these whose entries stand on the node of releases before this stay
    /// there, unless they were told otherwise.
    pub(super) fn settle(&self, on_first_node: &BTreeSet<GroupName>) {
        let mut guard = self.lock();
        let members = &mut *guard;
        for (group, member) in members.groups.iter_mut().filter(|(_, member)| !member.settled) {
            member.settled = true;
            if let Some(names) = member.names.staying().filter(|_| on_first_node.contains(group)) {
                let names = Arc::new(names);
                members.nodes.remove(&member.names.node.to_ascii_lowercase());
                members.first_nodes.remove(&names.node.to_ascii_lowercase());
                members.nodes.insert(names.node.to_ascii_lowercase(), names.clone());
                info!(
                    "Consul: {group} stays on the node {}, where it is published; \
                    sentinel consul node-template gives it another",
                    names.node
                );
                member.names = names;
            }
        }
    }

    /// The names of a group are free for others. Whether they were its own.
    pub(super) fn dismiss(&self, group: &GroupName) -> bool {
        let mut members = self.lock();
        members.groups.get_mut(group).is_some_and(|member| std::mem::replace(&mut member.active, false))
    }

    /// The names of a group, whether it is published or not; nothing when it can have none.
    pub(super) fn names(&self, group: &GroupName) -> Option<Arc<Names>> {
        if let Some(member) = self.lock().groups.get(group) {
            return Some(member.names.clone());
        }
        Names::new(group, &self.settings).ok().map(Arc::new)
    }

    /// The same, by the name of its node.
    pub(super) fn names_by_node(&self, node: &str) -> Option<Arc<Names>> {
        if let Some(names) = self.lock().nodes.get(&node.to_ascii_lowercase()) {
            return Some(names.clone());
        }
        self.names(&self.settings.master_of_node(node)?)
    }

    /// The names of the groups that are published.
    pub(super) fn active_names(&self) -> Vec<Arc<Names>> {
        let members = self.lock();
        let active = members.groups.values().filter(|member| member.active);
        active.map(|member| member.names.clone()).collect()
    }

    /// The masters that are published.
    pub(super) fn active(&self) -> BTreeSet<String> {
        let members = self.lock();
        let active = members.groups.iter().filter(|(_, member)| member.active);
        active.map(|(name, _)| name.to_string()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
