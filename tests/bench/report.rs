//! The figures, as a table to paste.

use crate::figures::{Figures, beyond, cell};
use crate::round::{Disaster, Measured};
use consentinel_lab::Program;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// All rounds so far.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<(Disaster, &'static str), Vec<Measured>>);

/// How a program is called in the table.
pub(crate) fn name(program: &Program) -> &'static str {
    match program {
        Program::Original | Program::Other(_) => "redis-sentinel",
        Program::Ours(_) => "consentinel",
    }
}

struct Row {
    what: &'static str,
    disaster: Disaster,
    figure: fn(&Measured) -> Duration,
    target: Option<&'static str>,
}

const ROWS: [Row; 8] = [
    Row { what: "killed: to +sdown", disaster: Disaster::Killed, figure: |m| beyond(m.sdown), target: None },
    Row {
        what: "killed: to the first write on the new master",
        disaster: Disaster::Killed,
        figure: |m| beyond(m.write),
        target: Some("60"),
    },
    Row {
        what: "killed: to +switch-master on every sentinel",
        disaster: Disaster::Killed,
        figure: |m| beyond(m.switch),
        target: Some("150"),
    },
    Row {
        what: "stopped: to +sdown",
        disaster: Disaster::Stopped,
        figure: |m| beyond(m.sdown),
        target: None,
    },
    Row {
        what: "stopped: to the first write on the new master",
        disaster: Disaster::Stopped,
        figure: |m| beyond(m.write),
        target: Some("160"),
    },
    Row {
        what: "stopped: to +switch-master on every sentinel",
        disaster: Disaster::Stopped,
        figure: |m| beyond(m.switch),
        target: None,
    },
    Row {
        what: "killed master restarted: takes writes for",
        disaster: Disaster::Killed,
        figure: |m| m.returned,
        target: Some("1000 at most"),
    },
    Row {
        what: "stopped master resumed: takes writes for",
        disaster: Disaster::Stopped,
        figure: |m| m.returned,
        target: Some("1000 at most"),
    },
];

impl Report {
    pub(crate) fn add(&mut self, program: &Program, disaster: Disaster, measured: Measured) {
        self.0.entry((disaster, name(program))).or_default().push(measured);
    }

    fn column(&self, row: &Row, program: &'static str) -> Option<Figures> {
        let rounds = self.0.get(&(row.disaster, program))?;
        Figures::of(rounds.iter().map(row.figure))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rounds) = self.0.values().map(Vec::len).max() else { return Ok(()) };
        writeln!(f, "\nFailovers, {rounds} rounds each, less down-after:\n")?;
        writeln!(f, "| | redis-sentinel | consentinel | ratio of medians | median to reach |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &ROWS {
            let original = self.column(row, "redis-sentinel");
            let ours = self.column(row, "consentinel");
            let ratio = original.as_ref().zip(ours.as_ref()).map(|(original, ours)| ours.ratio(original));
            let ratio = cell(ratio.map(|ratio| match ratio {
                100.0.. => "over 100".to_owned(),
                _ => format!("{ratio:.0}"),
            }));
            let [original, ours] = [original, ours].map(cell);
            let target = row.target.unwrap_or_default();
            writeln!(f, "| {} | {original} | {ours} | {ratio} | {target} |", row.what)?;
        }
        for ((disaster, program), rounds) in &self.0 {
            let twice = rounds.iter().filter(|round| round.twice).count();
            if twice > 0 {
                writeln!(
                    f,
                    "\n{program}, {disaster:?}: a second failover that nobody needed in {twice} rounds."
                )?;
            }
        }
        Ok(())
    }
}
