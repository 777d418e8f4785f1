//! What idle connections cost.

use crate::stage::Way;
use std::time::{Duration, Instant};

/// Connections that were measured, and what they cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    count: usize,
    /// Kilobytes before, and with all of them.
    memory: (u64, u64),
    /// How long it took to make them, one after the other.
    took: Duration,
    /// Processor time of a second in which nothing happens.
    cpu: Duration,
}

/// Opens so many, as far as the limit of files lets, each used once, and leaves them alone.
pub(crate) fn measure(way: &Way, wanted: usize) -> Idle {
    let limit = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limit.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit: Option<usize> = limit.and_then(|line| line.split_whitespace().next()?.parse().ok());
    // A connection takes two files of whoever carries it.
    let count = wanted.min(limit.map_or(wanted, |limit| limit.saturating_sub(250) / 2));
    // What the first ones leave behind is there before, too.
    drop((0..100).map(|_| way.connect().expect("it leads there")).collect::<Vec<_>>());
    let (before, begin) = (way.memory(), Instant::now());
    let connections: Vec<_> = (0..count).map(|_| way.connect().expect("it leads there")).collect();
    let took = begin.elapsed();
    let cpu = way.cpu();
    std::thread::sleep(Duration::from_secs(1)); // the second that is measured
    let idle = Idle { count, memory: (before, way.memory()), took, cpu: way.cpu() - cpu };
    drop(connections);
    idle
}

/// Prints a table.
pub(crate) fn print(all: &[(&'static str, Idle)]) {
    println!(
        "| idle connections | number | memory before, MB | with them, MB | kB for each | to connect, µs each | processor time, ms per second |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, idle) in all {
        let Idle { count, memory: (before, with), took, cpu } = idle;
        println!(
            "| {name} | {count} | {:.1} | {:.1} | {:.2} | {:.0} | {:.1} |",
            *before as f64 / 1e3,
            *with as f64 / 1e3,
            (*with as f64 - *before as f64) / *count as f64,
            took.as_secs_f64() * 1e6 / *count as f64,
            cpu.as_secs_f64() * 1e3,
        );
    }
}
