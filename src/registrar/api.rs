//! Consul's HTTP API, as far as it is needed: paths, parameters, deadlines, and what answers mean.

use super::catalog::{CatalogNode, Check, Pair};
use super::client::{Answer, Call, Client, Trouble, Verb};
use super::consul_names::{NameError, Names};
use super::counters::Counters;
use super::fault::{self, Rule};
use super::settings::ConsulSettings;
use super::strangers::Stranger;
use super::txn::{Operation, Refusal, TransactionAnswer, Verdict, Versions};
use consentinel_core::{GroupName, RegistryError, RegistryFault, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tracing::debug;

/// How long a look or a write may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long reading everything of a thousand groups and more may take.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// How long Consul shall wait for a change before it answers that there was none. It adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(60);
const WAIT_MARGIN: Duration = Duration::from_secs(15);

/// What such a request may take, if all is well.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(64);

/// After so many connections in a row that were taken and closed without an answer, we are one too many.
const CUTS: u32 = 2;

/// Speaks to one agent.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    counters: Arc<Counters>,
    settings: Arc<ConsulSettings>,
    address: String,
    /// How many times in a row a connection was closed without an answer.
    cuts: AtomicU32,
}

/// A part of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    /// The record, the history, the lock.
    Folder,
    /// The node and its services.
    Services,
    /// The checks.
    Checks,
}

impl Aspect {
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

/// Something that was read, and of which version it is; nothing where there is nothing.
#[derive(Debug)]
pub(super) struct Versioned<T> {
    /// The index.
    pub index: u64,
    /// How many bytes it took.
    pub bytes: usize,
    /// What was read.
    pub value: Option<T>,
}

impl Api {
    /// An API by these settings.
    pub(crate) fn new(settings: Arc<ConsulSettings>, counters: Arc<Counters>) -> Api {
        Api {
            client: Client::new(settings.clone(), counters.clone()),
            counters,
            address: settings.address.to_string(),
            settings,
            cuts: AtomicU32::new(0),
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
        let answer = self.ask(Verb::Get, path, params, Vec::new()).await?;
        match answer.status {
            404 => Ok(None),
            200 => self.understood(&answer),
            _ => Err(self.refused(&answer, needs)),
        }
    }

    /// Reads what has a version: once it is another than this one, or after a while; without one at once, and as new as
    /// can be.
    pub(super) async fn versioned<T: DeserializeOwned>(
        &self,
        path: &str,
        params: &[(&str, &str)],
        index: Option<u64>,
        needs: &[Rule],
        is_large: bool,
    ) -> Result<Versioned<T>, RegistryError> {
        let token = self.client.token();
        let mut answer = self.ask_versioned(path, params, index, is_large).await?;
        if index.is_some() && self.client.token() != token {
            // What was asked with the token of before may hide what this one shows.
            answer = self.ask_versioned(path, params, None, is_large).await?;
        }
        let value = match answer.status {
            200 => Some(self.understood(&answer)?),
            404 => None,
            _ => return Err(self.refused(&answer, needs)),
        };
        Ok(Versioned { index: answer.index.unwrap_or(0), bytes: answer.body.len(), value })
    }

    async fn ask_versioned(
        &self,
        path: &str,
        params: &[(&str, &str)],
        index: Option<u64>,
        is_large: bool,
    ) -> Result<Answer, RegistryError> {
        let (text, wait) = (index.map(|index| index.to_string()), format!("{}s", WAIT.as_secs()));
        let mut params = params.to_vec();
        match &text {
            Some(index) => params.extend([("index", index.as_str()), ("wait", &wait)]),
            None => params.push(("consistent", "")),
        }
        let call = Call {
            verb: Verb::Get,
            path: self.path(path, &params),
            body: Vec::new(),
            timeout: match index {
                Some(_) => WAIT + WAIT / 16 + WAIT_MARGIN,
                None if is_large => LONG_PATIENCE,
                None => PATIENCE,
            },
            prompt: index.is_none(),
        };
        self.send(call).await
    }

    /// Carries a transaction out, or learns why not.
    pub(super) async fn transact(
        &self,
        operations: &[Operation],
        guards: usize,
        names: &Names,
    ) -> Result<Verdict, RegistryError> {
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

    /// Carries operations out that stand each for itself: all of them, or none, and then those that were refused.
    pub(super) async fn transact_each(
        &self,
        operations: &[Operation],
        needs: &[Rule],
    ) -> Result<Result<Versions, Vec<Refusal>>, RegistryError> {
        let body = serde_json::to_vec(operations).expect("text can be written as JSON");
        let answer = self.ask(Verb::Put, "/v1/txn", &[], body).await?;
        match answer.status {
            200 | 409 => Ok(self.understood::<TransactionAnswer>(&answer)?.each()),
            _ => Err(self.refused(&answer, needs)),
        }
    }

    /// Asks the servers for something that is no look and no transaction.
    pub(super) async fn put(
        &self,
        path: &str,
        params: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RegistryError> {
        self.ask(Verb::Put, path, params, body).await
    }

    /// Asks the servers a question that does not fit into a path.
    pub(super) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, RegistryError> {
        self.ask(Verb::Post, path, &[], body).await
    }

    /// Asks the agent itself, which answers whatever becomes of the servers.
    pub(super) async fn agent(&self, path: &str, body: Vec<u8>) -> Result<Answer, RegistryError> {
        self.ask(Verb::Put, path, &[], body).await
    }

    /// Whether the agent itself has something there.
    pub(super) async fn agent_knows(&self, path: &str) -> bool {
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

    /// Another fleet has the names of this one.
    pub(super) fn taken(&self, group: &GroupName, by: &Stranger) -> RegistryError {
        let text = format!(
            "{by} has the name of {group}, and nothing of it is known here: nothing is published. Give this fleet another \
             name: sentinel consul service-template <name>, or sentinel consul-service {group} <name>. If the other \
             fleet is gone for good: consentinel consul deregister --foreign {group}"
        );
        self.judged(RegistryError { kind: RegistryFault::Taken, text })
    }

    /// A group cannot be published under its name.
    pub(super) fn unnamed(&self, error: &NameError) -> RegistryError {
        let text = error.with_hint();
        self.judged(RegistryError { kind: RegistryFault::Denied, text })
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
        let result = self.client.send(call).await;
        result.inspect(|_| self.cuts.store(0, Ordering::Relaxed)).map_err(|trouble| {
            let cuts = match trouble {
                Trouble::Cut(_) => self.cuts.fetch_add(1, Ordering::Relaxed) + 1,
                _ => 0,
            };
            if cuts == 0 {
                self.cuts.store(0, Ordering::Relaxed);
            }
            self.judged(match cuts >= CUTS {
                true => fault::of_cuts(&self.address),
                false => fault::of_trouble(&self.address, &trouble),
            })
        })
    }

    /// Counts a failure. The core tells the operator, for each group; this is for whoever looks closer.
    fn judged(&self, error: RegistryError) -> RegistryError {
        let whole = matches!(
            error.kind,
            RegistryFault::Unreachable
                | RegistryFault::Silent
                | RegistryFault::Leaderless
                | RegistryFault::Limited
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

/// What stays in a URL as it is; slashes, too.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// As it may stand in a URL.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
