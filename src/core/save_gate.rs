//! The gate that answers pass only after the save that covers them: saved before said.
//!
//! Whatever others may build on (an epoch, a vote, a configuration) is on disk before it leaves. Answers that wait
//! for the disk do not exist as actions until the save that covers them has succeeded; when it fails, a refusal
//! takes their place.

use crate::mutation::{Mutation, active};
use crate::{Action, ClientId, Epoch, Refusal, Response, Seq, Time};
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) struct SaveGate {
    last: Seq,
    on_disk: Seq,
    in_flight: Option<InFlight>,
    urgent: bool,
    later: Option<Time>,
    identity: bool,
    failure: Option<Failure>,
    waiting: VecDeque<WaitingAnswer>,
    /// How long the disk takes: the last save, or what remains of a slower one before it.
    pub(crate) latency: Duration,
    /// The epoch as it is on disk: the only one that may be told to others.
    pub(crate) saved_epoch: Epoch,
}

struct InFlight {
    seq: Seq,
    epoch: Epoch,
    urgent: bool,
    since: Time,
}

struct Failure {
    error: String,
    retry_at: Time,
}

struct WaitingAnswer {
    after: Seq,
    since: Time,
    client: ClientId,
    response: Response,
    /// What is answered when the disk fails.
    otherwise: Otherwise,
}

/// How an answer changes when the disk fails.
pub(crate) enum Otherwise {
    /// The error is told.
    Refuse,
    /// The opinion stands, the vote is withheld.
    Withhold,
}

impl SaveGate {
    /// What is on disk at the start: an epoch, and perhaps an identity.
    pub(crate) fn new(saved_epoch: Epoch, identity: bool) -> Self {
        SaveGate {
            last: Seq(0),
            on_disk: Seq(0),
            in_flight: None,
            urgent: false,
            later: None,
            identity,
            failure: None,
            waiting: VecDeque::new(),
            latency: Duration::ZERO,
            saved_epoch,
        }
    }

    /// Why the state cannot be written; while that is so, this sentinel neither votes nor leads.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.error.as_str())
    }

    /// The state has changed in a way that others will build on: write it now.
    pub(crate) fn urgently(&mut self) {
        self.urgent = true;
    }

    /// The state has changed in a way that only a restart would miss: write it soon, with what else comes.
    pub(crate) fn soon(&mut self, now: Time) {
        self.later.get_or_insert(now + SOON);
    }

    /// The save after which everything that was changed so far is on disk; nothing when it already is.
    pub(crate) fn covering(&self) -> Option<Seq> {
        match &self.in_flight {
            _ if self.urgent => Some(Seq(self.last.0 + 1)),
            Some(save) if save.urgent => Some(save.seq),
            _ => None,
        }
    }

    /// Whether this sentinel's identity is on disk, so that it may introduce itself.
    pub(crate) fn has_identity(&self) -> bool {
        self.identity
    }

    /// Whether that save, and so everything before it, is on disk.
    pub(crate) fn is_saved(&self, seq: Seq) -> bool {
        seq <= self.on_disk
    }

    /// Answers a request once everything that was changed so far is on disk.
    pub(crate) fn respond(
        &mut self,
        client: ClientId,
        response: Response,
        otherwise: Otherwise,
        since: Time,
        out: &mut VecDeque<Action>,
    ) {
        match self.covering() {
            Some(_) if active(Mutation::VoteSaidBeforeSaved) => {
                out.push_back(Action::Respond { client, response })
            }
            Some(after) => {
                self.waiting.push_back(WaitingAnswer { after, since, client, response, otherwise })
            }
            None => out.push_back(Action::Respond { client, response }),
        }
    }

    /// How long a save takes, by the last ones and by the one under way.
    pub(crate) fn pace(&self, now: Time) -> Duration {
        let under_way = self.in_flight.as_ref().map(|save| now - save.since);
        self.latency.max(under_way.unwrap_or_default())
    }

    /// When `begin` will have something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        if self.in_flight.is_some() {
            return None;
        }
        match &self.failure {
            Some(failure) => Some(failure.retry_at),
            None => self.later,
        }
    }

    /// Whether the state must be written now; the number of the save, if so.
    pub(crate) fn begin(&mut self, now: Time, epoch: Epoch) -> Option<Seq> {
        let due = match &self.failure {
            Some(failure) => now >= failure.retry_at,
            None => self.urgent || self.later.is_some_and(|at| now >= at),
        };
        if !due || self.in_flight.is_some() {
            return None;
        }
        self.last.0 += 1;
        self.in_flight = Some(InFlight { seq: self.last, epoch, urgent: self.urgent, since: now });
        self.urgent = false;
        self.later = None;
        Some(self.last)
    }

    /// The disk answered. Returns whether that save was the one under way.
    pub(crate) fn on_saved(
        &mut self,
        seq: Seq,
        error: Option<String>,
        now: Time,
        tilt: bool,
        out: &mut VecDeque<Action>,
    ) -> bool {
        let Some(save) = self.in_flight.take_if(|save| save.seq == seq) else { return false };
        self.latency = (now - save.since).max(self.latency / 2);
        match &error {
            None => {
                self.failure = None;
                self.on_disk = seq;
                self.identity = true;
                self.saved_epoch = self.saved_epoch.max(save.epoch);
            }
            Some(error) => {
                self.urgent = true;
                self.failure = Some(Failure { error: error.clone(), retry_at: now + RETRY });
            }
        }
        while self.waiting.front().is_some_and(|answer| answer.after <= seq) {
            let answer = self.waiting.pop_front().expect("its front was looked at");
            let stale = tilt || now > answer.since + OPINION_LASTS;
            let response = match (&error, answer.otherwise) {
                (None, _) if stale => without_opinion(answer.response),
                (None, _) => answer.response,
                (Some(_), Otherwise::Refuse) => Response::Refused(Refusal::NotSaved),
                (Some(_), Otherwise::Withhold) if active(Mutation::VoteWithoutDisk) => answer.response,
                (Some(_), Otherwise::Withhold) => withheld(answer.response),
            };
            out.push_back(Action::Respond { client: answer.client, response });
        }
        true
    }
}

/// The vote stands forever; what was seen when it was asked for does not.
fn without_opinion(response: Response) -> Response {
    match response {
        Response::Down { leader, epoch, .. } => Response::Down { down: false, leader, epoch },
        other => other,
    }
}

fn withheld(response: Response) -> Response {
    match response {
        Response::Down { down, .. } => Response::Down { down, leader: None, epoch: Epoch(0) },
        other => other,
    }
}

const OPINION_LASTS: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::ZERO;

    fn vote() -> Response {
        Response::Down { down: true, leader: Some(crate::SentinelId::new("a")), epoch: Epoch(1) }
    }

    #[test]
    fn a_vote_leaves_only_after_its_save() {
        let mut gate = SaveGate::new(Epoch(0), true);
        let mut out = VecDeque::new();
        gate.urgently();
        gate.respond(ClientId(1), vote(), Otherwise::Withhold, NOW, &mut out);
        let seq = gate.begin(NOW, Epoch(1)).expect("urgent");
        assert!(out.is_empty() && gate.saved_epoch == Epoch(0));
        gate.on_saved(seq, None, NOW, false, &mut out);
        assert_eq!((out.len(), gate.saved_epoch), (1, Epoch(1)));
    }

    #[test]
    fn a_change_during_a_save_waits_for_the_next_one() {
        let mut gate = SaveGate::new(Epoch(0), true);
        let mut out = VecDeque::new();
        gate.urgently();
        let first = gate.begin(NOW, Epoch(1)).expect("urgent");
        gate.urgently();
        gate.respond(ClientId(1), vote(), Otherwise::Withhold, NOW, &mut out);
        assert_eq!(gate.begin(NOW, Epoch(2)), None);
        gate.on_saved(first, None, NOW, false, &mut out);
        assert!(out.is_empty());
        let second = gate.begin(NOW, Epoch(2)).expect("urgent");
        gate.on_saved(second, None, NOW, false, &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_failed_save_withholds_the_vote_and_is_tried_again() {
        let mut gate = SaveGate::new(Epoch(0), true);
        let mut out = VecDeque::new();
        gate.urgently();
        gate.respond(ClientId(1), vote(), Otherwise::Withhold, NOW, &mut out);
        let seq = gate.begin(NOW, Epoch(1)).expect("urgent");
        gate.on_saved(seq, Some("disk full".into()), NOW, false, &mut out);
        let Some(Action::Respond { response, .. }) = out.pop_front() else { panic!("an answer is owed") };
        assert_eq!(response, Response::Down { down: true, leader: None, epoch: Epoch(0) });
        assert_eq!(gate.failure(), Some("disk full"));
        assert_eq!(gate.begin(NOW, Epoch(1)), None);
        assert!(gate.begin(NOW + RETRY, Epoch(1)).is_some());
    }
}
