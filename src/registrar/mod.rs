//! The registrar: it carries the core's wishes out in Consul, and tells it what stands there.
//!
//! It has a thread and a runtime of its own: however slow Consul is, and however long its answers are, the loop that
//! owns the core does not feel it. Requests come over a channel without a limit, which is short all the same: the core
//! never has more than one write and one look of a group under way.

mod address;
mod agent;
mod api;
mod catalog;
mod client;
mod counters;
mod errand;
mod fault;
mod names;
mod render;
mod retry;
mod roster;
mod session;
mod settings;
mod sight;
#[cfg(test)]
mod tests;
mod txn;
mod watching;
mod will;
mod worker;

pub(crate) use agent::Presence;
pub(crate) use counters::{Counted, Counters};
pub(crate) use errand::{Errand, Finding};
pub(crate) use fault::{Rule, rules_as_policy};
pub(crate) use names::{NameError, Names, SENTINEL_SERVICE, role_word};
pub(crate) use settings::{ConsulSettings, SettingError};
pub(crate) use sight::Sight;

use agent::Agent;
use api::Api;
use consentinel_core::{GroupName, Input, RegistryRequest};
use roster::Roster;
use session::Session;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::{error, warn};
use will::Will;
use worker::Shared;

/// How long good manners may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often tokens and certificates are looked at.
const REFRESH: Duration = Duration::from_secs(5);

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
    settings: Arc<ConsulSettings>,
}

/// What others may see of the registrar, while it works.
pub(crate) struct Gauge {
    /// Its settings.
    pub settings: Arc<ConsulSettings>,
    counters: Arc<Counters>,
}

impl Gauge {
    /// The counters.
    pub(crate) fn counters(&self) -> Counted {
        self.counters.read()
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
        std::thread::Builder::new().name("registrar".into()).spawn(move || {
            let api = Arc::new(Api::new(its_settings, its_counters));
            runtime.block_on(run(api, presence, inputs, asked, stopping));
            // A lookup that hangs must not keep the thread.
            runtime.shutdown_background();
            // Nobody waits for it any more when it took too long.
            let _ = done.send(());
        })?;
        Ok(Registrar { requests, stop: Some(stop), stopped, counters, settings })
    }

    /// Asks something for a group.
    pub(crate) fn ask(&self, group: GroupName, request: RegistryRequest) {
        if self.requests.send((group, request)).is_err() {
            error!("the registrar has ended: nothing is published any more");
        }
    }

    /// What others may see of it.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge { settings: self.settings.clone(), counters: self.counters.clone() }
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

async fn run(
    api: Arc<Api>,
    presence: Presence,
    inputs: mpsc::Sender<Input>,
    mut asked: mpsc::UnboundedReceiver<Asked>,
    mut stopping: oneshot::Receiver<()>,
) {
    let session = Arc::new(Session::new(api.clone(), format!("consentinel {}", presence.id)));
    let (tell_masters, masters) = watch::channel(BTreeSet::new());
    let will = Arc::new(Will::new(api.clone(), presence.port));
    let shared = Shared {
        will: will.clone(),
        api: api.clone(),
        session: session.clone(),
        slots: Arc::new(Semaphore::new(watching::WATCHED)),
        inputs,
    };
    let mut roster = Roster::new(shared, tell_masters);
    let standing = stand(api.clone(), presence.clone(), session.clone(), masters);
    let standing = async { tokio::join!(standing, will.run()) };
    tokio::pin!(standing);
    let mut refresh = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            request = asked.recv() => match request {
                Some((group, request)) => roster.ask(&group, request),
                None => break,
            },
            // Asked to stop, or the one who could ask is gone.
            _ = &mut stopping => break,
            _ = refresh.tick() => drop(api.refresh().await),
            _ = &mut standing => {}
        }
    }
    drop(roster);
    let farewell = async { tokio::join!(session.destroy(), leave(&api, &presence)) };
    // If it is in vain, both expire by themselves.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Whether this sentinel is to be found in Consul: not when it writes nothing, nor when it only looks on, because no
/// client should be sent to it then.
fn is_registered(api: &Api, presence: &Presence) -> bool {
    !api.settings().dry_run && !presence.observes
}

/// Keeps up what ends without a sign of life.
async fn stand(
    api: Arc<Api>,
    presence: Presence,
    session: Arc<Session>,
    masters: watch::Receiver<BTreeSet<String>>,
) {
    match is_registered(&api, &presence) {
        true => drop(tokio::join!(Agent::new(api, presence, masters).run(), session.keep_alive())),
        false => session.keep_alive().await,
    }
}

async fn leave(api: &Api, presence: &Presence) {
    if is_registered(api, presence) {
        agent::leave(api, presence).await;
    }
}
