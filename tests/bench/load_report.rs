//! The tables about load.

use crate::load::{Burst, QUESTIONS, Question, Watched, micros};
use crate::report::name;
use consentinel_lab::Program;
use std::collections::BTreeMap;
use std::fmt;

const ORIGINAL: &str = "redis-sentinel";
const OURS: &str = "consentinel";

/// All that was measured.
#[derive(Default)]
pub(crate) struct LoadReport {
    bursts: BTreeMap<(Question, &'static str), Vec<Burst>>,
    watched: BTreeMap<&'static str, (usize, Vec<Watched>)>,
    memory: Vec<(usize, u64)>,
}

impl LoadReport {
    pub(crate) fn add_burst(&mut self, program: &Program, question: Question, burst: Burst) {
        self.bursts.entry((question, name(program))).or_default().push(burst);
    }

    pub(crate) fn add_watched(&mut self, program: &Program, masters: usize, watched: Watched) {
        self.watched.entry(name(program)).or_insert((masters, Vec::new())).1.push(watched);
    }

    pub(crate) fn add_memory(&mut self, masters: usize, memory: u64) {
        self.memory.push((masters, memory));
    }

    fn burst(&self, question: Question, program: &'static str, figure: fn(&Burst) -> f64) -> Option<f64> {
        median(self.bursts.get(&(question, program))?.iter().map(figure))
    }

    fn watch(&self, program: &'static str, figure: fn(&Watched) -> f64) -> Option<f64> {
        median(self.watched.get(program)?.1.iter().map(figure))
    }

    fn pings(&self, program: &'static str) -> String {
        let all = self.watched.get(program).map(|(_, all)| all.iter().flat_map(|one| one.pings.clone()));
        all.map(|all| micros(&all.collect::<Vec<_>>())).unwrap_or_default()
    }
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// A row with the two figures and ours in terms of the original's.
fn row(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    figures: [Option<f64>; 2],
    digits: usize,
    target: &str,
) -> fmt::Result {
    let [original, ours] = figures;
    let show = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.digits$}"));
    let ratio =
        original.zip(ours).map_or(String::new(), |(original, ours)| format!("{:.2}", ours / original));
    writeln!(f, "| {what} | {} | {} | {ratio} | {target} |", show(original), show(ours))
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.bursts.is_empty() {
            writeln!(
                f,
                "| | {ORIGINAL} | {OURS} | ratio | ratio to reach |\n| --- | --- | --- | --- | --- |"
            )?;
        }
        for question in QUESTIONS.iter().filter(|_| !self.bursts.is_empty()) {
            let what = format!("{}, pipelines of {}", question.name, question.pipeline);
            let of = |figure| [ORIGINAL, OURS].map(|program| self.burst(*question, program, figure));
            row(f, &format!("{what}: requests per second"), of(|burst| burst.rate), 0, "1.00 at least")?;
            row(
                f,
                &format!("{what}: processor time for each, µs"),
                of(|burst| burst.cpu),
                2,
                "1.00 at most",
            )?;
        }
        if let Some((masters, _)) = self.watched.values().next() {
            let of = |figure| [ORIGINAL, OURS].map(|program| self.watch(program, figure));
            writeln!(
                f,
                "\n| {masters} masters | {ORIGINAL} | {OURS} | ratio | to reach |\n| --- | --- | --- | --- | --- |"
            )?;
            row(f, "processor time, seconds per second", of(|one| one.cpu), 4, "half")?;
            row(f, "memory, MB", of(|one| one.memory as f64 / 1e6), 1, "half")?;
            row(f, "start to first answer, s", of(|one| one.first.as_secs_f64()), 2, "1 s at most")?;
            let [original, ours] = [ORIGINAL, OURS].map(|program| self.pings(program));
            writeln!(
                f,
                "| PING at 1 ms pace, median / p99, µs | {original} | {ours} | | p99 1000 at most |"
            )?;
        }
        if !self.memory.is_empty() {
            writeln!(f, "\n| masters | memory, MB | kB for each more |\n| --- | --- | --- |")?;
        }
        let mut before: Option<(usize, u64)> = None;
        for (masters, memory) in &self.memory {
            let more = before.map_or(String::new(), |(fewer, less)| {
                format!("{:.1}", (*memory as f64 - less as f64) / 1e3 / (masters - fewer) as f64)
            });
            writeln!(f, "| {masters} | {:.1} | {more} |", *memory as f64 / 1e6)?;
            before = Some((*masters, *memory));
        }
        Ok(())
    }
}
