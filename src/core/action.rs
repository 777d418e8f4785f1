//! Everything that a sentinel wants done.

use crate::{
    CallId, ClientId, Credentials, DnsView, Durable, Endpoint, Epoch, GroupName, Hello, JobId, LinkId,
    Notice, RegistryRequest, SentinelId, Seq,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One thing to do. Actions are carried out in the order in which `poll_action` gives them.
#[derive(Clone, Debug)]
pub enum Action {
    /// Look a host name up; answered by `Input::Resolved`.
    Resolve {
        /// The name.
        name: Arc<str>,
    },
    /// Open a connection; answered by `Input::Link`, and by a second one when it is lost.
    Connect {
        /// The number of this attempt.
        link: LinkId,
        /// Where to, as the operator or a peer wrote it (TLS wants the name).
        to: Endpoint,
        /// The address behind it.
        ip: IpAddr,
        /// What it is for.
        kind: LinkKind,
        /// Commands that this server knows by another name, in upper case.
        renames: Arc<BTreeMap<String, String>>,
    },
    /// Close a connection, or give up opening it. No input answers this; what still comes from it is ignored.
    Disconnect(LinkId),
    /// Send a command; answered by `Input::Reply`, unless the link is lost first.
    Call {
        /// Over which connection.
        link: LinkId,
        /// The number of this call.
        call: CallId,
        /// What to send.
        command: Command,
    },
    /// Write the state to disk so that it survives a power cut; answered by `Input::Saved`. There is never more
    /// than one save under way.
    Save {
        /// The number of this save.
        seq: Seq,
        /// What to write.
        state: Box<Durable>,
    },
    /// Answer a request.
    Respond {
        /// Whom.
        client: ClientId,
        /// What.
        response: Response,
    },
    /// Ask something of Consul; answered by `Input::Registry` where the request says so.
    Register {
        /// For which group.
        group: GroupName,
        /// What.
        request: RegistryRequest,
    },
    /// Tell those who answer DNS what they may say of a group; what they were told before holds until then. Only where
    /// `RegistryConfig::dns` is on.
    Dns {
        /// The group.
        group: GroupName,
        /// What they may say; nothing once it is watched no more.
        view: Option<Box<DnsView>>,
    },
    /// Tell operators and subscribers.
    Notify(Notice),
    /// Run a script; answered by `Input::ScriptEnded`.
    RunScript {
        /// The number of this run.
        job: JobId,
        /// The script.
        path: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Kill a script that has been running for too long; it still ends with `Input::ScriptEnded`.
    KillScript(JobId),
    /// Exit at once, as SENTINEL SIMULATE-FAILURE asked for.
    Exit,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Commands to a Redis server.
    Command,
    /// The hello subscription on a Redis server.
    PubSub,
    /// Commands to another sentinel.
    Sentinel,
}

/// A command to a server or a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// AUTH.
    Auth(Credentials),
    /// CLIENT SETNAME.
    SetName(String),
    /// PING.
    Ping,
    /// INFO.
    Info,
    /// SUBSCRIBE to the hello channel.
    Subscribe,
    /// PUBLISH on the hello channel.
    Publish(Hello),
    /// MULTI, SLAVEOF, CLIENT KILL TYPE normal, CLIENT KILL TYPE pubsub, CONFIG REWRITE, EXEC: follow that master,
    /// or nobody. The reply is that of EXEC.
    ReplicaOf(Option<Endpoint>),
    /// MULTI, SLAVEOF, CLIENT UNPAUSE, EXEC: follow that master, and answer the writes that were held back: with
    /// READONLY. The reply is that of EXEC.
    Demote(Endpoint),
    /// CLIENT KILL TYPE normal, CLIENT KILL TYPE pubsub.
    CutClients,
    /// CONFIG REWRITE.
    RewriteConfig,
    /// SLAVEOF alone, for servers to which a part of the transaction is unknown.
    ReplicaOfPlain(Option<Endpoint>),
    /// SCRIPT KILL.
    ScriptKill,
    /// FAILOVER ABORT: a server in a FAILOVER of its own refuses REPLICAOF.
    AbortFailover,
    /// CLIENT LIST.
    ListClients,
    /// CLIENT KILL of each of these.
    KillClients(Vec<u64>),
    /// CLIENT KILL TYPE normal.
    KillNormalClients,
    /// CLIENT PAUSE for so long, of writes.
    HoldWrites(std::time::Duration),
    /// CLIENT UNPAUSE.
    LetWritesPass,
    /// SENTINEL myid: who is there?
    MyId,
    /// SENTINEL get-master-addr-by-name: where is the master, for you?
    MasterAddress(GroupName),
    /// SENTINEL master, of which the epoch counts: since which failover?
    MasterEpoch(GroupName),
    /// SENTINEL is-master-down-by-addr.
    IsMasterDown {
        /// Where we think that the master is.
        master: Endpoint,
        /// Our epoch.
        epoch: Epoch,
        /// For whom we ask the vote; nobody: only the opinion.
        candidate: Option<SentinelId>,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Done.
    Ok,
    /// How many were touched.
    Count(u64),
    /// The opinion and the vote.
    Down {
        /// Whether the master is down, as far as this sentinel sees.
        down: bool,
        /// Whom it voted for, when it was asked for a vote.
        leader: Option<SentinelId>,
        /// In which epoch; zero when no vote was asked for.
        epoch: Epoch,
    },
    /// Nothing was done.
    Refused(Refusal),
}

/// Why a request was refused. The text is what goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No group has that name.
    #[error("ERR No such master with that name")]
    NoSuchMaster,
    /// A failover is under way.
    #[error("INPROG Failover already in progress")]
    InProgress,
    /// Another sentinel leads a failover, as far as is known here.
    #[error("INPROG Failover already in progress: sentinel {leader} leads it in epoch {epoch}")]
    LedByAnother {
        /// Which one.
        leader: SentinelId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The other sentinels did not give their votes for an ordered failover.
    #[error(
        "NOQUORUM The other sentinels that answer did not agree to the failover: look at SENTINEL CKQUORUM"
    )]
    NotAgreed,
    /// No replica can be promoted.
    #[error("NOGOODSLAVE No suitable replica to promote")]
    NoGoodReplica,
    /// MONITOR of a name that is taken.
    #[error("ERR Duplicate master name.")]
    DuplicateMaster,
    /// MONITOR of a host name while names are not resolved, or of one that nobody knows.
    #[error("ERR Invalid IP address or hostname specified")]
    InvalidAddress,
    /// A quorum of nobody.
    #[error("ERR Quorum must be 1 or greater.")]
    InvalidQuorum,
    /// Scripts are not to be changed at run time.
    #[error(
        "ERR Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig configuration directive in your Sentinel configuration"
    )]
    ScriptsDenied,
    /// FORGET of something that nobody knows.
    #[error("ERR No such {0} in '{1}'")]
    Unknown(&'static str, GroupName),
    /// FORGET of something that still answers: it would be discovered again at once.
    #[error("ERR The {0} still answers: stop it first, or it is discovered again at once")]
    StillThere(&'static str),
    /// FORGET of the master.
    #[error("ERR That is the master: use SENTINEL REMOVE, or fail over first")]
    IsMaster,
    /// An observer does nothing to servers.
    #[error("ERR This sentinel only observes and publishes: ask one that takes part")]
    Observer,
    /// The state cannot be written.
    #[error("ERR Failed to save config changes")]
    NotSaved,
    /// A period of zero would never end.
    #[error("ERR Invalid argument for '{0}': it must be greater than zero")]
    ZeroPeriod(&'static str),
}
