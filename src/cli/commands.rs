//! The whole command line as clap sees it, for `consentinel completions` and `consentinel man`. The daemon's own words are
//! read by hand, as the original reads them.

use super::flags::{FLAGS, Flag, RECORD, Value};
use super::{adopt, consul, resolve, status};
use crate::{demo, proxy};
use clap::{Arg, ArgAction, Command, Parser, ValueHint};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes the completions for a shell to standard output.
#[derive(Debug, Parser)]
#[command(name = "consentinel completions")]
struct Completions {
    /// The shell.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

/// Writes the manual pages, one for each command.
#[derive(Debug, Parser)]
#[command(name = "consentinel man")]
struct Man {
    /// The folder for them; it must be there.
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
}

/// Runs `consentinel completions` with the words that follow it.
pub(super) fn run_completions(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments =
        Completions::parse_from([OsString::from("consentinel completions")].into_iter().chain(words));
    let shell = match arguments.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    clap_complete::generate(shell, &mut tree(), "consentinel", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// Runs `consentinel man` with the words that follow it.
pub(super) fn run_man(words: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Man::parse_from([OsString::from("consentinel man")].into_iter().chain(words));
    match clap_mangen::generate_to(tree().disable_help_subcommand(true), &arguments.dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&format!(
            "the manual pages cannot be written into {}: {error}\n",
            arguments.dir.display()
        )),
    }
}

/// Everything.
fn tree() -> Command {
    let page = Command::new("consentinel")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Redis Sentinel that publishes into Consul")
        .long_about(
            "Watches Redis masters and replicas, agrees with its peers that a master is gone, and fails over. Takes the \
             place of redis-sentinel: same configuration file, same port, same commands.\n\n\
             The state is written back into the configuration, unless it says `sentinel state-file <path>`. A single `-` \
             at the end reads more of it from standard input. Directives overrule the file: --port 26380 --sentinel \
             announce-ip 10.0.0.1.",
        )
        .arg(Arg::new("FILE").help("The configuration, as for redis-sentinel").value_hint(ValueHint::FilePath))
        .arg(
            Arg::new("check-system")
                .long("check-system")
                .action(ArgAction::SetTrue)
                .help("Only look whether this machine lets a sentinel keep its promises"),
        )
        .args(FLAGS.iter().map(option));
    let commands = [
        ("adopt", adopt::command()),
        ("completions", Completions::command_of()),
        ("consul", consul::command()),
        ("demo", demo::command()),
        ("explain", status::explain_command()),
        ("proxy", proxy::command()),
        ("resolve", resolve::command()),
        ("status", status::command()),
    ];
    commands.into_iter().fold(page, |page, (name, command)| page.subcommand(command.name(name)))
}

impl Completions {
    fn command_of() -> Command {
        <Completions as clap::CommandFactory>::command()
    }
}

fn option(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.help).env(flag.variable()).hide_env_values(true);
    match flag.value {
        Value::None => arg.action(ArgAction::SetTrue),
        Value::May(value, _) => arg.value_name(value).num_args(0..=1),
        Value::Must(value) => {
            let hint = if flag.name == RECORD { ValueHint::FilePath } else { ValueHint::Other };
            arg.value_name(value).value_hint(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_mistake_in_it() {
        tree().debug_assert();
    }

    /// The usage is written by hand; it must not forget anything.
    #[test]
    fn the_usage_names_every_command_and_every_flag() {
        for command in tree().get_subcommands() {
            assert!(
                super::super::USAGE.contains(&format!("consentinel {}", command.get_name())),
                "{command}"
            );
        }
        for flag in FLAGS {
            assert!(super::super::USAGE.contains(&format!("  --{} ", flag.name)), "--{}", flag.name);
            assert!(super::super::USAGE.contains(flag.help), "{}", flag.help);
        }
    }
}
