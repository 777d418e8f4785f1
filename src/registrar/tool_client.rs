//! What `consentinel consul` asks of Consul, without a daemon: one question after the other.

use super::api::{Api, LONGEST_WAIT, escaped};
use super::catalog_view::{self, CatalogView};
use super::consul_names::{Names, SENTINEL_SERVICE};
use super::counters::Counters;
use super::deadman_check::{DEADMAN_CHECK, DEADMAN_SERVICE};
use super::dump;
use super::fault::Rule;
use super::session;
use super::settings::{ConsulSettings, PublishersLost};
use super::strangers::{self, Stranger};
use super::txn::{Operation, Scope, Verdict, Writer};
use crate::clock;
use consentinel_core::{
    Endpoint, Entry, Epoch, Fence, Guard, Health, Host, Record, RegistryError, RegistryFault, Role, RunId,
    SentinelId, Transaction,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Asks one agent for a tool.
pub(crate) struct ToolClient {
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
    /// After how long it ends a request, where that is less than one that waits may take: which limit, and how long.
    pub short_timeouts: Vec<(String, String)>,
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

/// The limits of an agent's HTTP server on a whole request that are shorter than a request that waits. Releases differ in
/// where they say it, and how they spell it.
fn short_timeouts(config: &Value) -> Vec<(String, String)> {
    let limits = config.as_object().into_iter().flatten().flat_map(|(name, value)| match value.as_object() {
        Some(inner) => inner.iter().map(|(inner, value)| (format!("{name}{inner}"), value)).collect(),
        None => vec![(name.clone(), value)],
    });
    let is_meant = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "");
        name.contains("http") && (name.ends_with("readtimeout") || name.ends_with("writetimeout"))
    };
    limits
        .filter(|(name, _)| is_meant(name))
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .filter(|(_, value)| go_duration(value).is_some_and(|it| !it.is_zero() && it < LONGEST_WAIT))
        .collect()
}

/// `1m30s`, as Go writes a span of time.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = tail;
    }
    Some(total)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Authorized {
    allow: bool,
}

/// An index that no key has reached, so that a guard on it cannot hold.
const NEVER: Fence = Fence(i64::MAX as u64);

impl ToolClient {
    /// By these settings.
    pub(crate) fn new(settings: ConsulSettings) -> ToolClient {
        ToolClient { api: Arc::new(Api::new(Arc::new(settings), Arc::new(Counters::default()))) }
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
        let told: Option<Value> = self.api.get("/v1/agent/self", &[], &needs).await?;
        let short_timeouts =
            told.as_ref().map(|told| short_timeouts(&told["DebugConfig"])).unwrap_or_default();
        let told = told.map(serde_json::from_value::<AgentSelf>).transpose();
        let told =
            told.map_err(|error| self.api.nonsense(&format!("what the agent says of itself: {error}")))?;
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
            short_timeouts,
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

    /// The names that a daemon would use: a group that stands on the node of an earlier release stays there.
    pub(crate) async fn settled(&self, names: Names) -> Result<Names, RegistryError> {
        let Some(staying) = names.staying() else { return Ok(names) };
        let (_, record, _) = dump::record(&self.api, &names).await?;
        let node = dump::whole_node(&self.api, &staying.node).await?.value;
        let is_there = record
            .record
            .zip(node)
            .is_some_and(|(record, node)| dump::carries(&names, &node, &record.master));
        Ok(if is_there { staying } else { names })
    }

    /// All that there is of a group.
    pub(crate) async fn look(&self, names: &Names) -> Result<CatalogView, RegistryError> {
        catalog_view::look(&self.api, names).await
    }

    /// Entries under a group's service names that are not on its node.
    pub(crate) async fn strangers(&self, names: &Names) -> Result<Vec<Stranger>, RegistryError> {
        strangers::of(&self.api, names).await
    }

    /// Whether every node may be seen, as DNS shows it: entries of others are hidden otherwise.
    pub(crate) async fn try_seeing(&self) -> Finding {
        let rule = Rule::read("node_prefix", "");
        // A node that no rule is about by its own name.
        let question = json!([{ "Resource": "node", "Access": "read", "Segment": "any-node" }]).to_string();
        let answer = match self.api.post("/v1/internal/acl/authorize", question.into_bytes()).await {
            Ok(answer) => answer,
            Err(error) => return Finding::Untried(error),
        };
        match answer.status {
            200 => match self.api.understood::<Vec<Authorized>>(&answer) {
                Ok(rights) if rights.iter().all(|right| right.allow) => Finding::Allowed,
                Ok(_) => Finding::Missing(vec![rule]),
                Err(error) => Finding::Untried(error),
            },
            // Where there are no ACLs everything is allowed.
            _ if String::from_utf8_lossy(&answer.body).contains("ACL support disabled") => Finding::Allowed,
            _ => Finding::Untried(self.api.refused(&answer, &[rule])),
        }
    }

    /// Takes an entry of somebody else away.
    pub(crate) async fn remove(&self, stranger: &Stranger) -> Result<(), RegistryError> {
        let Stranger { node, id, service, .. } = stranger;
        let body = json!({ "Node": node, "ServiceID": id }).to_string();
        let answer = self.api.put("/v1/catalog/deregister", &[], body.into_bytes()).await?;
        self.api.successful(answer, &[Rule::write("service", service)]).map(drop)
    }

    /// Whether everything that a daemon writes for a group may be written. A transaction of all of it is sent with
    /// a guard that cannot hold: rights are looked at first, and nothing is written either way.
    pub(crate) async fn try_writing(&self, names: &Names) -> Finding {
        let (mut operations, guards) = self.trial(names);
        operations.push(self.writer(names).set_service(SENTINEL_SERVICE));
        if self.api.settings().on_publishers_lost == PublishersLost::Critical {
            operations.push(self.writer(names).set_service(DEADMAN_SERVICE));
            operations.push(self.writer(names).set_node_check(DEADMAN_CHECK));
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
        let sentinels = vec![publisher.clone()];
        let record = Record { epoch: Epoch(0), master: nowhere.clone(), run_id, publisher, sentinels };
        let entry = |role| Entry {
            role,
            addr: nowhere.clone(),
            run_id: None,
            epoch: Epoch(0),
            health: Health::Critical,
            cause: None,
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
        match session::begin(&self.api, "consentinel consul check", None).await {
            Ok(id) => {
                session::destroy(&self.api, &id).await;
                Finding::Allowed
            }
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
            Verdict::BadKey(why) | Verdict::Refused(why) => Err(self.api.nonsense(&why)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_ends_requests_too_early_is_known_however_it_says_so() {
        let of =
            |config: Value| short_timeouts(&config).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(
            of(json!({ "HTTPWriteTimeout": "30s", "HTTPReadTimeout": "15m0s", "HTTPPort": 1 })),
            ["30s"]
        );
        assert_eq!(
            of(json!({ "HTTPConfig": { "write_timeout": "1m0s", "read_header_timeout": "5s" } })),
            ["1m0s"]
        );
        assert_eq!(of(json!({ "HTTPWriteTimeout": "0s", "RPCReadTimeout": "5s" })), Vec::<String>::new());
        assert_eq!(of(Value::Null), Vec::<String>::new());
        assert_eq!(go_duration("1m30.5s"), Some(Duration::from_millis(90_500)));
    }
}
