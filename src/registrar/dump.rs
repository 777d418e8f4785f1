//! All groups at once, as two answers of Consul have them: the keys under our prefix, and our nodes with all that stands
//! on them.

use super::api::{Api, Versioned, escaped};
use super::catalog::{CatalogNode, Pair, WholeNode};
use super::consul_names::{NODE_PREFIX, Names};
use super::fault::Rule;
use super::render::{self, Thing};
use super::roster::Roster;
use consentinel_core::{Endpoint, Fence, GroupName, RegistryError, Role};
use consentinel_publisher::{Everything, GroupRecord, Listing, SessionId};
use std::collections::BTreeMap;

/// What else is read with the records and entries, and needed to write.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// The last failovers, as KV has them, and of which version.
    pub history: Option<(u64, String)>,
    /// What the damaged services of the node are called everywhere, by their IDs.
    pub services: BTreeMap<String, String>,
    /// The master that the record names.
    pub master: Option<Endpoint>,
}

/// One answer with what else is in it.
pub(super) type Dump<T> = (Everything<T>, BTreeMap<GroupName, Extras>);

/// All records.
pub(super) async fn records(api: &Api, index: Option<u64>) -> Result<Dump<GroupRecord>, RegistryError> {
    let folder = format!("{}/", api.settings().kv_prefix);
    let path = format!("/v1/kv/{}", escaped(&folder));
    let needs = [Rule::read("key_prefix", &folder)];
    let answer: Versioned<Vec<Pair>> = api.versioned(&path, &[("recurse", "")], index, &needs, false).await?;
    let (mut groups, mut extras) = (BTreeMap::new(), BTreeMap::new());
    for pair in answer.value.unwrap_or_default() {
        let Some((name, key)) = pair.key.strip_prefix(&folder).and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let (name, key) = (GroupName::new(name), key.to_owned());
        take_pair(groups.entry(name.clone()).or_default(), extras.entry(name).or_default(), &key, pair);
    }
    Ok((Everything { index: answer.index, bytes: answer.bytes, groups }, extras))
}

/// The record of one group.
pub(super) async fn record(api: &Api, names: &Names) -> Result<(u64, GroupRecord, Extras), RegistryError> {
    let path = format!("/v1/kv/{}", escaped(&names.folder));
    let needs = [Rule::read("key_prefix", &names.folder)];
    let answer: Versioned<Vec<Pair>> = api.versioned(&path, &[("recurse", "")], None, &needs, false).await?;
    let (mut record, mut extras) = (GroupRecord::default(), Extras::default());
    for pair in answer.value.unwrap_or_default() {
        let Some(key) = pair.key.strip_prefix(&names.folder).map(str::to_owned) else { continue };
        take_pair(&mut record, &mut extras, &key, pair);
    }
    Ok((answer.index, record, extras))
}

fn take_pair(record: &mut GroupRecord, extras: &mut Extras, key: &str, pair: Pair) {
    match key {
        "state" => {
            record.fence = Fence(pair.modify_index);
            record.record = render::parse_record(&pair.bytes().unwrap_or_default());
        }
        "lock" => record.locked_by = pair.session.filter(|id| !id.is_empty()).map(SessionId),
        "history" => extras.history = pair.value.map(|text| (pair.modify_index, text)),
        _ => {}
    }
}

/// All entries. `masters` returns the master that a group's record names: it tells whether a node of an earlier release is
/// the group's.
pub(super) async fn entries(
    api: &Api,
    roster: &Roster,
    index: Option<u64>,
    masters: impl Fn(&GroupName) -> Option<Endpoint>,
) -> Result<Dump<Result<Listing, RegistryError>>, RegistryError> {
    let filter = format!("Node matches \"(?i)^{NODE_PREFIX}\"");
    let needs = [Rule::read("node_prefix", NODE_PREFIX)];
    let answer: Versioned<Vec<WholeNode>> =
        api.versioned("/v1/internal/ui/nodes", &[("filter", &filter)], index, &needs, true).await?;
    let (mut groups, mut extras) = (BTreeMap::new(), BTreeMap::new());
    let nodes = answer.value.unwrap_or_default();
    let on_first_node = |node: &WholeNode| {
        let group = roster.by_first_node(&node.node.name)?;
        let (names, master) = (roster.names(&group)?, masters(&group)?);
        carries(&names, node, &master).then_some((group, node.node.name.clone()))
    };
    let first_nodes: BTreeMap<GroupName, String> = nodes.iter().filter_map(on_first_node).collect();
    roster.settle(&first_nodes.keys().cloned().collect());
    for node in nodes {
        let Some(names) = roster.names_by_node(&node.node.name) else { continue };
        let mut more = Extras::default();
        groups.insert(names.group.clone(), listing(api, &names, node, &mut more));
        extras.insert(names.group.clone(), more);
    }
    for (group, node) in first_nodes {
        let stays = roster.names(&group).is_some_and(|names| names.is_node(&node));
        let listing = groups.entry(group).or_insert_with(|| Ok(Listing::default()));
        if let (false, Ok(listing)) = (stays, listing) {
            listing.damaged.push(Thing::Node(&node).name());
        }
    }
    Ok((Everything { index: answer.index, bytes: answer.bytes, groups }, extras))
}

/// Whether a node carries the entry of that master.
pub(super) fn carries(names: &Names, node: &WholeNode, master: &Endpoint) -> bool {
    let id = names.service_id(Role::Master, master);
    node.services.iter().any(|service| service.id == id && service.name == names.service)
}

/// A node with all that stands on it.
pub(super) async fn whole_node(api: &Api, name: &str) -> Result<Versioned<WholeNode>, RegistryError> {
    let path = format!("/v1/internal/ui/node/{}", escaped(name));
    api.versioned(&path, &[], None, &[Rule::read("node", name)], false).await
}

/// The entries of one group, whose record names that master.
pub(super) async fn entries_of(
    api: &Api,
    names: &Names,
    master: Option<&Endpoint>,
) -> Result<(u64, Result<Listing, RegistryError>, Extras), RegistryError> {
    let answer = whole_node(api, &names.node).await?;
    let mut extras = Extras::default();
    let mut listing = match answer.value {
        Some(node) => listing(api, names, node, &mut extras),
        None => Ok(Listing::default()),
    };
    if let (Some(first), Some(master), Ok(listing)) = (names.first_node(), master, &mut listing)
        && let Some(node) = whole_node(api, &first).await?.value
        && carries(names, &node, master)
    {
        listing.damaged.push(Thing::Node(&first).name());
    }
    Ok((answer.index, listing, extras))
}

fn listing(
    api: &Api,
    names: &Names,
    whole: WholeNode,
    extras: &mut Extras,
) -> Result<Listing, RegistryError> {
    let WholeNode { node, services, checks } = whole;
    // Consul shows checks and services by different rights.
    let is_shown = |id: &str| services.iter().any(|service| service.id == id);
    if let Some(check) =
        checks.iter().find(|check| names.has_service(&check.service_name) && !is_shown(&check.service_id))
    {
        return Err(api.denied(
            &[Rule::write("service_prefix", &names.service)],
            &format!("it hides the service with the ID {}, but not its check", check.service_id),
        ));
    }
    let content = render::parse_node(names, &node);
    let by_id = services.into_iter().map(|service| (service.id.clone(), service)).collect();
    let node = CatalogNode { node: Some(node), services: by_id };
    let render::Sorted { entries, damaged } = render::sort(names, Some(&node), &checks);
    if !damaged.is_empty() {
        extras.services = node.services.into_values().map(|service| (service.id, service.name)).collect();
    }
    Ok(Listing { entries, damaged, node: content })
}
