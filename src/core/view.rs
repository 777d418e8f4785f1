//! What can be seen of a sentinel from outside: the ground of INFO and of the SENTINEL queries.

use crate::{
    Config, Endpoint, Entry, Epoch, GroupConfig, GroupName, Health, Host, Info, Offset, Published,
    RegistryError, Role, RunId, SentinelId, Time,
};
use std::net::IpAddr;
use std::sync::Arc;

/// A whole sentinel at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Who it is.
    pub myid: SentinelId,
    /// The highest epoch it knows.
    pub current_epoch: Epoch,
    /// Since when it distrusts the clock.
    pub tilt: Option<Time>,
    /// Why its state cannot be written, while that is so.
    pub storage_error: Option<String>,
    /// Settings that concern all groups.
    pub config: Config,
    /// Scripts that are running.
    pub scripts: Vec<ScriptView>,
    /// The failures to simulate: after the election, after the promotion.
    pub simulate_failure: (bool, bool),
    /// The watched masters, by name.
    pub groups: Vec<GroupView>,
}

/// A script, waiting or running.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScriptView {
    /// The command line.
    pub argv: Vec<String>,
    /// Since when it has been running; nothing while it waits.
    pub running_since: Option<Time>,
    /// When it may start, while it waits.
    pub due: Time,
    /// How often it was started already.
    pub retries: u32,
    /// Its process, while it runs.
    pub pid: Option<u32>,
}

/// One watched master with all that belongs to it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its name.
    pub name: GroupName,
    /// Its settings.
    pub config: GroupConfig,
    /// What clients are told: the master's address as it is on disk.
    pub address: Endpoint,
    /// The epoch of the failover that made it master.
    pub config_epoch: Epoch,
    /// The epoch that belongs to `address`: that of a new master is told when it is on disk.
    pub announced_epoch: Epoch,
    /// The master.
    pub master: NodeView,
    /// The replicas, by address.
    pub replicas: Vec<NodeView>,
    /// The other sentinels, by id.
    pub sentinels: Vec<PeerView>,
    /// Since when the master is objectively down.
    pub odown: Option<Time>,
    /// The server that clients are still told is the master, while a newer one is not on disk yet.
    pub outgoing: Option<Box<NodeView>>,
    /// Whether an operator ordered the failover under way.
    pub ordered: bool,
    /// The phase of a failover that this sentinel leads or wants to lead.
    pub failover: FailoverPhase,
    /// Since when it is in that phase.
    pub failover_since: Time,
    /// Who is to be the new master, once that is chosen and before it is one.
    pub successor: Option<Endpoint>,
    /// When a failover of this master was last attempted, by us or by somebody we voted for.
    pub last_attempt: Option<Time>,
    /// When this sentinel may attempt the next one.
    pub next_attempt: Time,
    /// Whom it last voted for.
    pub voted_for: Option<SentinelId>,
    /// In which epoch.
    pub leader_epoch: Epoch,
    /// How the publishing stands; nothing when nothing is published.
    pub publication: Option<PublicationView>,
}

/// How the publishing of a group stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublicationView {
    /// In a word.
    pub state: PublicationState,
    /// Why Consul cannot be asked, while that is so.
    pub error: Option<RegistryError>,
    /// How many times in a row it was in vain.
    pub tries: u32,
    /// What should be published, as this sentinel sees it; nothing while it does not know enough.
    pub desired: Vec<Entry>,
    /// What Consul held when it was last looked at.
    pub seen: Option<Published>,
    /// When it was last looked at.
    pub seen_at: Option<Time>,
    /// What has happened since the start.
    pub counters: PublicationCounters,
}

/// How the publishing of a group stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationState {
    /// Consul has not been seen yet.
    Unseen,
    /// The record there is what this sentinel would have written.
    Published,
    /// The record is missing or older: it will be replaced as soon as the master has answered as master.
    Behind,
    /// The record is of a newer epoch than our configuration, which therefore is not published.
    Fenced,
    /// The record names another master of the same epoch.
    Contradicted,
    /// The record is of another fleet, which uses the same names: nothing in it is known here.
    Taken,
}

impl PublicationState {
    /// All of them.
    pub const ALL: [PublicationState; 6] = [
        PublicationState::Unseen,
        PublicationState::Published,
        PublicationState::Behind,
        PublicationState::Fenced,
        PublicationState::Contradicted,
        PublicationState::Taken,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            PublicationState::Unseen => "unseen",
            PublicationState::Published => "published",
            PublicationState::Behind => "behind",
            PublicationState::Fenced => "fenced",
            PublicationState::Contradicted => "contradicted",
            PublicationState::Taken => "taken",
        }
    }
}

/// What the publishing has come to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicationCounters {
    /// Transactions that replaced the record.
    pub claims: u64,
    /// Transactions that changed entries under the same record.
    pub amendments: u64,
    /// Those of them that put back what somebody else had changed or removed.
    pub repairs: u64,
    /// Transactions that bounced because somebody was quicker or knows better.
    pub stale: u64,
    /// What failed, in the order of [`RegistryFault::ALL`](crate::RegistryFault::ALL).
    pub failures: [u64; crate::RegistryFault::ALL.len()],
}

/// How far a failover has come, in the original's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverPhase {
    /// There is none.
    None,
    /// Objectively down; this sentinel waits a moment so that candidates do not collide.
    WaitStart,
    /// It asks for votes.
    Election,
    /// Elected; it chooses.
    SelectReplica,
    /// It has chosen; the master holds writes back until the replica has them all.
    CatchUp,
    /// It has chosen, and tells the replica.
    SendReplicaOfNoOne,
    /// It waits for the replica to say that it is master.
    WaitPromotion,
    /// It leads the other replicas to the new master.
    ReconfReplicas,
}

impl FailoverPhase {
    /// The original's word.
    pub fn as_str(self) -> &'static str {
        match self {
            FailoverPhase::None => "none",
            FailoverPhase::WaitStart | FailoverPhase::Election => "wait_start",
            FailoverPhase::SelectReplica | FailoverPhase::CatchUp => "select_slave",
            FailoverPhase::SendReplicaOfNoOne => "send_slaveof_noone",
            FailoverPhase::WaitPromotion => "wait_promotion",
            FailoverPhase::ReconfReplicas => "reconf_slaves",
        }
    }
}

/// How something that is pinged stands.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Whether the connection is missing, for longer than the moment that opening it again takes.
    pub missing: bool,
    /// Whether the command link stands.
    pub up: bool,
    /// Calls without a reply.
    pub pending: usize,
    /// When the ping was sent that has no reply yet.
    pub ping_pending: Option<Time>,
    /// When it last said that it is alive.
    pub last_ok: Time,
    /// When it last replied to a ping at all.
    pub last_reply: Time,
    /// Since when this sentinel takes it for down.
    pub sdown: Option<Time>,
}

/// A Redis server.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Where it is.
    pub addr: Endpoint,
    /// The address behind its name.
    pub ip: Option<IpAddr>,
    /// Its run, once it was seen.
    pub run_id: Option<RunId>,
    /// Its links.
    pub link: LinkView,
    /// Whether the subscription stands.
    pub pubsub_up: bool,
    /// Whether it is missing, for longer than the moment that opening it again takes.
    pub pubsub_missing: bool,
    /// Its last INFO, and when it came.
    pub info: Option<(Time, Arc<Info>)>,
    /// What it says it is.
    pub role: Role,
    /// Since when.
    pub role_since: Time,
    /// How far a failover has turned it to the new master.
    pub reconf: ReconfPhase,
    /// Whether a failover under way is promoting it.
    pub promoted: bool,
    /// Since when it counts as a master that came back empty.
    pub emptied: Option<Time>,
    /// How well it is for whoever looks it up, and why in a sentence; nothing while that is not known.
    pub verdict: Option<(Health, String)>,
    /// By how many bytes it is behind the master, by the master's own word.
    pub lag: Option<u64>,
}

/// How far a replica has been turned to a new master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconfPhase {
    /// Nothing was asked of it.
    None,
    /// It was told.
    Sent,
    /// It follows, but has no data yet.
    InProgress,
    /// It follows.
    Done,
}

/// Another sentinel.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Who it is.
    pub id: SentinelId,
    /// Where it is.
    pub addr: Endpoint,
    /// The link to it, shared by all groups.
    pub link: LinkView,
    /// How many groups share that link.
    pub link_shared_by: usize,
    /// When it last said hello for this group.
    pub last_hello: Time,
    /// Whether it takes the master for down, as far as it told us lately.
    pub says_down: bool,
    /// Whom it last voted for, as far as it told us.
    pub voted_leader: Option<SentinelId>,
    /// In which epoch.
    pub voted_leader_epoch: Epoch,
}

/// What DNS may say of a group, as this sentinel sees it, without any registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsView {
    /// The epoch of the failover that made the master one; what is said here is on disk.
    pub epoch: Epoch,
    /// The servers, the master's entry first. It is critical while the master is objectively down.
    pub entries: Vec<Entry>,
    /// Whether the master has said itself that it is one, since it became it, since this sentinel was started, and
    /// since the clock was last distrusted.
    pub vouched: bool,
    /// How many sentinels are heard, this one included, of how many.
    pub heard: (usize, usize),
    /// Whether those are a majority.
    pub majority: bool,
    /// Where sentinels that are up are found; this one first, unless it only looks on.
    pub sentinels: Vec<(SentinelId, Endpoint)>,
}

/// Whether the sentinels could do their work: SENTINEL CKQUORUM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumCheck {
    /// Sentinels that answer, this one included.
    pub usable: usize,
    /// Enough of them to agree that the master is down.
    pub quorum_reachable: bool,
    /// Enough of them to elect a leader.
    pub majority_reachable: bool,
}

impl DnsView {
    /// Whether it may be answered: a majority is heard, and the master has said that it is one, or is objectively down.
    pub fn is_certain(&self) -> bool {
        let down = self.entries.first().is_some_and(|master| master.health == Health::Critical);
        self.majority && (self.vouched || down)
    }

    /// The master to which clients may be sent; nothing while there is none.
    pub fn named_master(&self) -> Option<&Endpoint> {
        let master = self.entries.first().filter(|_| self.is_certain())?;
        (master.health != Health::Critical).then_some(&master.addr)
    }
}

impl GroupView {
    /// The server that clients are told is the master.
    pub fn told_master(&self) -> &NodeView {
        self.outgoing.as_deref().unwrap_or(&self.master)
    }

    /// The servers that clients are told are its replicas.
    pub fn told_replicas(&self) -> impl Iterator<Item = &NodeView> {
        let outgoing = self.outgoing.as_ref().map(|node| &node.addr);
        let incoming = self.outgoing.is_some().then_some(&self.master);
        self.replicas.iter().filter(move |node| Some(&node.addr) != outgoing).chain(incoming)
    }

    /// Whether the master that clients are told of is being replaced.
    pub fn is_failing_over(&self) -> bool {
        let done = self.failover == FailoverPhase::ReconfReplicas && self.outgoing.is_none();
        self.failover != FailoverPhase::None && !done
    }

    /// Counts the sentinels that answer.
    pub fn check_quorum(&self) -> QuorumCheck {
        let usable = 1 + self.sentinels.iter().filter(|peer| peer.link.sdown.is_none()).count();
        let all = self.sentinels.len() + 1;
        let majority = all / 2 + 1;
        QuorumCheck {
            usable,
            quorum_reachable: usable >= self.config.quorum.0 as usize,
            majority_reachable: usable >= majority,
        }
    }
}

impl NodeView {
    /// The address to show: the name where names are announced, the address behind it otherwise.
    pub fn shown_host(&self, announce_hostnames: bool) -> Host {
        match (announce_hostnames, self.ip) {
            (false, Some(ip)) => Host::Ip(ip),
            _ => self.addr.host.clone(),
        }
    }

    /// How far it has replicated, by its last word.
    pub fn offset(&self) -> Offset {
        self.info.as_ref().map(|(_, info)| info.repl_offset).unwrap_or_default()
    }
}
