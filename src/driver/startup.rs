//! From a configuration file to a running driver.

use super::acl::AclError;
use super::handle::Handle;
use super::inbound::{self, Identity, Server};
use super::links::Links;
use super::record::Recorder;
use super::resolve::Resolver;
use super::scripts::Scripts;
use super::store::{self, ConfigError, Loaded, Settings};
use super::{Driver, clock, files, log, run};
use crate::registrar::{ConsulSettings, Presence, Registrar};
use consentinel_core::{Input, Rng, Sentinel, mix};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::LocalOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Options {
    /// The configuration file.
    pub file: PathBuf,
    /// Directives that overrule it: `--port`, `26380`, ...
    pub overrides: Vec<String>,
    /// Where to record the run.
    pub record: Option<PathBuf>,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Something of the system.
    #[error("{0}: {1}\n")]
    System(&'static str, io::Error),
    /// The users.
    #[error("the users cannot be taken in: {0}\n")]
    Users(#[from] AclError),
}

/// Messages that may wait for the loop.
const QUEUE: usize = 1024;

/// Threads for saves and lookups.
const BLOCKING_THREADS: usize = 16;

/// Starts the daemon and runs it to its end.
pub(crate) fn start(options: &Options) -> Result<ExitCode, StartError> {
    // The recording's path is relative to where we were started, not to 'dir'.
    let recorder = Recorder::new(options.record.as_deref())
        .map_err(|error| StartError::System("the recording cannot be written", error))?;
    let loaded = store::load(&options.file, &options.overrides, &|name| std::env::var(name).ok())?;
    files::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build_local(LocalOptions::default())
        .map_err(|error| StartError::System("the runtime cannot be started", error))?;
    let pidfile = loaded.settings.pidfile.clone();
    let result = runtime.block_on(serve(loaded, recorder));
    // A lookup that hangs must not keep the process.
    runtime.shutdown_background();
    if let Some(path) = pidfile {
        let _ = std::fs::remove_file(path);
    }
    result
}

async fn serve(loaded: Loaded, mut recorder: Recorder) -> Result<ExitCode, StartError> {
    let Loaded { mut settings, durable, consul, store, lost } = loaded;
    let log_level = log::start(settings.logfile.clone(), settings.loglevel);
    greet(&settings);
    files::fit_clients(&mut settings, durable.groups.values());
    lost.iter().for_each(|text| warn!("{text}"));
    let stop = StopSignals::new().map_err(|error| StartError::System("signals cannot be awaited", error))?;
    let listeners = inbound::bind(&settings)
        .map_err(|error| StartError::System("the server cannot be started", error))?;
    if let Some(path) = &settings.pidfile
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        warn!("the pidfile {} cannot be written: {error}", path.display());
    }
    let (inputs, mut receiver) = mpsc::channel(QUEUE);
    let (seed, now) = (clock::seed(), clock::now());
    recorder.start(seed, now, &durable);
    let identity =
        Identity { run_id: Rng::new(mix(seed)).hex40(), started: now, config_file: store.path().to_owned() };
    let sentinel = Sentinel::new(durable, seed, now);
    let registrar = consul
        .map(|consul| start_registrar(consul, &sentinel, inputs.clone()))
        .transpose()
        .map_err(|error| StartError::System("the registrar cannot be started", error))?;
    let mut server = Server::new(settings, identity, log_level, registrar.as_ref().map(Registrar::gauge))?;
    let store = Arc::new(store);
    let users = store.clone();
    server.on_users(Box::new(move |lines| users.set_users(lines)));
    let driver = Handle::new(|myself| Driver {
        sentinel,
        server,
        links: Links::default(),
        scripts: Scripts::new(inputs.clone()),
        resolver: Resolver::new(inputs.clone()),
        recorder,
        store,
        registrar,
        inputs,
        myself,
        responses: VecDeque::new(),
        overrun: Vec::new(),
        alarm: None,
        saved: None,
        shutdown: false,
    });
    listeners.serve(&driver);
    Ok(run(&driver, &mut receiver, stop).await)
}

fn start_registrar(
    consul: ConsulSettings,
    sentinel: &Sentinel,
    inputs: mpsc::Sender<Input>,
) -> io::Result<Registrar> {
    let config = sentinel.config();
    let dry = if consul.dry_run { ", but only as far as the log" } else { "" };
    info!("publishing into Consul at {}{dry}", consul.address);
    let presence = Presence {
        announced: config.announce_ip.as_ref().map(ToString::to_string),
        port: config.announce_port.unwrap_or(config.port),
        id: sentinel.myid().to_string(),
        observes: config.observe,
    };
    Registrar::start(consul, presence, inputs)
}

fn greet(settings: &Settings) {
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    warn!("Consentinel version={version}, bits={}, pid={pid}, just started", usize::BITS);
    info!("Running mode=sentinel, port={}.", settings.port);
    if !settings.without_effect.is_empty() {
        info!("without meaning for a sentinel, and passed over: {}", settings.without_effect.join(", "));
    }
}

/// The signals that end the process in good order.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Taken and passed over: a terminal that closes does not end the daemon.
    _hangup: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the signal that came.
    pub(super) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
