//! A session with Consul, to which the locks of this daemon belong: begun when the first lock is wanted, kept alive,
//! and given back at the end. When, is not decided here.

use super::api::{Api, escaped};
use super::fault::Rule;
use consentinel_core::{RegistryError, RegistryFault};
use consentinel_publisher::SessionId;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// Without a sign of life for this long Consul ends the session: it allows no less than ten seconds.
const TTL: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

/// Begins one. A session needs a node, and ends with it: that of the agent or, in a datacenter where the agent is a
/// stranger, this one.
pub(super) async fn begin(api: &Api, label: &str, abroad: Option<&str>) -> Result<SessionId, RegistryError> {
    match (make(api, label, None).await, abroad) {
        (Err(error), Some(node))
            if error.kind != RegistryFault::Denied && api.settings().datacenter.is_some() =>
        {
            make(api, label, Some(node)).await
        }
        (result, _) => result,
    }
}

async fn make(api: &Api, label: &str, node: Option<&str>) -> Result<SessionId, RegistryError> {
    let mut wanted = json!({
        "Name": label,
        "TTL": format!("{}s", TTL.as_secs()),
        // Whoever was elected must not wait until he may write: the fence keeps the order.
        "LockDelay": "0s",
        "Behavior": "delete",
    });
    if let Some(node) = node {
        // No agent says of such a node how it is.
        (wanted["Node"], wanted["Checks"]) = (node.into(), json!([]));
    }
    let answer = api.put("/v1/session/create", &[], wanted.to_string().into_bytes()).await?;
    let answer = api.successful(answer, &[needs()])?;
    let Created { id } = api.understood(&answer)?;
    Ok(SessionId(id))
}

/// Gives a sign of life; whether there is such a session.
pub(super) async fn renew(api: &Api, id: &SessionId) -> Result<bool, RegistryError> {
    let answer = api.put(&format!("/v1/session/renew/{}", escaped(&id.0)), &[], Vec::new()).await?;
    match answer.status {
        404 => Ok(false),
        _ => api.successful(answer, &[needs()]).map(|_| true),
    }
}

/// Gives it back, and with it all locks.
pub(super) async fn destroy(api: &Api, id: &SessionId) {
    // If it is in vain, the session ends by itself.
    let _ = api.put(&format!("/v1/session/destroy/{}", escaped(&id.0)), &[], Vec::new()).await;
}

/// A session belongs to the node of the agent, whose name only the agent knows.
fn needs() -> Rule {
    Rule::write("session_prefix", "")
}
