//! What tools ask of Consul, without a daemon: one question after the other.

use super::api::{Api, escaped};
use super::catalog::{Node, Service};
use super::counters::Counters;
use super::fault::Rule;
use super::names::{Names, SENTINEL_SERVICE};
use super::session::Session;
use super::settings::{ConsulSettings, PublishersLost};
use super::sight::{self, Sight};
use super::txn::{Operation, Scope, Verdict, Writer};
use super::will::WILL_SERVICE;
use crate::driver::clock;
use consentinel_core::{
    Endpoint, Entry, Epoch, Fence, Guard, Health, Host, Record, RegistryError, RegistryFault, Role, RunId,
    SentinelId, Transaction,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Speaks to one agent on behalf of a tool.
pub(crate) struct Errand {
    api: Arc<Api>,
}

/// What an agent says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgentView {
    /// Its node.
    pub node: String,
    /// Its datacenter.
    pub datacenter: String,
    /// The version of Consul.
    pub version: String,
    /// How long answers over DNS may be kept, where that is not zero: for what, and how long.
    pub dns_ttls: Vec<(String, String)>,
    /// Whether the agent answers DNS out of its cache.
    pub dns_cache: bool,
}

/// An entry under one of our service names that stands on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stranger {
    /// The service.
    pub service: String,
    /// Its ID.
    pub id: String,
    /// Its node.
    pub node: String,
    /// Where it says that it is.
    pub address: String,
}

/// What came of trying something.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// It is allowed.
    Allowed,
    /// These rules are missing.
    Missing(Vec<Rule>),
    /// It could not be tried.
    Untried(RegistryError),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentSelf {
    config: AgentConfig,
    #[serde(default)]
    debug_config: DebugConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct AgentConfig {
    node_name: String,
    datacenter: String,
    version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DebugConfig {
    #[serde(rename = "DNSNodeTTL")]
    node_ttl: Option<String>,
    #[serde(rename = "DNSServiceTTL")]
    service_ttl: Option<BTreeMap<String, String>>,
    #[serde(rename = "DNSUseCache")]
    use_cache: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
}

/// An index that no key has reached, so that a guard on it cannot hold.
const NEVER: Fence = Fence(i64::MAX as u64);

impl Errand {
    /// By these settings.
    pub(crate) fn new(settings: ConsulSettings) -> Errand {
        Errand { api: Arc::new(Api::new(Arc::new(settings), Arc::new(Counters::default()))) }
    }

    /// Where Consul is asked.
    pub(crate) fn address(&self) -> &str {
        self.api.address()
    }

    /// The address of the servers' leader.
    pub(crate) async fn leader(&self) -> Result<String, RegistryError> {
        let leader: String = self.api.get("/v1/status/leader", &[], &[]).await?.unwrap_or_default();
        match leader.is_empty() {
            false => Ok(leader),
            true => Err(RegistryError {
                kind: RegistryFault::Leaderless,
                text: format!(
                    "Consul at {} has no leader: how many of its servers are running?",
                    self.address()
                ),
            }),
        }
    }

    /// What the agent says about itself.
    pub(crate) async fn agent(&self) -> Result<AgentView, RegistryError> {
        let needs = [Rule::read("agent_prefix", "")];
        let told: Option<AgentSelf> = self.api.get("/v1/agent/self", &[], &needs).await?;
        let Some(AgentSelf { config, debug_config }) = told else { return Ok(AgentView::default()) };
        let nodes = debug_config.node_ttl.map(|ttl| ("nodes".to_owned(), ttl));
        let services = debug_config.service_ttl.unwrap_or_default();
        let ttls = nodes.into_iter().chain(services).filter(|(_, ttl)| ttl != "0s");
        Ok(AgentView {
            node: config.node_name,
            datacenter: config.datacenter,
            version: config.version,
            dns_ttls: ttls.collect(),
            dns_cache: debug_config.use_cache,
        })
    }

    /// The names of the groups of which KV knows something.
    pub(crate) async fn groups(&self) -> Result<Vec<String>, RegistryError> {
        let folder = format!("{}/", self.api.settings().kv_prefix);
        let path = format!("/v1/kv/{}", escaped(&folder));
        let needs = [Rule::read("key_prefix", &folder)];
        let keys: Option<Vec<String>> =
            self.api.get(&path, &[("keys", ""), ("separator", "/")], &needs).await?;
        let name = |key: String| Some(key.strip_prefix(&folder)?.strip_suffix('/')?.to_owned());
        Ok(keys.unwrap_or_default().into_iter().filter_map(name).collect())
    }

    /// All that there is of a group.
    pub(crate) async fn look(&self, names: &Names) -> Result<Sight, RegistryError> {
        sight::look(&self.api, names, None).await
    }

    /// Entries under a group's service names that are not on its node: DNS answers them, too.
    pub(crate) async fn strangers(&self, names: &Names) -> Result<Vec<Stranger>, RegistryError> {
        let mut strangers = Vec::new();
        for service in [&names.service, &names.replica_service] {
            let found = self.instances(service).await?;
            let others = found.into_iter().filter(|found| !found.node.name.eq_ignore_ascii_case(&names.node));
            strangers.extend(others.map(|found| Stranger {
                service: service.clone(),
                address: match found.service.address.is_empty() {
                    true => format!("{}:{}", found.node.address, found.service.port),
                    false => format!("{}:{}", found.service.address, found.service.port),
                },
                id: found.service.id,
                node: found.node.name,
            }));
        }
        Ok(strangers)
    }

    async fn instances(&self, service: &str) -> Result<Vec<Instance>, RegistryError> {
        let needs = [Rule::read("service", service), Rule::read("node_prefix", "")];
        let path = format!("/v1/health/service/{}", escaped(service));
        Ok(self.api.get(&path, &[("consistent", "")], &needs).await?.unwrap_or_default())
    }

    /// Whether everything that a daemon writes for a group may be written. A transaction of all of it is sent with
    /// a guard that cannot hold: rights are looked at first, and nothing is written either way.
    pub(crate) async fn try_writing(&self, names: &Names) -> Finding {
        let (mut operations, guards) = self.trial(names);
        operations.push(self.writer(names).set_service(SENTINEL_SERVICE));
        if self.api.settings().on_publishers_lost == PublishersLost::Critical {
            operations.push(self.writer(names).set_service(WILL_SERVICE));
        }
        match self.api.transact(&operations, guards, names).await {
            Ok(Verdict::Stale) => Finding::Allowed,
            Ok(Verdict::Denied(missing, _)) => Finding::Missing(missing),
            Ok(other) => Finding::Untried(self.api.nonsense(&format!("a trial came to {other:?}"))),
            Err(error) => Finding::Untried(error),
        }
    }

    fn trial(&self, names: &Names) -> (Vec<Operation>, usize) {
        let (run_id, publisher) = (RunId::new("trial"), SentinelId::new("trial"));
        let nowhere = Endpoint::new(Host::Ip(std::net::Ipv4Addr::LOCALHOST.into()), 1);
        let record = Record { epoch: Epoch(0), master: nowhere.clone(), run_id, publisher };
        let entry = |role| Entry {
            role,
            addr: nowhere.clone(),
            run_id: None,
            epoch: Epoch(0),
            health: Health::Critical,
            sentence: "a trial".into(),
        };
        let transaction = Transaction {
            guard: Guard::Claim { fence: NEVER, record, before: Some(nowhere.clone()) },
            remove: Vec::new(),
            sweep: Vec::new(),
            set: vec![entry(Role::Master), entry(Role::Replica)],
        };
        let plan = self.writer(names).plan(&transaction);
        (plan.first, plan.guards)
    }

    /// Whether a session can be had: one is made, and given back.
    pub(crate) async fn try_session(&self) -> Finding {
        let session = Session::new(self.api.clone(), "consentinel consul check".into());
        let result = session.get(None).await;
        session.destroy().await;
        match result {
            Ok(_) => Finding::Allowed,
            Err(error) if error.kind == RegistryFault::Denied => {
                Finding::Missing(vec![Rule::write("session_prefix", "")])
            }
            Err(error) => Finding::Untried(error),
        }
    }

    /// Takes away all that there is of a group, if nothing has changed since it was seen. Whether it was done.
    pub(crate) async fn deregister(&self, names: &Names, seen: Fence) -> Result<bool, RegistryError> {
        let operations = self.writer(names).wipe(seen);
        match self.api.transact(&operations, 1, names).await? {
            Verdict::Done(_) => Ok(true),
            Verdict::Stale => Ok(false),
            Verdict::Denied(missing, said) => Err(self.api.denied(&missing, &said)),
            Verdict::Refused(why) => Err(self.api.nonsense(&why)),
        }
    }

    fn writer<'a>(&self, names: &'a Names) -> Writer<'a> {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        Writer {
            names,
            scope: Scope::new(self.api.settings()),
            session: None,
            history: &[],
            services: &NOTHING,
            now: clock::rfc3339(),
        }
    }
}
