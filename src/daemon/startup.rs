//! From a configuration file to a running driver.

use super::handle::Handle;
use super::{event_feed, status_answers};
use crate::clock;
use crate::config::{self, ConfigError, Loaded, Settings};
use crate::daemon::Driver;
use crate::daemon::links::Links;
use crate::daemon::record::Recorder;
use crate::daemon::resolve::Resolver;
use crate::daemon::run;
use crate::daemon::scripts::Scripts;
use crate::dns::{Announcer, DnsViewBuilder, Sockets};
use crate::http;
use crate::log;
use crate::log::LogLevel;
use crate::net::tls::{Tls, TlsError};
use crate::process;
use crate::process::files;
use crate::process::{Background, Origin, Pidfile, Signals};
use crate::registrar::{ConsulSettings, Presence, Registrar};
use crate::server::acl::AclError;
use crate::server::{self, Identity, Server};
use crate::status::meters::Meters;
use consentinel_core::{Input, Rng, Sentinel, mix};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::LocalOptions;
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
    /// The certificates.
    #[error("TLS cannot be set up: {0}\n")]
    Tls(#[from] TlsError),
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
    process::keep_descriptors();
    let origin = Origin::new();
    // The recording's path is relative to where we were started, not to 'dir'.
    let record = options.record.as_deref().map(std::path::absolute).transpose();
    let record = record.map_err(|error| StartError::System("the recording cannot be written", error))?;
    let mut loaded = config::load(&options.file, &options.overrides, &|name| std::env::var(name).ok())?;
    let background = Background::find(&loaded.settings);
    if background == Background::Wanted {
        return origin
            .start_again(loaded.input.as_deref())
            .map_err(|error| StartError::System("the background cannot be entered", error));
    }
    background.leave_terminal();
    let recorder = Recorder::new(record.as_deref())
        .map_err(|error| StartError::System("the recording cannot be written", error))?;
    files::raise_limit();
    let log_level = log::start(&loaded.settings)
        .map_err(|error| StartError::System("the log cannot be started", error))?;
    process::supervise(&mut loaded.settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build_local(LocalOptions::default())
        .map_err(|error| StartError::System("the runtime cannot be started", error))?;
    let result = runtime.block_on(serve(loaded, recorder, log_level, background));
    // A lookup that hangs must not keep the process.
    runtime.shutdown_background();
    if let Err(error) = &result {
        warn!("{}", error.to_string().trim());
    }
    log::flush();
    result
}

async fn serve(
    loaded: Loaded,
    mut recorder: Recorder,
    log_level: LogLevel,
    background: Background,
) -> Result<ExitCode, StartError> {
    let Loaded { mut settings, durable, consul, naming, dns, store, lost, input: _ } = loaded;
    greet(&settings);
    let others = http::descriptors(&settings.http) + Sockets::most_files(&dns.bind);
    files::fit_clients(&mut settings, durable.groups.values(), others);
    lost.iter().for_each(|text| warn!("{text}"));
    let tls = Tls::load(&settings.tls)?;
    let mut stop = Signals::new().map_err(|error| StartError::System("signals cannot be awaited", error))?;
    let certificates = tls.clone();
    stop.on_hangup(move || read_again(&certificates));
    let listeners = server::bind(&settings, &tls)
        .map_err(|error| StartError::System("the server cannot be started", error))?;
    let sockets = (!dns.bind.is_empty()).then(|| Sockets::open(&dns.bind)).transpose();
    let sockets = sockets.map_err(|error| StartError::System("DNS cannot be answered", error))?;
    let http = http::bind(&settings.http)
        .map_err(|error| StartError::System("the server cannot be started", error))?;
    let _pidfile = Pidfile::write(&settings, background == Background::There);
    let (inputs, mut receiver) = mpsc::channel(QUEUE);
    let meters = Arc::new(Meters::default());
    let (seed, now) = (clock::seed(), clock::now());
    recorder.start(seed, now, &durable);
    let identity =
        Identity { run_id: Rng::new(mix(seed)).hex40(), started: now, config_file: store.path().to_owned() };
    let sentinel = Sentinel::new(durable, seed, now);
    let registrar = consul
        .map(|consul| start_registrar(consul, &sentinel, inputs.clone()))
        .transpose()
        .map_err(|error| StartError::System("the registrar cannot be started", error))?;
    let wishes = settings.clone();
    let mut server = Server::new(settings, identity, log_level, registrar.as_ref().map(Registrar::gauge))?;
    let dns_views = DnsViewBuilder::new(naming, dns);
    server.set_dns_views(dns_views.clone());
    let dns = sockets.map(|sockets| dns_views.start(sockets)).transpose();
    let dns = dns.map_err(|error| StartError::System("the DNS thread cannot be started", error))?;
    if dns.is_some() {
        info!("answering DNS for {} on {}", dns_views.settings().domain, dns_views.listening().join(", "));
    }
    let store = Arc::new(store);
    let (users, level) = (store.clone(), store.clone());
    server.on_users(Box::new(move |lines| users.set_users(lines)));
    server.on_log_level(Box::new(move |now| level.set_level(now)));
    let driver = Handle::new(|myself| Driver {
        sentinel,
        server,
        links: Links::new(tls),
        scripts: Scripts::new(inputs.clone()),
        resolver: Resolver::new(inputs.clone()),
        recorder,
        store,
        registrar,
        announcer: Announcer::new(dns_views, dns),
        inputs,
        myself,
        responses: VecDeque::new(),
        alarm: None,
        saved: None,
        meters: meters.clone(),
        failovers: log::Failovers::default(),
        shutdown: false,
    });
    listeners.serve(&driver);
    if let Some(sockets) = http {
        let (receiver, news) = http::open(sockets, meters)
            .map_err(|error| StartError::System("the HTTP port cannot be started", error))?;
        tokio::task::spawn_local(status_answers::attend(driver.clone(), receiver));
        tokio::task::spawn_local(event_feed::feed(driver.clone(), news));
    }
    background.ready().map_err(|error| StartError::System("the background cannot be entered", error))?;
    process::ready(&wishes);
    process::watchdog();
    Ok(run(&driver, &mut receiver, stop).await)
}

/// SIGHUP: the certificates are read anew.
fn read_again(tls: &Tls) {
    match tls.reload() {
        Ok(true) => info!("the TLS certificates were read again; new connections use them"),
        Ok(false) => {}
        Err(error) => warn!("the TLS certificates stay as they were: {error}"),
    }
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

/// The lines by which tools know that a sentinel has started, and one about ourselves.
fn greet(settings: &Settings) {
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    warn!("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    let (theirs, bits) = (config::COMPATIBLE_WITH, usize::BITS);
    warn!("Redis version={theirs}, bits={bits}, commit=00000000, modified=0, pid={pid}, just started");
    warn!("Consentinel version={version} in its place");
    warn!("Configuration loaded");
    info!(
        "Running mode=sentinel, port={}.",
        if settings.port == 0 { settings.tls.port } else { settings.port }
    );
    if !settings.without_effect.is_empty() {
        info!("without meaning for a sentinel, and passed over: {}", settings.without_effect.join(", "));
    }
}
