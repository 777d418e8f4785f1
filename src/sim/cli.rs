//! What the command line can ask for: many seeds, one seed as a story, a recording, a replay.

use clap::{Parser, ValueEnum};
use consentinel_core::{Recorded, Sentinel};
use consentinel_sim::{
    CompoundChoice, ConsulChoice, Failure, Fault, Options, Stats, run_and_record, run_seed,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lives whole worlds of sentinels and Redis servers in virtual time, from seeds.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Goes on after a failure, up to so many.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Whether there is a Consul.
    #[arg(long, value_enum, default_value_t = Consul::BySeed)]
    consul: Consul,
    /// Whether there are compound disasters: several faults at once, slow disks, changed identities and addresses.
    #[arg(long, value_enum, default_value_t = Compound::BySeed)]
    compound: Compound,
    /// One seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Tells it as a story.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many minutes pass in each world.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How many threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Writes what one sentinel lives through into this file, as JSON lines.
    #[arg(long, requires = "seed", requires = "sentinel")]
    record: Option<String>,
    /// Which sentinel: s1, s2, …
    #[arg(long)]
    sentinel: Option<String>,
    /// Lives a recording again, twice, and shows what the core does.
    #[arg(long, conflicts_with_all = ["seed", "record"])]
    replay: Option<String>,
}

/// Whether the worlds have a Consul.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Consul {
    /// Every second world has one.
    BySeed,
    /// None has.
    Off,
    /// All have.
    On,
    /// All have one that never answers.
    Silent,
}

/// Whether the worlds have compound disasters.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compound {
    /// Every third world has.
    BySeed,
    /// None has.
    Off,
    /// All have.
    On,
}

impl From<Compound> for CompoundChoice {
    fn from(choice: Compound) -> CompoundChoice {
        match choice {
            Compound::BySeed => CompoundChoice::BySeed,
            Compound::Off => CompoundChoice::Off,
            Compound::On => CompoundChoice::On,
        }
    }
}

/// A choice as it is typed.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl From<Consul> for ConsulChoice {
    fn from(choice: Consul) -> ConsulChoice {
        match choice {
            Consul::BySeed => ConsulChoice::BySeed,
            Consul::Off => ConsulChoice::Off,
            Consul::On => ConsulChoice::On,
            Consul::Silent => ConsulChoice::Silent,
        }
    }
}

impl Args {
    pub(crate) fn run(&self) -> ExitCode {
        let done = match (&self.replay, self.seed) {
            (Some(file), _) => replay(file),
            (None, Some(seed)) => self.run_one(seed),
            (None, None) => Ok(self.run_many()),
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("consentinel-sim: {error}");
                ExitCode::from(2)
            }
        }
    }

    fn options(&self) -> Options {
        Options {
            minutes: self.minutes,
            story: self.trace,
            record: self.sentinel.clone(),
            consul: self.consul.into(),
            compound: self.compound.into(),
        }
    }

    fn run_one(&self, seed: u64) -> Result<bool, String> {
        let started = Instant::now();
        let (result, recording) = run_and_record(seed, &self.options());
        let story = match &result {
            Ok(report) => &report.story,
            Err(failure) => &failure.story,
        };
        let mut out = BufWriter::new(std::io::stdout().lock());
        for line in story {
            // A reader that has seen enough closes the pipe.
            if writeln!(out, "{line}").is_err() {
                return Ok(result.is_ok());
            }
        }
        drop(out);
        if let Some(path) = &self.record {
            write_recording(path, &recording)?;
        }
        match result {
            Ok(report) => {
                let fingerprint = report.fingerprint;
                let summary = Summary { stats: report.stats, time: report.virtual_time, seeds: 1 };
                let text = summary.text(started.elapsed(), 1);
                let _ = writeln!(
                    std::io::stdout(),
                    "seed {seed}: all is well; fingerprint {fingerprint:016x}\n{text}"
                );
                Ok(true)
            }
            Err(failure) => {
                let _ = writeln!(std::io::stdout(), "{failure}");
                Ok(false)
            }
        }
    }

    /// Runs seeds on all cores. True when nothing was wrong.
    fn run_many(&self) -> bool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(cores).max(1);
        let (next, stop) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let end = self.from.saturating_add(self.seeds);
        let total = Mutex::new(Summary::default());
        let failures: Mutex<BTreeMap<u64, Failure>> = Mutex::default();
        let options = self.options();
        let started = Instant::now();
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                match run_seed(seed, &options) {
                    Ok(report) => {
                        let mut total = total.lock().expect("no thread panics while it holds the lock");
                        total.seeds += 1;
                        total.time += report.virtual_time;
                        total.stats.add(&report.stats);
                        if total.seeds % 1000 == 0 {
                            eprintln!("{} seeds, {:.0?}", total.seeds, started.elapsed());
                        }
                    }
                    Err(failure) => {
                        println!("{failure}");
                        println!(
                            "  replay: consentinel-sim --seed {seed} --minutes {} --consul {} --compound {} --trace",
                            self.minutes,
                            word(&self.consul),
                            word(&self.compound)
                        );
                        let mut failures = failures.lock().expect("no thread panics while it holds the lock");
                        failures.insert(seed, failure);
                        stop.store(failures.len() >= self.failures, Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let total = total.into_inner().expect("no thread panics while it holds the lock");
        let failures = failures.into_inner().expect("no thread panics while it holds the lock");
        print!("{}", total.text(started.elapsed(), threads));
        if failures.is_empty() {
            println!("nothing was wrong");
            return true;
        }
        let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (seed, failure) in &failures {
            kinds.entry(failure.invariant.to_string()).or_default().push(*seed);
        }
        for (kind, seeds) in kinds {
            println!("{} of {kind}: {seeds:?}", seeds.len());
        }
        false
    }
}

/// What many seeds add up to.
#[derive(Default)]
struct Summary {
    stats: Stats,
    time: Duration,
    seeds: u64,
}

impl Summary {
    fn text(&self, took: Duration, threads: usize) -> String {
        let Summary { stats, time, seeds } = self;
        let speed = time.as_secs_f64() / took.as_secs_f64() / threads as f64;
        let Stats {
            events,
            faults,
            attempts,
            elections,
            promotions,
            votes,
            saves,
            acknowledged,
            confirmed,
            ..
        } = stats;
        let mut text = format!(
            "{seeds} seeds, {:.0} virtual seconds in {:.1} s on {threads} threads: {speed:.0} per second and thread\n\
             {events} events, {faults} faults, {acknowledged} writes acknowledged ({confirmed} under WAIT 1), {saves} saves, {votes} votes told\n\
             {attempts} failovers begun, {elections} elections won, {promotions} promotions\n\
             {} records published, {} amendments, {} bounced off\n\
             {} replicas wiped by an empty master, {} full synchronisations took writes back\n",
            time.as_secs_f64(),
            took.as_secs_f64(),
            stats.claims,
            stats.amendments,
            stats.bounced,
            stats.wiped,
            stats.rolled_back,
        );
        text += &quantiles("from a master's death to the promotion, less down-after", &stats.failover_times);
        text += "from a master's death, less down-after, or an order, until a majority names the next one, by what it met:\n";
        for fault in Fault::ALL {
            text += &quantiles(&format!("  {}", fault.as_str()), stats.times_by_fault.of(fault));
        }
        text += &quantiles("from a promotion to its record in Consul", &stats.publication_times);
        text += &quantiles("from the repair to agreement", &stats.convergence_times);
        text
    }
}

fn quantiles(of: &str, times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
    format!(
        "{of}: median {:.3?}, p90 {:.3?}, p99 {:.3?}, longest {:.3?} ({} times)\n",
        at(50),
        at(90),
        at(99),
        times.last().copied().unwrap_or_default(),
        times.len()
    )
}

fn write_recording(path: &str, recording: &[Recorded]) -> Result<(), String> {
    let complain = |error: &dyn std::fmt::Display| format!("cannot write {path}: {error}");
    let mut file = BufWriter::new(File::create(path).map_err(|error| complain(&error))?);
    for line in recording {
        serde_json::to_writer(&mut file, line).map_err(|error| complain(&error))?;
        writeln!(file).map_err(|error| complain(&error))?;
    }
    file.flush().map_err(|error| complain(&error))?;
    println!("{} inputs written to {path}", recording.len());
    Ok(())
}

/// Lives a recording twice, shows the actions, and says whether both lives were the same.
fn replay(path: &str) -> Result<bool, String> {
    let file = File::open(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let (mut first, mut second): (Option<Sentinel>, Option<Sentinel>) = (None, None);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("cannot read {path}: {error}"))?;
        let step: Recorded =
            serde_json::from_str(&line).map_err(|error| format!("{path}, line {}: {error}", number + 1))?;
        let (a, b) = (live(&mut first, &step), live(&mut second, &step));
        let when = match &step {
            Recorded::Start { now, .. } | Recorded::Input(now, _) => *now,
        };
        for action in &a {
            // A reader that has seen enough closes the pipe.
            if writeln!(out, "{when:?} {action}").is_err() {
                return Ok(true);
            }
        }
        if a != b {
            let _ = writeln!(out, "line {}: two lives differ:\n  {a:?}\n  {b:?}", number + 1);
            return Ok(false);
        }
    }
    Ok(true)
}

fn live(core: &mut Option<Sentinel>, step: &Recorded) -> Vec<String> {
    match step {
        Recorded::Start { seed, now, state } => {
            *core = Some(Sentinel::new(state.as_ref().clone(), *seed, *now))
        }
        Recorded::Input(now, input) => {
            if let Some(core) = core {
                core.handle(*now, input.clone());
            }
        }
    }
    let mut actions = Vec::new();
    while let Some(action) = core.as_mut().and_then(Sentinel::poll_action) {
        actions.push(format!("{action:?}"));
    }
    actions
}
