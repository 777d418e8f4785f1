//! Whether something that is pinged answers.

use crate::Time;
use crate::time::Beat;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    /// The earliest moment since which nothing has shown that it is alive: the sending of a ping that has no reply
    /// yet, or the loss of the link.
    silent_since: Option<Time>,
    ping_sent: Option<Time>,
    next_ping: Time,
    beat: Beat,
    pub(crate) last_ok: Time,
    pub(crate) last_reply: Time,
    /// How long an answer takes: the last one, or what remains of a slower one before it.
    pub(crate) rtt: Duration,
}

impl Liveness {
    /// Nothing is known; it has until `down_after` to show itself.
    pub(crate) fn new(beat: Beat, now: Time) -> Self {
        Liveness {
            silent_since: Some(now),
            ping_sent: None,
            next_ping: now,
            beat,
            last_ok: now,
            last_reply: now,
            rtt: Duration::ZERO,
        }
    }

    /// When what is done again and again is done.
    pub(crate) fn beat(&self) -> Beat {
        self.beat
    }

    pub(crate) fn silent_since(&self) -> Option<Time> {
        self.silent_since
    }

    pub(crate) fn ping_pending(&self) -> Option<Time> {
        self.ping_sent
    }

    /// Whether it has been silent for that long.
    pub(crate) fn is_silent(&self, for_long: Duration, now: Time) -> bool {
        self.silent_since.is_some_and(|since| now >= since + for_long)
    }

    /// When the next ping is due; never while one is on its way, as a second one on the same stream tells nothing.
    pub(crate) fn next_ping(&self) -> Time {
        if self.ping_sent.is_some() { Time::NEVER } else { self.next_ping }
    }

    /// The next ping does not wait for its time.
    pub(crate) fn ping_soon(&mut self, now: Time) {
        self.next_ping = self.next_ping.min(now);
    }

    pub(crate) fn on_link_up(&mut self, now: Time) {
        self.next_ping = now;
    }

    pub(crate) fn on_link_lost(&mut self, now: Time) {
        self.ping_sent = None;
        self.silent_since.get_or_insert(now);
    }

    pub(crate) fn on_ping_sent(&mut self, now: Time) {
        self.ping_sent = Some(now);
        self.silent_since.get_or_insert(now);
    }

    pub(crate) fn on_pong(&mut self, period: Duration, now: Time) {
        let sent = self.ping_sent.take().unwrap_or(now);
        self.silent_since = None;
        self.rtt = (now - sent).max(self.rtt / 2);
        self.last_ok = now;
        self.last_reply = now;
        self.next_ping = self.beat.after(sent, period).max(now);
    }

    /// It answered, but not that it is alive.
    pub(crate) fn on_other_reply(&mut self, period: Duration, now: Time) {
        let sent = self.ping_sent.take().unwrap_or(now);
        self.last_reply = now;
        self.next_ping = self.beat.after(sent, period).max(now);
    }

    /// Its past is not held against it: a new role, a new judgement.
    pub(crate) fn start_afresh(&mut self, now: Time) {
        if self.silent_since.is_some() {
            self.silent_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_counts_from_the_first_unanswered_ping() {
        let mut alive = Liveness::new(Beat::default(), Time::ZERO);
        alive.on_pong(SECOND, Time::from_millis(1));
        alive.on_ping_sent(Time::from_millis(500));
        assert!(!alive.is_silent(SECOND, Time::from_millis(1499)));
        assert!(alive.is_silent(SECOND, Time::from_millis(1500)));
    }

    #[test]
    fn a_lost_link_does_not_shorten_a_silence_that_had_begun() {
        let mut alive = Liveness::new(Beat::default(), Time::ZERO);
        alive.on_pong(SECOND, Time::ZERO);
        alive.on_ping_sent(Time::from_millis(100));
        alive.on_link_lost(Time::from_millis(900));
        alive.on_link_up(Time::from_millis(950));
        assert_eq!(alive.silent_since(), Some(Time::from_millis(100)));
    }
}
