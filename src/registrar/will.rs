//! The last will: what becomes of the entries when nobody publishes any more.
//!
//! With `on-publishers-lost critical` the Consul agent itself carries it out. Each daemon leaves an HTTP check with its
//! agent, which every few seconds sends a transaction to the agent's own API: if the group's lock does not exist, every
//! entry becomes critical. As long as any daemon holds the lock, the transaction is refused, and nothing happens. The
//! lock goes with the session of whoever held it, and when no other daemon takes it, the will is done.
//!
//! The agent shows a check whose request is refused as critical: so it belongs to a service of its own, which nobody
//! looks up, and is red as long as all is well.

use super::address::Address;
use super::api::{Api, escaped};
use super::fault::Rule;
use super::names::{Names, check_id};
use super::settings::PublishersLost;
use consentinel_core::{EntryKey, GroupName, RegistryError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{info, warn};

/// As what the checks are registered with the agent.
pub(super) const WILL_SERVICE: &str = "consentinel-will";

/// What a server's entry says when the will was done.
const SENTENCE: &str = "nobody publishes any more: the sentinels are gone, or cut off from Consul";

/// How often the agent looks whether it is time.
const INTERVAL: &str = "5s";

/// One operation of the transaction is the condition.
const MOST_ENTRIES: usize = 63;

/// Entries change many at a time: one registration is enough for them.
const REST: Duration = Duration::from_secs(1);

/// After a failure, and to make sure that an agent that was restarted knows it again.
const AGAIN: Duration = Duration::from_secs(30);

/// What is to be left with the agent.
pub(super) struct Will {
    api: Arc<Api>,
    port: u16,
    wanted: Mutex<BTreeMap<GroupName, Testament>>,
    changed: Notify,
}

/// The entries of a group that are to become critical.
#[derive(Clone, PartialEq)]
struct Testament {
    names: Arc<Names>,
    entries: BTreeSet<EntryKey>,
}

impl Will {
    /// None yet.
    pub(super) fn new(api: Arc<Api>, port: u16) -> Will {
        Will { api, port, wanted: Mutex::default(), changed: Notify::new() }
    }

    /// These entries stand in Consul now.
    pub(super) fn concerns(&self, names: &Arc<Names>, entries: impl Iterator<Item = EntryKey>) {
        if self.api.settings().on_publishers_lost == PublishersLost::Static {
            return;
        }
        let testament = Testament { names: names.clone(), entries: entries.collect() };
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.get(&names.group) != Some(&testament) {
            wanted.insert(names.group.clone(), testament);
            self.changed.notify_one();
        }
    }

    /// Runs as long as it is polled.
    pub(super) async fn run(&self) {
        if self.api.settings().dry_run {
            return std::future::pending().await;
        }
        if self.api.settings().on_publishers_lost == PublishersLost::Static {
            self.revoke().await;
            return std::future::pending().await;
        }
        let Some(target) = self.target() else {
            warn!(
                "on-publishers-lost critical needs an agent that is reached by http:// or https://, not by a socket"
            );
            return std::future::pending().await;
        };
        let mut complaint: Option<RegistryError> = None;
        loop {
            match self.leave(&target).await {
                Ok(()) => complaint = None,
                Err(error) if complaint.as_ref().is_none_or(|before| before.kind != error.kind) => {
                    warn!("on-publishers-lost critical cannot be left with the agent: {error}");
                    complaint = Some(error);
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.changed.notified() => tokio::time::sleep(REST).await,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Where the agent finds its own API.
    fn target(&self) -> Option<String> {
        match &self.api.settings().address {
            Address::Unix(_) => None,
            address => Some(format!("{address}/v1/txn")),
        }
    }

    /// Registers the checks, one a group.
    async fn leave(&self, target: &str) -> Result<(), RegistryError> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if wanted.is_empty() {
            return Ok(());
        }
        let checks: Vec<Value> = wanted.values().map(|testament| self.check(testament, target)).collect();
        let service = json!({ "ID": self.id(), "Name": WILL_SERVICE, "Checks": checks });
        let answer = self.api.agent("/v1/agent/service/register", service.to_string().into_bytes()).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(self.api.refused(&answer, &[Rule::write("service", WILL_SERVICE)])),
        }
    }

    fn check(&self, testament: &Testament, target: &str) -> Value {
        let Testament { names, entries } = testament;
        let settings = self.api.settings();
        let mut header = serde_json::Map::new();
        if let Some(token) = self.api.token() {
            header.insert("X-Consul-Token".into(), json!([token.reveal()]));
        }
        json!({
            "CheckID": format!("{}:{}", self.id(), names.group),
            "Name": format!("last will for {}", names.group),
            "Notes": "Critical while all is well: its transaction is refused as long as a daemon holds the lock.",
            "HTTP": target,
            "Method": "PUT",
            "Header": header,
            "Body": body(names, entries).to_string(),
            "Interval": INTERVAL,
            "Timeout": "3s",
            "TLSSkipVerify": !settings.tls.verify,
        })
    }

    fn id(&self) -> String {
        format!("{WILL_SERVICE}:{}", self.port)
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
                let error = self.api.refused(&answer, &[Rule::write("service", WILL_SERVICE)]);
                warn!(
                    "an earlier run left its last will with the agent, and it cannot be taken back: {error}"
                );
            }
            Err(_) => {}
        }
    }
}

/// If nobody holds the lock: every entry becomes critical, the master's first.
fn body(names: &Names, entries: &BTreeSet<EntryKey>) -> Value {
    let condition = json!({ "KV": { "Verb": "check-not-exists", "Key": names.lock_key() } });
    let end = |key: &EntryKey| {
        let service = names.id_of(key);
        json!({ "Check": { "Verb": "set", "Check": {
            "Node": names.node,
            "CheckID": check_id(&service),
            "Name": "role",
            "Status": "critical",
            "Output": SENTENCE,
            "ServiceID": service,
        } } })
    };
    std::iter::once(condition).chain(entries.iter().take(MOST_ENTRIES).map(end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::ConsulSettings;
    use consentinel_core::{Endpoint, Role};

    #[test]
    fn the_will_is_a_transaction_that_the_lock_holds_back() {
        let names = Names::new(&GroupName::new("m"), &ConsulSettings::default()).expect("good names");
        let key = |role, port: u16| {
            let addr = Endpoint::parse("10.0.0.1", &port.to_string()).expect("an address");
            EntryKey { role, addr }
        };
        let entries = [key(Role::Replica, 2), key(Role::Master, 1)].into();
        let body = body(&names, &entries);
        assert_eq!(body[0]["KV"]["Key"], "consentinel/m/lock");
        assert_eq!(body[1]["Check"]["Check"]["ServiceID"], "redis:10.0.0.1:1");
        assert_eq!(body[2]["Check"]["Check"]["CheckID"], "role:redis-replica:10.0.0.1:2");
        assert_eq!(body.as_array().map(Vec::len), Some(3));
        let many = (1..200).map(|port| key(Role::Replica, port)).collect();
        assert_eq!(super::body(&names, &many).as_array().map(Vec::len), Some(64));
    }
}
