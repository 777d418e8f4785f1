//! Why a failover does or does not come about: the answer as data. Spans count from the moment of the question.

use crate::{Endpoint, Entry, Epoch, FailoverPhase, GroupName, Offset, Quorum, SentinelId};
use std::time::Duration;

/// Why there is no failover of a master, or what would happen if it went down now.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The master's name.
    pub name: GroupName,
    /// What clients are told.
    pub master: Endpoint,
    /// What stands in the way of a failover led by this sentinel, the first thing first. Nothing stands in the way of
    /// one that is under way.
    pub obstacles: Vec<Obstacle>,
    /// What speaks for taking the master for down, and since when this sentinel does.
    pub suspicion: Option<Suspicion>,
    /// For how long this sentinel has taken it for down.
    pub sdown: Option<Duration>,
    /// For how long the quorum has agreed.
    pub odown: Option<Duration>,
    /// Sentinels that take it for down.
    pub say_down: usize,
    /// Sentinels that must.
    pub quorum: Quorum,
    /// Sentinels that could be asked for their vote, this one included unless it only looks on.
    pub reachable: usize,
    /// Votes that a leader needs.
    pub votes_needed: usize,
    /// All sentinels, this one first.
    pub voters: Vec<Voter>,
    /// The replicas, the one that would be chosen first.
    pub candidates: Vec<Candidate>,
    /// How far a failover that this sentinel leads, or wants to lead, has come, and for how long.
    pub failover: (FailoverPhase, Duration),
    /// How long ago a failover was last attempted, by us or by somebody we voted for.
    pub last_attempt: Option<Duration>,
    /// Whom this sentinel last voted for, and in which epoch.
    pub last_vote: Option<(SentinelId, Epoch)>,
    /// The epoch of the configuration.
    pub epoch: Epoch,
    /// What Consul would be given after a failover now; nothing where nothing is published, or nobody could be promoted.
    pub entries_after: Vec<Entry>,
}

/// Something that keeps this sentinel from leading a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This sentinel only looks on.
    Observes,
    /// It distrusts the clock, for so long yet.
    Tilt(Duration),
    /// Its state cannot be written.
    Disk(String),
    /// The master is not down, for this sentinel.
    MasterAnswers,
    /// Not enough sentinels take the master for down.
    Quorum,
    /// An attempt was made: the next one must wait for so long.
    Blocked(Duration),
    /// Not enough sentinels can be asked for their votes.
    Votes,
    /// No replica may be promoted.
    NoCandidate,
}

/// What speaks for taking a master for down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What it is.
    pub doubt: Doubt,
    /// For how long it has been so.
    pub for_long: Duration,
    /// When it will be enough; zero when it is.
    pub enough_in: Duration,
}

/// What speaks for taking a server for down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Its connection has ended, or it has left a ping unanswered.
    Silent,
    /// It is to be a master, and says that it is a replica.
    SaysReplica,
    /// It was restarted, and is still reading its data.
    Loading,
    /// It came back without the data that its replicas have.
    Emptied,
}

/// A sentinel that has a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Who it is.
    pub id: SentinelId,
    /// Where it is; nothing for this sentinel itself.
    pub addr: Option<Endpoint>,
    /// What it says of the master.
    pub opinion: Opinion,
    /// For how long nothing was heard of it, when it cannot be asked.
    pub unreachable: Option<Duration>,
}

/// What a sentinel says of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It is down.
    Down,
    /// It is not, or nothing was said lately.
    NotDown,
    /// It has no say.
    None,
}

/// A replica in the choice of the next master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub addr: Endpoint,
    /// How it stands.
    pub suitability: Suitability,
    /// Its priority.
    pub priority: u32,
    /// How far it has come.
    pub offset: Offset,
}

/// How a replica stands in the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suitability {
    /// It would be promoted.
    Chosen,
    /// It could be, but another one is better.
    Behind(Worse),
    /// It may not be promoted.
    Unfit(Unfit),
}

/// Why a replica may not be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is down, for so long.
    Down(Duration),
    /// There is no connection to it.
    NoLink,
    /// It has told nothing of itself yet.
    Unseen,
    /// Its priority is zero.
    PriorityZero,
    /// It is reading its data.
    Loading,
    /// It has already copied the emptiness of a master that came back without its data.
    Wiped,
    /// It has not answered a ping for so long.
    Silent(Duration),
    /// What it said of itself is too old.
    StaleInfo {
        /// So old.
        age: Duration,
        /// It must not be older than this.
        limit: Duration,
    },
    /// It has been without its master for too long.
    Unlinked {
        /// For so long.
        span: Duration,
        /// It must not be longer than this.
        limit: Duration,
    },
}

/// By what another replica is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// This one is in the middle of copying data.
    Syncing,
    /// This one was replaced, and says that it is master all the same.
    Ousted,
    /// This one's priority is a higher number.
    Priority {
        /// This one's.
        this: u32,
        /// The chosen one's.
        chosen: u32,
    },
    /// This one says that it is a master.
    IsMaster,
    /// This one's data are of another history than the master's.
    OtherHistory,
    /// This one has less of the data.
    Offset {
        /// So many bytes less.
        behind: u64,
    },
    /// They are equal in everything; this one's run id is larger.
    RunId,
    /// The chosen one was promoted by a leader who vanished, is master already, and nobody has more data.
    NotMasterYet,
}
