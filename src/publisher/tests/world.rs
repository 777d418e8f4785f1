//! Time, and what travels.

use super::consul::Consul;
use super::*;
use crate::{Answer, Call, CallId, MOST_CALLS, Publisher};
use consentinel_core::{RegistryError, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// From a daemon to Consul, and back.
const LATENCY: Duration = Duration::from_micros(500);
/// What a transaction takes on top: Consul carries out one at a time.
const COMMIT: Duration = Duration::from_millis(1);

pub(super) struct World {
    pub(super) now: Time,
    pub(super) consul: Consul,
    pub(super) daemons: Vec<Daemon>,
    queue: BTreeMap<(Time, u64), Happening>,
    numbers: u64,
    /// When Consul is done with the transaction that it is busy with.
    busy: Time,
}

pub(super) struct Daemon {
    pub(super) publisher: Publisher,
    pub(super) events: Vec<(Time, GroupName, RegistryEvent)>,
    pub(super) outages: Vec<Output>,
    /// All calls that it has sent.
    pub(super) sent: Vec<(Time, Call)>,
    under_way: BTreeMap<CallId, Call>,
    waiting: BTreeMap<CallId, Call>,
}

enum Happening {
    Arrives(usize, CallId),
    Answered(usize, CallId, Box<Result<Answer, RegistryError>>),
}

impl World {
    pub(super) fn new(daemons: usize) -> World {
        World::with(daemons, |_| {})
    }

    pub(super) fn with(daemons: usize, change: impl Fn(&mut Settings)) -> World {
        let daemon = |at| {
            let mut settings = Settings { seed: at as u64 + 1, ..Default::default() };
            change(&mut settings);
            Daemon {
                publisher: Publisher::new(settings),
                events: Vec::new(),
                outages: Vec::new(),
                sent: Vec::new(),
                under_way: BTreeMap::new(),
                waiting: BTreeMap::new(),
            }
        };
        World {
            now: Time::from_millis(1000),
            consul: Consul::new(),
            daemons: (0..daemons).map(daemon).collect(),
            queue: BTreeMap::new(),
            numbers: 0,
            busy: Time::ZERO,
        }
    }

    pub(super) fn ask(&mut self, daemon: usize, group: GroupName, request: RegistryRequest) {
        self.daemons[daemon].publisher.handle_request(self.now, group, request);
        self.drain(daemon);
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.wake_waiting();
            let next = self.queue.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let alarms = self.daemons.iter().map(|daemon| daemon.publisher.poll_deadline());
            let alarm = alarms.min().unwrap_or(Time::NEVER);
            if next.min(alarm) > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next.min(alarm));
            if alarm <= next {
                for at in 0..self.daemons.len() {
                    if self.daemons[at].publisher.poll_deadline() <= self.now {
                        self.daemons[at].publisher.handle_timeout(self.now);
                        let due = self.daemons[at].publisher.poll_deadline();
                        assert!(due > self.now, "what was due is done: {due:?}");
                        self.drain(at);
                    }
                }
            } else if let Some((_, happening)) = self.queue.pop_first() {
                self.happen(happening);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(at, id) => {
                let Some(call) = self.daemons[at].under_way.get(&id).cloned() else { return };
                match self.consul.answer(&call) {
                    Some(result) => self.answer(at, id, result),
                    None => drop(self.daemons[at].waiting.insert(id, call)),
                }
            }
            Happening::Answered(at, id, result) => {
                if self.daemons[at].under_way.remove(&id).is_some() {
                    self.daemons[at].publisher.handle_answer(self.now, id, *result);
                    self.drain(at);
                }
            }
        }
    }

    fn answer(&mut self, at: usize, id: CallId, result: Result<Answer, RegistryError>) {
        let key = (self.now + LATENCY, self.next_number());
        self.queue.insert(key, Happening::Answered(at, id, Box::new(result)));
    }

    /// Calls that wait for changes are answered when there are some.
    fn wake_waiting(&mut self) {
        for at in 0..self.daemons.len() {
            for (id, call) in self.daemons[at].waiting.clone() {
                if let Some(result) = self.consul.answer(&call) {
                    self.daemons[at].waiting.remove(&id);
                    self.answer(at, id, result);
                }
            }
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(output) = self.daemons[at].publisher.poll_output() {
            let now = self.now;
            let daemon = &mut self.daemons[at];
            match output {
                Output::Call(id, call) => {
                    daemon.sent.push((now, call.clone()));
                    daemon.under_way.insert(id, call.clone());
                    assert!(daemon.under_way.len() <= MOST_CALLS, "{:?}", daemon.under_way);
                    let mut arrives = now + LATENCY;
                    if matches!(call, Call::Write { .. } | Call::Lock { .. } | Call::Unlock { .. }) {
                        arrives = arrives.max(self.busy) + COMMIT;
                        self.busy = arrives;
                    }
                    let key = (arrives, self.next_number());
                    self.queue.insert(key, Happening::Arrives(at, id));
                }
                Output::Cancel(id) => {
                    daemon.under_way.remove(&id);
                    daemon.waiting.remove(&id);
                }
                Output::Event(group, event) => daemon.events.push((now, group, event)),
                Output::Outage(_) | Output::Recovered => daemon.outages.push(output),
                Output::Pretended(..) | Output::Stands(..) => {}
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What a daemon was told since the last time.
    pub(super) fn events(&mut self, daemon: usize) -> Vec<RegistryEvent> {
        std::mem::take(&mut self.daemons[daemon].events).into_iter().map(|(_, _, event)| event).collect()
    }

    /// How many calls of a kind a daemon has sent since the last time.
    pub(super) fn sent(&mut self, daemon: usize, kind: impl Fn(&Call) -> bool) -> usize {
        self.daemons[daemon].sent.iter().filter(|(_, call)| kind(call)).count()
    }

    pub(super) fn forget_sent(&mut self) {
        self.daemons.iter_mut().for_each(|daemon| daemon.sent.clear());
    }
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
