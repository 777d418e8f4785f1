//! The catalog's things as Consul's JSON has them: written in transactions, read back in looks.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Node {
    /// Its name.
    #[serde(rename = "Node")]
    pub name: String,
    /// Where it is.
    #[serde(default, deserialize_with = "or_default")]
    pub address: String,
    /// What else is to be known of it.
    #[serde(default, deserialize_with = "or_default")]
    pub meta: BTreeMap<String, String>,
}

/// A service on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Service {
    /// What it is called on its node.
    #[serde(rename = "ID")]
    pub id: String,
    /// What it is called everywhere.
    #[serde(rename = "Service")]
    pub name: String,
    /// Tags.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// Where it is.
    #[serde(default, deserialize_with = "or_default")]
    pub address: String,
    /// On which port.
    #[serde(default)]
    pub port: i64,
    /// What else is to be known of it.
    #[serde(default, deserialize_with = "or_default")]
    pub meta: BTreeMap<String, String>,
    /// SRV weights.
    #[serde(default, deserialize_with = "or_default")]
    pub weights: Weights,
}

/// SRV weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Weights {
    /// While passing.
    pub passing: i64,
    /// While warning.
    pub warning: i64,
}

/// A check on a node, or on a service of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Check {
    /// Its node.
    #[serde(default)]
    pub node: String,
    /// What it is called on its node.
    #[serde(rename = "CheckID")]
    pub id: String,
    /// What it checks.
    #[serde(default)]
    pub name: String,
    /// How it stands.
    #[serde(default)]
    pub status: String,
    /// Why, for people.
    #[serde(default)]
    pub output: String,
    /// Why, for sentinels. Daemons before this field neither write nor read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The service; empty where it is about the whole node.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
    /// What that service is called everywhere; rights depend on it.
    #[serde(default)]
    pub service_name: String,
}

/// What `/v1/catalog/node/<name>` answers; `null` when there is no such node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CatalogNode {
    /// The node.
    pub node: Option<Node>,
    /// Its services by their IDs.
    #[serde(default, deserialize_with = "or_default")]
    pub services: BTreeMap<String, Service>,
}

/// A node with all that stands on it, as it was at one moment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WholeNode {
    /// The node.
    #[serde(flatten)]
    pub node: Node,
    /// Its services.
    #[serde(default, deserialize_with = "or_default")]
    pub services: Vec<Service>,
    /// Its checks, and those of its services.
    #[serde(default, deserialize_with = "or_default")]
    pub checks: Vec<Check>,
}

/// A key in KV.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pair {
    /// The key.
    pub key: String,
    /// The value, in base 64.
    #[serde(default)]
    pub value: Option<String>,
    /// Its version.
    pub modify_index: u64,
    /// By whom it is locked.
    #[serde(default)]
    pub session: Option<String>,
}

impl Pair {
    /// The value, if it is one.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(self.value.as_deref()?).ok()
    }
}

/// Consul writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
