//! `--auto`: kills the master, waits until the answer has followed, brings the old one back, and judges.

use super::scene::{Scene, port_of};
use super::stage::{COUNT, Hand};
use std::time::{Duration, Instant};

/// How long everything is left alone: before the master is killed, and before the old one is brought back.
const CALM: Duration = Duration::from_millis(1500);

/// As many confirmed writes must there be before the master is killed: else losing none of them proves nothing.
const WRITES: u64 = 50;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Kill the master.
    Kill,
    /// Bring back what was killed.
    BringBack,
    /// Compare what was promised with what is there, everywhere.
    Audit,
    /// It is over; what did not happen.
    Finish(Vec<String>),
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Before,
    Failover,
    After,
    Return,
    Audit,
    Over,
}

/// The one who presses the keys.
#[derive(Debug)]
pub(super) struct Auto {
    step: Step,
    since: Instant,
    deadline: Instant,
}

impl Auto {
    /// One who has until then.
    pub(super) fn new(now: Instant, deadline: Instant) -> Self {
        Auto { step: Step::Before, since: now, deadline }
    }

    /// What is to be done now, if anything.
    pub(super) fn poll(&mut self, scene: &Scene, now: Instant) -> Option<Order> {
        let missing = self.missing(scene, now);
        if missing.is_empty() {
            let (next, order) = match self.step {
                Step::Before => (Step::Failover, Some(Order::Kill)),
                Step::Failover => (Step::After, None),
                Step::After => (Step::Return, Some(Order::BringBack)),
                Step::Return => (Step::Audit, Some(Order::Audit)),
                Step::Audit => (Step::Over, Some(Order::Finish(self.verdict(scene)))),
                Step::Over => return None,
            };
            (self.step, self.since) = (next, now);
            return order;
        }
        if now >= self.deadline && self.step != Step::Over {
            self.step = Step::Over;
            return Some(Order::Finish(missing));
        }
        None
    }

    /// What the present step still waits for.
    fn missing(&self, scene: &Scene, now: Instant) -> Vec<String> {
        let mut missing = Vec::new();
        let mut need = |met: bool, text: &str| missing.extend((!met).then(|| text.to_owned()));
        let calm = now.saturating_duration_since(self.since) >= CALM;
        match self.step {
            Step::Before => {
                need(calm, "nothing was tried yet");
                need(all_well(scene), "not every daemon finds everything well");
                need(scene.writing.ledger.confirmed >= WRITES, "too little was written to prove anything");
                need(dns(scene).is_some() && dns(scene) == scene.master(), "DNS does not name the master");
            }
            Step::Failover => match scene.failovers.last() {
                Some(failover) if !failover.called_off => {
                    failover.missing().into_iter().for_each(|text| need(false, text));
                }
                _ => need(false, "there was no failover"),
            },
            Step::After => need(calm, "the old master was not brought back"),
            Step::Return => {
                let linked = scene.back.as_ref().is_some_and(|back| back.linked.is_some());
                need(linked, "the old master did not become a replica of the new one");
                need(all_well(scene), "not every daemon finds everything well again");
            }
            Step::Audit => need(scene.audit.is_some(), "what was written could not be read"),
            Step::Over => {}
        }
        missing
    }

    /// What is not as it should be in the end.
    fn verdict(&self, scene: &Scene) -> Vec<String> {
        let mut wrong = Vec::new();
        let new = scene.failovers.last().and_then(|failover| failover.new);
        if dns(scene).is_none() || dns(scene) != new {
            wrong.push("DNS does not name the new master any more".to_owned());
        }
        if scene.failovers.len() != 1 {
            wrong.push(format!("there were {} failovers and not one", scene.failovers.len()));
        }
        if let Some(audit) = scene.audit.filter(|audit| audit.lost > 0) {
            wrong.push(format!(
                "{} of {} writes that a replica had confirmed are lost",
                audit.lost, audit.looked_for
            ));
        }
        wrong
    }
}

/// The master that DNS names.
fn dns(scene: &Scene) -> Option<u16> {
    scene.answer.as_ref()?.0.port()
}

/// Whether every daemon hears all others, has the same master, and takes no server for down.
fn all_well(scene: &Scene) -> bool {
    let well = |daemon| {
        scene.seen_by(daemon).is_some_and(|seen| {
            let down = seen.server.sdown_ms.is_some() || seen.odown_ms.is_some();
            let replicas =
                seen.replicas.iter().filter(|server| server.linked && server.sdown_ms.is_none()).count();
            let hears = seen
                .sentinels
                .iter()
                .filter(|sentinel| sentinel.linked && sentinel.sdown_ms.is_none())
                .count();
            !down && port_of(&seen.address) == scene.master() && replicas == COUNT - 1 && hears == COUNT - 1
        })
    };
    scene.servers.iter().all(|server| server.hand == Hand::Up) && (0..COUNT).all(well)
}

#[cfg(test)]
mod tests;
