//! How soon Consul's DNS knows, as a table to paste.

use crate::consul::{Measured, Publisher};
use crate::figures::{Figures, beyond, cell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// All rounds so far.
#[derive(Default)]
pub(crate) struct ConsulReport(BTreeMap<Publisher, Vec<Measured>>);

struct Row {
    what: &'static str,
    figure: fn(&Measured) -> Duration,
    target: &'static str,
}

const ROWS: [Row; 5] = [
    Row {
        what: "killed: to DNS naming only the new master, less down-after",
        figure: |m| beyond(m.named),
        target: "100 / 250",
    },
    Row {
        what: "first write on the new master: to DNS naming only it",
        figure: |m| m.promotion,
        target: "20",
    },
    Row { what: "DNS names nobody for", figure: |m| m.empty, target: "" },
    Row { what: "DNS names the old master after that first write for", figure: |m| m.old, target: "" },
    Row { what: "killed master restarted: DNS names it again for", figure: |m| m.returned, target: "" },
];

impl ConsulReport {
    pub(crate) fn add(&mut self, publisher: Publisher, measured: Measured) {
        self.0.entry(publisher).or_default().push(measured);
    }

    fn count(&self, publisher: Publisher, fits: fn(&Measured) -> bool) -> Option<String> {
        let rounds = self.0.get(&publisher)?;
        Some(format!("{} of {}", rounds.iter().filter(|round| fits(round)).count(), rounds.len()))
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, what: &str, cells: [String; 3], target: &str) -> fmt::Result {
        let [five, one, ours] = cells;
        writeln!(f, "| {what} | {five} | {one} | {ours} | {target} |")
    }
}

impl fmt::Display for ConsulReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rounds) = self.0.values().map(Vec::len).max() else { return Ok(()) };
        writeln!(f, "\nConsul's DNS, {rounds} rounds each:\n")?;
        writeln!(f, "| | redis-sentinel, scripts every 5 s | every second | consentinel | to reach |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &ROWS {
            let figures = |publisher| {
                cell(self.0.get(&publisher).and_then(|rounds| Figures::of(rounds.iter().map(row.figure))))
            };
            self.row(f, row.what, Publisher::ALL.map(figures), row.target)?;
        }
        let several = Publisher::ALL.map(|publisher| cell(self.count(publisher, |round| round.several)));
        self.row(f, "rounds in which DNS named two masters", several, "0")?;
        let twice = Publisher::ALL.map(|publisher| cell(self.count(publisher, |round| round.twice)));
        self.row(f, "rounds with a second failover that nobody needed", twice, "0")
    }
}
