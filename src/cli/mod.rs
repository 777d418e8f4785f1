//! The command line: `redis-sentinel`'s, and more.

mod consul;

use crate::driver::{self, Options};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// A Redis Sentinel that publishes into Consul.
///
/// Watches Redis masters and replicas, agrees with its peers that a master is gone, and fails over. Takes the place of
/// redis-sentinel: same configuration file, same port, same commands.
#[derive(Debug, Parser)]
#[command(
    name = "consentinel",
    version,
    disable_version_flag = true,
    after_help = "See also: consentinel consul --help, for looking after what is published."
)]
struct Arguments {
    /// Print the version.
    #[arg(short = 'v', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,

    /// The configuration file, as for redis-sentinel. The state is written back into it, unless it says
    /// `sentinel state-file <path>`.
    file: PathBuf,

    /// Directives that overrule the file, as for redis-sentinel: `--port 26380 --sentinel announce-ip 10.0.0.1`.
    /// Also `--consul [ADDRESS]`: publish into Consul, as `--consul-SETTING VALUE` says for every setting of
    /// `sentinel consul`; `--dry-run`: only log what would be written there; `--observe`: beside real sentinels, only
    /// look on and publish; `--record FILE`: write everything that happens to FILE as JSON lines, to be replayed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--DIRECTIVE VALUE")]
    directives: Vec<String>,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // A configuration file of that name is still found as ./consul.
    if words.next().is_some_and(|word| word == "consul") {
        return consul::run(words);
    }
    let Arguments { file, directives, version: _ } = Arguments::parse();
    let options = match options(file, directives) {
        Ok(options) => options,
        Err(text) => return fail(&text),
    };
    match driver::start(&options) {
        Ok(code) => code,
        Err(error) => fail(&error.to_string()),
    }
}

fn options(file: PathBuf, directives: Vec<String>) -> Result<Options, String> {
    let mut options = Options { file, overrides: Vec::new(), record: None };
    let mut directives = directives.into_iter().peekable();
    while let Some(word) = directives.next() {
        let mut say = |words: &[&str]| options.overrides.extend(words.iter().map(|word| word.to_string()));
        match word.as_str() {
            "--record" => {
                let path =
                    directives.next().ok_or("--record is followed by nothing: name the file to write\n")?;
                options.record = Some(path.into());
            }
            "--consul" => match directives.next_if(|word| !word.starts_with("--")) {
                Some(address) => say(&["--sentinel", "consul", "address", &address]),
                None => say(&["--sentinel", "consul", "enabled", "yes"]),
            },
            "--dry-run" => say(&["--sentinel", "consul", "dry-run", "yes"]),
            "--observe" => say(&["--sentinel", "observe", "yes"]),
            flag => match flag.strip_prefix("--consul-") {
                Some(setting) => say(&["--sentinel", "consul", setting]),
                None => say(&[flag]),
            },
        }
    }
    Ok(options)
}

fn fail(text: &str) -> ExitCode {
    eprint!("consentinel: {text}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        let arguments = Arguments::try_parse_from(line.split(' ')).expect("a good command line");
        options(arguments.file, arguments.directives).expect("good options")
    }

    #[test]
    fn the_command_line_is_that_of_redis_sentinel() {
        let options = parse("consentinel sentinel.conf --port 26380 --sentinel announce-ip 10.0.0.1");
        assert_eq!(options.file, PathBuf::from("sentinel.conf"));
        assert_eq!(options.overrides, ["--port", "26380", "--sentinel", "announce-ip", "10.0.0.1"]);
        assert_eq!(options.record, None);
    }

    #[test]
    fn a_recording_can_be_asked_for_anywhere_after_the_file() {
        let options = parse("consentinel s.conf --port 1 --record run.jsonl --dir /");
        assert_eq!(options.overrides, ["--port", "1", "--dir", "/"]);
        assert_eq!(options.record, Some(PathBuf::from("run.jsonl")));
    }

    #[test]
    fn consul_has_flags_of_its_own() {
        let options =
            parse("consentinel s.conf --consul http://c:1 --consul-token-file t --dry-run --observe");
        let words = "--sentinel consul address http://c:1 --sentinel consul token-file t \
            --sentinel consul dry-run yes --sentinel observe yes";
        assert_eq!(options.overrides, words.split_whitespace().collect::<Vec<_>>());
        let options = parse("consentinel s.conf --consul --port 1");
        assert_eq!(options.overrides, ["--sentinel", "consul", "enabled", "yes", "--port", "1"]);
    }

    #[test]
    fn a_file_is_required() {
        assert!(Arguments::try_parse_from(["consentinel"]).is_err());
        assert!(Arguments::try_parse_from(["consentinel", "--help"]).is_err_and(|help| !help.use_stderr()));
    }
}
