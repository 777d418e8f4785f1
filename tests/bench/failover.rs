//! How long a failover takes, beside the real redis-sentinel, in one run.
//!
//! Three sentinels, quorum 2, down-after one second, a master and two replicas; rounds of both programs by turns.
//! `just bench --rounds 20`; `just bench --only ours` leaves the original out.

mod options;
mod report;
mod round;

use options::Options;
use report::Report;
use round::Disaster;

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let mut report = Report::default();
    for round in 1..=options.rounds {
        let phase = (round as f64 - 0.5) / options.rounds as f64;
        for program in &options.programs {
            for disaster in [Disaster::Killed, Disaster::Stopped] {
                let measured = round::play(program, disaster, phase);
                eprintln!("round {round}/{}, {}: {measured}", options.rounds, report::name(program));
                report.add(program, disaster, measured);
            }
        }
    }
    println!("{report}");
}
