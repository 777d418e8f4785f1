//! Somebody who asks DNS for a service's master all the time.

use crate::dns::{Code, Dns, Kind, Message};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two questions.
const PERIOD: Duration = Duration::from_micros(500);
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// These, sorted; the epoch is that of the node's meta, where it came along.
    Servers(Vec<(String, u16)>, Option<u64>),
    /// Nobody.
    Nobody,
    /// No answer, or a refusal.
    Nothing,
}

impl Named {
    fn of(answer: std::io::Result<Message>) -> Named {
        let Ok(message) = answer else { return Named::Nothing };
        let mut servers = message.servers();
        servers.sort();
        match message.code {
            Code::Failed(_) => Named::Nothing,
            _ if servers.is_empty() => Named::Nobody,
            _ => Named::Servers(servers, message.text("epoch").and_then(|epoch| epoch.parse().ok())),
        }
    }

    /// Whether it names this port, and no other.
    pub fn is_only(&self, port: u16) -> bool {
        matches!(self, Named::Servers(servers, _) if matches!(servers[..], [(_, only)] if only == port))
    }

    /// Whether it names this port, perhaps among others.
    pub fn has(&self, port: u16) -> bool {
        matches!(self, Named::Servers(servers, _) if servers.iter().any(|(_, named)| *named == port))
    }
}

/// Equal answers in a row.
#[derive(Clone, Debug)]
pub struct Span {
    /// When the first of them arrived.
    pub first: Instant,
    /// When the question of the last one was sent.
    pub last: Instant,
    /// How many there were.
    pub count: u64,
    /// What they said.
    pub named: Named,
}

/// All that was answered, in order.
#[derive(Clone, Debug, Default)]
pub struct Timeline(pub Vec<Span>);

impl Timeline {
    /// When the first answer arrived, from an instant on, that names this port and no other.
    pub fn first_only(&self, port: u16, from: Instant) -> Option<Instant> {
        // Of an answer that was given before and after the instant nobody knows when the next one arrived.
        let span = self.0.iter().find(|span| span.named.is_only(port) && span.last >= from)?;
        Some(span.first.max(from))
    }

    /// When an answer was last asked for, from an instant on, that names this port.
    pub fn last_with(&self, port: u16, from: Instant) -> Option<Instant> {
        let spans = self.0.iter().filter(|span| span.named.has(port) && span.last >= from);
        spans.map(|span| span.last).max()
    }

    /// What is wrong for whoever must never see two masters, nor an older one after a newer one, by the epochs that
    /// come along with the answers. Nothing is wrong with an answer that names nobody.
    pub fn complaint(&self) -> Option<String> {
        let mut newest: Option<(u64, &(String, u16))> = None;
        for span in &self.0 {
            let Named::Servers(servers, epoch) = &span.named else { continue };
            let [server] = &servers[..] else { return Some(format!("several masters: {span:?}")) };
            let Some(epoch) = *epoch else { return Some(format!("no epoch: {span:?}")) };
            match newest {
                Some((before, _)) if epoch < before => {
                    return Some(format!("epoch {before} was there before: {span:?}"));
                }
                Some((before, other)) if epoch == before && server != other => {
                    return Some(format!("epoch {epoch} was {other:?} before: {span:?}"));
                }
                _ => newest = Some((epoch, server)),
            }
        }
        None
    }

    /// How many answers named more than one server, and how many there were.
    pub fn several(&self) -> (u64, u64) {
        let several = |named: &Named| matches!(named, Named::Servers(servers, _) if servers.len() > 1);
        let count = |fits: &dyn Fn(&Named) -> bool| {
            self.0.iter().filter(|span| fits(&span.named)).map(|span| span.count).sum()
        };
        (count(&several), count(&|_| true))
    }

    /// For how long at most nobody was named, or nothing was answered: from the last name to the next.
    pub fn longest_empty(&self) -> Duration {
        self.empty().into_iter().max().unwrap_or_default()
    }

    /// Every time for which nobody was named, or nothing was answered; the time at the beginning does not count.
    pub fn empty(&self) -> Vec<Duration> {
        let mut named: Option<&Span> = None;
        let mut times = Vec::new();
        let mut gap = false;
        for span in &self.0 {
            if !matches!(span.named, Named::Servers(..)) {
                gap = true;
                continue;
            }
            if let (Some(before), true) = (named, gap) {
                times.push(span.first - before.last);
            }
            (named, gap) = (Some(span), false);
        }
        times
    }
}

/// A thread that asks about two thousand times a second, over a socket of its own.
pub struct Prober {
    timeline: Arc<Mutex<Timeline>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Asks that server for the SRV records of that name.
    pub fn start(server: SocketAddr, name: &str) -> Prober {
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (timeline, over, name) = (timeline.clone(), over.clone(), name.to_owned());
            move || probe(&Dns::new(server, PATIENCE), &name, &timeline, &over)
        });
        Prober { timeline, over, thread: Some(thread) }
    }

    /// What was answered so far.
    pub fn timeline(&self) -> Timeline {
        self.timeline.lock().expect("the prober does not panic").clone()
    }

    /// What was answered last.
    pub fn now(&self) -> Named {
        let timeline = self.timeline.lock().expect("the prober does not panic");
        timeline.0.last().map_or(Named::Nothing, |span| span.named.clone())
    }

    /// Forgets what was answered so far.
    pub fn clear(&self) {
        self.timeline.lock().expect("the prober does not panic").0.clear();
    }
}

fn probe(dns: &Dns, name: &str, timeline: &Mutex<Timeline>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let named = Named::of(dns.ask(name, Kind::Srv));
        let arrived = Instant::now();
        let mut timeline = timeline.lock().expect("nobody panics while holding it");
        match timeline.0.last_mut() {
            Some(span) if span.named == named => {
                span.last = asked;
                span.count += 1;
            }
            _ => timeline.0.push(Span { first: arrived, last: asked, count: 1, named }),
        }
        drop(timeline);
        std::thread::sleep(PERIOD); // between two polls
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(answers: &[(u64, &[u16], u64)]) -> Timeline {
        let begin = Instant::now();
        let span = |(at, ports, epoch): &(u64, &[u16], u64)| {
            let at = begin + Duration::from_millis(*at);
            let servers: Vec<_> = ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect();
            let named = match servers.len() {
                0 => Named::Nobody,
                _ => Named::Servers(servers, Some(*epoch)),
            };
            Span { first: at, last: at + Duration::from_millis(10), count: 5, named }
        };
        Timeline(answers.iter().map(span).collect())
    }

    #[test]
    fn one_master_after_the_other_is_well() {
        let timeline = timeline(&[(0, &[1], 1), (20, &[], 0), (50, &[2], 2), (70, &[1], 3)]);
        assert_eq!(timeline.complaint(), None);
        assert_eq!(timeline.empty(), [Duration::from_millis(40)]);
        assert_eq!(timeline.several(), (0, 20));
    }

    #[test]
    fn two_masters_and_old_ones_are_not() {
        let complaint = |answers: &[_]| timeline(answers).complaint().expect("something is wrong");
        assert!(complaint(&[(0, &[1, 2], 1)]).starts_with("several masters"));
        assert!(complaint(&[(0, &[1], 2), (20, &[2], 1)]).starts_with("epoch 2 was there before"));
        assert!(complaint(&[(0, &[1], 2), (20, &[2], 2)]).starts_with("epoch 2 was"));
        assert_eq!(timeline(&[(0, &[1, 2], 1), (20, &[1], 1)]).several(), (5, 10));
    }

    #[test]
    fn the_first_answer_with_only_the_new_and_the_last_with_the_old_are_found() {
        let timeline = timeline(&[(0, &[1], 1), (20, &[1, 2], 1), (40, &[2], 2)]);
        let begin = timeline.0[0].first;
        assert_eq!(timeline.first_only(2, begin), Some(begin + Duration::from_millis(40)));
        assert_eq!(timeline.last_with(1, begin), Some(begin + Duration::from_millis(30)));
        assert_eq!(timeline.first_only(3, begin), None);
    }
}
