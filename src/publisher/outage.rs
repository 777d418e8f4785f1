//! Consul as a whole cannot be asked: it is tried by one call at a time, at a steady pace, whatever the number of
//! groups; and when it answers, everything that waits goes out at once.

use crate::call::{Call, CallId};
use crate::dispatch::What;
use crate::group::{Doing, Tick};
use crate::publisher::{Output, Publisher};
use consentinel_core::{GroupName, RegistryError, RegistryEvent, RegistryFault, Time};
use std::time::Duration;

/// From a failure to the next attempt.
const PACE: Duration = Duration::from_millis(100);
/// Where it is our number that it cannot serve, we come less often.
const LONGEST_PACE: Duration = Duration::from_secs(2);

/// An outage.
#[derive(Debug)]
pub(crate) struct Outage {
    /// Why.
    pub(crate) error: RegistryError,
    /// Whether an attempt has failed since it began. A single failure may have been one connection's.
    pub(crate) confirmed: bool,
    attempts: u32,
    pub(crate) attempt: Attempt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Due(Time),
    Waiting(CallId),
}

impl Publisher {
    /// A call that was sent then has failed in a way that concerns all others.
    pub(crate) fn suspect_outage(&mut self, error: &RegistryError, sent: Tick) {
        if sent < self.recovered {
            return;
        }
        match &mut self.outage {
            Some(outage) => outage.error = error.clone(),
            None => {
                let (error, attempt) = (error.clone(), Attempt::Due(self.now));
                self.outage = Some(Outage { error, confirmed: false, attempts: 0, attempt });
                self.cancel_watch(true);
                self.cancel_watch(false);
                self.records.anew(Time::NEVER);
                self.entries.anew(Time::NEVER);
            }
        }
    }

    /// Asks whether Consul is back, if it is time.
    pub(crate) fn attempt(&mut self) {
        let Some(Outage { attempt: Attempt::Due(at), .. }) = self.outage else { return };
        if at > self.now {
            return;
        }
        // What it brings is what is needed first then.
        let call = self.send(What::Records, Call::WatchRecords { index: None });
        if let Some(outage) = &mut self.outage {
            outage.attempt = Attempt::Waiting(call);
        }
    }

    /// Whether that call was to find out whether Consul is back.
    pub(crate) fn is_attempt(&self, call: CallId) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.attempt == Attempt::Waiting(call))
    }

    /// Consul is not back yet.
    pub(crate) fn attempt_failed(&mut self, error: RegistryError) {
        let Some(outage) = &mut self.outage else { return };
        let pause = match error.kind {
            RegistryFault::Limited => (PACE * (1 << outage.attempts.min(8))).min(LONGEST_PACE),
            _ => PACE,
        };
        outage.attempts += 1;
        outage.attempt = Attempt::Due(self.now + pause);
        let is_news = !outage.confirmed || outage.error.kind != error.kind;
        outage.error = error.clone();
        if is_news {
            outage.confirmed = true;
            self.outputs.push_back(Output::Outage(error.clone()));
            self.give_up_waiting(&error);
        }
    }

    /// What waits to be sent is given up: what is so when Consul is back is what counts then.
    fn give_up_waiting(&mut self, error: &RegistryError) {
        self.ready.clear();
        self.locks.clear();
        self.unlocks.clear();
        self.disputed.clear();
        let names: Vec<GroupName> = self.groups.keys().cloned().collect();
        for name in names {
            let Some(group) = self.groups.get_mut(&name) else { continue };
            group.reading = false;
            if group.doing == Doing::Calling {
                continue;
            }
            let waits = group.doing != Doing::Nothing || !group.requests.is_empty() || group.look.is_some();
            group.doing = Doing::Nothing;
            group.requests.clear();
            // One message for all is enough where Consul serves others.
            if group.watched && (waits || error.kind != RegistryFault::Limited) {
                group.look = None;
                self.event(&name, RegistryEvent::Failed(error.clone()));
            } else if !group.watched {
                self.groups.remove(&name);
            }
        }
    }

    /// Consul answers.
    pub(crate) fn recover(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        self.recovered = self.next_tick();
        if outage.confirmed {
            self.outputs.push_back(Output::Recovered);
        }
        self.entries.anew(self.now);
        self.records.anew(self.now);
        self.renew_at(self.now);
        for time in self.chores.values_mut() {
            time.due = self.now;
        }
        for group in self.groups.values_mut() {
            group.look = group.look.map(|due| due.min(self.now));
            group.waiting_since = None;
        }
    }
}
