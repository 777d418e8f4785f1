//! How long a failover takes, beside the real redis-sentinel; until when Consul's DNS knows, beside the classic recipe
//! of script checks; and what a Consul that does not answer costs. All in one run.
//!
//! Three sentinels, quorum 2, down-after one second, a master and two replicas; rounds of everything by turns.
//! `just bench --rounds 20`; `just bench --only ours` leaves the original out; `just bench --table consul` prints one of
//! the tables.

mod consul;
mod consul_report;
mod figures;
mod machine;
mod options;
mod report;
mod round;
mod without_consul;

use consul::Publisher;
use consul_report::ConsulReport;
use options::{Options, Table};
use report::Report;
use round::Disaster;
use without_consul::{Consuls, WithoutConsulReport};

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let (mut report, mut consul, mut without) =
        (Report::default(), ConsulReport::default(), WithoutConsulReport::default());
    for round in 1..=options.rounds {
        // Somewhere between two looks of those who look at intervals, another place each round.
        let phase = (round as f64 - 0.5) / options.rounds as f64;
        let counter = format!("round {round}/{}", options.rounds);
        for table in &options.tables {
            match table {
                Table::Failover => failovers(&options, phase, &counter, &mut report),
                Table::Consul => publications(&options, phase, &counter, &mut consul),
                Table::WithoutConsul => silences(&options, phase, &counter, &mut without),
            }
        }
    }
    println!("{}\n{report}{consul}{without}", machine::headline());
}

fn failovers(options: &Options, phase: f64, counter: &str, report: &mut Report) {
    for program in &options.programs {
        for disaster in [Disaster::Killed, Disaster::Stopped] {
            let measured = round::play(program, disaster, phase);
            eprintln!("{counter}, {}: {measured}", report::name(program));
            report.add(program, disaster, measured);
        }
    }
}

fn publications(options: &Options, phase: f64, counter: &str, report: &mut ConsulReport) {
    for publisher in Publisher::ALL.into_iter().filter(|it| options.programs.contains(&it.program())) {
        let measured = consul::play(publisher, phase);
        eprintln!("{counter}, {publisher}: {measured}");
        report.add(publisher, measured);
    }
}

fn silences(options: &Options, phase: f64, counter: &str, report: &mut WithoutConsulReport) {
    if !options.programs.contains(&options::ours()) {
        return;
    }
    for consuls in Consuls::ALL {
        let write = without_consul::play(consuls, phase);
        eprintln!("{counter}, {consuls}: first write {} ms", write.as_millis());
        report.add(consuls, write);
    }
}
