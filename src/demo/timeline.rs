//! A failover, phase by phase, with the moment of each.

use super::stage::{GROUP, letter};
use std::time::{Duration, Instant};

/// Why there was a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The master was killed here.
    Killed,
    /// The master was stopped here.
    Stopped,
    /// A daemon was told to change the master.
    Ordered,
    /// Nobody did anything here.
    Unknown,
}

/// The phases, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// What caused it.
    Cause,
    /// A daemon takes the master for down.
    Sdown,
    /// Enough daemons do.
    Odown,
    /// A daemon has the majority's votes.
    Elected,
    /// It has chosen a replica.
    Selected,
    /// The replica says that it is the master.
    Promoted,
    /// The daemons name the new master to their clients.
    Switched,
    /// DNS names it.
    Answered,
    /// The writer's first write there.
    Written,
    /// The other replicas follow it.
    Turned,
}

impl Phase {
    /// All of them.
    pub(super) const ALL: [Phase; 10] = [
        Phase::Cause,
        Phase::Sdown,
        Phase::Odown,
        Phase::Elected,
        Phase::Selected,
        Phase::Promoted,
        Phase::Switched,
        Phase::Answered,
        Phase::Written,
        Phase::Turned,
    ];

    /// Those without which a failover is not over.
    const NEEDED: [Phase; 5] =
        [Phase::Promoted, Phase::Switched, Phase::Answered, Phase::Written, Phase::Turned];
}

/// When a phase was reached, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When.
    pub at: Instant,
    /// The daemon, where a daemon said so.
    pub daemon: Option<usize>,
}

/// A failover.
#[derive(Clone, Debug)]
pub(super) struct Failover {
    /// Why.
    pub cause: Cause,
    /// The old master.
    pub old: u16,
    /// The new one, once it is known.
    pub new: Option<u16>,
    /// For how long the writer could not write.
    pub pause: Option<Duration>,
    /// The old master was back before anybody was elected: there was no failover.
    pub called_off: bool,
    marks: [Option<Mark>; Phase::ALL.len()],
    /// When each daemon named the new master.
    switched: [Option<Instant>; super::stage::COUNT],
}

impl Failover {
    /// One that begins.
    pub(super) fn new(cause: Cause, old: u16, at: Instant) -> Self {
        let mut failover = Failover {
            cause,
            old,
            new: None,
            pause: None,
            called_off: false,
            marks: [None; Phase::ALL.len()],
            switched: Default::default(),
        };
        failover.mark(Phase::Cause, at, None);
        failover
    }

    /// Notes a phase; only the first time counts. True when it was the first.
    pub(super) fn mark(&mut self, phase: Phase, at: Instant, daemon: Option<usize>) -> bool {
        let mark = &mut self.marks[phase as usize];
        let first = mark.is_none();
        mark.get_or_insert(Mark { at, daemon });
        first
    }

    /// A daemon says something. The phase, when it is news.
    pub(super) fn on_event(
        &mut self,
        at: Instant,
        daemon: usize,
        name: &str,
        payload: &str,
    ) -> Option<Phase> {
        let words: Vec<_> = payload.split(' ').collect();
        let phase = match (name, &words[..]) {
            ("+sdown", ["master", GROUP, ..]) => Phase::Sdown,
            ("+odown", ["master", GROUP, ..]) => Phase::Odown,
            ("+elected-leader", _) => Phase::Elected,
            ("+selected-slave", ["slave", _, _, port, ..]) => {
                self.new = port.parse().ok();
                Phase::Selected
            }
            ("+promoted-slave", _) => Phase::Promoted,
            ("+switch-master", [GROUP, _, old, _, new]) if old.parse() == Ok(self.old) => {
                self.new = new.parse().ok();
                if let Some(switched) = self.switched.get_mut(daemon) {
                    switched.get_or_insert(at);
                }
                Phase::Switched
            }
            ("-sdown" | "-odown", ["master", GROUP, _, old, ..]) if old.parse() == Ok(self.old) => {
                self.on_old_master_back();
                return None;
            }
            _ => return None,
        };
        self.mark(phase, at, Some(daemon)).then_some(phase)
    }

    /// The old master is there again.
    pub(super) fn on_old_master_back(&mut self) {
        self.called_off |= self.at(Phase::Elected).is_none() && self.at(Phase::Switched).is_none();
    }

    /// When a phase was reached.
    pub(super) fn at(&self, phase: Phase) -> Option<Mark> {
        self.marks[phase as usize]
    }

    /// How long after the beginning a phase was reached.
    pub(super) fn after(&self, phase: Phase) -> Option<Duration> {
        Some(self.at(phase)?.at.saturating_duration_since(self.began()))
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.marks[Phase::Cause as usize].expect("it is marked when it is made").at
    }

    /// How long after the beginning the last of the daemons named the new master.
    pub(super) fn all_switched(&self) -> Option<Duration> {
        let last = self.switched.iter().copied().collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(last.saturating_duration_since(self.began()))
    }

    /// Whether all that belongs to it has happened.
    pub(super) fn is_over(&self) -> bool {
        let reached = |phase: &Phase| self.at(*phase).is_some();
        self.called_off || Phase::NEEDED.iter().all(reached) && self.all_switched().is_some()
    }

    /// What has not happened yet of what must.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let needed = Phase::NEEDED.iter().filter(|phase| self.at(**phase).is_none());
        let mut missing: Vec<_> = needed.map(|phase| phase.wanted()).collect();
        if self.all_switched().is_none() && self.at(Phase::Switched).is_some() {
            missing.push("not every daemon names the new master");
        }
        missing
    }

    /// The phases to show: those that were reached, in their order, and while it lasts those to come.
    pub(super) fn phases(&self) -> Vec<Phase> {
        let over = self.is_over();
        // A phase that was skipped, as an order needs nobody to be down, does not come any more.
        let last = Phase::ALL.iter().rev().find(|phase| self.at(**phase).is_some());
        let may_come = |phase: Phase| !over && last.is_none_or(|last| phase > *last);
        let needless = |phase| self.cause == Cause::Ordered && matches!(phase, Phase::Sdown | Phase::Odown);
        let shown = |phase: &Phase| self.at(*phase).is_some() || may_come(*phase) && !needless(*phase);
        Phase::ALL.into_iter().filter(shown).collect()
    }

    /// How many milliseconds it took until somebody took the master for down, and from there to the first write on the new
    /// one: two numbers that add up to the moment of that.
    pub(super) fn waiting_and_ours(&self) -> Option<(u128, u128)> {
        let (down, written) =
            (self.after(Phase::Sdown)?.as_millis(), self.after(Phase::Written)?.as_millis());
        Some((down, written.saturating_sub(down)))
    }

    /// What a phase is called.
    pub(super) fn title(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Cause => match self.cause {
                Cause::Killed => "killed",
                Cause::Stopped => "stopped",
                Cause::Ordered => "ordered",
                Cause::Unknown => "noticed",
            },
            Phase::Sdown => "+sdown",
            Phase::Odown => "+odown",
            Phase::Elected => "elected",
            Phase::Selected => "selected",
            Phase::Promoted => "promoted",
            Phase::Switched => "switched",
            Phase::Answered => "DNS",
            Phase::Written => "first write",
            Phase::Turned => "turned",
        }
    }

    /// What happened, in a few words.
    pub(super) fn words(&self, phase: Phase) -> String {
        let old = self.old;
        let new = self.new.map_or_else(|| "the new one".into(), |port| port.to_string());
        let Some(mark) = self.at(phase) else { return String::new() };
        let by = mark.daemon.map_or('?', letter);
        match phase {
            Phase::Cause => match self.cause {
                Cause::Killed => format!("SIGKILL for {old}"),
                Cause::Stopped => format!("SIGSTOP for {old}"),
                Cause::Ordered => "SENTINEL FAILOVER".into(),
                Cause::Unknown => format!("{old} is not well"),
            },
            Phase::Sdown => format!("{by}: silent for down-after"),
            Phase::Odown => format!("{by}: two agree that it is down"),
            Phase::Elected => format!("{by} has two votes of three"),
            Phase::Selected => format!("{by} chooses {new}"),
            Phase::Promoted => format!("{new} says: I am master"),
            Phase::Switched => match self.all_switched() {
                Some(all) => format!("{by} says so; all by {} ms", all.as_millis()),
                None => format!("{by} names {new} to clients"),
            },
            Phase::Answered => format!("dig answers {new}"),
            Phase::Written => format!("the writer is on {new}"),
            Phase::Turned => format!("the others follow {new}"),
        }
    }
}

impl Phase {
    /// What is to be said when it does not come.
    fn wanted(self) -> &'static str {
        match self {
            Phase::Cause => "nothing began",
            Phase::Sdown => "no daemon took the master for down",
            Phase::Odown => "the daemons did not agree that the master is down",
            Phase::Elected => "no daemon was elected",
            Phase::Selected => "no replica was chosen",
            Phase::Promoted => "no replica was promoted",
            Phase::Switched => "no daemon names a new master",
            Phase::Answered => "DNS does not name the new master",
            Phase::Written => "the writer has not written to the new master",
            Phase::Turned => "not every replica follows the new master",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDOWN: &str = "master mymaster 127.0.0.1 1";

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_first_daemon_that_says_something_counts() {
        let began = Instant::now();
        let mut failover = Failover::new(Cause::Killed, 1, began);
        assert_eq!(failover.on_event(began + ms(5), 1, "+sdown", SDOWN), Some(Phase::Sdown));
        assert_eq!(failover.on_event(began + ms(7), 0, "+sdown", SDOWN), None);
        assert_eq!(failover.after(Phase::Sdown), Some(ms(5)));
        assert_eq!(failover.words(Phase::Sdown), "B: silent for down-after");
    }

    #[test]
    fn a_replica_that_is_down_is_another_matter() {
        let mut failover = Failover::new(Cause::Killed, 1, Instant::now());
        let payload = "slave 127.0.0.1:2 127.0.0.1 2 @ mymaster 127.0.0.1 1";
        assert_eq!(failover.on_event(Instant::now(), 0, "+sdown", payload), None);
    }

    #[test]
    fn it_is_over_when_everybody_says_the_same() {
        let began = Instant::now();
        let mut failover = Failover::new(Cause::Ordered, 1, began);
        let switch = "mymaster 127.0.0.1 1 127.0.0.1 2";
        failover.on_event(
            began + ms(1),
            0,
            "+promoted-slave",
            "slave 127.0.0.1:2 127.0.0.1 2 @ mymaster 127.0.0.1 1",
        );
        failover.on_event(began + ms(2), 0, "+switch-master", switch);
        for phase in [Phase::Answered, Phase::Written, Phase::Turned] {
            failover.mark(phase, began + ms(3), None);
        }
        failover.on_event(began + ms(4), 1, "+switch-master", switch);
        assert_eq!(failover.missing(), ["not every daemon names the new master"]);
        assert!(!failover.is_over());
        failover.on_event(began + ms(5), 2, "+switch-master", switch);
        assert!(failover.is_over() && failover.missing().is_empty());
        assert_eq!((failover.new, failover.all_switched()), (Some(2), Some(ms(5))));
        let shown = failover.phases();
        assert!(!shown.contains(&Phase::Sdown) && shown.contains(&Phase::Cause), "{shown:?}");
    }

    #[test]
    fn an_older_switch_is_not_ours() {
        let mut failover = Failover::new(Cause::Killed, 2, Instant::now());
        assert_eq!(
            failover.on_event(Instant::now(), 0, "+switch-master", "mymaster 127.0.0.1 1 127.0.0.1 2"),
            None
        );
    }
}
