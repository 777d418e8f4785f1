//! How long a failover takes, beside the real redis-sentinel; until when Consul's DNS knows, beside the classic recipe
//! of script checks; and what a Consul that does not answer costs. All in one run.
//!
//! Three sentinels, quorum 2, down-after one second, a master and two replicas; rounds of everything by turns.
//! `just bench --rounds 20`; `just bench --only ours` leaves the original out; `just bench --table consul` prints one of
//! the tables; CONSENTINEL=path measures another build of ours.

mod consul;
mod consul_report;
mod faults;
mod figures;
mod load;
mod load_report;
mod machine;
mod mass;
mod options;
mod report;
mod round;
mod without_consul;

use consentinel_lab::Folder;
use consul::Publisher;
use consul_report::ConsulReport;
use load_report::LoadReport;
use options::{Options, Table};
use report::Report;
use round::Disaster;
use without_consul::{Consuls, WithoutConsulReport};

/// Masters in the table of load, and in that of mass.
const THOUSAND: usize = 1000;
const HUNDRED: usize = 100;

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
                Table::Load | Table::Faults | Table::Mass => {}
            }
        }
    }
    let mut load = LoadReport::default();
    if options.tables.contains(&Table::Load) {
        loads(&options, &mut load);
    }
    if options.tables.contains(&Table::Faults) {
        faults::play(&options);
    }
    let mass = match options.tables.contains(&Table::Mass) {
        true => mass::play(&options.programs, options.masters.unwrap_or(HUNDRED), options.down_after),
        false => Default::default(),
    };
    println!("{}\n{report}{consul}{without}{load}{mass}", machine::headline());
}

fn loads(options: &Options, report: &mut LoadReport) {
    load::bursts(&options.programs, options.rounds, |program, question, burst| {
        eprintln!("{}, {question:?}: {burst:?}", report::name(program));
        report.add_burst(program, question, burst);
    });
    let folder = Folder::new();
    let servers = load::Servers::start(&folder, options.masters.unwrap_or(THOUSAND));
    for _ in 0..options.rounds.div_ceil(4) {
        for program in &options.programs {
            let watched = load::many(program, &servers);
            eprintln!("{}: {:.4} s/s, {} bytes", report::name(program), watched.cpu, watched.memory);
            report.add_watched(program, servers.count(), watched);
        }
    }
    for times in [0, 1, 2, 5] {
        let masters = servers.count() * times;
        report.add_memory(masters, load::memory_for(&options::ours(), &servers, masters));
    }
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
