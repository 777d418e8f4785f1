//! `consentinel status` and `consentinel explain`: what a running sentinel knows, and why it does what it does.

mod explain;
mod gather;
mod original;
mod page;
mod problems;
mod screen;
mod sheet;

use super::ask::{Reach, with_port};
use crate::arguments::read_secret;
use crate::config::TlsSettings;
use crate::status::Health;
use clap::{Args, Command, CommandFactory, Parser};
use consentinel_core::Secret;
use gather::Gathered;
use screen::Screen;
use sheet::Sheet;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where the password may be, as for redis-cli.
const PASSWORD_VARIABLE: &str = "REDISCLI_AUTH";

/// The sentinel of this machine.
const USUAL: &str = "127.0.0.1";

/// Shows what a running sentinel knows: masters, replicas with lag and link, sentinels and whom they see, failovers under
/// way and past, what Consul holds and should hold.
///
/// Exit status: 0 when all is well, 1 when the sentinel cannot be asked, 2 when something is wrong.
#[derive(Debug, Parser)]
#[command(name = "consentinel status", verbatim_doc_comment)]
struct Status {
    /// The masters; all when none is named. Where more than five are watched, each gets one line unless it is named.
    masters: Vec<String>,
    /// Look again and again, every so many seconds (1 when none are said). On a terminal the page is redrawn; in a pipe
    /// a line is added for each master that has changed.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    watch: Option<Duration>,
    /// As JSON, for programs. With --watch, a line of it each time.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
}

/// Tells why there is no failover of a master, or what would happen if it went down now.
///
/// Exit status: 0 when the master is well and a failover would succeed, 1 when the sentinel cannot be asked, 2 otherwise.
#[derive(Debug, Parser)]
#[command(name = "consentinel explain", verbatim_doc_comment)]
struct Explain {
    /// The master.
    master: String,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
}

/// How the sentinel is reached. What is not said here is taken from the configuration.
#[derive(Debug, Args)]
struct Way {
    /// The configuration file of a sentinel on this machine: it says the port, the password and TLS.
    #[arg(short, long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// The sentinel; without --config, that of this machine when it is not said.
    #[arg(long, value_name = "HOST:PORT")]
    sentinel: Option<String>,
    /// The user to log in as.
    #[arg(long)]
    user: Option<String>,
    /// A file with the password. It may also be in the environment, as REDISCLI_AUTH.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Speak TLS.
    #[arg(long)]
    tls: bool,
    /// A file with certificates of authorities. It means --tls.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The certificate to show. It means --tls.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    match (0.05..=86_400.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("between 0.05 and 86400 seconds are possible".to_owned()),
    }
}

/// The command as clap sees it.
pub(super) fn command() -> Command {
    Status::command()
}

/// `consentinel explain` as clap sees it.
pub(super) fn explain_command() -> Command {
    Explain::command()
}

/// Runs `consentinel status` with the words that follow it.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Status::parse_from([OsString::from("consentinel status")].into_iter().chain(words));
    on_runtime(async {
        let reach = arguments.way.reach()?;
        match arguments.watch {
            Some(period) => watch(&arguments, &reach, period).await,
            None => {
                let gathered = gather::gather(&reach, &arguments.masters).await?;
                show(&arguments, &gathered);
                Ok(verdict(&gathered))
            }
        }
    })
}

/// Runs `consentinel explain` with the words that follow it.
pub(super) fn run_explain(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Explain::parse_from([OsString::from("consentinel explain")].into_iter().chain(words));
    on_runtime(async { explain::run(&arguments.way.reach()?, &arguments.master, arguments.json).await })
}

fn on_runtime(work: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(work);
            // A lookup that hangs must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(format!("the runtime cannot be started: {error}")),
    };
    result.unwrap_or_else(|text| super::fail(&format!("{text}\n")))
}

fn verdict(gathered: &Gathered) -> ExitCode {
    if gathered.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

fn show(arguments: &Status, gathered: &Gathered) -> bool {
    let screen = Screen::look();
    let text = match arguments.json {
        true => format!("{}\n", json(gathered, true)),
        false => page_of(arguments, gathered, screen),
    };
    screen.add(&text)
}

fn json(gathered: &Gathered, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(gathered) } else { serde_json::to_string(gathered) };
    text.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

fn page_of(arguments: &Status, gathered: &Gathered, screen: Screen) -> String {
    let mut sheet = Sheet::new(screen.width, screen.colour);
    page::draw(gathered, !arguments.masters.is_empty(), &mut sheet);
    sheet.finish()
}

/// Looks until nobody reads any more, or somebody interrupts it. A sentinel that cannot be asked may come back.
async fn watch(arguments: &Status, reach: &Reach, period: Duration) -> Result<ExitCode, String> {
    let mut lines = BTreeMap::new();
    let mut first = true;
    loop {
        let began = tokio::time::Instant::now();
        let gathered = gather::gather(reach, &arguments.masters).await;
        let screen = Screen::look();
        let reads = match (&gathered, screen.height) {
            (Ok(gathered), _) if arguments.json => screen.add(&format!("{}\n", json(gathered, false))),
            (Err(error), _) if arguments.json => {
                let at = &reach.at;
                screen.add(&format!("{}\n", serde_json::json!({ "at": at, "error": error })))
            }
            (Ok(gathered), Some(_)) => screen.replace(&page_of(arguments, gathered, screen), first),
            (Err(error), Some(_)) => screen.replace(&format!("{error}\n"), first),
            (result, None) => screen.add(&changes(result.as_ref(), &mut lines)),
        };
        if !reads {
            return Ok(ExitCode::SUCCESS);
        }
        first = false;
        tokio::time::sleep_until(began + period).await;
    }
}

/// A line for each master that is not as it was, with the time of day.
fn changes(gathered: Result<&Gathered, &String>, known: &mut BTreeMap<String, String>) -> String {
    let now = crate::clock::log_stamp();
    let mut told = BTreeMap::new();
    match gathered {
        Err(error) => drop(told.insert(String::new(), error.clone())),
        Ok(gathered) => {
            for master in &gathered.picture.masters {
                let well =
                    master.replicas.iter().filter(|replica| replica.health != Health::Critical).count();
                let problems = gathered.problems.iter().filter(|problem| {
                    problem.strip_prefix(&master.name).is_some_and(|rest| rest.starts_with(": "))
                });
                let down = master.odown_ms.is_some() || master.server.sdown_ms.is_some();
                let text = format!(
                    "{} {} epoch {}, {}, {well} of {} replicas, {} of {} sentinels{}",
                    master.name,
                    master.address,
                    master.epoch,
                    match &master.failover {
                        Some(phase) => phase.words.as_str(),
                        None if down => "down",
                        None => "up",
                    },
                    master.replicas.len(),
                    master.usable_sentinels,
                    master.all_sentinels,
                    match problems.count() {
                        0 => String::new(),
                        1 => ", 1 problem".to_owned(),
                        some => format!(", {some} problems"),
                    },
                );
                told.insert(master.name.clone(), text);
            }
        }
    }
    let news = told.iter().filter(|(name, text)| known.get(*name) != Some(text));
    let text = news.map(|(_, text)| format!("{now} {text}\n")).collect();
    *known = told;
    text
}

impl Way {
    fn reach(&self) -> Result<Reach, String> {
        let environment = |name: &str| std::env::var(name).ok();
        let configured = match &self.config {
            None => None,
            Some(file) => {
                let survey = crate::config::survey(Some(file), &[], &environment)
                    .map_err(|error| error.to_string())?;
                Some(Reach::configured(&survey.settings))
            }
        };
        let usual = || Reach { at: with_port(USUAL), user: None, password: None, tls: None };
        let mut reach = configured.unwrap_or_else(usual);
        if let Some(at) = &self.sentinel {
            reach = reach.to(at);
        }
        let given =
            || environment(PASSWORD_VARIABLE).filter(|text| !text.is_empty()).map(|text| Secret::new(&text));
        reach.password = match (&self.password_file, &self.user) {
            (Some(file), _) => Some(Secret::new(&read_secret(file, "password")?)),
            // What the configuration has is the password of the default user, and none of anybody else.
            (None, Some(_)) => given(),
            (None, None) => reach.password.or_else(given),
        };
        if let Some(user) = &self.user {
            if reach.password.is_none() {
                return Err(format!(
                    "--user {user} needs a password: name a file by --password-file, or put it into {PASSWORD_VARIABLE}"
                ));
            }
            reach.user = Some(user.clone());
        }
        self.put_tls(&mut reach)?;
        Ok(reach)
    }

    fn put_tls(&self, reach: &mut Reach) -> Result<(), String> {
        let path = |path: &Option<PathBuf>| path.as_deref().map(Path::to_path_buf);
        if !self.tls && self.cacert.is_none() && self.cert.is_none() {
            return Ok(());
        }
        let tls = reach.tls.get_or_insert_with(TlsSettings::default);
        if self.cacert.is_some() {
            (tls.ca_cert_file, tls.ca_cert_dir) = (path(&self.cacert), None);
        }
        if self.cert.is_some() {
            (tls.client_cert_file, tls.client_key_file) = (path(&self.cert), path(&self.key));
            tls.client_key_file_pass = None;
        }
        match tls.ca_cert_file.is_none() && tls.ca_cert_dir.is_none() {
            true => {
                Err("--tls needs to know whom to believe: name a file of authorities by --cacert".to_owned())
            }
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
