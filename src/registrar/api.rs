//! Consul's HTTP API, as far as it is needed: paths, parameters, deadlines, and what answers mean.

use super::catalog::{CatalogNode, Check, Pair};
use super::client::{Answer, Call, Client, Verb};
use super::counters::Counters;
use super::fault::{self, Rule};
use super::names::Names;
use super::settings::ConsulSettings;
use super::txn::{Operation, TransactionAnswer, Verdict};
use consentinel_core::{RegistryError, RegistryFault, Secret};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::debug;

/// How long a look or a write may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long Consul shall wait for a change before it answers that there was none. It adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(60);
const WAIT_MARGIN: Duration = Duration::from_secs(15);

/// Looks, and writes, that may be under way at a time: with the watches they stay below the 200 connections that an
/// agent allows to one client.
const READS: usize = 32;
const WRITES: usize = 32;

/// Speaks to one agent.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    counters: Arc<Counters>,
    settings: Arc<ConsulSettings>,
    address: String,
    reads: Semaphore,
    writes: Semaphore,
}

/// What a blocking query waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    /// The record, the history, the lock.
    Folder,
    /// The node and its services.
    Services,
    /// The checks.
    Checks,
}

impl Aspect {
    /// All of them.
    pub(super) const ALL: [Aspect; 3] = [Aspect::Folder, Aspect::Services, Aspect::Checks];

    fn path(self, names: &Names) -> (String, &'static [(&'static str, &'static str)]) {
        match self {
            Aspect::Folder => (format!("/v1/kv/{}", escaped(&names.folder)), &[("recurse", "")]),
            Aspect::Services => (format!("/v1/catalog/node/{}", escaped(&names.node)), &[]),
            Aspect::Checks => (format!("/v1/health/node/{}", escaped(&names.node)), &[]),
        }
    }

    fn needs(self, names: &Names) -> Rule {
        match self {
            Aspect::Folder => Rule::read("key_prefix", &names.folder),
            Aspect::Services | Aspect::Checks => Rule::read("node", &names.node),
        }
    }
}

impl Api {
    /// An API by these settings.
    pub(crate) fn new(settings: Arc<ConsulSettings>, counters: Arc<Counters>) -> Api {
        Api {
            client: Client::new(settings.clone(), counters.clone()),
            counters,
            address: settings.address.to_string(),
            settings,
            reads: Semaphore::new(READS),
            writes: Semaphore::new(WRITES),
        }
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &ConsulSettings {
        &self.settings
    }

    /// The counters.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Reads tokens and certificates again, if their files have changed.
    pub(super) async fn refresh(&self) -> bool {
        self.client.refresh().await
    }

    /// All keys of a group, as new as can be.
    pub(super) async fn pairs(&self, names: &Names) -> Result<Vec<Pair>, RegistryError> {
        Ok(self.read_now(Aspect::Folder, names).await?.unwrap_or_default())
    }

    /// A group's node with its services, as new as can be.
    pub(super) async fn node(&self, names: &Names) -> Result<Option<CatalogNode>, RegistryError> {
        self.read_now(Aspect::Services, names).await
    }

    /// All checks of a group's node, as new as can be.
    pub(super) async fn checks(&self, names: &Names) -> Result<Vec<Check>, RegistryError> {
        Ok(self.read_now(Aspect::Checks, names).await?.unwrap_or_default())
    }

    async fn read_now<T: DeserializeOwned>(
        &self,
        aspect: Aspect,
        names: &Names,
    ) -> Result<Option<T>, RegistryError> {
        let (path, params) = aspect.path(names);
        let params: Vec<_> = params.iter().copied().chain([("consistent", "")]).collect();
        self.get(&path, &params, &[aspect.needs(names)]).await
    }

    /// Reads something else; nothing when it is not there.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        params: &[(&str, &str)],
        needs: &[Rule],
    ) -> Result<Option<T>, RegistryError> {
        let _turn = turn(&self.reads).await;
        let answer = self.ask(Verb::Get, path, params, Vec::new()).await?;
        match answer.status {
            404 => Ok(None),
            200 => self.understood(&answer),
            _ => Err(self.refused(&answer, needs)),
        }
    }

    /// Waits until something has another version than this, or a while; the version that it has now. Without a
    /// version it answers at once.
    pub(super) async fn wait(
        &self,
        aspect: Aspect,
        names: &Names,
        index: Option<u64>,
    ) -> Result<Option<u64>, RegistryError> {
        let (path, params) = aspect.path(names);
        let (index, wait) = (index.map(|index| index.to_string()), format!("{}s", WAIT.as_secs()));
        let mut params = params.to_vec();
        if let Some(index) = &index {
            params.extend([("index", index.as_str()), ("wait", &wait)]);
        }
        let call = Call {
            verb: Verb::Get,
            path: self.path(&path, &params),
            body: Vec::new(),
            timeout: WAIT + WAIT / 16 + WAIT_MARGIN,
            prompt: false,
        };
        let needs = [aspect.needs(names)];
        let answer = self.send(call).await?;
        match answer.status {
            200 | 404 => Ok(answer.index),
            _ => Err(self.judged(fault::of_answer(&self.address, &answer, &needs))),
        }
    }

    /// Carries a transaction out, or learns why not.
    pub(super) async fn transact(
        &self,
        operations: &[Operation],
        guards: usize,
        names: &Names,
    ) -> Result<Verdict, RegistryError> {
        let _turn = turn(&self.writes).await;
        let body = serde_json::to_vec(operations).expect("text can be written as JSON");
        let mut needs: Vec<Rule> = operations.iter().map(|operation| operation.needs(names)).collect();
        needs.dedup();
        for last in [false, true] {
            let answer = self.ask(Verb::Put, "/v1/txn", &[], body.clone()).await?;
            let verdict = match answer.status {
                200 | 409 => {
                    self.understood::<TransactionAnswer>(&answer)?.verdict(operations, guards, names)
                }
                _ => return Err(self.judged(fault::of_answer(&self.address, &answer, &needs))),
            };
            // Nothing of it happened: with another token it may.
            if matches!(verdict, Verdict::Denied(..)) && !last && self.refresh().await {
                continue;
            }
            return Ok(verdict);
        }
        Err(fault::nonsense(&self.address, "a transaction without an end"))
    }

    /// Asks the servers for something that is no look and no transaction.
    pub(super) async fn put(
        &self,
        path: &str,
        params: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RegistryError> {
        let _turn = turn(&self.writes).await;
        self.ask(Verb::Put, path, params, body).await
    }

    /// Asks the agent itself, which answers whatever becomes of the servers.
    pub(super) async fn agent(&self, path: &str, body: Vec<u8>) -> Result<Answer, RegistryError> {
        let _turn = turn(&self.writes).await;
        self.ask(Verb::Put, path, &[], body).await
    }

    /// Whether the agent itself has something there.
    pub(super) async fn agent_knows(&self, path: &str) -> bool {
        let _turn = turn(&self.reads).await;
        self.ask(Verb::Get, path, &[], Vec::new()).await.is_ok_and(|answer| answer.status == 200)
    }

    /// The token, for requests that the agent is to send in our place.
    pub(super) fn token(&self) -> Option<Secret> {
        self.client.token()
    }

    /// What an answer says.
    pub(super) fn understood<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, RegistryError> {
        let result = serde_json::from_slice(&answer.body).map_err(|error| {
            let begin = String::from_utf8_lossy(&answer.body[..answer.body.len().min(60)]).into_owned();
            fault::nonsense(&self.address, &format!("its answer cannot be understood: {error}: '{begin}'"))
        });
        match &result {
            Ok(_) => self.succeeded(),
            Err(error) => drop(self.judged(error.clone())),
        }
        result
    }

    /// An answer that must be a success.
    pub(super) fn successful(&self, answer: Answer, needs: &[Rule]) -> Result<Answer, RegistryError> {
        match answer.status {
            200..300 => {
                self.succeeded();
                Ok(answer)
            }
            _ => Err(self.judged(fault::of_answer(&self.address, &answer, needs))),
        }
    }

    /// An answer that is no success.
    pub(super) fn refused(&self, answer: &Answer, needs: &[Rule]) -> RegistryError {
        self.judged(fault::of_answer(&self.address, answer, needs))
    }

    /// An error of a right that is missing.
    pub(super) fn denied(&self, missing: &[Rule], said: &str) -> RegistryError {
        self.judged(fault::denied(&self.address, missing, said))
    }

    /// An error that nobody has foreseen.
    pub(super) fn nonsense(&self, what: &str) -> RegistryError {
        self.judged(fault::nonsense(&self.address, what))
    }

    async fn ask(
        &self,
        verb: Verb,
        path: &str,
        params: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RegistryError> {
        let call = Call { verb, path: self.path(path, params), body, timeout: PATIENCE, prompt: true };
        self.send(call).await
    }

    async fn send(&self, call: Call) -> Result<Answer, RegistryError> {
        let first = self.exchange(call.clone()).await?;
        // The token may have been replaced a moment ago.
        match first.status == 403 && self.refresh().await {
            true => self.exchange(call).await,
            false => Ok(first),
        }
    }

    async fn exchange(&self, call: Call) -> Result<Answer, RegistryError> {
        let answer = self.client.send(call).await;
        answer.map_err(|trouble| self.judged(fault::of_trouble(&self.address, &trouble)))
    }

    /// Counts a failure. The core tells the operator, for each group; this is for whoever looks closer.
    fn judged(&self, error: RegistryError) -> RegistryError {
        let whole = matches!(
            error.kind,
            RegistryFault::Unreachable | RegistryFault::Silent | RegistryFault::Leaderless
        );
        if self.counters.failed(&error, whole) {
            debug!("{}", error.text);
        }
        error
    }

    fn succeeded(&self) {
        if self.counters.succeeded() {
            debug!("Consul at {} answers again", self.address);
        }
    }

    /// A path with its parameters, and those that every request has.
    fn path(&self, path: &str, params: &[(&str, &str)]) -> String {
        let settings = &self.settings;
        let common = [
            ("dc", settings.datacenter.as_deref()),
            ("ns", settings.namespace.as_deref()),
            ("partition", settings.partition.as_deref()),
        ];
        let common = common.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut out = path.to_owned();
        for (at, (name, value)) in params.iter().copied().chain(common).enumerate() {
            out.push(if at == 0 { '?' } else { '&' });
            out.push_str(name);
            if !value.is_empty() {
                out.push('=');
                out.push_str(&escaped(value));
            }
        }
        out
    }
}

async fn turn(turns: &Semaphore) -> SemaphorePermit<'_> {
    turns.acquire().await.expect("the semaphore is never closed")
}

/// As it may stand in a URL; slashes stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.bytes() {
        match c {
            b'/' | b'-' | b'_' | b'.' | b'~' => out.push(c as char),
            _ if c.is_ascii_alphanumeric() => out.push(c as char),
            _ => out.push_str(&format!("%{c:02X}")),
        }
    }
    out
}
