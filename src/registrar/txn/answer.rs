//! What Consul answers to a transaction, and what that means.

use super::Operation;
use crate::registrar::consul_names::Names;
use crate::registrar::fault::{self, Rule};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What Consul answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::registrar) struct TransactionAnswer {
    results: Option<Vec<Outcome>>,
    errors: Option<Vec<OperationError>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outcome {
    #[serde(rename = "KV")]
    key: Option<KeyOutcome>,
    node: Option<Touched>,
    service: Option<Touched>,
    check: Option<Touched>,
}

/// What was written, of which only the version matters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Touched {
    modify_index: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyOutcome {
    key: String,
    modify_index: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OperationError {
    op_index: usize,
    what: String,
}

/// The versions that things have after a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::registrar) struct Versions {
    /// Of keys that were touched or checked.
    pub keys: BTreeMap<String, u64>,
    /// The latest of all nodes, services and checks that were written.
    pub catalog: Option<u64>,
}

/// An operation that was refused, and why.
pub(in crate::registrar) type Refusal = (usize, String);

/// What became of a transaction that Consul has understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registrar) enum Verdict {
    /// It happened.
    Done(Versions),
    /// A guard did not hold.
    Stale,
    /// Rights are missing.
    Denied(Vec<Rule>, String),
    /// One of the keys is none, for this release.
    BadKey(String),
    /// Something else.
    Refused(String),
}

fn versions(outcomes: Vec<Outcome>) -> Versions {
    let mut versions = Versions::default();
    for Outcome { key, node, service, check } in outcomes {
        let touched = [node, service, check].into_iter().flatten().map(|touched| touched.modify_index);
        versions.catalog = versions.catalog.into_iter().chain(touched).max();
        versions.keys.extend(key.map(|key| (key.key, key.modify_index)));
    }
    versions
}

impl TransactionAnswer {
    /// Of operations that stand each for itself: the versions when all were done, or those that were refused.
    pub(in crate::registrar) fn each(self) -> Result<Versions, Vec<Refusal>> {
        let errors = self.errors.unwrap_or_default();
        match errors.is_empty() {
            true => Ok(versions(self.results.unwrap_or_default())),
            false => Err(errors.into_iter().map(|error| (error.op_index, error.what)).collect()),
        }
    }

    /// The meaning, for these operations.
    pub(in crate::registrar) fn verdict(
        self,
        operations: &[Operation],
        guards: usize,
        names: &Names,
    ) -> Verdict {
        let errors = self.errors.unwrap_or_default();
        let Some(first) = errors.first() else {
            return Verdict::Done(versions(self.results.unwrap_or_default()));
        };
        let denied: Vec<_> = errors.iter().filter(|error| fault::is_denied(&error.what)).collect();
        if let Some(example) = denied.first() {
            let operation = |error: &&OperationError| operations.get(error.op_index);
            let rules = denied.iter().filter_map(operation).map(|operation| operation.needs(names)).collect();
            return Verdict::Denied(rules, example.what.clone());
        }
        if let Some(error) = errors.iter().find(|error| fault::is_bad_key(&error.what)) {
            return Verdict::BadKey(error.what.clone());
        }
        if errors.iter().any(|error| error.op_index < guards) {
            return Verdict::Stale;
        }
        Verdict::Refused(format!("operation {} of the transaction: {}", first.op_index, first.what))
    }
}
