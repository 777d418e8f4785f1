//! Everything that can happen to a sentinel.

use crate::{
    CallId, ClientId, ClientLine, Credentials, Endpoint, Epoch, GroupName, Hello, Host, Info, JobId, LinkId,
    Quorum, RegistryEvent, Secret, SentinelId, Seq, Timing,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened. A run is a list of `(Time, Input)`, and the same list gives the same run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A deadline passed.
    Wake,
    /// The answer to `Action::Resolve`.
    Resolved {
        /// The name that was asked for.
        name: Arc<str>,
        /// Its address; nothing when the name is unknown or nobody answered.
        ip: Option<IpAddr>,
    },
    /// A connection opened, could not be opened, or was lost. Calls without a reply are lost with it.
    Link {
        /// Which one.
        link: LinkId,
        /// How it stands now.
        up: Result<LinkUp, LinkError>,
    },
    /// The answer to `Action::Call`. Answers of one link come in the order of its calls.
    Reply {
        /// The link that carried the call.
        link: LinkId,
        /// The call.
        call: CallId,
        /// What came back.
        reply: Reply,
    },
    /// A sentinel introduced itself.
    Hello {
        /// The subscription that it came over; nothing when it was published to this sentinel directly.
        link: Option<LinkId>,
        /// What it said.
        hello: Hello,
    },
    /// A client or a peer asks for something. Exactly one `Action::Respond` answers it.
    Request {
        /// Who asks.
        client: ClientId,
        /// For what.
        request: Request,
    },
    /// The answer to `Action::Save`.
    Saved {
        /// Which save.
        seq: Seq,
        /// Whether the state is on disk, folder entry included.
        result: Result<(), SaveError>,
    },
    /// What came of an `Action::Register`, or changed in Consul by itself.
    Registry {
        /// The group.
        group: GroupName,
        /// What it is.
        event: RegistryEvent,
    },
    /// A script that `Action::RunScript` started has ended.
    ScriptEnded {
        /// Which one.
        job: JobId,
        /// How.
        end: ScriptEnd,
    },
}

/// A connection that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUp {
    /// Our own address on it, as peers would reach us.
    pub local: IpAddr,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No route, no answer.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The other side closed it, or it broke.
    #[error("connection closed")]
    Closed,
    /// What came back is not the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
}

/// Why the state is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct SaveError(pub String);

/// What a server or a peer answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// Alive: PONG, LOADING or MASTERDOWN.
    Pong,
    /// A script has been running for too long (`-BUSY`).
    Busy,
    /// INFO.
    Info(Arc<Info>),
    /// CLIENT LIST.
    Clients(Vec<ClientLine>),
    /// SENTINEL myid.
    Id(SentinelId),
    /// SENTINEL get-master-addr-by-name; nothing where no such master is watched.
    Address(Option<Endpoint>),
    /// SENTINEL master.
    Epoch(Epoch),
    /// SENTINEL is-master-down-by-addr.
    Down {
        /// Whether the peer takes the master for down.
        down: bool,
        /// Whom it last voted for in this group, if anybody.
        leader: Option<SentinelId>,
        /// In which epoch.
        epoch: Epoch,
    },
    /// Anything else, in the other side's words.
    Error(String),
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// It exited with this status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It could not be started.
    NotStarted,
}

/// A request that reads or changes what only the core may touch. What can be answered from a view is not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// SENTINEL is-master-down-by-addr: the opinion, and the vote when a candidate is named.
    IsMasterDown {
        /// The address that the asker has for the master.
        master: Endpoint,
        /// The epoch of the asker, or of the election.
        epoch: Epoch,
        /// For whom the vote is asked.
        candidate: Option<SentinelId>,
    },
    /// SENTINEL FAILOVER.
    Failover {
        /// Which group.
        group: GroupName,
    },
    /// SENTINEL RESET.
    Reset {
        /// Which groups, as a glob pattern.
        pattern: String,
    },
    /// SENTINEL MONITOR.
    Monitor {
        /// The new group's name.
        group: GroupName,
        /// Its master.
        master: Endpoint,
        /// Its quorum.
        quorum: Quorum,
    },
    /// SENTINEL REMOVE.
    Remove {
        /// Which group.
        group: GroupName,
    },
    /// SENTINEL SET: all of the changes, or none.
    Set {
        /// Which group.
        group: GroupName,
        /// What to change.
        changes: Vec<GroupChange>,
    },
    /// SENTINEL CONFIG SET: all of the changes, or none.
    ConfigSet(Vec<ConfigChange>),
    /// SENTINEL DEBUG with values: the periods as they should be.
    Debug(Timing),
    /// SENTINEL FORGET master ip port (ours): one dead replica is no longer expected back.
    ForgetReplica {
        /// Which group.
        group: GroupName,
        /// Which replica.
        replica: Endpoint,
    },
    /// SENTINEL FORGET master id (ours): one dead sentinel no longer counts for the majority.
    ForgetSentinel {
        /// Which group.
        group: GroupName,
        /// Which sentinel.
        sentinel: SentinelId,
    },
    /// SENTINEL FLUSHCONFIG: answered when the state is on disk.
    FlushConfig,
    /// SENTINEL SIMULATE-FAILURE.
    SimulateFailure {
        /// Exit after the next won election.
        crash_after_election: bool,
        /// Exit after the next promotion.
        crash_after_promotion: bool,
    },
}

/// One option of SENTINEL SET.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupChange {
    /// `down-after-milliseconds`
    DownAfter(Duration),
    /// `failover-timeout`
    FailoverTimeout(Duration),
    /// `parallel-syncs`
    ParallelSyncs(u32),
    /// `quorum`
    Quorum(Quorum),
    /// `auth-user`
    AuthUser(Option<String>),
    /// `auth-pass`
    AuthPass(Option<Secret>),
    /// `notification-script`
    NotificationScript(Option<String>),
    /// `client-reconfig-script`
    ClientReconfigScript(Option<String>),
    /// `rename-command`: the name we use, the name the server knows; the same name twice takes it back.
    RenameCommand(String, String),
    /// `master-reboot-down-after-period`
    MasterRebootDownAfter(Duration),
}

/// One option of SENTINEL CONFIG SET that the core must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConfigChange {
    /// `announce-ip`
    AnnounceIp(Option<Host>),
    /// `announce-port`
    AnnouncePort(Option<u16>),
    /// `resolve-hostnames`
    ResolveHostnames(bool),
    /// `announce-hostnames`
    AnnounceHostnames(bool),
    /// `sentinel-user` and `sentinel-pass`
    SentinelAuth(Credentials),
}
