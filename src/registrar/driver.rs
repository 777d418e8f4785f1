//! The loop that runs the publisher: requests and answers in, calls and events out.

use super::agent::{self, Agent, Presence};
use super::api::Api;
use super::calls::Calls;
use super::consul_names::NameError;
use super::deadman_check::DeadmanCheck;
use super::roster::Roster;
use super::session;
use super::strangers::Strangers;
use super::{Asked, FAREWELL};
use crate::clock;
use consentinel_core::{
    GroupName, Input, RegistryError, RegistryEvent, RegistryFault, RegistryRequest, Rng, Time,
};
use consentinel_publisher::{Answer, Call, CallId, Chore, Output, Publisher, Settings, delay};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

/// How often tokens and certificates are looked at.
const REFRESH: Duration = Duration::from_secs(5);

/// What is left with the agent changes many times at a time: one registration is enough for that.
const DEADMAN_RESTS: Duration = Duration::from_secs(1);

type Answered = (CallId, Result<Answer, RegistryError>);

/// Runs the publisher.
pub(super) struct Driver {
    publisher: Publisher,
    calls: Arc<Calls>,
    presence: Presence,
    inputs: mpsc::Sender<Input>,
    under_way: JoinSet<Answered>,
    handles: BTreeMap<CallId, AbortHandle>,
    /// Groups that cannot be published are told so, though perhaps not at once.
    refusals: JoinSet<()>,
    rng: Rng,
    strangers: Arc<Strangers>,
    /// Whether it was said that Consul limits us.
    limited: bool,
}

impl Driver {
    /// Nothing was asked yet.
    pub(super) fn new(
        api: Arc<Api>,
        presence: Presence,
        inputs: mpsc::Sender<Input>,
        roster: Arc<Roster>,
        strangers: Arc<Strangers>,
    ) -> Driver {
        let is_registered = is_registered(&api, &presence);
        let dry_run = api.settings().dry_run;
        let mut chores = Vec::new();
        if is_registered {
            chores.push(Chore::Presence);
        }
        if !dry_run {
            chores.push(Chore::DeadmanCheck);
        }
        let agent = is_registered.then(|| Agent::new(api.clone(), presence.clone()));
        let deadman = DeadmanCheck::new(api.clone(), presence.port);
        let label = format!("consentinel {}", presence.id);
        Driver {
            publisher: Publisher::new(Settings { seed: clock::seed(), dry_run, chores }),
            calls: Arc::new(Calls::new(api, roster, deadman, agent, label)),
            presence,
            inputs,
            under_way: JoinSet::new(),
            handles: BTreeMap::new(),
            refusals: JoinSet::new(),
            rng: Rng::new(clock::seed()),
            strangers,
            limited: false,
        }
    }

    /// Runs until it is asked to stop, or nobody is left who could ask anything.
    pub(super) async fn run(
        mut self,
        mut asked: mpsc::UnboundedReceiver<Asked>,
        mut stopping: oneshot::Receiver<()>,
    ) {
        let mut refresh = tokio::time::interval(REFRESH);
        let (strangers, calls) = (self.strangers.clone(), self.calls.clone());
        // It ends with the runtime.
        tokio::spawn(async move { strangers.watch(&calls.api, &calls.roster).await });
        loop {
            self.drain().await;
            let deadline = self.publisher.poll_deadline();
            let alarm = tokio::time::sleep_until(clock::alarm(deadline));
            tokio::select! {
                biased;
                _ = &mut stopping => break,
                request = asked.recv() => match request {
                    Some((group, request)) => self.ask(group, request),
                    None => break,
                },
                Some(answered) = self.under_way.join_next() => self.answered(answered),
                () = alarm, if deadline != Time::NEVER => self.publisher.handle_timeout(clock::now()),
                _ = refresh.tick() => {
                    while self.refusals.try_join_next().is_some() {}
                    let calls = self.calls.clone();
                    self.refusals.spawn(async move {
                        calls.api.refresh().await;
                    });
                }
            }
        }
        self.leave().await;
    }

    fn ask(&mut self, group: GroupName, request: RegistryRequest) {
        let changed = match request {
            RegistryRequest::Forget => self.calls.roster.dismiss(&group),
            _ => match self.calls.roster.admit(&group) {
                Ok(is_new) => is_new,
                Err(error) => return self.refuse(group, &request, &error),
            },
        };
        if changed {
            self.strangers.look_again();
            self.publisher.handle_chore(clock::now(), Chore::Presence, Duration::ZERO);
        }
        self.publisher.handle_request(clock::now(), group, request);
        self.calls.api.counters().watches(self.publisher.watched());
    }

    /// Answers what wants an answer, for a group that cannot be published under its name.
    fn refuse(&mut self, group: GroupName, request: &RegistryRequest, error: &NameError) {
        let pause = match request {
            RegistryRequest::Unlock => return,
            RegistryRequest::Look { tries } => delay(*tries, &mut self.rng),
            _ => Duration::ZERO,
        };
        let event = RegistryEvent::Failed(self.calls.api.unnamed(error));
        let inputs = self.inputs.clone();
        self.refusals.spawn(async move {
            tokio::time::sleep(pause).await;
            // It is not there any more only when the process ends.
            let _ = inputs.send(Input::Registry { group, event }).await;
        });
    }

    fn answered(&mut self, answered: Result<Answered, tokio::task::JoinError>) {
        match answered {
            Ok((id, result)) => {
                self.handles.remove(&id);
                self.publisher.handle_answer(clock::now(), id, result);
            }
            // Given up; a call that panicked ends the process like any other thread's defect.
            Err(error) if error.is_cancelled() => {}
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Does what the publisher says.
    async fn drain(&mut self) {
        while let Some(output) = self.publisher.poll_output() {
            match output {
                Output::Call(id, call) => self.call(id, call),
                Output::Cancel(id) => {
                    if let Some(handle) = self.handles.remove(&id) {
                        handle.abort();
                    }
                }
                Output::Event(group, event) => {
                    // It is not there any more only when the process ends.
                    let _ = self.inputs.send(Input::Registry { group, event }).await;
                }
                Output::Pretended(group, transaction) => {
                    let text = self.calls.describe(&group, &transaction);
                    info!("dry run: for {group} this would be written to Consul: {text}");
                }
                Output::Stands(group, entries) => {
                    let names = self.calls.roster.names(&group).filter(|_| !entries.is_empty());
                    if names.is_some_and(|names| self.calls.deadman.concerns(&names)) {
                        self.publisher.handle_chore(clock::now(), Chore::DeadmanCheck, DEADMAN_RESTS);
                    }
                }
                Output::Outage(error) if error.kind == RegistryFault::Limited && !self.limited => {
                    self.limited = true;
                    warn!("{error}. What is published waits until it serves us again");
                }
                Output::Outage(_) => {}
                Output::Recovered => {
                    if std::mem::take(&mut self.limited) {
                        info!("Consul serves us again");
                    }
                }
            }
        }
    }

    fn call(&mut self, id: CallId, call: Call) {
        let calls = self.calls.clone();
        let handle = self.under_way.spawn(async move { (id, calls.carry_out(call).await) });
        self.handles.insert(id, handle);
    }

    /// The session and the service are given back. If that is in vain, both expire by themselves.
    async fn leave(mut self) {
        self.under_way.abort_all();
        let session = self.publisher.take_session();
        let api = &self.calls.api;
        let give_session_back = async {
            if let Some(session) = &session {
                session::destroy(api, session).await;
            }
        };
        let give_service_back = async {
            if is_registered(api, &self.presence) {
                agent::leave(api, &self.presence).await;
            }
        };
        let farewell = async { tokio::join!(give_session_back, give_service_back) };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

/// Whether this sentinel is to be found in Consul: not when it writes nothing, nor when it only looks on, because no
/// client should be sent to it then.
fn is_registered(api: &Api, presence: &Presence) -> bool {
    !api.settings().dry_run && !presence.observes
}
