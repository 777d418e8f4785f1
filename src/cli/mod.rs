//! The command line: `redis-sentinel`'s, and more.

mod ask;
mod consul;
mod resolve;
mod status;
mod system;

use crate::config::Beginnings;
use crate::config::COMPATIBLE_WITH;
use crate::daemon;
use crate::daemon::Options;
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
       consentinel demo [--auto]        three daemons, three Redis servers, a failover to look at

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
        Some("consul") => return consul::run(words.into_iter().skip(1)),
        Some("demo") => return crate::demo::run(words.into_iter().skip(1).collect()),
        Some("explain") => return status::run_explain(words.into_iter().skip(1)),
        Some("proxy") => return crate::proxy::run(words.into_iter().skip(1)),
        Some("resolve") => return resolve::run(words.into_iter().skip(1)),
        Some("status") => return status::run(words.into_iter().skip(1)),
        _ => {}
    }
    match read(&program.to_string_lossy(), words) {
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

fn read(program: &str, words: Vec<OsString>) -> Result<Wish, String> {
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
        Some(word) if !word.starts_with('-') => {}
        Some(_) | None if words.first().is_none_or(|word| word.to_str().is_some()) => {
            return Err("Sentinel needs config file on disk to save state. Exiting...\n\
                 Name it first: consentinel /etc/redis/sentinel.conf; consentinel --help tells more.\n"
                .into());
        }
        // A path that is no text is a path all the same.
        _ => {}
    }
    let mut words = words.into_iter();
    let file = words.next().map(PathBuf::from).unwrap_or_default();
    let text = |word: OsString| word.into_string().map_err(|word| format!("{} is no text\n", word.display()));
    let directives = words.map(text).collect::<Result<Vec<_>, _>>()?;
    options(file, directives).map(Wish::Start)
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

fn options(file: PathBuf, directives: Vec<String>) -> Result<Options, String> {
    let mut options = Options { file, overrides: Vec::new(), record: None };
    let mut beginnings = Beginnings::new();
    let mut directives = directives.into_iter().peekable();
    while let Some(word) = directives.next() {
        let mut say = |words: &[&str]| options.overrides.extend(words.iter().map(|word| word.to_string()));
        // What stands behind a directive is its value, whatever it looks like.
        let begins = beginnings.next(&word, directives.peek().map(String::as_str));
        match word.as_str() {
            word if !begins => say(&[word]),
            "--record" => {
                let path =
                    directives.next().ok_or("--record is followed by nothing: name the file to write\n")?;
                options.record = Some(path.into());
                beginnings = Beginnings::new();
            }
            "--consul" => {
                match directives.next_if(|word| !word.starts_with("--")) {
                    Some(address) => say(&["--sentinel", "consul", "address", &address]),
                    None => say(&["--sentinel", "consul", "enabled", "yes"]),
                }
                beginnings = Beginnings::new();
            }
            "--dns" => {
                let address = directives.next_if(|word| !word.starts_with("--"));
                say(&["--sentinel", "dns-bind", address.as_deref().unwrap_or("127.0.0.1")]);
                beginnings = Beginnings::new();
            }
            "--http" => {
                let address = directives.next_if(|word| !word.starts_with("--"));
                say(&["--sentinel", "http-bind", address.as_deref().unwrap_or("127.0.0.1")]);
                beginnings = Beginnings::new();
            }
            "--dry-run" => {
                say(&["--sentinel", "consul", "dry-run", "yes"]);
                beginnings = Beginnings::new();
            }
            "--observe" => {
                say(&["--sentinel", "observe", "yes"]);
                beginnings = Beginnings::new();
            }
            flag => match flag.strip_prefix("--consul-") {
                Some(setting) => say(&["--sentinel", "consul", setting]),
                None => say(&[flag]),
            },
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
        read(program, words.map(OsString::from).collect())
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
        assert!(read("consentinel", Vec::new()).is_err());
        assert!(matches!(wish("consentinel --help"), Ok(Wish::Help)));
    }
}
