//! The timeline of the last failover.

use super::Paper;
use crate::demo::pen::Row;
use crate::demo::scene::Scene;
use crate::demo::timeline::{Failover, Phase};
use crate::ink::Ink;
use std::time::{Duration, Instant};

/// Where the bars begin, and what stands behind them.
const BARS: usize = 25;
const WORDS: usize = 30;

/// Draws it, or how to get one.
pub(super) fn draw(scene: &Scene, now: Instant, paper: Paper, rows: &mut Vec<Row>) {
    let Some(failover) = scene.failovers.last() else {
        rows.extend(invitation(scene));
        return;
    };
    rows.push(head(scene, failover, now, paper));
    if failover.called_off {
        let text = format!("   {} was back before anybody was elected: it stays the master", failover.old);
        rows.push(Row::new().put(Ink::Good, text));
        return;
    }
    let until = if failover.is_over() {
        Phase::ALL.iter().filter_map(|phase| failover.after(*phase)).max()
    } else {
        None
    };
    let total = until.unwrap_or_else(|| now.saturating_duration_since(failover.began()));
    let mut before = Duration::ZERO;
    for phase in failover.phases() {
        let row = Row::new().put(Ink::Plain, format!(" {:<12}", failover.title(phase)));
        let Some(at) = failover.after(phase) else {
            rows.push(row.put(Ink::Faint, paper.look.choose("  ···", "  ...")));
            continue;
        };
        let row = row.put(Ink::Strong, format!("{:>6} ms", at.as_millis())).to(BARS);
        let waits = phase == Phase::Sdown;
        let row = bar(row, before.min(at), at, total, paper, if waits { Ink::Faint } else { Ink::Good });
        rows.push(row.to(bar_end(paper) + 1).put(Ink::Plain, failover.words(phase)));
        before = before.max(at);
    }
}

fn head(scene: &Scene, failover: &Failover, now: Instant, paper: Paper) -> Row {
    let number = scene.failovers.len();
    let row = Row::new().put(Ink::Strong, format!("Failover {number}"));
    let row = match failover.new {
        Some(new) => {
            row.put(Ink::Plain, format!(": {} {} {new}", failover.old, paper.look.choose("→", "->")))
        }
        None => row.put(Ink::Plain, format!(": {} ...", failover.old)),
    };
    match (failover.pause, failover.waiting_and_ours()) {
        (Some(_), Some((waiting, ours))) => {
            let text = format!("{} ms to the first write", waiting + ours);
            let share = format!(": {waiting} waiting, {ours} ours");
            row.right(paper.width.saturating_sub(share.len()), Ink::Strong, &text).put(Ink::Faint, share)
        }
        (Some(pause), None) => {
            row.right(paper.width, Ink::Strong, &format!("{} ms without writes", pause.as_millis()))
        }
        (None, _) if !failover.called_off => {
            let since = now.saturating_duration_since(failover.began()).as_millis();
            row.right(paper.width, Ink::Warning, &format!("{since} ms so far"))
        }
        (None, _) => row,
    }
}

fn bar_end(paper: Paper) -> usize {
    paper.width.saturating_sub(WORDS).max(BARS + 1)
}

/// The part of the whole time that one phase took, in its place.
fn bar(row: Row, from: Duration, to: Duration, total: Duration, paper: Paper, ink: Ink) -> Row {
    let width = bar_end(paper) - BARS;
    let column = |at: Duration| match total.as_micros() {
        0 => 0,
        total => ((at.as_micros() * width as u128 / total) as usize).min(width),
    };
    let from = column(from).min(width - 1);
    let length = column(to).saturating_sub(from).max(1);
    row.put(Ink::Plain, " ".repeat(from)).put(ink, paper.look.choose("█", "#").repeat(length))
}

fn invitation(scene: &Scene) -> Vec<Row> {
    let down_after = scene.cast.down_after.as_millis();
    let line = |text: String| Row::new().put(Ink::Plain, text);
    vec![
        Row::new()
            .put(Ink::Strong, "Press ")
            .put(Ink::Key, "k")
            .put(Ink::Strong, " to kill the master, and look what happens to the answer."),
        line(String::new()),
        line(format!(
            "A daemon waits {down_after} ms (down-after-milliseconds) until it takes a silent master"
        )),
        line("for down. What comes then is done as fast as it goes: the daemons agree, elect".into()),
        line("one of themselves, it promotes the replica with the most data and tells all.".into()),
        line("Each phase will stand here with its milliseconds.".into()),
        line(String::new()),
        line("s: the same with a master that hangs instead of dying (SIGSTOP)".into()),
        line("p: a planned change of the master; nothing is down, nothing is lost".into()),
        line("r: bring back what was killed or stopped; it must come back as a replica".into()),
    ]
}
