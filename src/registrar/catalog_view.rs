//! Reads all that Consul holds of a group, for tools that ask once.

use super::api::Api;
use super::catalog::Check;
use super::consul_names::Names;
use super::fault::Rule;
use super::render::{self, Folder};
use consentinel_core::{Published, RegistryError};
use std::collections::BTreeMap;

/// The check by which Consul's agents know of each other.
const OF_AGENTS: &str = "serfHealth";

/// What Consul holds of a group.
#[derive(Clone, Debug)]
pub(crate) struct CatalogView {
    /// What the core wants to know.
    pub published: Published,
    /// What else stands with the record.
    pub folder: Folder,
    /// Whether the node is there.
    pub has_node: bool,
    /// Whether an agent of Consul runs under the node's name: it would take our entries away.
    pub is_agent: bool,
}

/// Reads it. What seems to be damaged is read twice: services and checks are two questions, and something may have been
/// written between them.
pub(super) async fn look(api: &Api, names: &Names) -> Result<CatalogView, RegistryError> {
    let (mut view, mut hidden) = look_once(api, names).await?;
    if !view.published.damaged.is_empty() || !hidden.is_empty() {
        let (second, hidden_again) = look_once(api, names).await?;
        let first = std::mem::replace(&mut view, second);
        view.published.damaged.retain(|name| first.published.damaged.contains(name));
        hidden.retain(|id| hidden_again.contains(id));
    }
    match hidden.first() {
        None => Ok(view),
        // Consul shows the checks by the names of their services, but the services of a node by their IDs.
        Some(id) => Err(api.denied(
            &[Rule::write("service_prefix", &names.service)],
            &format!("it hides the service with the ID {id}, for which a rule for its name is not enough"),
        )),
    }
}

/// The record first, then what depends on it, so that the rest is never older. With it the IDs of our services of which
/// only the checks were shown.
async fn look_once(api: &Api, names: &Names) -> Result<(CatalogView, Vec<String>), RegistryError> {
    let pairs = api.pairs(names).await?;
    let (node, checks) = tokio::try_join!(api.node(names), api.checks(names))?;
    let folder = Folder::parse(names, &pairs);
    let lock = folder.lock(None);
    let sorted = render::sort(names, node.as_ref(), &checks);
    let published = render::published(names, &folder, node.as_ref(), sorted, lock);
    let has_node = node.as_ref().is_some_and(|node| node.node.is_some());
    let services = node.into_iter().flat_map(|node| node.services.into_values());
    let services: BTreeMap<_, _> = services.map(|service| (service.id, service.name)).collect();
    let is_hidden =
        |check: &&Check| names.has_service(&check.service_name) && !services.contains_key(&check.service_id);
    let hidden = checks.iter().filter(is_hidden).map(|check| check.service_id.clone()).collect();
    let of_agents = |check: &Check| check.id == OF_AGENTS && check.service_id.is_empty();
    let is_agent = checks.iter().any(of_agents);
    Ok((CatalogView { published, folder, has_node, is_agent }, hidden))
}
