//! The driver: it carries out what the core wants done, and tells it what happened.
//!
//! One task owns the core. Its loop takes something in (a timer, a link's or a client's message), hands it to the core,
//! and carries out every action that the core then has. Everything else is a task that talks to the loop over a bounded
//! channel, and the loop never waits for one of them.

mod acl;
mod bounds;
mod calls;
mod catalogue;
pub(crate) mod clock;
mod inbound;
mod links;
mod log;
mod pubsub;
mod record;
mod resolve;
mod scripts;
mod startup;
mod store;
pub(crate) mod wire;
mod word;

pub(crate) use startup::{Options, start};
pub(crate) use store::{Survey, survey};

use crate::registrar::Registrar;
use consentinel_core::{
    Action, ClientId, Input, Level, LinkError, LinkId, Notice, Request, Response, Sentinel, Time,
};
use inbound::{FromClient, Server, Step, Then, Turn};
use links::Links;
use record::Recorder;
use resolve::Resolver;
use scripts::Scripts;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tracing::{info, warn};

/// Messages that are taken in before the loop looks at the clock and the other channel again.
const BATCH: usize = 64;

/// The process exits with this when SENTINEL SIMULATE-FAILURE says so, as the original does.
const SIMULATED_CRASH: i32 = 99;

/// The requests of the driver itself; connections are numbered from 1.
const OURSELVES: ClientId = ClientId(0);

/// How long the last save may take.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// The owner of the core.
struct Driver {
    sentinel: Sentinel,
    server: Server,
    links: Links,
    scripts: Scripts,
    resolver: Resolver,
    recorder: Recorder,
    store: Arc<Store>,
    /// Nothing when nothing is published.
    registrar: Option<Registrar>,
    inputs: mpsc::Sender<Input>,
    /// Answers of the core that were not yet given to their clients.
    responses: VecDeque<(ClientId, Response)>,
    /// Links that were given up because they cannot keep up.
    overrun: Vec<LinkId>,
    shutdown: bool,
}

impl Driver {
    /// Runs until somebody wants the process to end.
    async fn run(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        clients: &mut mpsc::Receiver<FromClient>,
        mut stop: startup::StopSignals,
    ) -> ExitCode {
        self.drain();
        let mut alarm = Alarm::new();
        while !self.shutdown {
            alarm.set(self.sentinel.poll_timeout());
            tokio::select! {
                biased;
                name = stop.recv() => {
                    warn!("Received {name}, scheduling shutdown...");
                    break;
                }
                () = &mut alarm.sleep, if alarm.at.is_some() => self.input(Input::Wake),
                Some(input) = inputs.recv() => self.input(input),
                Some(message) = clients.recv() => self.client(message),
            }
            // Whatever else has arrived is taken in without asking the runtime; both sides get their share.
            for _ in 0..BATCH {
                let Ok(input) = inputs.try_recv() else { break };
                self.input(input);
            }
            for _ in 0..BATCH {
                let Ok(message) = clients.try_recv() else { break };
                self.client(message);
            }
            self.recorder.flush();
        }
        // Nobody waits for what it still has to tell.
        let mut registrar = self.registrar.take();
        let farewell = async {
            if let Some(registrar) = &mut registrar {
                registrar.stop().await;
            }
        };
        let (code, ()) = tokio::join!(self.finish(inputs), farewell);
        code
    }

    /// Hands something to the core and carries out what follows.
    fn input(&mut self, input: Input) {
        match &input {
            Input::Link { link, up: Err(_) } => self.links.forget(*link),
            Input::ScriptEnded { job, .. } => self.scripts.forget(*job),
            _ => {}
        }
        self.hand_over(input);
        while let Some((client, response)) = self.responses.pop_front() {
            if let Some(mut turn) = self.server.unpark(client) {
                self.server.answer(&mut turn, &response);
                self.turn(turn);
            }
        }
    }

    fn hand_over(&mut self, input: Input) {
        let now = clock::now();
        self.recorder.input(now, &input);
        self.sentinel.handle(now, input);
        self.drain();
        while let Some(link) = self.overrun.pop() {
            let now = clock::now();
            let input = Input::Link { link, up: Err(LinkError::Closed) };
            self.recorder.input(now, &input);
            self.sentinel.handle(now, input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.sentinel.poll_action() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Resolve { name } => self.resolver.resolve(name),
            Action::Connect { link, to, ip, kind, renames } => {
                self.links.connect(link, SocketAddr::new(ip, to.port), kind, renames);
            }
            Action::Disconnect(link) => self.links.disconnect(link),
            Action::Call { link, call, command } => {
                if !self.links.call(link, call, command) {
                    self.overrun.push(link);
                }
            }
            Action::Save { seq, state } => {
                let (store, inputs) = (self.store.clone(), self.inputs.clone());
                tokio::task::spawn_blocking(move || {
                    let result = store.save(&state);
                    // Nobody waits for it any more when the loop has ended.
                    let _ = inputs.blocking_send(Input::Saved { seq, result });
                });
            }
            Action::Respond { client, response } => self.responses.push_back((client, response)),
            Action::Register { group, request } => {
                if let Some(registrar) = &self.registrar {
                    registrar.ask(group, request);
                }
            }
            Action::Notify(notice) => self.notify(&notice),
            Action::RunScript { job, path, args } => {
                if let Some(pid) = self.scripts.run(job, &path, &args) {
                    self.sentinel.handle_script_pid(job, pid);
                }
            }
            Action::KillScript(job) => self.scripts.kill(job),
            Action::Exit => {
                self.recorder.flush();
                std::process::exit(SIMULATED_CRASH);
            }
        }
    }

    fn notify(&mut self, notice: &Notice) {
        match notice {
            Notice::Event { level, event, payload, .. } => {
                log::line(*level, format_args!("{event} {payload}"));
                if *level != Level::Debug {
                    self.server.publish(event.as_str(), payload);
                }
            }
            Notice::Log { level, text } => log::line(*level, format_args!("{text}")),
        }
    }

    fn client(&mut self, message: FromClient) {
        match message {
            FromClient::Opened(opened) => self.server.handle_opened(opened),
            FromClient::Asks(turn) => self.turn(turn),
            FromClient::Closed(id) => self.server.handle_closed(id),
        }
    }

    /// Serves a client until it has no more to ask for, or the core must think first.
    fn turn(&mut self, mut turn: Turn) {
        loop {
            match self.server.serve(&self.sentinel, &mut turn) {
                Step::Over(then) => return self.server.end_turn(turn, then),
                Step::Tell(hello) => self.hand_over(Input::Hello { link: None, hello }),
                Step::Ask(request) => {
                    let client = turn.id;
                    self.hand_over(Input::Request { client, request });
                    let mine = self.responses.iter().position(|(id, _)| *id == client);
                    match mine.and_then(|at| self.responses.remove(at)) {
                        Some((_, response)) => self.server.answer(&mut turn, &response),
                        None => return self.server.park(turn),
                    }
                }
                Step::Shutdown => {
                    warn!("User requested shutdown...");
                    self.shutdown = true;
                    return self.server.end_turn(turn, Then::Close);
                }
            }
        }
    }

    /// Writes the state a last time.
    async fn finish(&mut self, inputs: &mut mpsc::Receiver<Input>) -> ExitCode {
        self.hand_over(Input::Request { client: OURSELVES, request: Request::FlushConfig });
        let saved = async {
            loop {
                match self.responses.pop_front() {
                    Some((OURSELVES, response)) => return response == Response::Ok,
                    Some(_) => {}
                    None => match inputs.recv().await {
                        Some(input) => self.hand_over(input),
                        None => return false,
                    },
                }
            }
        };
        let saved = tokio::time::timeout(LAST_SAVE, saved).await.unwrap_or(false);
        self.recorder.flush();
        if !saved {
            warn!("the state could not be saved at the end; what was promised to others was saved before");
        }
        info!("Consentinel is now ready to exit, bye bye...");
        if saved { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The one timer. It is only set anew when the core's next deadline has changed.
struct Alarm {
    at: Option<Time>,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new() -> Self {
        Alarm { at: None, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    fn set(&mut self, at: Option<Time>) {
        // A timer that has gone off must be set even for the same deadline: it may have gone off too early.
        if self.at != at || self.sleep.is_elapsed() {
            self.at = at;
            if let Some(at) = at {
                self.sleep.as_mut().reset(clock::alarm(at));
            }
        }
    }
}
