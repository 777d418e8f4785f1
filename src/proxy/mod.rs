//! `consentinel proxy`: local sockets that always lead to the master, for applications that can change nothing.
//!
//! The main thread looks up where the master is (`follow.rs`), obeys signals and shows metrics; the others let clients in
//! and carry bytes (`worker.rs`, `session.rs`, `pump.rs`). A new answer cuts what leads elsewhere (`route.rs`,
//! `thread_routes.rs`).

mod counters;
mod dial;
mod follow;
mod hot_restart;
mod http;
mod main_thread;
mod options;
mod pump;
mod role;
mod route;
mod route_watch;
mod session;
mod sockets;
mod thread_routes;
mod worker;

use crate::arguments::variable;
use crate::log;
use crate::net::tls::Asker;
use crate::process;
use crate::process::files;
use clap::{Command, CommandFactory, FromArgMatches};
use consentinel_core::Role;
use counters::Counters;
use dial::Dialer;
use hot_restart::{Inheritance, Origin};
use main_thread::MainThread;
use options::{Arguments, Listen, Outward};
use std::ffi::OsString;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tracing::{info, warn};
use worker::Common;

/// Files that are needed besides connections: what the runtimes have, look-ups, the log.
const OWN_FILES: usize = 64;

/// Between two looks while anything is in doubt.
const POLL_FAST: Duration = Duration::from_millis(25);

/// Why there is no proxy.
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The system does not want it.
    System(String),
}

/// The command as clap sees it. Every option may be in the environment, too.
pub(crate) fn command() -> Command {
    Arguments::command().mut_args(|arg| {
        let variable = variable("proxy", arg.get_long().unwrap_or(arg.get_id().as_str()));
        arg.env(variable).hide_env(true)
    })
}

/// What the options are called in the environment.
#[cfg(test)]
pub(crate) fn variables() -> Vec<String> {
    let name = |arg: &clap::Arg| arg.get_env().map(|name| name.to_string_lossy().into_owned());
    command().get_arguments().filter_map(name).collect()
}

/// Runs `consentinel proxy` with the words that follow it.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words = [OsString::from("consentinel proxy")].into_iter().chain(words);
    let arguments = match Arguments::from_arg_matches(&command().get_matches_from(words)) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let (text, code) = match start(&arguments) {
        Ok(code) => {
            log::flush();
            return code;
        }
        Err(Failure::Usage(text)) => (text, ExitCode::from(2)),
        Err(Failure::System(text)) => (text, ExitCode::FAILURE),
    };
    log::flush();
    eprint!("consentinel: {text}");
    code
}

fn start(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let origin = Origin::new();
    process::keep_descriptors();
    // All that can be wrong with the command line is told before anything is touched.
    let listens = arguments.listens().map_err(Failure::Usage)?;
    let outward = arguments.outward().map_err(Failure::Usage)?;
    let builder = arguments.naming.builder().map_err(|text| Failure::Usage(line(text)))?;
    let builder = builder
        .max_stale(arguments.max_stale)
        .poll_slow(arguments.poll)
        .poll_fast(arguments.poll.min(POLL_FAST));
    let resolver = builder.build().map_err(|error| Failure::Usage(line(error)))?;
    let dialer = dialer(arguments, outward.as_ref())?;

    let system =
        |what: &'static str| move |error: std::io::Error| Failure::System(format!("{what}: {error}\n"));
    files::raise_limit();
    let mut inheritance =
        Inheritance::take().map_err(system("what the process before has left cannot be taken over"))?;
    let mut sockets = Vec::new();
    for listen in &listens {
        let socket = sockets::open(listen, arguments.mode(), &mut inheritance.sockets);
        sockets.push(socket.map_err(Failure::System)?);
    }
    let http = arguments.http.map(|address| open_http(address, &mut inheritance)).transpose()?;
    let mut settings = arguments.settings();
    log::start(&settings).map_err(system("the log cannot be started"))?;
    process::supervise(&mut settings);
    greet(arguments, &listens, resolver.name());

    let mut limits = arguments.limits();
    limits.connections = fit(limits.connections, listens.len());
    let counters = (0..arguments.threads()).map(|_| Arc::new(Counters::default())).collect();
    let common = Arc::new(Common { dialer, limits, counters, sockets: Mutex::new(sockets) });
    let main = MainThread { arguments, origin, inheritance, settings, common, http, outward, resolver };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(system("the runtime cannot be started"))?;
    let result = runtime.block_on(main.run()).map_err(system("the proxy cannot be started"));
    // A look-up that hangs must not keep the process.
    runtime.shutdown_background();
    result
}

fn line(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    if text.ends_with('\n') { text } else { text + "\n" }
}

fn dialer(arguments: &Arguments, outward: Option<&Outward>) -> Result<Dialer, Failure> {
    let tls = outward.map(Outward::load).transpose().map_err(Failure::Usage)?;
    Ok(Dialer { patience: arguments.patience(), tls: tls.map(|asker| Mutex::new(Arc::new(asker))) })
}

fn open_http(address: std::net::SocketAddr, inheritance: &mut Inheritance) -> Result<TcpListener, Failure> {
    match inheritance.sockets.remove(&http::label(address)) {
        Some(socket) => Ok(socket.into()),
        None => crate::server::open(address, 128)
            .map_err(|error| Failure::System(format!("cannot serve HTTP on {address}: {error}\n"))),
    }
}

fn greet(arguments: &Arguments, listens: &[Listen], name: &str) {
    warn!("consentinel proxy {} is starting, pid={}", env!("CARGO_PKG_VERSION"), std::process::id());
    for listen in listens {
        let whom = match listen.role {
            Role::Master => "the master",
            Role::Replica => "the replicas",
        };
        info!("leading clients of {} to {whom} of {name}", listen.bind);
    }
    if let Some(address) = arguments.http {
        info!("serving HTTP on {address}");
    }
}

/// Every connection takes two files: where there are fewer, fewer are let in.
fn fit(wanted: usize, listens: usize) -> usize {
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else {
        return wanted;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let most = (limit.saturating_sub(OWN_FILES + listens + http::CONNECTIONS) / 2).max(1);
    if most < wanted {
        warn!(
            "the limit of open files is {limit}, and a connection takes two: --max-connections has been reduced from \
             {wanted} to {most}. For more, raise the limit: LimitNOFILE of systemd, ulimit -n"
        );
    }
    wanted.min(most)
}

impl Outward {
    /// Reads the certificates.
    fn load(&self) -> Result<Asker, String> {
        Asker::with_name(&self.settings, self.name.clone()).map_err(|error| {
            // The daemon's directives are called otherwise than the options here.
            let text = error
                .to_string()
                .replace("tls-ca-cert-file", "--tls-ca")
                .replace("tls-ca-cert-dir", "--tls-ca-dir");
            let text = text.replace("tls-cert-file", "--tls-cert").replace("tls-key-file", "--tls-key");
            format!("TLS cannot be set up: {text}\n")
        })
    }
}

/// How often the master was another one, or nobody.
type Changes = Arc<AtomicU64>;
