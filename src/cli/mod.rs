//! The command line: `redis-sentinel`'s, and more.

mod adopt;
mod ask;
mod commands;
mod confirm;
mod consul;
mod flags;
mod resolve;
mod status;
mod system;

use crate::config::{Beginnings, COMPATIBLE_WITH};
use crate::daemon::{self, Options};
use flags::{Flag, RECORD, Value};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
A Redis Sentinel that publishes into Consul.

Watches Redis masters and replicas, agrees with its peers that a master is gone, and fails over. Takes the place of
redis-sentinel: same configuration file, same port, same commands.

Usage: consentinel FILE [--DIRECTIVE VALUE ...] [-]
       consentinel -v | --version
       consentinel -h | --help
       consentinel --check-system
       consentinel status [--help]      show what a running sentinel knows
       consentinel explain MASTER       why there is no failover, or what would happen now
       consentinel resolve NAME         say where the master is, once or at each change
       consentinel proxy NAME           lead clients of a local port to the master, and follow it
       consentinel consul --help        look after what is published
       consentinel adopt FILE           take the place of the redis-sentinel that runs by FILE, or give it back
       consentinel demo [--auto]        three daemons, three Redis servers, a failover to look at
       consentinel completions SHELL    completions for bash, zsh or fish

FILE is the configuration, as for redis-sentinel. The state is written back into it, unless it says
`sentinel state-file <path>`. A single `-` at the end reads more of it from standard input.

Directives overrule the file: --port 26380 --sentinel announce-ip 10.0.0.1. Besides the file's directives there are:
  --consul [ADDRESS]         publish into Consul
  --consul-SETTING VALUE     the same as `sentinel consul SETTING VALUE`
  --dns [ADDRESS[:PORT]]     answer DNS as Consul would; 127.0.0.1:8600 when no address is given
  --dry-run                  only log what would be written to Consul
  --http [ADDRESS[:PORT]]    show status page, state and metrics over HTTP; 127.0.0.1:8654 when no address is given
  --observe                  beside real sentinels, only look on and publish
  --record FILE              write everything that happens to FILE as JSON lines, to be replayed
FILE and each of these may also be in the environment: CONSENTINEL_CONFIG, CONSENTINEL_CONSUL, CONSENTINEL_DRY_RUN and so
on; any directives, a line each, in CONSENTINEL_DIRECTIVES.

It also answers to the names redis-sentinel and valkey-sentinel, and to redis-server FILE --sentinel.
";

/// As whom we were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Under our own name.
    Consentinel,
    /// In the place of the original.
    Redis,
    /// In the place of its sibling.
    Valkey,
}

/// What the command line asks for.
#[derive(Debug)]
enum Wish {
    /// A sentinel.
    Start(Options),
    /// A line, and nothing more.
    Version(Name),
    /// The usage.
    Help,
    /// A look at the machine.
    CheckSystem,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    // A configuration file of such a name is still found as ./consul.
    match words.first().and_then(|word| word.to_str()) {
        Some("adopt") => return adopt::run(words.into_iter().skip(1)),
        Some("completions") => return commands::run_completions(words.into_iter().skip(1)),
        Some("consul") => return consul::run(words.into_iter().skip(1)),
        Some("demo") => return crate::demo::run(words.into_iter().skip(1).collect()),
        Some("explain") => return status::run_explain(words.into_iter().skip(1)),
        Some("man") => return commands::run_man(words.into_iter().skip(1)),
        Some("proxy") => return crate::proxy::run(words.into_iter().skip(1)),
        Some("resolve") => return resolve::run(words.into_iter().skip(1)),
        Some("status") => return status::run(words.into_iter().skip(1)),
        _ => {}
    }
    let environment = |name: &str| std::env::var(name).ok();
    match read(&program.to_string_lossy(), words, &environment) {
        Ok(Wish::Start(options)) => match daemon::start(&options) {
            Ok(code) => code,
            Err(error) => fail(&error.to_string()),
        },
        Ok(Wish::Version(name)) => {
            println!("{}", version(name));
            ExitCode::SUCCESS
        }
        Ok(Wish::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Wish::CheckSystem) => system::check(),
        Err(text) => fail(&text),
    }
}

fn read(
    program: &str,
    words: Vec<OsString>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Wish, String> {
    let file_name = program.rsplit('/').next().unwrap_or_default();
    let name = match file_name {
        name if name.contains("valkey") => Name::Valkey,
        name if name.contains("redis") => Name::Redis,
        _ => Name::Consentinel,
    };
    let is_server = file_name.contains("-server") && !words.iter().any(|word| word == "--sentinel");
    match words.first().and_then(|word| word.to_str()) {
        Some("-v" | "--version") => return Ok(Wish::Version(name)),
        Some("-h" | "--help") => return Ok(Wish::Help),
        Some("--check-system") => return Ok(Wish::CheckSystem),
        Some("--test-memory") => {
            return Err("only a Redis server can test memory: it is not part of this\n".into());
        }
        _ if is_server => {
            return Err(format!(
                "this is a sentinel and no Redis server: write {file_name} FILE --sentinel, or start the server itself\n"
            ));
        }
        _ => {}
    }
    let said = flags::by_environment(environment)?;
    let mut words = words.into_iter().peekable();
    // A path that is no text is a path all the same.
    let is_path = |word: &OsString| word.to_str().is_none_or(|word| !word.starts_with('-'));
    let Some(file) = words.next_if(is_path).or(said.file.map(OsString::from)).map(PathBuf::from) else {
        return Err("Sentinel needs config file on disk to save state. Exiting...\n\
             Name it first: consentinel /etc/redis/sentinel.conf; consentinel --help tells more.\n"
            .into());
    };
    let text = |word: OsString| word.into_string().map_err(|word| format!("{} is no text\n", word.display()));
    let directives = words.map(text).collect::<Result<Vec<_>, _>>()?;
    let mut options = options(file, said.words, directives)?;
    options.record = options.record.or(said.record.map(PathBuf::from));
    Ok(Wish::Start(options))
}

/// In the shape of the program whose place we take, for those who read the version out of it.
fn version(name: Name) -> String {
    let own = env!("CARGO_PKG_VERSION");
    let server = match name {
        Name::Consentinel => return format!("consentinel {own}"),
        Name::Redis => "Redis",
        Name::Valkey => "Valkey",
    };
    let bits = usize::BITS;
    format!(
        "{server} server v={COMPATIBLE_WITH} sha=00000000:0 malloc=libc bits={bits} build=0 consentinel={own}"
    )
}

/// `overrides` come before what the command line says.
fn options(file: PathBuf, overrides: Vec<String>, directives: Vec<String>) -> Result<Options, String> {
    let mut options = Options { file, overrides, record: None };
    let mut beginnings = Beginnings::new();
    let mut directives = directives.into_iter().peekable();
    while let Some(word) = directives.next() {
        // What stands behind a directive is its value, whatever it looks like.
        let begins = beginnings.next(&word, directives.peek().map(String::as_str));
        let flag = Flag::find(&word).filter(|_| begins);
        match (flag, word.strip_prefix("--consul-").filter(|_| begins)) {
            (Some(flag), _) => {
                let value = match flag.value {
                    Value::None => None,
                    Value::May(..) => directives.next_if(|word| !word.starts_with("--")),
                    Value::Must(_) => Some(directives.next().ok_or_else(|| {
                        format!("--{} is followed by nothing: name the file to write\n", flag.name)
                    })?),
                };
                match flag.name {
                    RECORD => options.record = value.map(PathBuf::from),
                    _ => options.overrides.extend(flag.words(value.as_deref())),
                }
                beginnings = Beginnings::new();
            }
            (None, Some(setting)) => {
                options.overrides.extend(["--sentinel", "consul", setting].map(str::to_owned))
            }
            (None, None) => options.overrides.push(word),
        }
    }
    Ok(options)
}

/// An error of the configuration speaks for itself; it begins with an empty line.
fn fail(text: &str) -> ExitCode {
    match text.starts_with('\n') {
        true => eprint!("{text}"),
        false => eprint!("consentinel: {text}"),
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(line: &str) -> Result<Wish, String> {
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        read(program, words.map(OsString::from).collect(), &|_| None)
    }

    fn parse(line: &str) -> Options {
        match wish(line) {
            Ok(Wish::Start(options)) => options,
            other => panic!("no start: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_that_of_redis_sentinel() {
        let options = parse("consentinel sentinel.conf --port 26380 --sentinel announce-ip 10.0.0.1");
        assert_eq!(options.file, PathBuf::from("sentinel.conf"));
        assert_eq!(options.overrides, ["--port", "26380", "--sentinel", "announce-ip", "10.0.0.1"]);
        assert_eq!(options.record, None);
    }

    #[test]
    fn it_answers_to_the_names_of_the_original() {
        parse("/usr/bin/redis-sentinel s.conf");
        parse("valkey-sentinel s.conf --port 1");
        assert_eq!(parse("redis-server s.conf --sentinel --port 1").overrides, ["--sentinel", "--port", "1"]);
        assert!(wish("redis-server redis.conf").is_err_and(|text| text.contains("no Redis server")));
    }

    #[test]
    fn the_version_has_the_shape_of_the_program_whose_place_we_take() {
        for (line, begins) in [
            ("consentinel -v", "consentinel "),
            ("/opt/redis-sentinel --version", "Redis server v=7.0.15 sha="),
            ("valkey-sentinel -v", "Valkey server v=7.0.15 sha="),
            ("redis-server -v", "Redis server v="),
        ] {
            let Ok(Wish::Version(name)) = wish(line) else { panic!("{line}") };
            assert!(version(name).starts_with(begins), "{line}: {}", version(name));
        }
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
    fn dns_is_answered_where_the_flag_says_or_where_consul_would() {
        let options = parse("consentinel s.conf --dns --port 1");
        assert_eq!(options.overrides, ["--sentinel", "dns-bind", "127.0.0.1", "--port", "1"]);
        let options = parse("consentinel s.conf --dns 10.0.0.1:53");
        assert_eq!(options.overrides, ["--sentinel", "dns-bind", "10.0.0.1:53"]);
    }

    #[test]
    fn http_is_served_where_the_flag_says_or_on_loopback() {
        let options = parse("consentinel s.conf --http --port 1");
        assert_eq!(options.overrides, ["--sentinel", "http-bind", "127.0.0.1", "--port", "1"]);
        let options = parse("consentinel s.conf --port 1 --http [::1]:80");
        assert_eq!(options.overrides, ["--port", "1", "--sentinel", "http-bind", "[::1]:80"]);
    }

    #[test]
    fn a_value_that_looks_like_a_flag_is_a_value() {
        let options = parse("consentinel s.conf --requirepass --observe --dry-run");
        let expected = ["--requirepass", "--observe", "--sentinel", "consul", "dry-run", "yes"];
        assert_eq!(options.overrides, expected);
    }

    #[test]
    fn a_file_is_required() {
        for line in ["consentinel --port 1", "redis-sentinel -"] {
            assert!(wish(line).is_err_and(|text| text.starts_with("Sentinel needs config file on disk")));
        }
        assert!(read("consentinel", Vec::new(), &|_| None).is_err());
        assert!(matches!(wish("consentinel --help"), Ok(Wish::Help)));
    }

    #[test]
    fn the_environment_may_name_the_file_and_counts_less_than_the_command_line() {
        let environment = |name: &str| match name {
            "CONSENTINEL_CONFIG" => Some("/data/s.conf".to_owned()),
            "CONSENTINEL_DNS" => Some("10.0.0.1".to_owned()),
            _ => None,
        };
        for (words, file, overrides) in [
            (&[][..], "/data/s.conf", "--sentinel dns-bind 10.0.0.1"),
            (&["--dns"], "/data/s.conf", "--sentinel dns-bind 10.0.0.1 --sentinel dns-bind 127.0.0.1"),
            (&["own.conf", "--port", "1"], "own.conf", "--sentinel dns-bind 10.0.0.1 --port 1"),
        ] {
            let words = words.iter().map(OsString::from).collect();
            let Ok(Wish::Start(options)) = read("consentinel", words, &environment) else { panic!("{file}") };
            assert_eq!(options.file, PathBuf::from(file));
            assert_eq!(options.overrides.join(" "), overrides);
        }
    }
}
