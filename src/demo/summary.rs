//! What remains when the screen is gone: each failover in numbers.

use super::scene::Scene;
use super::timeline::{Failover, Phase};
use super::view::grouped;

/// Draws it: a few lines a failover, and what became of the writes.
pub(super) fn lines(scene: &Scene) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, failover) in scene.failovers.iter().enumerate() {
        lines.extend(told(number + 1, failover, scene));
        lines.push(String::new());
    }
    if let Some(back) = &scene.back {
        let told = back.told.map(|told| format!(" told to follow after {} ms,", told.as_millis()));
        let linked = match back.linked {
            Some(linked) => format!("a complete replica after {} ms", linked.as_millis()),
            None => "not a replica yet".into(),
        };
        lines.push(format!("{} came back:{} {linked}.", back.port, told.unwrap_or_default()));
    }
    let ledger = &scene.writing.ledger;
    let (acknowledged, confirmed) = (grouped(ledger.acknowledged), grouped(ledger.confirmed));
    lines.push(format!(
        "{acknowledged} writes were acknowledged, {confirmed} of them confirmed by a replica."
    ));
    lines.push(match scene.audit {
        Some(audit) => {
            let (looked_for, lost) = (grouped(audit.looked_for as u64), audit.lost);
            format!(
                "Of the last {looked_for} confirmed ones, {} lost.",
                if lost == 0 { "none is".into() } else { format!("{lost} ARE") }
            )
        }
        None => "Whether all of them are there was not looked up.".into(),
    });
    lines
}

fn told(number: usize, failover: &Failover, scene: &Scene) -> Vec<String> {
    if failover.called_off {
        return vec![format!("Failover {number} did not take place: {} was back in time.", failover.old)];
    }
    let new = failover.new.map_or_else(|| "nobody yet".into(), |port| port.to_string());
    let mut lines = vec![format!("Failover {number}: {} -> {new}", failover.old), String::new()];
    let mut before = 0;
    for phase in failover.phases() {
        let title = failover.title(phase);
        lines.push(match failover.after(phase) {
            Some(after) => {
                let step = after.as_millis().saturating_sub(before);
                before = before.max(after.as_millis());
                format!("  {title:<12}{:>6} ms  {:>+6}   {}", after.as_millis(), step, failover.words(phase))
            }
            None => format!("  {title:<12}     -             did not happen"),
        });
    }
    lines.push(String::new());
    if let Some((waiting, ours)) = failover.waiting_and_ours() {
        let down_after = scene.cast.down_after.as_millis();
        lines.push(format!(
            "{} ms to the application's first write on the new master: {waiting} ms of silence",
            waiting + ours
        ));
        lines.push(format!(
            "until the first daemon was sure (down-after is {down_after} ms), and {ours} ms of failover."
        ));
    }
    if let Some(pause) = failover.pause {
        lines.push(format!("Between two of its writes the application waited {} ms.", pause.as_millis()));
    }
    if let (Some(all), Some(first)) = (failover.all_switched(), failover.after(Phase::Switched)) {
        let later = all.saturating_sub(first).as_millis();
        lines.push(format!("The last of the daemons named the new master {later} ms after the first."));
    }
    lines
}
