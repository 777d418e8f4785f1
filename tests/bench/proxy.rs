//! `consentinel proxy` beside haproxy, in one run: throughput, latency, what a request costs in processor time, and what ten
//! thousand idle connections cost in memory.
//!
//! `just bench-proxy --rounds 5`; `--requests 20000` for a quick look.

#[path = "figures.rs"]
#[allow(dead_code, reason = "it belongs to the other benchmark, too")]
mod figures;
#[path = "proxy/idle.rs"]
mod idle;
#[path = "proxy/load.rs"]
mod load;
#[path = "machine.rs"]
mod machine;
#[path = "proxy/stage.rs"]
mod stage;

use stage::Stage;

const USAGE: &str = "usage: just bench-proxy [--rounds N] [--requests N] [--idle N]";

/// What to measure.
struct Options {
    rounds: usize,
    requests: u32,
    idle: usize,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { rounds: 5, requests: 100_000, idle: 10_000 };
        while let Some(arg) = args.next() {
            let mut number = || {
                let text = args.next().ok_or_else(|| format!("{arg} what? {USAGE}"))?;
                text.parse().map_err(|_| format!("'{text}' is no number; {USAGE}"))
            };
            match arg.as_str() {
                // Cargo says this to every benchmark.
                "--bench" => {}
                "--rounds" => options.rounds = number()?,
                "--requests" => options.requests = u32::try_from(number()?).unwrap_or(u32::MAX),
                "--idle" => options.idle = number()?,
                _ => return Err(format!("what is '{arg}'? {USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    consentinel_lab::raise_file_limit();
    let stage = Stage::start();
    let mut report = load::Report::default();
    for round in 1..=options.rounds {
        for burst in load::BURSTS {
            for way in stage.ways(round) {
                let measured = load::play(way, burst, options.requests);
                eprintln!("round {round}/{}, {burst:?}, {}: {measured:?}", options.rounds, way.name);
                report.add(burst, way.name, measured);
            }
        }
    }
    let idle = stage.proxies().map(|way| (way.name, idle::measure(way, options.idle)));
    println!("{}\n\n{report}", machine::headline());
    idle::print(&idle);
}
