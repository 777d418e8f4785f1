//! Handles every question, whether it came over UDP or TCP: limits, counts, asks the zone.

use super::answer::{Update, Zone};
use super::answer_types::Reply;
use super::counters::{Counters, add};
use super::limit::{Allowed, Limit};
use super::settings::DnsSettings;
use super::wire::{self, Ask, Heard, MOST_TCP};
use crate::clock;
use consentinel_core::Time;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// When the sentinel last did something. It pings its masters every second; one that stands still knows nothing.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

/// For how long nobody asks whether it stands still.
const STANDSTILL: Duration = Duration::from_secs(3);

impl Pulse {
    /// It has done something.
    pub(super) fn beat(&self, now: Time) {
        self.0.store(now.as_micros(), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        clock::now() - Time::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// How a question came in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Over UDP, from that address.
    Udp(IpAddr),
    /// Over TCP: the asker is where it says that it is.
    Tcp,
}

/// All that is needed for an answer.
pub(super) struct QueryHandler {
    zone: Zone,
    updates: UnboundedReceiver<Update>,
    limit: Limit,
    pulse: Arc<Pulse>,
    counters: Arc<Counters>,
}

impl QueryHandler {
    /// One that knows nothing yet, and is told over that channel.
    pub(super) fn new(
        settings: &DnsSettings,
        updates: UnboundedReceiver<Update>,
        pulse: Arc<Pulse>,
        counters: Arc<Counters>,
    ) -> QueryHandler {
        let limit = Limit::new(settings.rate_limit, Instant::now());
        QueryHandler { zone: Zone::new(settings.clone()), updates, limit, pulse, counters }
    }

    /// What is counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes in what has changed while nobody asks. Over when nobody tells any more.
    pub(super) fn poll_updates(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.updates.poll_recv(cx) {
                Poll::Ready(Some(update)) => self.zone.update(update),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The answer to a message, if it gets one. `here` is the address at which it was asked.
    pub(super) fn answer(&mut self, bytes: &[u8], way: Way, here: Option<IpAddr>) -> Option<Vec<u8>> {
        add(if matches!(way, Way::Tcp) { &self.counters.tcp } else { &self.counters.udp });
        // No answer is older than what the sentinel has handed over.
        while let Ok(update) = self.updates.try_recv() {
            self.zone.update(update);
        }
        let heard = wire::read(bytes);
        let allowed = match (&heard, way) {
            (Heard::Noise, _) => {
                add(&self.counters.noise);
                return None;
            }
            (_, Way::Tcp) => Allowed::Whole,
            (_, Way::Udp(client)) => self.limit.allow(client, Instant::now()),
        };
        match (heard, allowed) {
            (Heard::Noise, _) => None,
            (_, Allowed::Nothing) | (Heard::Wrong(..), Allowed::ComeAgain) => {
                add(&self.counters.held);
                None
            }
            (Heard::Wrong(code, answer), Allowed::Whole) => {
                self.counters.count(code);
                Some(answer.to_vec())
            }
            (Heard::Ask(ask), Allowed::ComeAgain) => {
                add(&self.counters.held);
                add(&self.counters.come_again);
                Some(ask.come_again())
            }
            (Heard::Ask(ask), Allowed::Whole) => {
                let reply = self.reply(&ask, here);
                self.counters.count(reply.code);
                let limit = if matches!(way, Way::Tcp) { MOST_TCP } else { ask.limit() };
                let (answer, truncated) = ask.write(&reply, limit);
                if truncated {
                    add(&self.counters.truncated);
                }
                Some(answer)
            }
        }
    }

    fn reply(&mut self, ask: &Ask, here: Option<IpAddr>) -> Reply {
        if let Some(code) = ask.fault() {
            return Reply::only(code);
        }
        let silence = self.pulse.silence();
        if silence > STANDSTILL {
            let seconds = silence.as_secs();
            let why = format!("this sentinel has stood still for {seconds} s, and knows nothing new");
            return self.zone.out_of_touch(&ask.question, why);
        }
        self.zone.answer(&ask.question, here)
    }
}
