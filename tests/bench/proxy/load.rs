//! Bursts of requests by redis-benchmark.

use crate::stage::Way;
use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

/// Connections that ask at the same time.
const CONNECTIONS: &str = "50";

/// What is asked, and in pipelines of what length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Burst {
    command: &'static str,
    pipeline: u32,
    bytes: u32,
    /// Whether every request has a connection of its own.
    alone: bool,
}

const fn burst(command: &'static str, pipeline: u32, bytes: u32) -> Burst {
    Burst { command, pipeline, bytes, alone: false }
}

/// All that is asked.
pub(crate) const BURSTS: [Burst; 7] = [
    burst("get", 1, 3),
    burst("set", 1, 3),
    burst("get", 16, 3),
    burst("set", 16, 3),
    burst("get", 1, 16_384),
    burst("set", 16, 16_384),
    Burst { command: "get", pipeline: 1, bytes: 3, alone: true },
];

/// What a burst took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Requests in a second.
    rate: f64,
    /// Milliseconds.
    median: f64,
    p99: f64,
    /// Processor time of whoever carries the bytes for each request, in microseconds.
    cpu: f64,
}

/// Plays a burst.
pub(crate) fn play(way: &Way, burst: Burst, requests: u32) -> Measured {
    // As much work for each: long pipelines are quick, long values are not, new connections least of all.
    let count = match burst {
        Burst { alone: true, .. } => requests / 10,
        Burst { bytes: 16_384, .. } => requests / 2,
        Burst { pipeline, .. } => requests * pipeline.min(8),
    }
    .max(1000);
    if burst.command == "get" {
        way.fill(burst.bytes as usize);
    }
    let before = way.cpu();
    let output = Command::new("redis-benchmark")
        .args(["-p", &way.port.to_string(), "-c", CONNECTIONS, "-n", &count.to_string(), "--csv"])
        .args(["-P", &burst.pipeline.to_string(), "-d", &burst.bytes.to_string(), "-t", burst.command])
        .args(["-k", if burst.alone { "0" } else { "1" }])
        .output()
        .expect("redis-benchmark: run `just deps`");
    let cpu = (way.cpu() - before).as_secs_f64() * 1e6 / f64::from(count);
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    let line = text.lines().last().unwrap_or_default().replace('"', "");
    let number = |at: usize| line.split(',').nth(at).and_then(|text| text.parse().ok());
    let (rate, median, p99) = (number(1), number(4), number(6));
    let (Some(rate), Some(median), Some(p99)) = (rate, median, p99) else {
        panic!("redis-benchmark over {}: {text} {}", way.name, String::from_utf8_lossy(&output.stderr))
    };
    Measured { rate, median, p99, cpu }
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<(Burst, &'static str), Vec<Measured>>);

impl Report {
    pub(crate) fn add(&mut self, burst: Burst, way: &'static str, measured: Measured) {
        self.0.entry((burst, way)).or_default().push(measured);
    }

    fn median(&self, burst: Burst, way: &'static str, figure: fn(&Measured) -> f64) -> Option<f64> {
        let mut figures: Vec<_> = self.0.get(&(burst, way))?.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = if self.bytes < 1024 {
            format!("{} bytes", self.bytes)
        } else {
            format!("{} kB", self.bytes / 1024)
        };
        write!(f, "{} of {size}, ", self.command.to_uppercase())?;
        match self.alone {
            true => f.write_str("a new connection each"),
            false => write!(f, "pipelines of {}", self.pipeline),
        }
    }
}

type Figure = (&'static str, fn(&Measured) -> f64, usize);

const FIGURES: [Figure; 4] = [
    ("requests per second", |it| it.rate, 0),
    ("median, ms", |it| it.median, 3),
    ("p99, ms", |it| it.p99, 3),
    ("processor time for each, µs", |it| it.cpu, 2),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.0.values().map(Vec::len).max().unwrap_or(0);
        writeln!(f, "{CONNECTIONS} connections; the middle one of {rounds} rounds by turns:\n")?;
        writeln!(f, "| | direct | haproxy | consentinel proxy | ratio to haproxy |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for burst in BURSTS {
            for (what, figure, digits) in FIGURES {
                let [direct, theirs, ours] =
                    ["direct", "haproxy", "consentinel proxy"].map(|way| self.median(burst, way, figure));
                let show = |figure: Option<f64>| {
                    figure.filter(|it| *it > 0.0).map_or(String::new(), |it| format!("{it:.digits$}"))
                };
                let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
                let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                let [direct, theirs, ours] = [direct, theirs, ours].map(show);
                writeln!(f, "| {burst}: {what} | {direct} | {theirs} | {ours} | {ratio} |")?;
            }
        }
        Ok(())
    }
}
