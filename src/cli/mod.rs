//! The command line: `redis-sentinel`'s, and more.

use crate::driver::{self, Options};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// A Redis Sentinel that publishes into Consul.
///
/// Watches Redis masters and replicas, agrees with its peers that a master is gone, and fails over. Takes the place of
/// redis-sentinel: same configuration file, same port, same commands.
#[derive(Debug, Parser)]
#[command(name = "consentinel", version, disable_version_flag = true)]
struct Arguments {
    /// Print the version.
    #[arg(short = 'v', long = "version", action = clap::ArgAction::Version)]
    version: Option<bool>,

    /// The configuration file, as for redis-sentinel. The state is written back into it, unless it says
    /// `sentinel state-file <path>`.
    file: PathBuf,

    /// Directives that overrule the file, as for redis-sentinel: `--port 26380 --sentinel announce-ip 10.0.0.1`.
    /// Also `--record FILE`: writes everything that happens to FILE as JSON lines, so that the run can be replayed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--DIRECTIVE VALUE")]
    directives: Vec<String>,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
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
    let mut directives = directives.into_iter();
    while let Some(word) = directives.next() {
        if word == "--record" {
            let path =
                directives.next().ok_or("--record is followed by nothing: name the file to write\n")?;
            options.record = Some(path.into());
        } else {
            options.overrides.push(word);
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
    fn a_file_is_required() {
        assert!(Arguments::try_parse_from(["consentinel"]).is_err());
        assert!(Arguments::try_parse_from(["consentinel", "--help"]).is_err_and(|help| !help.use_stderr()));
    }
}
