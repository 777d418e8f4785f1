//! The words of the status by which something is decided: enums in the program, text in JSON.

use consentinel_core as core;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum $name {
            $($(#[$of])* #[serde(rename = $text)] $variant,)*
            /// Nothing is said, or a later release says something else.
            #[default]
            #[serde(rename = "", other)]
            Unsaid,
        }

        impl $name {
            /// The word.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* $name::Unsaid => "" }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        #[cfg(test)]
        impl From<&str> for $name {
            fn from(word: &str) -> $name {
                match word { $($text => $name::$variant,)* _ => $name::Unsaid }
            }
        }
    )* };
}

words! {
    /// What a server says it is, or is published as.
    ServerRole {
        Master = "master",
        Replica = "replica",
    }

    /// How well a server is, as Consul would be told.
    Health {
        Passing = "passing",
        Warning = "warning",
        Critical = "critical",
        /// It has told nothing of itself.
        Unknown = "unknown",
    }

    /// What the sentence on a server's state says, where something is decided by it.
    StateKind {
        /// `down for 3 s`
        Down = "down",
        /// `silent for 3 s`
        Silent = "silent",
        /// `replica, linked, priority 100`
        Linked = "linked",
        /// Anything else.
        Other = "other",
    }

    /// Who holds a lock.
    LockHolder {
        Ours = "ours",
        Theirs = "theirs",
        Free = "free",
    }

    /// How Consul is reached.
    ConsulState {
        Ok = "ok",
        Unreachable = "unreachable",
        Silent = "silent",
        Leaderless = "leaderless",
        Limited = "limited",
        Denied = "denied",
        Taken = "taken",
        Nonsense = "nonsense",
    }

    /// How the publishing of a master stands.
    PublicationState {
        Unseen = "unseen",
        Published = "published",
        Behind = "behind",
        Fenced = "fenced",
        Contradicted = "contradicted",
        Taken = "taken",
    }

    /// What a failover has come to.
    Outcome {
        UnderWay = "under-way",
        Done = "done",
        Aborted = "aborted",
        /// The master came back by itself.
        Over = "over",
    }

    /// What happened in a failover.
    MarkPhase {
        /// The master fell silent: from here `down-after-milliseconds` counts.
        Silent = "silent",
        Sdown = "sdown",
        SdownOver = "sdown-over",
        Odown = "odown",
        OdownOver = "odown-over",
        Voted = "voted",
        /// This sentinel asks for votes.
        Standing = "standing",
        Elected = "elected",
        Selected = "selected",
        /// The chosen replica was told to be the master.
        Told = "told",
        Promoted = "promoted",
        /// Heard of another sentinel's failover.
        Heard = "heard",
        /// Clients are told the new master.
        Switched = "switched",
        /// Consul names it.
        Published = "published",
        /// A replica follows it.
        Reconfigured = "reconfigured",
        End = "end",
        Aborted = "aborted",
    }

    /// How a replica stands in the choice of the next master.
    Suitability {
        Chosen = "chosen",
        Behind = "behind",
        Unfit = "unfit",
    }

    /// What stands in the way of a failover.
    Obstacle {
        Observes = "observes",
        Tilt = "tilt",
        Disk = "disk",
        MasterAnswers = "master-answers",
        Quorum = "quorum",
        Blocked = "blocked",
        Votes = "votes",
        NoCandidate = "no-candidate",
    }
}

impl From<core::Role> for ServerRole {
    fn from(role: core::Role) -> ServerRole {
        match role {
            core::Role::Master => ServerRole::Master,
            core::Role::Replica => ServerRole::Replica,
        }
    }
}

impl From<core::Health> for Health {
    fn from(health: core::Health) -> Health {
        match health {
            core::Health::Passing => Health::Passing,
            core::Health::Warning => Health::Warning,
            core::Health::Critical => Health::Critical,
        }
    }
}

impl From<core::Lock> for LockHolder {
    fn from(lock: core::Lock) -> LockHolder {
        match lock {
            core::Lock::Free => LockHolder::Free,
            core::Lock::Ours => LockHolder::Ours,
            core::Lock::Theirs => LockHolder::Theirs,
        }
    }
}

impl From<core::RegistryFault> for ConsulState {
    fn from(fault: core::RegistryFault) -> ConsulState {
        use core::RegistryFault as Fault;
        match fault {
            Fault::Unreachable => ConsulState::Unreachable,
            Fault::Silent => ConsulState::Silent,
            Fault::Leaderless => ConsulState::Leaderless,
            Fault::Limited => ConsulState::Limited,
            Fault::Denied => ConsulState::Denied,
            Fault::Taken => ConsulState::Taken,
            Fault::Nonsense => ConsulState::Nonsense,
        }
    }
}

impl From<core::PublicationState> for PublicationState {
    fn from(state: core::PublicationState) -> PublicationState {
        use core::PublicationState as State;
        match state {
            State::Unseen => PublicationState::Unseen,
            State::Published => PublicationState::Published,
            State::Behind => PublicationState::Behind,
            State::Fenced => PublicationState::Fenced,
            State::Contradicted => PublicationState::Contradicted,
            State::Taken => PublicationState::Taken,
        }
    }
}

impl From<&core::Obstacle> for Obstacle {
    fn from(obstacle: &core::Obstacle) -> Obstacle {
        match obstacle {
            core::Obstacle::Observes => Obstacle::Observes,
            core::Obstacle::Tilt(_) => Obstacle::Tilt,
            core::Obstacle::Disk(_) => Obstacle::Disk,
            core::Obstacle::MasterAnswers => Obstacle::MasterAnswers,
            core::Obstacle::Quorum => Obstacle::Quorum,
            core::Obstacle::Blocked(_) => Obstacle::Blocked,
            core::Obstacle::Votes => Obstacle::Votes,
            core::Obstacle::NoCandidate => Obstacle::NoCandidate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_core() {
        for state in core::PublicationState::ALL {
            assert_eq!(PublicationState::from(state).as_str(), state.as_str());
        }
        for fault in core::RegistryFault::ALL {
            assert_eq!(ConsulState::from(fault).as_str(), fault.as_str());
        }
    }

    #[test]
    fn a_word_of_a_later_release_does_not_keep_the_rest_from_being_read() {
        let read = |text| serde_json::from_str::<Outcome>(text).expect("it is read");
        assert_eq!(read("\"under-way\""), Outcome::UnderWay);
        assert_eq!(read("\"postponed\""), Outcome::Unsaid);
        assert_eq!(read("\"\""), Outcome::Unsaid);
        assert_eq!(serde_json::to_string(&Outcome::UnderWay).expect("JSON"), "\"under-way\"");
        assert_eq!(serde_json::to_string(&Outcome::Unsaid).expect("JSON"), "\"\"");
    }
}
