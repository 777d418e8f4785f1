//! What a daemon shows of itself: one form for `consentinel status`, the HTTP port, its page and the demo.
//!
//! As JSON it is an interface: fields may be added, none changes its meaning. Moments are told as ages or as times to
//! come, in milliseconds, so that a reader needs no clock that agrees with ours; what is to be compared between machines
//! is Unix time, and says so in its name.

mod draw;
mod explain;
mod history;
pub(crate) mod meters;
mod words;

pub(crate) use crate::dns::DnsAnswer;
pub(crate) use draw::{Scene, draw, draw_some, span_words};
pub(crate) use explain::{Explanation, explain};
pub(crate) use history::{Facts, FailoverCounts, History, Moment};
pub(crate) use words::{
    ConsulState, Health, LockHolder, MarkPhase, Obstacle, Outcome, PublicationState, ServerRole, StateKind,
};

use serde::{Deserialize, Serialize};

/// A whole daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Picture {
    /// Our version.
    pub version: String,
    /// Who this sentinel is.
    pub myid: String,
    /// Where others reach it, as far as it knows; empty when it does not.
    pub address: String,
    /// Its process.
    pub pid: u32,
    /// When this was drawn.
    pub unix_ms: u64,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// The highest epoch that it knows.
    pub current_epoch: u64,
    /// For how long it has distrusted the clock.
    pub tilt_ms: Option<u64>,
    /// Why its state cannot be written, while that is so: it does not vote and leads nothing.
    pub storage_error: Option<String>,
    /// Whether it only looks on and publishes.
    pub observes: bool,
    /// How Consul is reached; nothing when nothing is published.
    pub consul: Option<Consul>,
    /// Where it answers DNS.
    pub dns: Vec<String>,
    /// The watched masters, by name.
    pub masters: Vec<Master>,
}

/// How Consul is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Consul {
    /// Where it is.
    pub address: String,
    /// `ok`, or what kind of trouble there is.
    pub state: ConsulState,
    /// The trouble in words.
    pub trouble: Option<String>,
    /// How long the last request took.
    pub latency_us: u64,
    /// Nothing is written there.
    pub dry_run: bool,
}

/// A watched master with all that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Master {
    /// Its name.
    pub name: String,
    /// What clients are told.
    pub address: String,
    /// The epoch of the failover that made it master.
    pub epoch: u64,
    /// Sentinels that must agree that it is down.
    pub quorum: u32,
    /// Sentinels that answer, this one included, and all that there are.
    pub usable_sentinels: u32,
    /// All sentinels, this one included.
    pub all_sentinels: u32,
    /// Enough of them answer to agree that the master is down.
    pub quorum_reachable: bool,
    /// Enough of them answer to elect a leader.
    pub majority_reachable: bool,
    /// Settings that decide how long things take.
    pub down_after_ms: u64,
    /// The same.
    pub failover_timeout_ms: u64,
    /// Replicas that are turned at once.
    pub parallel_syncs: u32,
    /// For how long the quorum has agreed that it is down.
    pub odown_ms: Option<u64>,
    /// The master itself.
    pub server: Server,
    /// The replicas, by address.
    pub replicas: Vec<Server>,
    /// The other sentinels, by id.
    pub sentinels: Vec<Sentinel>,
    /// The failover that this sentinel leads, or wants to lead.
    pub failover: Option<Phase>,
    /// How long ago a failover of it was last attempted.
    pub last_attempt_ms: Option<u64>,
    /// When this sentinel may attempt the next one; zero is now.
    pub next_attempt_in_ms: u64,
    /// Whom this sentinel last voted for.
    pub voted_for: Option<String>,
    /// In which epoch.
    pub voted_epoch: u64,
    /// How its publishing into Consul stands.
    pub publication: Option<Publication>,
    /// What DNS names answer for it now, by this sentinel's view.
    pub answer: DnsAnswer,
}

/// A Redis server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    /// Where it is: what clients are told.
    pub address: String,
    /// Its run.
    pub run_id: Option<String>,
    /// What it says it is: `master` or `replica`; nothing before it said so.
    pub role: Option<ServerRole>,
    /// Whether the link to it stands.
    pub linked: bool,
    /// Whether the subscription to its hellos stands.
    pub subscribed: bool,
    /// How long ago it last said that it is alive.
    pub last_ok_ms: u64,
    /// For how long this sentinel has taken it for down.
    pub sdown_ms: Option<u64>,
    /// Whom it follows.
    pub follows: Option<String>,
    /// Whether its link to that one stands.
    pub master_link_up: bool,
    /// For how long it has not, when it does not.
    pub master_link_down_ms: u64,
    /// It is copying the master's data.
    pub syncing: bool,
    /// It is reading its data.
    pub loading: bool,
    /// Whether clients may be told of it (`replica-announced`).
    pub announced: bool,
    /// How far it has come in the history of the data.
    pub offset: u64,
    /// How far that is behind the master, by the master's own word.
    pub lag_bytes: Option<u64>,
    /// The lower, the sooner it is promoted; zero is never.
    pub priority: u32,
    /// Its version.
    pub version: Option<String>,
    /// In words: `master`, `replica, linked`, `down for 3 s`, `came back empty` ...
    pub state: String,
    /// What that says: `down`, `silent`, `linked` or `other`. Earlier releases do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_kind: Option<StateKind>,
    /// `passing`, `warning` or `critical`, as Consul would be told; `unknown` as long as it has told nothing of itself.
    pub health: Health,
}

/// Another sentinel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sentinel {
    /// Who it is.
    pub id: String,
    /// Where it is.
    pub address: String,
    /// Whether the link to it stands.
    pub linked: bool,
    /// For how long this sentinel has taken it for down.
    pub sdown_ms: Option<u64>,
    /// How long ago it last said hello for this master.
    pub last_hello_ms: u64,
    /// Whether it takes the master for down, as far as it told lately.
    pub says_down: bool,
    /// Whom it last voted for.
    pub voted_for: Option<String>,
    /// In which epoch.
    pub voted_epoch: u64,
}

/// How far a failover has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Phase {
    /// The original's word.
    pub phase: String,
    /// In words.
    pub words: String,
    /// For how long.
    pub since_ms: u64,
    /// Who is being promoted.
    pub promoting: Option<String>,
}

/// How the publishing of a master stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Publication {
    /// `published`, `behind`, `fenced`, ...
    pub state: PublicationState,
    /// What went wrong last.
    pub error: Option<String>,
    /// How many times in a row it was in vain.
    pub tries: u32,
    /// The service's name.
    pub service: String,
    /// The node that all entries stand on.
    pub node: String,
    /// Who holds the lock: `ours`, `theirs`, `free`.
    pub lock: Option<LockHolder>,
    /// The epoch of the record there.
    pub record_epoch: Option<u64>,
    /// The master that the record names.
    pub record_master: Option<String>,
    /// The sentinel that wrote it.
    pub record_publisher: Option<String>,
    /// How long ago it was looked at.
    pub seen_ms: Option<u64>,
    /// What should be there.
    pub desired: Vec<Entry>,
    /// What is.
    pub published: Vec<Entry>,
    /// Entries on the node that somebody altered or added, by their names in the catalog.
    pub damaged: Vec<String>,
    /// What others have registered under the same names, and DNS answers, too.
    pub foreign: Vec<String>,
    /// Transactions since the start that replaced the record.
    pub claims: u64,
    /// Those that changed entries under the same record.
    pub amendments: u64,
    /// Those of them that put back what somebody else had changed.
    pub repairs: u64,
    /// Those that bounced, because somebody was quicker or knows better.
    pub stale: u64,
    /// Requests that failed.
    pub failures: u64,
}

/// An entry in Consul.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// `master` or `replica`.
    pub role: ServerRole,
    /// Where.
    pub address: String,
    /// `passing`, `warning` or `critical`.
    pub health: Health,
    /// Why.
    pub sentence: String,
    /// The epoch that it is of.
    pub epoch: u64,
}

/// A failover, as this sentinel saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Failover {
    /// Counts up, from the start of the daemon.
    pub number: u64,
    /// The master's name.
    pub master: String,
    /// Its epoch, once there is one.
    pub epoch: Option<u64>,
    /// When its first phase began.
    pub began_unix_ms: u64,
    /// The old master.
    pub from: String,
    /// The new one, once it is known.
    pub to: Option<String>,
    /// `under-way`, `done`, `aborted`, or `over` when the master came back by itself.
    pub outcome: Outcome,
    /// Why it was aborted.
    pub reason: Option<String>,
    /// How often this sentinel stood for election.
    pub attempts: u32,
    /// Whether this sentinel led it.
    pub led: bool,
    /// Whether somebody ordered it.
    pub ordered: bool,
    /// What happened, in order.
    pub phases: Vec<Mark>,
}

/// Something that happened in a failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mark {
    /// `silent` (the master fell silent: from here `down-after-milliseconds` counts), `sdown`, `odown`, `voted`,
    /// `standing` (this sentinel asks for votes), `elected`, `selected`, `told` (to be the master), `promoted`, `heard`
    /// (of somebody else's failover), `switched` (clients are told the new one), `published` (Consul names it),
    /// `reconfigured` (a replica follows it), `end`, `aborted`, `odown-over`, `sdown-over`.
    pub phase: MarkPhase,
    /// Milliseconds since the failover began, with fractions.
    pub at_ms: f64,
    /// The event's own words.
    pub words: String,
}

/// Something that was told to everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Happening {
    /// Counts up; a reader that was away asks for what came after the last one that it has.
    pub number: u64,
    /// When.
    pub unix_ms: u64,
    /// `+sdown`, `+switch-master`, ...
    pub event: String,
    /// The rest of the line.
    pub text: String,
    /// The master that it concerns.
    pub master: Option<String>,
}
