//! `consentinel demo`: three Redis servers, three daemons, DNS, an application that writes, and a failover to look at.

mod actor;
mod auto;
mod dns;
mod keeper;
mod ledger;
mod pen;
mod play;
mod ports;
mod programs;
mod redis;
mod scene;
mod stage;
mod story;
mod summary;
mod terminal;
mod timeline;
mod view;
mod watch;
mod writer;

use auto::Auto;
use clap::Parser;
use play::Play;
use scene::{Cast, Scene};
use stage::{Props, Stage};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use story::Progress;
use terminal::Keys;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

/// Shows a failover: three Redis servers, three daemons, Consul if there is one, an application that writes where DNS says,
/// and a screen to look at it all. Keys kill the master and bring it back.
///
/// Everything runs on 127.0.0.1, on free ports, in a temporary folder, and is gone when the demo ends, however it ends.
#[derive(Debug, Parser)]
#[command(name = "consentinel demo")]
struct Arguments {
    /// Do it without a keyboard: kill the master, wait until the answer has followed, bring the old one back, tell how it
    /// went. The exit status is 0 only if all of it happened and nothing was lost.
    #[arg(long)]
    auto: bool,
    /// No Consul, even if there is one: the daemons answer DNS themselves.
    #[arg(long, conflicts_with = "consul")]
    no_consul: bool,
    /// The Consul program; else the one on PATH.
    #[arg(long, value_name = "PROGRAM")]
    consul: Option<PathBuf>,
    /// The Redis server; else redis-server or valkey-server on PATH.
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// How long a master must be silent until a daemon takes it for down.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    down_after: u64,
    /// How long --auto may take altogether.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    deadline: u64,
    /// Tell what happens line by line, even on a terminal.
    #[arg(long)]
    plain: bool,
}

/// How a demo ended.
#[derive(Debug)]
enum End {
    /// Somebody pressed q.
    Quit,
    /// A signal; its number.
    Signal(i32),
    /// Whoever read our output has gone.
    NobodyLooks,
    /// `--auto` has come to an end; what did not happen.
    Judged(Vec<String>),
}

/// The command as clap sees it.
pub(crate) fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Runs `consentinel demo` with the words that follow it.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    match words.split_first() {
        Some((word, words)) if word == actor::WORD => return actor::become_actor(words),
        Some((word, words)) if word == keeper::WORD => return keeper::keep(words),
        _ => {}
    }
    let arguments = Arguments::parse_from([OsString::from("consentinel demo")].into_iter().chain(words));
    // The processes live as long as the thread that has started them: this one.
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(LocalSet::new().run_until(perform(&arguments))),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match result {
        Ok(code) => code,
        Err(text) => {
            eprintln!("consentinel demo: {}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Sets up, plays, tidies up, tells how it was.
async fn perform(arguments: &Arguments) -> Result<ExitCode, String> {
    let began = Instant::now();
    let mut signals = Signals::new().map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let mut keys = Keys::take();
    let auto = arguments.auto || keys.is_none();
    let props = Props {
        redis_server: programs::redis_server(arguments.redis_server.as_deref())?,
        consul: programs::consul(arguments.consul.as_deref(), arguments.no_consul)?,
        down_after: Duration::from_millis(arguments.down_after),
    };
    let mut stage = Stage::new(props)?;
    let deadline = began + Duration::from_secs(arguments.deadline);
    let early = tokio::select! {
        result = set_up(&mut stage, began) => result.err().map(Err),
        signal = signals.recv() => Some(Ok(code_of(&End::Signal(signal), auto))),
        () = tokio::time::sleep_until(deadline.into()), if auto => {
            Some(Err(format!("not even set up within {} s", arguments.deadline)))
        }
    };
    if let Some(end) = early {
        stage.strike().await;
        return end;
    }
    let auto = auto.then(|| Auto::new(Instant::now(), deadline));
    let by_itself = auto.is_some();
    let mut scene = Scene::new(cast(&stage, arguments), began);
    scene.tell(Instant::now(), format!("ask it yourself: {}", scene.cast.dig));
    let mut play = Play::new(&mut stage, scene, !arguments.plain, auto);
    let end = play.run(&mut keys, &mut signals).await;
    let scene = play.end();
    drop(keys);
    stage.strike().await;
    let end = end?;
    if !matches!(end, End::NobodyLooks) {
        // Who has closed the pipe wants no summary.
        let _ =
            story::print_plain(&[String::new()]).and_then(|()| story::print_plain(&summary::lines(&scene)));
    }
    if let End::Judged(wrong) = &end {
        let verdict = match wrong.is_empty() {
            true => {
                vec!["The answer followed, the old master came back as a replica, nothing was lost.".into()]
            }
            false => wrong.iter().map(|text| format!("FAILED: {text}")).collect(),
        };
        let _ = story::print_plain(&verdict);
    }
    Ok(code_of(&end, by_itself))
}

/// Starts everything, and says so.
async fn set_up(stage: &mut Stage, began: Instant) -> Result<(), String> {
    let progress = Progress::new(began);
    progress.of("three Redis servers: a master and two replicas", stage.start_servers()).await?;
    if stage.consul_page().is_some() {
        progress.of("Consul, in memory", stage.start_consul()).await?;
    }
    progress
        .of("three daemons, until they know everybody and DNS names the master", stage.start_daemons())
        .await
}

fn cast(stage: &Stage, arguments: &Arguments) -> Cast {
    let dns = stage.dns();
    let page = stage.consul_page();
    Cast {
        servers: std::array::from_fn(|number| stage.server_port(number)),
        daemons: std::array::from_fn(|number| stage.daemon_port(number)),
        dns_of: if page.is_some() { "Consul" } else { "daemon A" },
        dig: format!("dig +short @{} -p {} {} SRV", dns.ip(), dns.port(), dns::NAME),
        page,
        down_after: Duration::from_millis(arguments.down_after),
    }
}

/// Interactively every end is a good one. What `--auto` was to prove is proven only by its own end.
fn code_of(end: &End, auto: bool) -> ExitCode {
    match end {
        End::Judged(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        End::Judged(_) => ExitCode::FAILURE,
        End::Signal(signal) if auto || *signal != SIGINT => ExitCode::from(128 + *signal as u8),
        End::Quit | End::NobodyLooks if auto => ExitCode::FAILURE,
        End::Quit | End::NobodyLooks | End::Signal(_) => ExitCode::SUCCESS,
    }
}

const SIGINT: i32 = 2;

/// The signals that end a demo.
struct Signals([(i32, Signal); 3]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        let listen = |kind: SignalKind| Ok::<_, std::io::Error>((kind.as_raw_value(), signal(kind)?));
        Ok(Signals([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// The number of the next one.
    async fn recv(&mut self) -> i32 {
        let [(int, interrupt), (term, terminate), (hup, hangup)] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => *int,
            _ = terminate.recv() => *term,
            _ = hangup.recv() => *hup,
        }
    }
}
