//! `consentinel consul ...`: looking after what is in Consul, beside the daemon.

mod check;
mod daemon;
mod deregister;
mod show;

use crate::config::Survey;
use crate::registrar::{Names, ToolClient};
use clap::{Args, Parser, Subcommand};
use consentinel_core::GroupName;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Looks after what Consentinel publishes into Consul.
#[derive(Debug, Parser)]
#[command(name = "consentinel consul")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connects to Consul, tries every right that a daemon needs without leaving traces, and says what is missing, and
    /// what else there is under the names of ours.
    Check(Check),
    /// Shows what is published and, where a daemon runs, what should be.
    Show(Show),
    /// Takes a master out of Consul: its entries, its record and its history, in one transaction.
    Deregister(Deregister),
}

#[derive(Debug, Args)]
struct Check {
    /// The masters; those of the configuration, or those that Consul knows, when none is named.
    masters: Vec<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Show {
    /// The masters; those of the configuration, or those that Consul knows, when none is named.
    masters: Vec<String>,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Args)]
struct Deregister {
    /// The master.
    master: String,
    /// Not the master itself, but what others have registered under the names of its services: DNS answers it beside the
    /// master. Your own token is needed for that (--token-file), not the daemon's.
    #[arg(long)]
    foreign: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Where the daemon is that knows what should be published.
#[derive(Debug, Args)]
struct Daemon {
    /// A running daemon; that of the configuration when it is not named.
    #[arg(long, value_name = "HOST:PORT")]
    sentinel: Option<String>,
}

/// How Consul is reached. What is not said here is taken from the configuration, then from the environment, as every
/// Consul tool reads it.
#[derive(Debug, Args)]
struct Reach {
    /// The daemon's configuration file.
    #[arg(short, long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// http://host:port, https://host:port or unix:///path
    #[arg(long)]
    address: Option<String>,
    /// The ACL token. Others can see it in the list of processes: --token-file is better.
    #[arg(long)]
    token: Option<String>,
    /// A file with the ACL token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with certificates of authorities.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// A folder with such files.
    #[arg(long, value_name = "FOLDER")]
    ca_path: Option<PathBuf>,
    /// The certificate to show to Consul.
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// The name in Consul's certificate.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Whether Consul's certificate is checked.
    #[arg(long, value_name = "yes|no")]
    ssl_verify: Option<String>,
    /// The datacenter.
    #[arg(long, value_name = "NAME")]
    datacenter: Option<String>,
    /// Consul Enterprise's namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Consul Enterprise's admin partition.
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Where the records are in KV.
    #[arg(long, value_name = "PREFIX")]
    kv_prefix: Option<String>,
    /// What nodes are called; {master} stands for the master's name.
    #[arg(long, value_name = "NAME")]
    node_template: Option<String>,
    /// What services are called; {master} stands for the master's name.
    #[arg(long, value_name = "NAME")]
    service_template: Option<String>,
}

/// What a command works with.
struct Tool {
    survey: Survey,
    client: ToolClient,
}

/// Why a command cannot be carried out; said to the user as it is.
type Failure = String;

/// The command as clap sees it.
pub(super) fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Runs `consentinel consul` with the words that follow it.
pub(super) fn run(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let arguments =
        Arguments::parse_from([std::ffi::OsString::from("consentinel consul")].into_iter().chain(words));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(carry_out(arguments.command));
            // A lookup that hangs must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(format!("the runtime cannot be started: {error}\n")),
    };
    result.unwrap_or_else(|text| super::fail(&text))
}

async fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check(Check { masters, reach }) => check::run(&Tool::open(&reach)?, &masters).await,
        Command::Show(Show { masters, json, reach, daemon }) => {
            show::run(&Tool::open(&reach)?, &masters, json, daemon.sentinel.as_deref()).await
        }
        Command::Deregister(Deregister { master, foreign: true, yes, reach }) => {
            deregister::run_foreign(&Tool::open(&reach)?, &master, yes).await
        }
        Command::Deregister(Deregister { master, foreign: false, yes, reach }) => {
            deregister::run(&Tool::open(&reach)?, &master, yes).await
        }
    }
}

impl Tool {
    fn open(reach: &Reach) -> Result<Tool, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let survey = crate::config::survey(reach.config.as_deref(), &reach.directives(), &variable)
            .map_err(|error| error.to_string())?;
        Ok(Tool { client: ToolClient::new(survey.consul.clone()), survey })
    }

    /// The masters that are meant: those that are named, or those of the configuration, or those that Consul knows.
    async fn masters(&self, named: &[String]) -> Result<Vec<String>, Failure> {
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        if !self.survey.masters.is_empty() {
            return Ok(self.survey.masters.iter().map(ToString::to_string).collect());
        }
        self.client.groups().await.map_err(line)
    }

    async fn names(&self, master: &str) -> Result<Names, Failure> {
        let names = Names::new(&GroupName::new(master), &self.survey.consul)
            .map_err(|error| format!("{error}\n  {}\n", error.hint()))?;
        // Where it cannot be asked, what follows will tell.
        Ok(self.client.settled(names.clone()).await.unwrap_or(names))
    }
}

impl Reach {
    /// The same as directives of the daemon's command line.
    fn directives(&self) -> Vec<String> {
        // A relative path starts where the user is, not where the daemon's configuration says.
        let path =
            |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
        let path = |given: &Option<PathBuf>| given.as_deref().map(path);
        let said = [
            ("address", self.address.clone()),
            ("token", self.token.clone()),
            ("token-file", path(&self.token_file)),
            ("ca-cert", path(&self.ca_cert)),
            ("ca-path", path(&self.ca_path)),
            ("client-cert", path(&self.client_cert)),
            ("client-key", path(&self.client_key)),
            ("tls-server-name", self.tls_server_name.clone()),
            ("ssl-verify", self.ssl_verify.clone()),
            ("datacenter", self.datacenter.clone()),
            ("namespace", self.namespace.clone()),
            ("partition", self.partition.clone()),
            ("kv-prefix", self.kv_prefix.clone()),
            ("node-template", self.node_template.clone()),
            ("service-template", self.service_template.clone()),
            // Whoever calls this means Consul, whatever the configuration says.
            ("enabled", Some("yes".into())),
        ];
        let words = |(key, value): (&str, Option<String>)| {
            value.map(|value| ["--sentinel".into(), "consul".into(), key.into(), value])
        };
        said.into_iter().filter_map(words).flatten().collect()
    }
}

fn line(error: impl std::fmt::Display) -> Failure {
    format!("{error}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_daemons_directives() {
        let line = "consul check a b --address http://c:1 --token-file /t --ssl-verify no";
        let Command::Check(Check { masters, reach }) =
            Arguments::try_parse_from(line.split(' ')).expect("a good command line").command
        else {
            panic!("another command")
        };
        assert_eq!(masters, ["a", "b"]);
        let expected = "--sentinel consul address http://c:1 --sentinel consul token-file /t \
            --sentinel consul ssl-verify no --sentinel consul enabled yes";
        assert_eq!(reach.directives(), expected.split_whitespace().collect::<Vec<_>>());
    }
}
