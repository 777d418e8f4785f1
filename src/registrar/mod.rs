//! The registrar: it carries out the core's requests in Consul, and tells the core what Consul holds.
//!
//! It has a thread and a runtime of its own: however slow Consul is, and however long its answers are, the loop that
//! owns the core does not feel it. What is asked of Consul, in which order, and how much at a time, is decided by
//! `consentinel-publisher`; here its calls are carried out over HTTP. Begin reading at [`driver`], which is the loop, and
//! [`calls`], which is one call.

mod address;
mod agent;
mod api;
mod calls;
mod catalog;
mod catalog_view;
mod client;
mod consul_names;
mod counters;
mod deadman_check;
mod driver;
mod dump;
mod fault;
mod render;
mod roster;
mod session;
mod settings;
mod strangers;
#[cfg(test)]
mod tests;
mod tool_client;
mod txn;

pub(crate) use agent::Presence;
pub(crate) use catalog_view::CatalogView;
pub(crate) use consul_names::{NameError, Names, SENTINEL_SERVICE};
pub(crate) use counters::{Counted, Counters};
pub(crate) use fault::{Rule, rules_as_policy};
pub(crate) use settings::{ConsulSettings, KEYS as CONSUL_KEYS, SettingError};
pub(crate) use strangers::{Stranger, sentence};
pub(crate) use tool_client::{Finding, ToolClient};

use api::Api;
use consentinel_core::{GroupName, Input, RegistryRequest};
use driver::Driver;
use roster::Roster;
use std::sync::Arc;
use std::time::Duration;
use strangers::Strangers;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

/// How long taking session and service back may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Threads that read files and look names up.
const BLOCKING_THREADS: usize = 4;

/// What was asked for which group.
type Asked = (GroupName, RegistryRequest);

/// The registrar, from outside.
pub(crate) struct Registrar {
    requests: mpsc::UnboundedSender<Asked>,
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
    counters: Arc<Counters>,
    strangers: Arc<Strangers>,
    roster: Arc<Roster>,
    settings: Arc<ConsulSettings>,
}

/// What others may see of the registrar, while it works.
pub(crate) struct Gauge {
    /// Its settings.
    pub settings: Arc<ConsulSettings>,
    counters: Arc<Counters>,
    strangers: Arc<Strangers>,
    roster: Arc<Roster>,
}

impl Gauge {
    /// The counters.
    pub(crate) fn counters(&self) -> Counted {
        self.counters.read()
    }

    /// What things of a group are called; nothing when it cannot be published under its name at all.
    pub(crate) fn names(&self, group: &GroupName) -> Option<Arc<Names>> {
        self.roster.names(group)
    }

    /// What DNS answers beside the entries of a group.
    pub(crate) fn strangers(&self, group: &GroupName) -> Vec<Stranger> {
        self.strangers.of(group)
    }

    /// Why a master of this name could never be published, as far as is known of this release of Consul.
    pub(crate) fn refuses(&self, group: &GroupName) -> Option<NameError> {
        let has_dots = group.as_str().contains("..");
        (has_dots && self.counters.refuses_dots()).then(|| NameError::Dots(group.clone()))
    }
}

impl Registrar {
    /// Starts it. What comes of requests is told to `inputs`.
    pub(crate) fn start(
        settings: ConsulSettings,
        presence: Presence,
        inputs: mpsc::Sender<Input>,
    ) -> std::io::Result<Registrar> {
        let (settings, counters) = (Arc::new(settings), Arc::new(Counters::default()));
        let (requests, asked) = mpsc::unbounded_channel();
        let (stop, stopping) = oneshot::channel();
        let (done, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let (its_settings, its_counters) = (settings.clone(), counters.clone());
        let strangers = Arc::new(Strangers::default());
        let its_strangers = strangers.clone();
        let roster = Arc::new(Roster::new(settings.clone()));
        let its_roster = roster.clone();
        std::thread::Builder::new().name("registrar".into()).spawn(move || {
            let api = Arc::new(Api::new(its_settings, its_counters));
            runtime
                .block_on(Driver::new(api, presence, inputs, its_roster, its_strangers).run(asked, stopping));
            // A lookup that hangs must not keep the thread.
            runtime.shutdown_background();
            // Nobody waits for it any more when it took too long.
            let _ = done.send(());
        })?;
        Ok(Registrar { requests, stop: Some(stop), stopped, counters, strangers, roster, settings })
    }

    /// Asks something for a group.
    pub(crate) fn ask(&self, group: GroupName, request: RegistryRequest) {
        if self.requests.send((group, request)).is_err() {
            error!("the registrar has ended: nothing is published any more");
        }
    }

    /// What others may see of it.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge {
            settings: self.settings.clone(),
            counters: self.counters.clone(),
            strangers: self.strangers.clone(),
            roster: self.roster.clone(),
        }
    }

    /// Ends it: the session and the sentinel's own service are given back, if Consul answers soon.
    pub(crate) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            if tokio::time::timeout(FAREWELL * 2, &mut self.stopped).await.is_err() {
                warn!(
                    "Consul does not answer at the end: the session and the service of this sentinel will expire"
                );
            }
        }
    }
}
