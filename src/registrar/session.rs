//! This daemon's session with Consul, to which its locks belong: one for all groups, made when the first lock is
//! wanted, kept alive, and given back at the end.

use super::api::{Api, escaped};
use super::fault::Rule;
use consentinel_core::{RegistryError, RegistryFault};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Without a sign of life for this long Consul ends the session: it allows no less than ten seconds.
const TTL: Duration = Duration::from_secs(10);

/// How often to give that sign.
const RENEWAL: Duration = Duration::from_millis(TTL.as_millis() as u64 / 3);

/// The session, if there is one.
#[derive(Debug)]
pub(super) struct Session {
    api: Arc<Api>,
    /// What it is called, for people.
    label: String,
    id: Mutex<Option<String>>,
    /// Held while a session is being made, so that there is never more than one.
    making: tokio::sync::Mutex<()>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

impl Session {
    /// None yet.
    pub(super) fn new(api: Arc<Api>, label: String) -> Session {
        Session { api, label, id: Mutex::new(None), making: tokio::sync::Mutex::new(()) }
    }

    /// Its ID, if there is one.
    pub(super) fn current(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Its ID; it is made where there is none. A session needs a node, and ends with it: that of the agent or, in a
    /// datacenter where the agent is a stranger, this one.
    pub(super) async fn get(&self, abroad: Option<&str>) -> Result<String, RegistryError> {
        let _making = self.making.lock().await;
        if let Some(id) = self.current() {
            return Ok(id);
        }
        let id = match (self.make(None).await, abroad) {
            (Err(error), Some(node)) if error.kind != RegistryFault::Denied && self.is_abroad() => {
                self.make(Some(node)).await?
            }
            (result, _) => result?,
        };
        *self.lock() = Some(id.clone());
        Ok(id)
    }

    fn is_abroad(&self) -> bool {
        self.api.settings().datacenter.is_some()
    }

    async fn make(&self, node: Option<&str>) -> Result<String, RegistryError> {
        let mut wanted = json!({
            "Name": self.label,
            "TTL": format!("{}s", TTL.as_secs()),
            // Whoever was elected must not wait until he may write: the fence keeps the order.
            "LockDelay": "0s",
            "Behavior": "delete",
        });
        if let Some(node) = node {
            // No agent says of such a node how it is.
            (wanted["Node"], wanted["Checks"]) = (node.into(), json!([]));
        }
        let answer = self.api.put("/v1/session/create", &[], wanted.to_string().into_bytes()).await?;
        let answer = self.api.successful(answer, &[needs()])?;
        let Created { id } = self.api.understood(&answer)?;
        Ok(id)
    }

    /// Gives a sign of life. When the session is gone, it is forgotten.
    pub(super) async fn renew(&self) -> Result<(), RegistryError> {
        let Some(id) = self.current() else { return Ok(()) };
        let answer = self.api.put(&format!("/v1/session/renew/{}", escaped(&id)), &[], Vec::new()).await?;
        if answer.status == 404 {
            let mut current = self.lock();
            // Another may have been made meanwhile.
            if current.as_deref() == Some(&id) {
                *current = None;
            }
            return Ok(());
        }
        self.api.successful(answer, &[needs()]).map(drop)
    }

    /// Keeps it alive as long as this runs.
    pub(super) async fn keep_alive(&self) {
        let mut pause = RENEWAL;
        loop {
            tokio::time::sleep(pause).await;
            // After a failure there is time for two more attempts.
            pause = match self.renew().await {
                Ok(()) => RENEWAL,
                Err(_) => Duration::from_secs(1),
            };
        }
    }

    /// Gives it back, and with it all locks.
    pub(super) async fn destroy(&self) {
        let id = self.lock().take();
        if let Some(id) = id {
            // If it is in vain, the session ends by itself.
            let _ = self.api.put(&format!("/v1/session/destroy/{}", escaped(&id)), &[], Vec::new()).await;
        }
    }

    /// What is written into a lock, for people.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.id.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A session belongs to the node of the agent, whose name only the agent knows.
fn needs() -> Rule {
    Rule::write("session_prefix", "")
}
