//! The dead man's check: what becomes of the entries when no daemon publishes any more. The documents for operators call
//! it the last will.
//!
//! With `on-publishers-lost critical` the Consul agent itself carries it out. Each daemon registers HTTP checks with its
//! agent, which every few seconds send a transaction to the agent's own API: if the locks of some groups do not exist,
//! their nodes become critical. As long as a daemon holds one of these locks, the transaction is refused, and nothing
//! happens. A lock goes with the session of its holder. When no other daemon takes it, the transaction succeeds.
//!
//! A check of the node counts for every entry on it, so that a group takes two operations, whatever its size. What the
//! sweep of a daemon that comes back finds there it takes away, as it takes away all that it has not written.
//!
//! All checks of a daemon together make at most one transaction a second: few groups have one each, more share them.
//!
//! The agent shows a check whose request is refused as critical: so it belongs to a service of its own, which no client
//! looks up, and is red as long as all is well.

use super::address::Address;
use super::api::{Api, escaped};
use super::consul_names::Names;
use super::fault::Rule;
use super::settings::PublishersLost;
use consentinel_core::{GroupName, RegistryError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

/// As what the checks are registered with the agent.
pub(super) const DEADMAN_SERVICE: &str = "consentinel-will";

/// What the check of the node is called, and its output once the transaction has succeeded.
pub(super) const DEADMAN_CHECK: &str = "publishers";
const SENTENCE: &str = "nobody publishes any more: the sentinels are gone, or cut off from Consul";

/// How often the agent looks whether it is time, where it has few checks.
const INTERVAL_SECONDS: usize = 5;

/// Consul takes 64 operations, and a group needs two.
const MOST_GROUPS: usize = 32;

/// What is to be registered with the agent.
pub(super) struct DeadmanCheck {
    api: Arc<Api>,
    port: u16,
    wanted: Mutex<BTreeMap<GroupName, Arc<Names>>>,
    /// Whether what an earlier run has left was looked for.
    revoked: AtomicBool,
    /// What was complained about last: the same is not said again.
    complaint: Mutex<Option<RegistryError>>,
}

impl DeadmanCheck {
    /// None yet.
    pub(super) fn new(api: Arc<Api>, port: u16) -> DeadmanCheck {
        DeadmanCheck {
            api,
            port,
            wanted: Mutex::default(),
            revoked: AtomicBool::new(false),
            complaint: Mutex::default(),
        }
    }

    /// This group stands in Consul now. Whether that is news.
    pub(super) fn concerns(&self, names: &Arc<Names>) -> bool {
        if self.api.settings().on_publishers_lost == PublishersLost::Static {
            return false;
        }
        let before = locked(&self.wanted).insert(names.group.clone(), names.clone());
        before.as_ref() != Some(names)
    }

    /// Registers it with the agent, or takes back what an earlier run has left there. What is wrong is logged once.
    pub(super) async fn leave(&self) -> Result<(), RegistryError> {
        if self.api.settings().on_publishers_lost == PublishersLost::Static {
            if !self.revoked.swap(true, Ordering::Relaxed) {
                self.revoke().await;
            }
            return Ok(());
        }
        let Some(target) = self.target() else {
            if !self.revoked.swap(true, Ordering::Relaxed) {
                warn!(
                    "on-publishers-lost critical needs an agent that is reached by http:// or https://, not by a socket"
                );
            }
            return Ok(());
        };
        let result = self.register(&target).await;
        let mut complaint = locked(&self.complaint);
        match &result {
            Ok(()) => *complaint = None,
            Err(error) if complaint.as_ref().is_none_or(|before| before.kind != error.kind) => {
                warn!("on-publishers-lost critical cannot be left with the agent: {error}");
                *complaint = Some(error.clone());
            }
            Err(_) => {}
        }
        result
    }

    /// Where the agent finds its own API.
    fn target(&self) -> Option<String> {
        match &self.api.settings().address {
            Address::Unix(_) => None,
            address => Some(format!("{address}/v1/txn")),
        }
    }

    async fn register(&self, target: &str) -> Result<(), RegistryError> {
        let wanted: Vec<Arc<Names>> = locked(&self.wanted).values().cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (share, interval) = shares(wanted.len());
        let checks: Vec<Value> = wanted
            .chunks(share)
            .enumerate()
            .map(|(number, groups)| self.check(number, groups, target, interval))
            .collect();
        let service = json!({ "ID": self.id(), "Name": DEADMAN_SERVICE, "Checks": checks });
        // Checks of a registration before this one that are not named in it would stay.
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        let answer = self.api.agent(path, service.to_string().into_bytes()).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(self.api.refused(&answer, &[Rule::write("service", DEADMAN_SERVICE)])),
        }
    }

    fn check(&self, number: usize, groups: &[Arc<Names>], target: &str, interval: usize) -> Value {
        let settings = self.api.settings();
        let mut header = serde_json::Map::new();
        if let Some(token) = self.api.token() {
            header.insert("X-Consul-Token".into(), json!([token.reveal()]));
        }
        let whose = groups.iter().map(|names| names.group.as_str()).collect::<Vec<_>>().join(", ");
        json!({
            "CheckID": format!("{}:{number}", self.id()),
            "Name": format!("last will for {whose}"),
            "Notes": "Critical while all is well: its transaction is refused as long as a daemon holds the lock.",
            "HTTP": target,
            "Method": "PUT",
            "Header": header,
            "Body": body(groups).to_string(),
            "Interval": format!("{interval}s"),
            "Timeout": "3s",
            "TLSSkipVerify": !settings.tls.verify,
        })
    }

    fn id(&self) -> String {
        format!("{DEADMAN_SERVICE}:{}", self.port)
    }

    /// Another setting was in force before: what it left with the agent is taken back.
    async fn revoke(&self) {
        let path = format!("/v1/agent/service/{}", escaped(&self.id()));
        if !self.api.agent_knows(&path).await {
            return;
        }
        let path = format!("/v1/agent/service/deregister/{}", escaped(&self.id()));
        match self.api.agent(&path, Vec::new()).await {
            Ok(answer) if answer.status == 200 => info!("the last will of an earlier run was taken back"),
            Ok(answer) => {
                let error = self.api.refused(&answer, &[Rule::write("service", DEADMAN_SERVICE)]);
                warn!(
                    "an earlier run left its last will with the agent, and it cannot be taken back: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

/// How many groups share a transaction, and how many seconds pass between two attempts of each: together at most one a
/// second.
fn shares(groups: usize) -> (usize, usize) {
    let least = groups.div_ceil(MOST_GROUPS);
    let transactions = least.max(groups.min(INTERVAL_SECONDS));
    (groups.div_ceil(transactions), INTERVAL_SECONDS.max(transactions))
}

/// If no daemon holds any of the locks: every node becomes critical, and with it all entries on it.
fn body(groups: &[Arc<Names>]) -> Value {
    let condition =
        |names: &Arc<Names>| json!({ "KV": { "Verb": "check-not-exists", "Key": names.lock_key() } });
    let end = |names: &Arc<Names>| {
        json!({ "Check": { "Verb": "set", "Check": {
            "Node": names.node,
            "CheckID": DEADMAN_CHECK,
            "Name": "publishers",
            "Status": "critical",
            "Output": SENTENCE,
        } } })
    };
    groups.iter().map(condition).chain(groups.iter().map(end)).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding it; and if, what it holds is still good.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::ConsulSettings;

    fn names(count: usize) -> Vec<Arc<Names>> {
        let settings = ConsulSettings { service_template: "s-{master}".into(), ..Default::default() };
        let names = |at| Names::new(&GroupName::new(&format!("m{at}")), &settings).expect("good names");
        (0..count).map(|at| Arc::new(names(at))).collect()
    }

    #[test]
    fn it_is_a_transaction_that_the_locks_hold_back() {
        let body = body(&names(2));
        assert_eq!(body[0]["KV"]["Key"], "consentinel/m0/lock");
        assert_eq!(body[1]["KV"]["Key"], "consentinel/m1/lock");
        assert_eq!(body[2]["Check"]["Check"]["Node"], "consentinel-m0");
        assert_eq!(body.as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn there_is_at_most_one_transaction_a_second_and_none_is_too_large() {
        for (groups, transactions, seconds) in [(1, 1, 5), (5, 5, 5), (6, 3, 5), (160, 5, 5), (1000, 32, 32)]
        {
            let (share, interval) = shares(groups);
            assert_eq!((groups.div_ceil(share), interval), (transactions, seconds), "{groups}");
            assert!(share <= MOST_GROUPS && groups.div_ceil(share) <= interval, "{groups}");
        }
    }
}
