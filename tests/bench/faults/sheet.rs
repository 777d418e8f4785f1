//! A table of figures, a column for each program.

use crate::report::name;
use consentinel_lab::Program;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What one round has brought to one row.
#[derive(Clone, Debug)]
pub(crate) enum Figure {
    /// A time; nothing when it did not happen within the deadline.
    Time(Option<Duration>),
    /// How many.
    Count(usize),
    /// What was answered or seen.
    Text(String),
}

impl From<Option<Duration>> for Figure {
    fn from(time: Option<Duration>) -> Figure {
        Figure::Time(time)
    }
}

impl From<Duration> for Figure {
    fn from(time: Duration) -> Figure {
        Figure::Time(Some(time))
    }
}

impl From<usize> for Figure {
    fn from(count: usize) -> Figure {
        Figure::Count(count)
    }
}

impl From<String> for Figure {
    fn from(text: String) -> Figure {
        Figure::Text(text)
    }
}

/// Rows in the order in which they came first.
pub(crate) struct Sheet {
    title: String,
    rows: Vec<(String, BTreeMap<&'static str, Vec<Figure>>)>,
}

impl Sheet {
    pub(crate) fn new(title: impl Into<String>) -> Sheet {
        Sheet { title: title.into(), rows: Vec::new() }
    }

    /// Adds what one round has brought, and says so at once.
    pub(crate) fn add(&mut self, row: &str, program: &Program, figure: impl Into<Figure>) {
        let figure = figure.into();
        eprintln!("{}: {row}: {}", name(program), cell(std::slice::from_ref(&figure)));
        let at = self.rows.iter().position(|(known, _)| known == row).unwrap_or_else(|| {
            self.rows.push((row.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        self.rows[at].1.entry(name(program)).or_default().push(figure);
    }
}

/// Median and longest of times, in milliseconds; sum and rounds of counts; each text and how often it came.
fn cell(figures: &[Figure]) -> String {
    let mut times = Vec::new();
    let (mut sum, mut counts, mut texts) = (0, 0, BTreeMap::<&str, usize>::new());
    for figure in figures {
        match figure {
            Figure::Time(time) => times.push(time.unwrap_or(Duration::MAX)),
            Figure::Count(count) => (sum, counts) = (sum + count, counts + 1),
            Figure::Text(text) => *texts.entry(text).or_default() += 1,
        }
    }
    if !times.is_empty() {
        times.sort();
        let (low, high) = (times[(times.len() - 1) / 2], times[times.len() / 2]);
        let median = if high == Duration::MAX { high } else { (low + high) / 2 };
        return format!("{} / {}", millis(median), millis(times[times.len() - 1]));
    }
    if counts > 0 {
        return format!("{sum} in {counts}");
    }
    texts.iter().map(|(text, count)| format!("{text} ×{count}")).collect::<Vec<_>>().join("; ")
}

fn millis(time: Duration) -> String {
    if time == Duration::MAX { "never".into() } else { time.as_millis().to_string() }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = ["redis-sentinel", "consentinel"];
        let line = |(row, figures): &(String, BTreeMap<&'static str, Vec<Figure>>)| {
            let cells = columns.map(|column| figures.get(column).map(|it| cell(it)).unwrap_or_default());
            [row.clone(), cells[0].clone(), cells[1].clone()]
        };
        let mut lines = vec![["".to_owned(), columns[0].to_owned(), columns[1].to_owned()]];
        lines.extend(self.rows.iter().map(line));
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default();
        let widths = [width(0), width(1), width(2)];
        let rounds = self.rows.iter().flat_map(|(_, figures)| figures.values()).map(Vec::len).max();
        writeln!(f, "\n{}; {} rounds at most.\n", self.title, rounds.unwrap_or_default())?;
        for (number, line) in lines.iter().enumerate() {
            let [row, original, ours] = line;
            let [first, second, third] = widths;
            writeln!(f, "| {row:first$} | {original:second$} | {ours:third$} |")?;
            if number == 0 {
                writeln!(f, "| {} | {} | {} |", "-".repeat(first), "-".repeat(second), "-".repeat(third))?;
            }
        }
        Ok(())
    }
}
