//! This daemon itself as a service on its agent, with a check that it must keep passing.

use super::address::Address;
use super::api::{Api, escaped};
use super::client::Answer;
use super::consul_names::SENTINEL_SERVICE;
use super::fault::{self, Rule};
use consentinel_core::RegistryError;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::warn;

/// Without a sign of life for this long the agent takes us for dead.
const TTL: &str = "15s";

/// When the agent forgets a sentinel that does not return.
const FORGOTTEN_AFTER: &str = "72h";

/// How a sentinel is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Where it is, as it was told to announce itself.
    pub announced: Option<String>,
    /// On which port.
    pub port: u16,
    /// Its identity.
    pub id: String,
    /// Whether it only looks on, and is not to be found at all.
    pub observes: bool,
}

/// Keeps the service registered.
pub(super) struct Agent {
    api: Arc<Api>,
    presence: Presence,
    /// With which masters as its tags it is registered.
    registered: Option<BTreeSet<String>>,
    /// What was complained about last: the same is not said again.
    complaint: Option<RegistryError>,
}

impl Agent {
    /// A service that is not registered yet.
    pub(super) fn new(api: Arc<Api>, presence: Presence) -> Agent {
        Agent { api, presence, registered: None, complaint: None }
    }

    /// Gives a sign of life. What is wrong is said once.
    pub(super) async fn beat(&mut self, masters: BTreeSet<String>) -> Result<(), RegistryError> {
        let result = self.pass_or_register(masters).await;
        match &result {
            Ok(()) => self.complaint = None,
            Err(error) => self.complain(error.clone()),
        }
        result
    }

    /// An agent that was restarted without its data is told again who we are.
    async fn pass_or_register(&mut self, masters: BTreeSet<String>) -> Result<(), RegistryError> {
        if self.registered.as_ref() == Some(&masters) && self.pass(masters.len()).await? {
            return Ok(());
        }
        self.registered = None;
        self.learn_release().await;
        self.register(&masters).await?;
        self.registered = Some(masters);
        Ok(())
    }

    /// What this release of Consul is known to refuse. Without the right to ask, its refusals tell.
    async fn learn_release(&self) {
        let told: Option<serde_json::Value> = self.api.get("/v1/agent/self", &[], &[]).await.ok().flatten();
        let version = told.as_ref().and_then(|told| told["Config"]["Version"].as_str());
        if version.is_some_and(fault::refuses_dots) {
            self.api.counters().dots_are_refused();
        }
    }

    async fn register(&self, masters: &BTreeSet<String>) -> Result<(), RegistryError> {
        let service = json!({
            "ID": service_id(&self.api, &self.presence),
            "Name": SENTINEL_SERVICE,
            "Address": self.address().await,
            "Port": self.presence.port,
            "Tags": masters,
            "Meta": { "id": self.presence.id, "version": env!("CARGO_PKG_VERSION") },
            "Check": {
                "Name": "sentinel",
                "TTL": TTL,
                "Status": "passing",
                "DeregisterCriticalServiceAfter": FORGOTTEN_AFTER,
            },
        });
        let answer = self.api.agent("/v1/agent/service/register", service.to_string().into_bytes()).await?;
        self.accepted(answer)
    }

    /// Gives a sign of life; whether the agent knows us.
    async fn pass(&self, watched: usize) -> Result<bool, RegistryError> {
        let check = format!("service:{}", service_id(&self.api, &self.presence));
        let note = json!({ "Status": "passing", "Output": format!("watches {watched} masters") });
        let path = format!("/v1/agent/check/update/{}", escaped(&check));
        let answer = self.api.agent(&path, note.to_string().into_bytes()).await?;
        match answer.status {
            200 => Ok(true),
            403 => self.accepted(answer).map(|()| true),
            // Older agents answer 500, later ones 404.
            _ => Ok(false),
        }
    }

    fn accepted(&self, answer: Answer) -> Result<(), RegistryError> {
        match answer.status {
            200 => Ok(()),
            _ => Err(self.api.refused(&answer, &[Rule::write("service", SENTINEL_SERVICE)])),
        }
    }

    /// Nothing where the agent is on this machine: then its address is ours.
    async fn address(&self) -> String {
        if let Some(announced) = &self.presence.announced {
            return announced.clone();
        }
        match &self.api.settings().address {
            Address::Tcp { host, port, .. } if !self.api.settings().address.is_local() => {
                own_address(host, *port).await.unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    fn complain(&mut self, error: RegistryError) {
        let before = self.complaint.replace(error.clone());
        if before.is_none_or(|before| before.kind != error.kind) {
            warn!("this sentinel cannot be registered as service {SENTINEL_SERVICE}: {}", error.text);
        }
    }
}

/// Takes the service away.
pub(super) async fn leave(api: &Api, presence: &Presence) {
    let path = format!("/v1/agent/service/deregister/{}", escaped(&service_id(api, presence)));
    // If it is in vain, the check will tell.
    let _ = api.agent(&path, Vec::new()).await;
}

fn service_id(api: &Api, presence: &Presence) -> String {
    let port = presence.port;
    match api.settings().address.is_local() {
        true => format!("{SENTINEL_SERVICE}:{port}"),
        // Sentinels of several machines may share an agent.
        false => format!("{SENTINEL_SERVICE}:{}:{port}", presence.id.chars().take(8).collect::<String>()),
    }
}

/// By which address of ours a remote agent is reached.
async fn own_address(host: &str, port: u16) -> Option<String> {
    for target in tokio::net::lookup_host((host, port)).await.ok()? {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // Nothing is sent: the kernel only chooses the way.
        let socket = tokio::net::UdpSocket::bind(any).await.ok()?;
        if socket.connect(target).await.is_ok() {
            return socket.local_addr().ok().map(|addr| addr.ip().to_string());
        }
    }
    None
}
