//! What requests cost, and a thousand masters.

use crate::figures::Figures;
use consentinel_lab::{Client, Extra, Folder, Process, Program, Sentinel, eventually, free_port};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For a thousand servers to start on a machine that does other things, too.
const LONG: Duration = Duration::from_secs(300);

/// Connections that ask at the same time.
const CONNECTIONS: &str = "20";

/// Until everything is connected and has said what it says at first.
const SETTLE: Duration = Duration::from_secs(15);

/// How long a sentinel is watched.
const WATCH: Duration = Duration::from_secs(30);

/// Between two pings.
const PACE: Duration = Duration::from_millis(1);

/// What is asked, and in pipelines of what length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    words: &'static [&'static str],
    pub(crate) name: &'static str,
    pub(crate) pipeline: u32,
}

const PING: &[&str] = &["PING"];
const ADDRESS: &[&str] = &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m0"];

/// All that is asked.
pub(crate) const QUESTIONS: [Question; 4] = [
    Question { words: PING, name: "PING", pipeline: 1 },
    Question { words: PING, name: "PING", pipeline: 16 },
    Question { words: ADDRESS, name: "GET-MASTER-ADDR", pipeline: 1 },
    Question { words: ADDRESS, name: "GET-MASTER-ADDR", pipeline: 16 },
];

/// What a burst of requests took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Requests in a second.
    pub(crate) rate: f64,
    /// Processor time of the sentinel for each, in microseconds.
    pub(crate) cpu: f64,
}

/// Asks all questions of all programs by turns.
pub(crate) fn bursts(programs: &[Program], rounds: usize, mut tell: impl FnMut(&Program, Question, Burst)) {
    let folder = Folder::new();
    let servers = Servers::start(&folder, 1);
    let sentinels: Vec<_> = programs.iter().map(|program| watch(&folder, program, &servers, 1)).collect();
    for _ in 0..rounds {
        for question in QUESTIONS {
            for (program, sentinel) in programs.iter().zip(&sentinels) {
                tell(program, question, burst(sentinel, question));
            }
        }
    }
}

fn burst(sentinel: &Sentinel, question: Question) -> Burst {
    let count = 100_000 * question.pipeline.min(6);
    let (cpu, begin) = (cpu(sentinel), Instant::now());
    let status = Command::new("redis-benchmark")
        .args(["-p", &sentinel.port.to_string(), "-c", CONNECTIONS, "-n", &count.to_string(), "-q"])
        .args(["-P", &question.pipeline.to_string()])
        .args(question.words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "redis-benchmark runs: did `just deps` run?");
    let count = f64::from(count);
    Burst {
        rate: count / begin.elapsed().as_secs_f64(),
        cpu: (self::cpu(sentinel) - cpu).as_secs_f64() * 1e6 / count,
    }
}

/// Many real servers.
pub(crate) struct Servers {
    ports: Vec<u16>,
    _processes: Vec<Process>,
}

impl Servers {
    /// Starts so many, in batches, each as small as it can be.
    pub(crate) fn start(folder: &Folder, count: usize) -> Servers {
        let home = folder.sub("servers");
        let (mut ports, mut processes) = (Vec::new(), Vec::new());
        for number in 0..count {
            let port = free_port();
            let words = format!(
                "--port {port} --bind 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 --appendonly no --maxmemory 1mb --io-threads 1 --hz 1 --dir {}",
                home.display()
            );
            let mut args: Vec<&str> = words.split(' ').collect();
            args.extend(["--save", ""]);
            processes.push(Process::start(Path::new("redis-server"), &args, &home.join("log")));
            ports.push(port);
            if number % 50 == 49 || number + 1 == count {
                eventually("the servers answer", LONG, || {
                    Client::connect(port, Duration::from_secs(1)).ok()?.call(&["PING"]).ok()
                });
            }
        }
        Servers { ports, _processes: processes }
    }

    pub(crate) fn count(&self) -> usize {
        self.ports.len()
    }
}

/// A sentinel that watches so many masters; where they are more than servers, several are the same one.
fn watch(folder: &Folder, program: &Program, servers: &Servers, masters: usize) -> Sentinel {
    let line = |number: usize| {
        let (port, host) = (servers.ports[number % servers.count()], number / servers.count() + 1);
        format!("sentinel monitor m{number} 127.0.0.{host} {port} 1\n")
    };
    let config: String = (0..masters).map(line).collect();
    Sentinel::start_new(folder, program.clone(), &config, Extra::default())
}

/// What it takes to watch many masters.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// From the start to the first answer.
    pub(crate) first: Duration,
    /// Processor time in a second, with nobody asking.
    pub(crate) cpu: f64,
    /// Memory, in bytes.
    pub(crate) memory: u64,
    /// How long the answers to pings took.
    pub(crate) pings: Vec<Duration>,
}

/// Watches a master on every server.
pub(crate) fn many(program: &Program, servers: &Servers) -> Watched {
    let folder = Folder::new();
    let begin = Instant::now();
    let sentinel = watch(&folder, program, servers, servers.count());
    let first = begin.elapsed();
    std::thread::sleep(SETTLE); // there is nothing to wait for: everybody is as he will be
    let (before, begin) = (cpu(&sentinel), Instant::now());
    std::thread::sleep(WATCH);
    let cpu = (cpu(&sentinel) - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    let pings = pings(&sentinel);
    Watched { first, cpu, memory: memory(&sentinel), pings }
}

fn pings(sentinel: &Sentinel) -> Vec<Duration> {
    let mut client = sentinel.client().expect("it answers");
    let (end, mut times) = (Instant::now() + WATCH, Vec::new());
    while Instant::now() < end {
        let begin = Instant::now();
        client.call(&["PING"]).expect("it answers");
        times.push(begin.elapsed());
        std::thread::sleep(PACE);
    }
    times
}

/// The memory for so many masters, after a while.
pub(crate) fn memory_for(program: &Program, servers: &Servers, masters: usize) -> u64 {
    let folder = Folder::new();
    let sentinel = watch(&folder, program, servers, masters);
    std::thread::sleep(SETTLE * 2); // for two rounds of INFO
    memory(&sentinel)
}

fn memory(sentinel: &Sentinel) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sentinel.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() << 10
}

/// Processor time of all its threads so far.
fn cpu(sentinel: &Sentinel) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", sentinel.pid())).expect("it runs");
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Sorted times in microseconds, as `median / p99`.
pub(crate) fn micros(times: &[Duration]) -> String {
    match Figures::of(times.iter().copied()) {
        Some(figures) => format!("{} / {}", figures.median().as_micros(), figures.p99().as_micros()),
        None => String::new(),
    }
}
