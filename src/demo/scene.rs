//! What is known of the demo at a moment: kept up to date by what is seen, drawn by the view, told by the story.

use super::dns::Answer;
use super::ledger::{Audit, Ledger};
use super::stage::{COUNT, GROUP, Hand, letter};
use super::timeline::{Cause, Failover, Phase};
use super::watch::{Replication, Seen, Sight};
use crate::status::{Master, Picture};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What does not change while the demo runs.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// The servers' ports.
    pub servers: [u16; COUNT],
    /// The daemons' ports.
    pub daemons: [u16; COUNT],
    /// Whose DNS is asked: `Consul`, or `the daemons themselves`.
    pub dns_of: &'static str,
    /// The line that asks it.
    pub dig: String,
    /// Consul's own page, where there is a Consul.
    pub page: Option<String>,
    /// `down-after-milliseconds`
    pub down_after: Duration,
}

/// A server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub port: u16,
    /// What our hand did to it.
    pub hand: Hand,
    /// What it says; nothing while it does not answer.
    pub said: Option<Replication>,
}

/// How the writing goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Writing {
    /// What was promised.
    pub ledger: Ledger,
    /// When and where the last write was acknowledged.
    pub last: Option<(Instant, u16)>,
    /// Why the writes since then failed.
    pub trouble: Option<String>,
    /// Those of the last second.
    recent: VecDeque<Instant>,
}

impl Writing {
    /// How many were acknowledged within the last second.
    pub(super) fn rate(&self, now: Instant) -> usize {
        self.recent.iter().filter(|at| now.saturating_duration_since(**at) < Duration::from_secs(1)).count()
    }
}

/// A server that was brought back.
#[derive(Clone, Debug)]
pub(super) struct Return {
    /// Its port.
    pub port: u16,
    /// When it was started, or went on.
    pub began: Instant,
    /// When a daemon told it to follow.
    pub told: Option<Duration>,
    /// When it was a replica with a link to the master.
    pub linked: Option<Duration>,
}

/// A line of the story.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When, since the beginning.
    pub at: Duration,
    /// What.
    pub text: String,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// What does not change.
    pub cast: Cast,
    /// When it began.
    pub began: Instant,
    /// The servers.
    pub servers: Vec<Server>,
    /// What each daemon says.
    pub daemons: Vec<Option<Box<Picture>>>,
    /// What DNS answers, and since when.
    pub answer: Option<(Answer, Instant)>,
    /// How the writing goes.
    pub writing: Writing,
    /// The failovers, the last one last.
    pub failovers: Vec<Failover>,
    /// Whoever was brought back last.
    pub back: Option<Return>,
    /// What came of the last comparison of what was promised with what is there.
    pub audit: Option<Audit>,
    /// The story so far.
    pub story: Vec<Line>,
    /// What is to be said to whoever sits before it.
    pub message: String,
}

impl Scene {
    /// Before anything is seen.
    pub(super) fn new(cast: Cast, began: Instant) -> Self {
        let server = |port: &u16| Server { port: *port, hand: Hand::Up, said: None };
        Scene {
            servers: cast.servers.iter().map(server).collect(),
            daemons: vec![None; COUNT],
            cast,
            began,
            answer: None,
            writing: Writing::default(),
            failovers: Vec::new(),
            back: None,
            audit: None,
            story: Vec::new(),
            message: String::new(),
        }
    }

    /// The master's port: the one that the last failover made, else as most of the daemons see it. What they are seen to say
    /// may be a little older than what they have told.
    pub(super) fn master(&self) -> Option<u16> {
        let switched = |failover: &&Failover| failover.at(Phase::Switched).is_some();
        if let Some(new) = self.failovers.iter().rev().find(switched).and_then(|failover| failover.new) {
            return Some(new);
        }
        let ports: Vec<_> = (0..COUNT).filter_map(|daemon| port_of(&self.seen_by(daemon)?.address)).collect();
        let votes = |port: u16| ports.iter().filter(|other| **other == port).count();
        ports.iter().copied().max_by_key(|port| votes(*port))
    }

    /// What a daemon says of the master.
    pub(super) fn seen_by(&self, daemon: usize) -> Option<&Master> {
        self.daemons.get(daemon)?.as_ref()?.masters.iter().find(|master| master.name == GROUP)
    }

    /// The number of the server on a port.
    pub(super) fn server(&self, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.port == port)
    }

    /// The failover that is not over yet.
    pub(super) fn under_way(&self) -> Option<&Failover> {
        self.failovers.last().filter(|failover| !failover.is_over())
    }

    /// Whether everything has been seen.
    pub(super) fn is_complete(&self) -> bool {
        let servers = self.servers.iter().all(|server| server.said.is_some());
        servers && self.daemons.iter().all(Option::is_some) && self.answer.is_some()
    }

    /// Whether something is going on that is measured.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way().is_some() || self.back.as_ref().is_some_and(|back| back.linked.is_none())
    }

    /// Adds a line to the story.
    pub(super) fn tell(&mut self, at: Instant, text: impl Into<String>) {
        let at = at.saturating_duration_since(self.began);
        self.story.push(Line { at, text: text.into() });
    }

    /// Something was done here that makes a failover.
    pub(super) fn on_cause(&mut self, at: Instant, cause: Cause, master: u16) {
        let failover = Failover::new(cause, master, at);
        self.tell(at, format!("{}: {}", failover.title(Phase::Cause), failover.words(Phase::Cause)));
        self.failovers.push(failover);
        self.back = None;
    }

    /// A server was brought back here.
    pub(super) fn on_return(&mut self, at: Instant, port: u16) {
        if let Some(failover) = self.failovers.last_mut().filter(|failover| failover.old == port)
            && failover.at(Phase::Sdown).is_none()
        {
            failover.on_old_master_back();
        }
        self.tell(at, format!("back: {port} runs again"));
        self.back = Some(Return { port, began: at, told: None, linked: None });
    }

    /// Something was seen.
    pub(super) fn handle(&mut self, sight: Sight) {
        let at = sight.at;
        match sight.seen {
            Seen::Event { daemon, name, payload } => self.on_event(at, daemon, &name, &payload),
            Seen::Server(number, said) => {
                self.servers[number].said = said;
                self.on_turned(at);
                self.on_returned(at);
            }
            Seen::Daemon(number, picture) => self.daemons[number] = picture,
            Seen::Dns(answer) => self.on_answer(at, answer),
            Seen::Wrote { port, number, confirmed } => self.on_write(at, port, number, confirmed),
            Seen::NotWritten(trouble) => self.writing.trouble = Some(trouble),
        }
    }

    fn on_event(&mut self, at: Instant, daemon: usize, name: &str, payload: &str) {
        let begins = ["+try-failover", "+switch-master"].contains(&name);
        let master = payload.split(' ').nth(if name == "+switch-master" { 2 } else { 3 });
        if let (true, None, Some(master)) =
            (begins, self.under_way(), master.and_then(|port| port.parse().ok()))
        {
            // A switch that a daemon tells late belongs to a failover that is over for the others.
            if self.failovers.last().is_none_or(|last| last.old != master) {
                self.on_cause(at, Cause::Unknown, master);
            }
        }
        if let Some(failover) = self.failovers.last_mut()
            && let Some(phase) = failover.on_event(at, daemon, name, payload)
        {
            self.tell_phase(at, phase);
        }
        if let Some(back) = &mut self.back
            && name == "+convert-to-slave"
            && payload.starts_with(&format!("slave 127.0.0.1:{} ", back.port))
            && back.told.is_none()
        {
            let after = at.saturating_duration_since(back.began);
            back.told = Some(after);
            let port = back.port;
            let text = format!(
                "{} tells {port} to be a replica, {} ms after its return",
                letter(daemon),
                after.as_millis()
            );
            self.tell(at, text);
        }
    }

    fn tell_phase(&mut self, at: Instant, phase: Phase) {
        if let Some(failover) = self.failovers.last() {
            let after = failover.after(phase).unwrap_or_default().as_millis();
            let text = format!("{after:>5} ms  {:<11}  {}", failover.title(phase), failover.words(phase));
            self.tell(at, text);
        }
    }

    fn reach(&mut self, at: Instant, phase: Phase) {
        if self.failovers.last_mut().is_some_and(|failover| failover.mark(phase, at, None)) {
            self.tell_phase(at, phase);
        }
    }

    fn on_answer(&mut self, at: Instant, answer: Answer) {
        let port = answer.port();
        if self.answer.as_ref().is_none_or(|(before, _)| *before != answer) {
            self.tell(at, format!("dig says: {answer}"));
            self.answer = Some((answer, at));
        }
        let is_new = |failover: &Failover| {
            port.is_some_and(|port| port != failover.old && failover.new.is_none_or(|new| new == port))
        };
        if self.under_way().is_some_and(is_new) {
            self.reach(at, Phase::Answered);
        }
    }

    fn on_write(&mut self, at: Instant, port: u16, number: u64, confirmed: bool) {
        let before = self.writing.last.replace((at, port));
        self.writing.ledger.note(number, confirmed);
        self.writing.trouble = None;
        self.writing.recent.push_back(at);
        let second = Duration::from_secs(1);
        while self.writing.recent.front().is_some_and(|first| at.saturating_duration_since(*first) > second) {
            self.writing.recent.pop_front();
        }
        if let Some(failover) =
            self.failovers.last_mut().filter(|failover| !failover.is_over() && failover.old != port)
            && failover.at(Phase::Written).is_none()
        {
            failover.pause = before.map(|(before, _)| at.saturating_duration_since(before));
            self.reach(at, Phase::Written);
        }
    }

    /// Whether all servers that run, but the new master, follow it.
    fn on_turned(&mut self, at: Instant) {
        let Some(failover) = self.under_way() else { return };
        let (Some(new), Some(_)) = (failover.new, failover.at(Phase::Promoted)) else { return };
        let mut others = self.servers.iter().filter(|server| server.port != new && server.hand == Hand::Up);
        let follows = |server: &Server| {
            server
                .said
                .as_ref()
                .is_some_and(|said| !said.is_master && said.follows == Some(new) && said.linked)
        };
        if others.all(follows) {
            self.reach(at, Phase::Turned);
        }
    }

    fn on_returned(&mut self, at: Instant) {
        let master = self.master();
        let Some(back) = &mut self.back else { return };
        let Some(server) = self.servers.iter().find(|server| server.port == back.port) else { return };
        let Some(said) = &server.said else { return };
        if back.linked.is_none() && !said.is_master && said.linked && said.follows == master {
            let after = at.saturating_duration_since(back.began);
            back.linked = Some(after);
            let (port, master) = (back.port, master.unwrap_or_default());
            self.tell(
                at,
                format!("{port} is a replica of {master}, {} ms after its return", after.as_millis()),
            );
        }
    }
}

/// The port of `127.0.0.1:6379`.
pub(super) fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
pub(super) mod tests;
