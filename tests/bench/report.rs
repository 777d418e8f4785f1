//! The figures, as a table to paste.

use crate::round::{Disaster, Measured};
use consentinel_lab::Program;
use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::Duration;

/// What every sentinel has to wait anyway; subtracted from whatever is measured from the disaster on.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// All rounds so far.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<(Disaster, &'static str), Vec<Measured>>);

/// How a program is called in the table.
pub(crate) fn name(program: &Program) -> &'static str {
    match program {
        Program::Original => "redis-sentinel",
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

fn beyond(time: Duration) -> Duration {
    time.saturating_sub(DOWN_AFTER)
}

impl Report {
    pub(crate) fn add(&mut self, program: &Program, disaster: Disaster, measured: Measured) {
        self.0.entry((disaster, name(program))).or_default().push(measured);
    }

    fn column(&self, row: &Row, program: &'static str) -> Option<Figures> {
        let rounds = self.0.get(&(row.disaster, program))?;
        let mut times: Vec<_> = rounds.iter().map(row.figure).collect();
        times.sort();
        Some(Figures(times))
    }
}

/// Sorted times, at least one.
struct Figures(Vec<Duration>);

impl Figures {
    fn median(&self) -> Duration {
        let (low, high) = (self.0[(self.0.len() - 1) / 2], self.0[self.0.len() / 2]);
        (low + high) / 2
    }

    /// The time that all but one of a hundred stay below: with fewer rounds, the longest.
    fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", millis(self.median()), millis(self.p99()))
    }
}

fn millis(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1000.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.0.values().map(Vec::len).max().unwrap_or(0);
        writeln!(f, "{}, {rounds} rounds each; {}.", output("date", &["+%Y-%m-%d"]), machine())?;
        writeln!(
            f,
            "Milliseconds, median / p99 (of fewer than 100 rounds: the longest), less down-after.\n"
        )?;
        writeln!(f, "| | redis-sentinel | consentinel | ratio of medians | median to reach |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &ROWS {
            let original = self.column(row, "redis-sentinel");
            let ours = self.column(row, "consentinel");
            let ratio = original.as_ref().zip(ours.as_ref()).map(|(original, ours)| {
                original.median().as_secs_f64() / ours.median().as_secs_f64().max(0.001)
            });
            let ratio = ratio.map_or(String::new(), |ratio| match ratio {
                100.0.. => "over 100".into(),
                _ => format!("{ratio:.0}"),
            });
            let [original, ours] = [original, ours].map(|f| f.map_or(String::new(), |f| f.to_string()));
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

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let redis = output("redis-server", &["--version"]);
    let version = redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}, Redis {version}", output("uname", &["-r"]))
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
