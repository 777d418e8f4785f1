//! One failover, from the master's silence to the last replica: what each event says about it.

use super::{Facts, Moment};
use crate::status::{Failover, Mark, MarkPhase, Outcome};
use consentinel_core::{Detail, Endpoint, Event, GroupName, Time};
use std::time::Duration;

/// Marks that one failover may have. A master that stays down for days is tried for again and again: then it is the
/// beginning and the end that are worth keeping.
const MARKS: usize = 48;
const FIRST_MARKS: usize = 16;

/// What is said of the master's last sign of life.
const SILENT: &str = "it fell silent: its connection ended, or it left a ping unanswered";

/// How far back a silence may reach before the first event: further back is another story, such as a master that was
/// never reached.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// A master that is down, or is being replaced.
pub(super) struct Outage {
    failover: Failover,
    began: Time,
    /// What this sentinel has seen of it.
    seen: Seen,
}

/// What of it has been seen: whether it is one at all depends on that.
#[derive(Clone, Copy, Default)]
struct Seen {
    sdown: bool,
    odown: bool,
    voted: bool,
    stood: bool,
    switched: bool,
    ended: bool,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to come.
    Open,
    /// It is over.
    Over,
}

impl Outage {
    /// The first sign of one. Nothing when the event is none.
    pub(super) fn begin(moment: Moment, event: Event, detail: &Detail, group: &GroupName) -> Option<Outage> {
        let is_sign = match event {
            Event::Sdown => detail.is_master(),
            Event::TryFailover | Event::VoteForLeader | Event::ConfigUpdateFrom | Event::SwitchMaster => true,
            _ => false,
        };
        is_sign.then_some(())?;
        Some(Outage {
            failover: Failover {
                master: group.to_string(),
                began_unix_ms: moment.unix_ms,
                outcome: Outcome::UnderWay,
                ..Failover::default()
            },
            began: moment.now,
            seen: Seen::default(),
        })
    }

    pub(super) fn numbered(mut self, number: u64) -> Self {
        self.failover.number = number;
        self
    }

    pub(super) fn shown(&self) -> &Failover {
        &self.failover
    }

    /// Whether it is a failover, or might have become one: this sentinel's own opinion alone is none, nor is a vote that
    /// nothing followed.
    pub(super) fn matters(&self) -> bool {
        let Seen { sdown, odown, voted, stood, switched, .. } = self.seen;
        odown || stood || switched || (sdown && voted)
    }

    /// Whether an event is the beginning of the next one.
    pub(super) fn is_followed_by_another(&self, now: Time, event: Event, detail: &Detail) -> bool {
        match event {
            Event::Sdown => detail.is_master() && (self.is_decided() || self.is_stale(now)),
            Event::TryFailover => self.is_decided() || !self.seen.sdown && !self.matters(),
            // A vote that nothing has followed is forgotten for the next one.
            Event::VoteForLeader => !self.seen.sdown && !self.matters(),
            _ => false,
        }
    }

    /// The silence began before what was the first sign so far: somebody else was quicker to notice.
    fn reach_back(&mut self, now: Time, facts: Facts) {
        let Some(silence) = facts.silence.filter(|_| !self.seen.sdown) else { return };
        let since = now.earlier(silence).max(now.earlier(LONGEST_SILENCE));
        let earlier = self.began - since;
        self.failover.phases.iter_mut().for_each(|mark| mark.at_ms += milliseconds(earlier));
        self.failover.began_unix_ms = self.failover.began_unix_ms.saturating_sub(earlier.as_millis() as u64);
        self.began = self.began.min(since);
        self.mark(since, MarkPhase::Silent, SILENT);
    }

    fn is_decided(&self) -> bool {
        self.seen.switched || self.seen.ended
    }

    /// A vote that nothing has followed for a while belongs to something else.
    fn is_stale(&self, now: Time) -> bool {
        !self.seen.sdown && !self.matters() && now - self.began > LONGEST_SILENCE
    }

    /// Takes in what happened next.
    pub(super) fn handle(
        &mut self,
        now: Time,
        event: Event,
        detail: &Detail,
        epoch: u64,
        facts: Facts,
    ) -> Step {
        if matches!(event, Event::Sdown | Event::SdownOver) && !detail.is_master() {
            return Step::Open;
        }
        if event == Event::Sdown {
            self.reach_back(now, facts);
            self.seen.sdown = true;
            self.failover.from = joined(detail.address()).unwrap_or_default();
        }
        if let Some(phase) = phase(event) {
            self.mark(now, phase, &format!("{event} {detail}"));
        }
        match event {
            Event::Odown => self.seen.odown = true,
            Event::SdownOver if !self.seen.switched => {
                self.failover.outcome = Outcome::Over;
                return Step::Over;
            }
            Event::VoteForLeader => {
                self.seen.voted = true;
                self.failover.epoch = detail.epoch().map(|epoch| epoch.0).or(self.failover.epoch);
            }
            Event::TryFailover => {
                self.failover.ordered = !self.seen.odown;
                self.failover.from = joined(detail.address()).unwrap_or_default();
                self.seen.stood = true;
                self.failover.attempts += 1;
                self.failover.epoch = Some(epoch);
                self.failover.outcome = Outcome::UnderWay;
                self.failover.reason = None;
            }
            Event::ElectedLeader => self.failover.led = true,
            Event::SelectedReplica | Event::PromotedReplica => self.failover.to = joined(detail.address()),
            Event::ConfigUpdateFrom => self.failover.led = false,
            Event::SwitchMaster => return self.on_switch(detail, facts),
            Event::AbortNotElected | Event::AbortNoGoodReplica | Event::AbortReplicaTimeout => {
                return self.on_abort(event);
            }
            Event::FailoverEnd | Event::FailoverEndForTimeout => {
                // Where no other replica is to be turned, the end comes before the switch is on disk and told.
                self.seen.ended = true;
                return if self.seen.switched { Step::Over } else { Step::Open };
            }
            Event::Unmonitor | Event::ResetMaster => {
                if !self.seen.switched {
                    self.failover.outcome = Outcome::Aborted;
                    self.failover.reason = Some(format!("{event} was ordered"));
                }
                return Step::Over;
            }
            _ => {}
        }
        Step::Open
    }

    /// Whether Consul has the outcome, which is noted the first time.
    pub(super) fn note_published(&mut self, now: Time, facts: Facts) -> bool {
        let (Some(epoch), Some((published, ago))) = (self.failover.epoch, facts.published) else {
            return false;
        };
        if !self.seen.switched || published < epoch {
            return false;
        }
        let is_there = self.failover.phases.iter().any(|mark| mark.phase == MarkPhase::Published);
        if !is_there {
            let to = self.failover.to.as_deref().filter(|_| published == epoch).unwrap_or("its successor");
            let words = format!("Consul names {to}, by epoch {published}");
            self.mark(now.earlier(ago).max(self.began), MarkPhase::Published, &words);
        }
        true
    }

    fn on_switch(&mut self, detail: &Detail, facts: Facts) -> Step {
        self.seen.switched = true;
        if let Detail::Switch { from, to, .. } = detail {
            (self.failover.from, self.failover.to) = (from.joined(), Some(to.joined()));
        }
        self.failover.epoch = facts.epoch.or(self.failover.epoch);
        self.failover.outcome = Outcome::Done;
        self.failover.reason = None;
        // Whoever leads has the other replicas still before him.
        if self.failover.led && !self.seen.ended { Step::Open } else { Step::Over }
    }

    /// An attempt has come to nothing. While the master is down, that is not the end.
    fn on_abort(&mut self, event: Event) -> Step {
        let reason = match event {
            Event::AbortNoGoodReplica => "no replica could be promoted",
            Event::AbortReplicaTimeout => "the chosen replica did not become master in time",
            _ => "this sentinel was not elected",
        };
        self.failover.led = false;
        self.failover.to = None;
        self.failover.outcome = Outcome::Aborted;
        self.failover.reason = Some(reason.to_owned());
        if self.seen.sdown { Step::Open } else { Step::Over }
    }

    fn mark(&mut self, at: Time, phase: MarkPhase, words: &str) {
        let marks = &mut self.failover.phases;
        if marks.len() == MARKS {
            marks.remove(FIRST_MARKS);
        }
        let at_ms = milliseconds(at - self.began);
        // Consul may have known it before we did.
        let place = marks.iter().rposition(|mark| mark.at_ms <= at_ms).map_or(0, |before| before + 1);
        marks.insert(place, Mark { phase, at_ms, words: words.to_owned() });
    }
}

/// What an event is called among the phases; nothing when it is none.
fn phase(event: Event) -> Option<MarkPhase> {
    Some(match event {
        Event::Sdown => MarkPhase::Sdown,
        Event::SdownOver => MarkPhase::SdownOver,
        Event::Odown => MarkPhase::Odown,
        Event::OdownOver => MarkPhase::OdownOver,
        Event::VoteForLeader => MarkPhase::Voted,
        Event::TryFailover => MarkPhase::Standing,
        Event::ElectedLeader => MarkPhase::Elected,
        Event::SelectedReplica => MarkPhase::Selected,
        Event::WaitPromotion => MarkPhase::Told,
        Event::PromotedReplica => MarkPhase::Promoted,
        Event::ConfigUpdateFrom => MarkPhase::Heard,
        Event::SwitchMaster => MarkPhase::Switched,
        Event::ReconfDone => MarkPhase::Reconfigured,
        Event::FailoverEnd | Event::FailoverEndForTimeout => MarkPhase::End,
        Event::AbortNotElected | Event::AbortNoGoodReplica | Event::AbortReplicaTimeout => MarkPhase::Aborted,
        _ => return None,
    })
}

/// With fractions.
fn milliseconds(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}

fn joined(addr: Option<&Endpoint>) -> Option<String> {
    addr.map(Endpoint::joined)
}
