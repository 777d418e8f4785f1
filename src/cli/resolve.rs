//! `consentinel resolve`: where the master is, for scripts and for programs that cannot ask themselves.

mod command;
mod format;

use crate::arguments::{Naming, duration};
use clap::{Parser, ValueEnum};
use command::Command;
use consentinel_resolver::{Change, Freshness, LookupError, Resolver, Watch};
use format::{Format, Found, Template};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// There is an answer: nobody is in charge.
const NOBODY: u8 = 1;
/// Nobody could be asked, or what came back cannot be used.
const UNANSWERED: u8 = 3;

/// How long to let it be before somebody is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Says where the Redis master is.
///
/// Exit status: 0 when it is known; 1 when there is an answer, and it is "nobody" (so it is during a failover); 2 when the
/// words make no sense; 3 when nobody could be asked. With --exec that of the command; 126 or 127 when it cannot be run.
#[derive(Debug, Parser)]
#[command(name = "consentinel resolve", verbatim_doc_comment)]
struct Arguments {
    #[command(flatten)]
    naming: Naming,
    /// The replicas that may be read from: one line each, another one first each time.
    #[arg(long, conflicts_with_all = ["sentinels", "watch", "exec"])]
    replicas: bool,
    /// The sentinels: one line each.
    #[arg(long, conflicts_with_all = ["watch", "exec"])]
    sentinels: bool,
    /// How it is written. plain: `host port`; url: `redis://host:port`; env: lines for a shell's `eval`.
    #[arg(long, value_enum, default_value_t, conflicts_with = "template")]
    format: Format,
    /// A line of your own: `{host}`, `{port}`, `{epoch}`, `{name}`; `{{` and `}}` are braces.
    #[arg(long, value_name = "TEXT", value_parser = Template::parse)]
    template: Option<Template>,
    /// Go on: a line at each change, until it is interrupted. Nothing is written while nobody is in charge.
    #[arg(long)]
    watch: bool,
    /// Run this with the answer put in: 'redis-cli -h {host} -p {port}'. No shell takes part. Its environment has
    /// REDIS_HOST, REDIS_PORT, REDIS_URL, REDIS_EPOCH. With --watch it is run at each change, one at a time.
    #[arg(long, value_name = "COMMAND", value_parser = Command::parse, conflicts_with_all = ["format", "template"])]
    exec: Option<Command>,
    /// Wait so long for a master: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
}

/// Who is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whom {
    Master,
    Replicas,
    Sentinels,
}

/// Why it ends otherwise than it should.
#[derive(Debug)]
struct Failure {
    text: String,
    code: ExitCode,
}

/// The command as clap sees it.
pub(super) fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Runs `consentinel resolve` with the words that follow it.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from([OsString::from("consentinel resolve")].into_iter().chain(words));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&format!("the runtime cannot be started: {error}\n")),
    };
    let result = runtime.block_on(arguments.carry_out());
    // A look-up that hangs must not keep the process.
    runtime.shutdown_background();
    result.unwrap_or_else(|failure| {
        eprintln!("consentinel: {}", failure.text);
        failure.code
    })
}

impl Arguments {
    async fn carry_out(self) -> Result<ExitCode, Failure> {
        let builder = self.naming.builder().map_err(wrong)?;
        let resolver = builder.build().map_err(|error| wrong(error.to_string()))?;
        if self.watch {
            return self.follow(&resolver).await;
        }
        let found = self.find(&resolver).await.map_err(|error| Failure::of(&error))?;
        match &self.exec {
            Some(command) => {
                let [master] = &found[..] else { return Err(wrong("a master alone is expected".to_owned())) };
                Err(command.become_it(master))
            }
            None => say(&self.text(&found)).map(|_| ExitCode::SUCCESS),
        }
    }

    fn whom(&self) -> Whom {
        match (self.replicas, self.sentinels) {
            (true, _) => Whom::Replicas,
            (_, true) => Whom::Sentinels,
            _ => Whom::Master,
        }
    }

    /// Asks until there is an answer, as long as that was wished for.
    async fn find(&self, resolver: &Resolver) -> Result<Vec<Found>, LookupError> {
        let end = Instant::now() + self.wait.unwrap_or_default();
        loop {
            let error = match ask(resolver, self.whom()).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if !error.is_retryable() || Instant::now() + PAUSE > end {
                return Err(error);
            }
            sleep(PAUSE).await;
            resolver.invalidate();
        }
    }

    /// Tells every change, until it is interrupted or nobody reads any more.
    async fn follow(&self, resolver: &Resolver) -> Result<ExitCode, Failure> {
        let mut watch = resolver.watch();
        let mut told = None;
        if let Some(wait) = self.wait {
            let first = timeout_at(Instant::now() + wait, self.first(&mut watch, &mut told)).await;
            first.map_err(|_| match &told {
                Some(error) => Failure::of(error),
                None => Failure { text: "nothing was heard in time".to_owned(), code: UNANSWERED.into() },
            })??;
        }
        loop {
            self.on_change(watch.next().await, &mut told).await?;
        }
    }

    /// Waits for the first master.
    async fn first(&self, watch: &mut Watch, told: &mut Option<LookupError>) -> Result<(), Failure> {
        loop {
            let change = watch.next().await;
            let is_master = matches!(change, Change::Master(_));
            self.on_change(change, told).await?;
            if is_master {
                return Ok(());
            }
        }
    }

    async fn on_change(&self, change: Change, told: &mut Option<LookupError>) -> Result<(), Failure> {
        match change {
            Change::Master(master) => {
                *told = None;
                let found = Found::master(&master);
                if let Freshness::Stale { .. } = master.freshness {
                    eprintln!("consentinel: nobody confirms any more that the master is {}", master.addr);
                    return Ok(());
                }
                match &self.exec {
                    Some(command) => command.run(&found).await,
                    None => say(&self.text(&[found])),
                }
            }
            Change::Unknown(error) => {
                eprintln!("consentinel: {error}");
                *told = Some(error);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, found: &[Found]) -> String {
        let line = |found: &Found| match &self.template {
            Some(template) => template.fill(found),
            None => self.format.write(found),
        };
        found.iter().map(|found| line(found) + "\n").collect()
    }
}

async fn ask(resolver: &Resolver, whom: Whom) -> Result<Vec<Found>, LookupError> {
    Ok(match whom {
        Whom::Master => vec![Found::master(&*resolver.master().await?)],
        Whom::Replicas => resolver.replicas().await?.iter().map(Found::replica).collect(),
        Whom::Sentinels => resolver.sentinels().await?.iter().map(Found::sentinel).collect(),
    })
}

/// Writes to the standard output. Whoever stops reading wants no more.
fn say(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Failure { text: format!("the answer cannot be written: {error}"), code: UNANSWERED.into() },
    })
}

fn wrong(text: String) -> Failure {
    Failure { text, code: 2.into() }
}

impl Failure {
    fn of(error: &LookupError) -> Failure {
        let code = if error.is_nobody() { NOBODY } else { UNANSWERED };
        Failure { text: error.to_string(), code: code.into() }
    }
}
