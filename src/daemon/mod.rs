//! The driver: it carries out what the core wants done, and tells it what happened.
//!
//! One thread does it all. The task of a connection reads, calls the driver (`handle.rs`), and writes what that has left
//! for it; the loop here does the same for the timer and for what other threads report. The core takes in one thing
//! after the other, every action that follows is carried out before the next, and nothing in here ever waits.

mod calls;
mod event_feed;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(unreachable_pub, reason = "the crate exports it only for fuzzing")]
pub mod fuzzing;
mod handle;
mod links;

mod record;
mod resolve;
mod scripts;
mod startup;
mod status_answers;

pub(crate) use startup::{Options, start};

use crate::config::Store;
use crate::dns::Announcer;
use crate::process::Signals;
use crate::registrar::Registrar;
use crate::server::{Server, Step, Then, Turn};
use crate::status::meters::Meters;
use crate::status::{Facts, Moment};
use crate::{clock, log};
use consentinel_core::{Action, ClientId, Input, Level, Notice, Request, Response, Sentinel, Time};
use handle::{Handle, Myself};
use links::{Links, More, PATIENCE};
use record::Recorder;
use resolve::Resolver;
use scripts::Scripts;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tracing::{trace_span, warn};

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
    /// Tells those who answer DNS.
    announcer: Announcer,
    /// Where other threads report.
    inputs: mpsc::Sender<Input>,
    myself: Myself,
    /// Answers of the core that were not yet given to their clients.
    responses: VecDeque<(ClientId, Response)>,
    /// When the loop will come without being called.
    alarm: Option<Time>,
    /// What came of the last save.
    saved: Option<bool>,
    /// What is measured of ourselves.
    meters: Arc<Meters>,
    /// For the log.
    failovers: crate::log::Failovers,
    shutdown: bool,
}

/// Runs until somebody wants the process to end.
async fn run(driver: &Handle, inputs: &mut mpsc::Receiver<Input>, mut stop: Signals) -> ExitCode {
    driver.driver().drain();
    let mut alarm = Alarm::new();
    loop {
        let more = driver.driver().next_senders();
        alarm.set(driver.driver().next_alarm());
        tokio::select! {
            biased;
            name = stop.recv() => {
                warn!("Received {name} scheduling shutdown...");
                warn!("User requested shutdown...");
                break;
            }
            () = &mut alarm.sleep, if alarm.at.is_some() => driver.driver().wake(),
            Some(input) = inputs.recv() => driver.input(input),
            () = driver.changed() => {}
            () = tokio::task::yield_now(), if more == More::Now => {}
            () = async { tokio::time::sleep(PATIENCE).await }, if more == More::WhenAnswered => {}
        }
        if driver.driver().shutdown {
            break;
        }
    }
    stop.insist();
    crate::process::notify("STOPPING=1");
    // Nobody waits for what it still has to tell.
    let mut registrar = driver.driver().registrar.take();
    let farewell = async {
        if let Some(registrar) = &mut registrar {
            registrar.stop().await;
        }
    };
    let (code, ()) = tokio::join!(finish(driver, inputs), farewell);
    code
}

/// Writes the state a last time.
async fn finish(driver: &Handle, inputs: &mut mpsc::Receiver<Input>) -> ExitCode {
    driver.input(Input::Request { client: OURSELVES, request: Request::FlushConfig });
    let saved = async {
        loop {
            if let Some(saved) = driver.driver().saved {
                return saved;
            }
            match inputs.recv().await {
                Some(input) => driver.input(input),
                None => return false,
            }
        }
    };
    let saved = tokio::time::timeout(LAST_SAVE, saved).await.unwrap_or(false);
    if !saved {
        warn!("the state could not be saved at the end; what was promised to others was saved before");
    }
    warn!("Sentinel is now ready to exit, bye bye...");
    if saved { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Driver {
    /// Hands something to the core and carries out what follows.
    fn input(&mut self, input: Input) {
        let _span = match &input {
            Input::Link { link, .. } | Input::Reply { link, .. } | Input::Hello { link: Some(link), .. } => {
                Some(trace_span!("link", link = link.0).entered())
            }
            _ => None,
        };
        match &input {
            Input::Link { link, up: Err(_) } => self.links.forget(*link),
            Input::ScriptEnded { job, .. } => self.scripts.forget(*job),
            _ => {}
        }
        self.hand_over(input);
        self.settle();
    }

    /// Serves a client until it has no more to ask for. Nothing when the core must think first.
    fn turn(&mut self, turn: Turn) -> Option<(Turn, Then)> {
        let ended = self.serve(turn);
        self.settle();
        ended
    }

    /// A deadline may have passed.
    fn wake(&mut self) {
        // Deadlines move, and the alarm follows only those that come closer.
        if self.sentinel.poll_timeout().is_some_and(|at| at <= clock::now()) {
            self.input(Input::Wake);
        }
    }

    /// Lets some connections send, and says when others may.
    fn next_senders(&mut self) -> More {
        self.links.ring_some();
        self.links.more()
    }

    /// When the loop must come the next time.
    fn next_alarm(&mut self) -> Option<Time> {
        self.alarm = self.sentinel.poll_timeout();
        self.alarm
    }

    /// Whether the loop would come too late.
    fn wants_attention(&self) -> bool {
        let too_late = |at| self.alarm.is_none_or(|alarm| at < alarm);
        self.shutdown || self.links.more() == More::Now || self.sentinel.poll_timeout().is_some_and(too_late)
    }

    /// Gives out the answers that others had to wait for.
    fn settle(&mut self) {
        while let Some((client, response)) = self.responses.pop_front() {
            if client == OURSELVES {
                self.saved = Some(response == Response::Ok);
            } else if let Some(mut turn) = self.server.unpark(client) {
                self.server.answer(&mut turn, &response);
                if let Some((turn, then)) = self.serve(turn) {
                    self.server.deliver(turn, then);
                }
            }
        }
        self.recorder.flush();
    }

    fn hand_over(&mut self, input: Input) {
        let now = clock::now();
        if let Some(due) = self.sentinel.poll_timeout().filter(|due| *due <= now) {
            self.meters.lag.add(now - due);
        }
        self.recorder.input(now, &input);
        let published = match &input {
            Input::Registry { group, .. } if self.server.history.awaits_publication(group) => {
                Some(group.clone())
            }
            _ => None,
        };
        self.sentinel.handle(now, input);
        if let Some(group) = published {
            let facts = Facts::after_switch(&self.sentinel, &group);
            self.server.history.handle_registry(moment(), &group, facts);
        }
        self.drain();
        self.announcer.beat(now);
    }

    /// Carries out what the core wants, and tells it what has come of that already.
    fn drain(&mut self) {
        loop {
            while let Some(action) = self.sentinel.poll_action() {
                self.carry_out(action);
            }
            let Some(input) = self.links.poll_input() else { return };
            let now = clock::now();
            self.recorder.input(now, &input);
            self.sentinel.handle(now, input);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Resolve { name } => self.resolver.resolve(name),
            Action::Connect { link, to, ip, kind, renames } => {
                let driver = self.myself.handle();
                self.links.connect(link, SocketAddr::new(ip, to.port), kind, renames, driver);
            }
            Action::Disconnect(link) => self.links.disconnect(link),
            Action::Call { link, call, command } => self.links.call(link, call, &command),
            Action::Save { seq, state } => {
                let (store, inputs, meters) = (self.store.clone(), self.inputs.clone(), self.meters.clone());
                tokio::task::spawn_blocking(move || {
                    let began = Instant::now();
                    let result = store.save(&state);
                    meters.saved(began.elapsed(), result.is_err());
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
            Action::Dns { group, view } => {
                self.announcer.announce(&group, view.map(|view| *view), clock::now());
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
                log::flush();
                std::process::exit(SIMULATED_CRASH);
            }
        }
    }

    fn notify(&mut self, notice: &Notice) {
        match notice {
            Notice::Event { level, event, detail, group } => {
                self.failovers.tell(*level, *event, detail, group.as_ref());
                let (group, moment) = (group.as_ref(), moment());
                let facts = Facts::of(&self.sentinel, *event, group);
                self.server.history.handle_event(moment, *event, detail, group, facts);
                if *level != Level::Debug {
                    self.server.publish(event.as_str(), &detail.to_string());
                }
            }
            Notice::Log { level, text } => log::line(*level, format_args!("{text}")),
        }
    }

    fn serve(&mut self, mut turn: Turn) -> Option<(Turn, Then)> {
        let _span = trace_span!("command", client = turn.id.0).entered();
        loop {
            match self.server.serve(&self.sentinel, &mut turn) {
                Step::Over(then) => return Some((turn, then)),
                Step::Tell(hello) => self.hand_over(Input::Hello { link: None, hello }),
                Step::Ask(request) => {
                    let client = turn.id;
                    self.hand_over(Input::Request { client, request });
                    let mine = self.responses.iter().position(|(id, _)| *id == client);
                    match mine.and_then(|at| self.responses.remove(at)) {
                        Some((_, response)) => self.server.answer(&mut turn, &response),
                        None => {
                            self.server.park(turn);
                            return None;
                        }
                    }
                }
                Step::Shutdown => {
                    warn!("User requested shutdown...");
                    self.shutdown = true;
                    return Some((turn, Then::Close));
                }
            }
        }
    }
}

/// Now, for the history.
fn moment() -> Moment {
    Moment { now: clock::now(), unix_ms: u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX) }
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
