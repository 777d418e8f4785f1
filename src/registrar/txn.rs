//! A transaction of the core as operations of Consul's `/v1/txn`; `answer.rs` says what comes back.

use super::catalog::{Check, Node, Service};
use super::consul_names::Names;
use super::fault::Rule;
use super::render::{self, Failover, Thing};
use super::settings::ConsulSettings;
use consentinel_core::{Entry, Fence, Guard, Health, Role, Transaction};
use serde::Serialize;
use std::collections::BTreeMap;

mod answer;

pub(super) use answer::{Refusal, TransactionAnswer, Verdict, Versions};

/// Consul takes no more operations than this in one transaction.
const MOST: usize = 64;

/// So many other masters' entries at most are taken away together with the flip, which must fit into one transaction.
const MOST_AMONG_MASTERS: usize = 40;

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Operation {
    /// On a key.
    #[serde(rename = "KV")]
    Key(KeyOperation),
    /// On a node.
    Node(NodeOperation),
    /// On a service.
    Service(ServiceOperation),
    /// On a check.
    Check(CheckOperation),
}

/// An operation on a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyOperation {
    verb: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(flatten)]
    scope: Scope,
}

/// An operation on a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeOperation {
    verb: &'static str,
    node: Scoped<Node>,
}

/// An operation on a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceOperation {
    verb: &'static str,
    node: String,
    service: Scoped<Service>,
}

/// An operation on a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CheckOperation {
    verb: &'static str,
    check: Scoped<Check>,
}

/// Where in Consul Enterprise something is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scope {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Scoped<T> {
    #[serde(flatten)]
    what: T,
    #[serde(flatten)]
    scope: Scope,
}

impl Operation {
    /// The rule that a token needs for it.
    pub(super) fn needs(&self, names: &Names) -> Rule {
        match self {
            Operation::Key(_) => Rule::write("key_prefix", &names.folder),
            Operation::Node(NodeOperation { node, .. }) => Rule::write("node", &node.what.name),
            Operation::Service(ServiceOperation { service, .. }) => for_service(&service.what.name, names),
            Operation::Check(CheckOperation { check, .. }) if check.what.service_name.is_empty() => {
                Rule::write("node", &names.node)
            }
            Operation::Check(CheckOperation { check, .. }) => for_service(&check.what.service_name, names),
        }
    }
}

/// One rule is enough for a group: all its services, and their IDs, begin with the same word. It must be a rule for the
/// prefix, because Consul shows the services of a node only to those who may read what their *IDs* say.
fn for_service(name: &str, names: &Names) -> Rule {
    match name.starts_with(&names.service) {
        true => Rule::write("service_prefix", &names.service),
        false => Rule::write("service", name),
    }
}

/// Writes operations for one group.
pub(super) struct Writer<'a> {
    /// What things are called.
    pub names: &'a Names,
    /// Where they are.
    pub scope: Scope,
    /// Our session, if there is one.
    pub session: Option<&'a str>,
    /// The failovers that KV remembers.
    pub history: &'a [Failover],
    /// What the services of the node are called everywhere, by their IDs, as far as they were seen.
    pub services: &'a BTreeMap<String, String>,
    /// The time of day.
    pub now: String,
}

/// A transaction in parts that Consul takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The first part: the guard, the record, the node and the master's flip whole.
    pub first: Vec<Operation>,
    /// How many operations at its head are guards.
    pub guards: usize,
    /// The other parts, without guards.
    pub rest: Vec<Vec<Operation>>,
}

impl Scope {
    /// As the settings say.
    pub(super) fn new(settings: &ConsulSettings) -> Scope {
        Scope { namespace: settings.namespace.clone(), partition: settings.partition.clone() }
    }
}

impl Writer<'_> {
    /// Puts a transaction into order, and into parts.
    pub(super) fn plan(&self, transaction: &Transaction) -> Plan {
        let (mut first, guards) = self.head(&transaction.guard);
        let (flip, rest) = self.body(transaction);
        first.extend(flip.into_iter().flatten());
        let mut parts: Vec<Vec<Operation>> = Vec::new();
        // What belongs together stays together; later parts need room for two guards.
        for piece in rest {
            let (part, limit) = match parts.last_mut() {
                Some(part) => (part, MOST - 2),
                None => (&mut first, MOST),
            };
            match part.len() + piece.len() <= limit {
                true => part.extend(piece),
                false => parts.push(piece),
            }
        }
        Plan { first, guards, rest: parts }
    }

    /// Guards, record, history and node.
    fn head(&self, guard: &Guard) -> (Vec<Operation>, usize) {
        let mut operations = Vec::new();
        let guards = match guard {
            Guard::Claim { fence, record, before } => {
                let text = render::record(record, &self.now);
                operations.push(self.key("cas", self.names.state_key(), Some(&text), Some(fence.0), None));
                if let Some(before) = before {
                    let history = render::history(self.history, record, before, &self.now);
                    let text = serde_json::to_vec(&history).expect("text can be written as JSON");
                    operations.push(self.key("set", self.names.history_key(), Some(&text), None, None));
                }
                1
            }
            Guard::Unchanged { fence, locked, .. } => {
                operations = self.guards(*fence, *locked);
                operations.len()
            }
        };
        let node = render::node(self.names, guard.record());
        operations.push(Operation::Node(NodeOperation { verb: "set", node: self.scoped(node) }));
        (operations, guards)
    }

    /// That the record has this version, and that the lock is ours.
    pub(super) fn guards(&self, fence: Fence, locked: bool) -> Vec<Operation> {
        let mut guards = vec![match fence {
            // An index of zero is never checked.
            Fence(0) => self.key("check-not-exists", self.names.state_key(), None, None, None),
            Fence(index) => self.key("check-index", self.names.state_key(), None, Some(index), None),
        }];
        if locked {
            guards.push(self.key("check-session", self.names.lock_key(), None, None, self.session));
        }
        guards
    }

    /// The lock goes away, if it is ours.
    pub(super) fn unlock(&self) -> Vec<Operation> {
        let key = self.names.lock_key();
        vec![
            self.key("check-session", key.clone(), None, None, self.session),
            self.key("delete", key, None, None, None),
        ]
    }

    /// Everything of the group goes away, if the record still has this version. With the node go its entries.
    pub(super) fn wipe(&self, seen: Fence) -> Vec<Operation> {
        let mut operations = self.guards(seen, false);
        operations.push(self.key("delete-tree", self.names.folder.clone(), None, None, None));
        operations.push(self.delete_node(&self.names.node));
        operations
    }

    fn delete_node(&self, name: &str) -> Operation {
        let node = Node { name: name.to_owned(), address: String::new(), meta: BTreeMap::new() };
        Operation::Node(NodeOperation { verb: "delete", node: self.scoped(node) })
    }

    /// The lock is taken, if nobody has it.
    pub(super) fn lock(&self, label: &str) -> Operation {
        self.key("lock", self.names.lock_key(), Some(label.as_bytes()), None, self.session)
    }

    /// A service of no consequence.
    pub(super) fn set_service(&self, name: &str) -> Operation {
        self.on_service("set", name, name)
    }

    /// A critical check of the whole node.
    pub(super) fn set_node_check(&self, id: &str) -> Operation {
        let status = Health::Critical.as_str().to_owned();
        Operation::Check(CheckOperation {
            verb: "set",
            check: self.scoped(Check { status, ..self.bare_check(id) }),
        })
    }

    /// What makes the one master another, and everything else, in pieces that must not be torn.
    fn body(&self, transaction: &Transaction) -> (Vec<Vec<Operation>>, Vec<Vec<Operation>>) {
        let master = transaction.set.iter().find(|entry| entry.role == Role::Master);
        let (mut flip, mut rest) = (Vec::new(), Vec::new());
        for key in &transaction.remove {
            let piece = vec![self.delete_service(&self.names.id_of(key), self.names.service_of(key.role))];
            match key.role {
                Role::Master if flip.len() < MOST_AMONG_MASTERS => flip.push(piece),
                Role::Master => rest.push((false, piece)),
                Role::Replica => rest.push((master.is_some_and(|master| master.addr == key.addr), piece)),
            }
        }
        for name in &transaction.sweep {
            let (among_masters, operation) = self.sweep(name);
            match among_masters {
                true if flip.len() < MOST_AMONG_MASTERS => flip.push(vec![operation]),
                _ => rest.push((false, vec![operation])),
            }
        }
        flip.extend(master.map(|entry| self.set(entry)));
        let (of_new_master, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(first, _)| *first);
        flip.extend(of_new_master.into_iter().map(|(_, piece)| piece));
        let mut rest: Vec<_> = others.into_iter().map(|(_, piece)| piece).collect();
        let others = transaction.set.iter().filter(|entry| master.is_none_or(|master| *entry != master));
        rest.extend(others.map(|entry| self.set(entry)));
        (flip, rest)
    }

    /// Takes away what somebody else altered or added; whether it would be answered as a master.
    fn sweep(&self, name: &str) -> (bool, Operation) {
        match Thing::parse(name) {
            Thing::Check(id) => (false, self.delete_check(id)),
            // The same master stands there, too.
            Thing::Node(node) => (true, self.delete_node(node)),
            Thing::Service(id) => {
                // Consul wants the name beside the ID, for the rights; an ID of ours begins with it.
                let guess = || id.split(':').next().unwrap_or(id);
                let service = self.services.get(id).map_or_else(guess, String::as_str);
                (service.eq_ignore_ascii_case(&self.names.service), self.delete_service(id, service))
            }
        }
    }

    /// Takes away what stands under the ID of an entry with another name: Consul tells no big letters from small in an ID,
    /// and since 2.0 a service keeps its name for as long as it has its ID. The transaction that writes the entry may not
    /// take it away itself, because it is compared with what was there before.
    pub(super) fn renamed(&self, transaction: &Transaction) -> Vec<Operation> {
        let wanted: Vec<(String, &str)> = transaction
            .set
            .iter()
            .map(|entry| (self.names.id_of(&entry.key()), self.names.service_of(entry.role)))
            .collect();
        let is_in_the_way = |id: &str, name: &str| {
            wanted.iter().any(|(ours, service)| ours.eq_ignore_ascii_case(id) && *service != name)
        };
        let in_the_way = self.services.iter().filter(|(id, name)| is_in_the_way(id, name));
        in_the_way.take(MOST - 2).map(|(id, name)| self.delete_service(id, name)).collect()
    }

    fn set(&self, entry: &Entry) -> Vec<Operation> {
        let service = self.scoped(render::service(self.names, entry));
        let check = self.scoped(render::check(self.names, entry));
        vec![
            Operation::Service(ServiceOperation { verb: "set", node: self.names.node.clone(), service }),
            Operation::Check(CheckOperation { verb: "set", check }),
        ]
    }

    fn delete_service(&self, id: &str, name: &str) -> Operation {
        self.on_service("delete", id, name)
    }

    fn on_service(&self, verb: &'static str, id: &str, name: &str) -> Operation {
        let service = Service {
            id: id.to_owned(),
            name: name.to_owned(),
            tags: Vec::new(),
            address: String::new(),
            port: 0,
            meta: BTreeMap::new(),
            weights: Default::default(),
        };
        let (node, service) = (self.names.node.clone(), self.scoped(service));
        Operation::Service(ServiceOperation { verb, node, service })
    }

    fn delete_check(&self, id: &str) -> Operation {
        Operation::Check(CheckOperation { verb: "delete", check: self.scoped(self.bare_check(id)) })
    }

    fn bare_check(&self, id: &str) -> Check {
        Check {
            node: self.names.node.clone(),
            id: id.to_owned(),
            name: String::new(),
            status: String::new(),
            output: String::new(),
            notes: String::new(),
            service_id: String::new(),
            service_name: String::new(),
        }
    }

    fn key(
        &self,
        verb: &'static str,
        key: String,
        value: Option<&[u8]>,
        index: Option<u64>,
        session: Option<&str>,
    ) -> Operation {
        use base64::Engine;
        let value = value.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
        let (session, scope) = (session.map(str::to_owned), self.scope.clone());
        Operation::Key(KeyOperation { verb, key, value, index, session, scope })
    }

    fn scoped<T>(&self, what: T) -> Scoped<T> {
        Scoped { what, scope: self.scope.clone() }
    }
}

#[cfg(test)]
mod tests;
