//! What the operator decides, and what must survive a restart.

use crate::{Endpoint, Epoch, GroupName, Host, Quorum, Secret, SentinelId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that a sentinel needs to go on where it stopped: the settings of the operator and the memory of
/// the protocol. The driver reads it from the configuration file at start and writes it back on `Action::Save`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durable {
    /// This sentinel's identity; chosen by the core at the first start and saved before it is used.
    pub myid: Option<SentinelId>,
    /// The highest epoch ever seen.
    pub current_epoch: Epoch,
    /// The settings that concern all groups.
    pub config: Config,
    /// The watched masters.
    pub groups: BTreeMap<GroupName, DurableGroup>,
}

/// What is kept of one watched master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DurableGroup {
    /// The operator's settings.
    pub config: GroupConfig,
    /// Where the master is, by the configuration of `config_epoch`.
    pub master: Endpoint,
    /// The epoch of the failover that made it master.
    pub config_epoch: Epoch,
    /// The last epoch in which this sentinel gave its vote for this group.
    pub leader_epoch: Epoch,
    /// Replicas that were seen.
    pub replicas: BTreeSet<Endpoint>,
    /// Other sentinels that were seen.
    pub sentinels: BTreeMap<SentinelId, Endpoint>,
}

impl DurableGroup {
    /// A group as `sentinel monitor` introduces it.
    pub fn new(master: Endpoint, config: GroupConfig) -> Self {
        DurableGroup {
            config,
            master,
            config_epoch: Epoch(0),
            leader_epoch: Epoch(0),
            replicas: BTreeSet::new(),
            sentinels: BTreeMap::new(),
        }
    }
}

/// The settings that concern all groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The port on which this sentinel listens.
    pub port: u16,
    /// The address to announce instead of the socket's own.
    pub announce_ip: Option<Host>,
    /// The port to announce instead of `port`.
    pub announce_port: Option<u16>,
    /// Whether host names are accepted where an address is expected.
    pub resolve_hostnames: bool,
    /// Whether host names, not addresses, are shown to clients and peers.
    pub announce_hostnames: bool,
    /// Whether SENTINEL SET may not touch scripts.
    pub deny_scripts_reconfig: bool,
    /// How to log in to the other sentinels.
    pub sentinel_auth: Credentials,
    /// Periods and limits, changed only by SENTINEL DEBUG.
    pub timing: Timing,
    /// Whether and how the masters are published.
    pub registry: RegistryConfig,
    /// Whether this sentinel only looks on and publishes: it has no vote, says no hello, leads no failover and
    /// turns no server.
    pub observe: bool,
}

/// What the core must know of the publishing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryConfig {
    /// Whether anything is published at all.
    pub on: bool,
    /// By how many bytes a replica may lag behind before it is published with a warning; zero: it does not matter.
    pub max_lag: u64,
    /// Whether the masters are named over DNS by this sentinel itself.
    #[serde(default)]
    pub dns: bool,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        RegistryConfig { on: false, max_lag: 10 << 20, dns: false }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            port: 26379,
            announce_ip: None,
            announce_port: None,
            resolve_hostnames: false,
            announce_hostnames: false,
            deny_scripts_reconfig: true,
            sentinel_auth: Credentials::default(),
            timing: Timing::default(),
            registry: RegistryConfig::default(),
            observe: false,
        }
    }
}

/// A user name and a password, either of which may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The ACL user; the default user when missing.
    pub user: Option<String>,
    /// The password; without it nobody logs in.
    pub pass: Option<Secret>,
}

/// The settings of one watched master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupConfig {
    /// How many sentinels must agree that the master is down.
    pub quorum: Quorum,
    /// How long something must be silent before this sentinel takes it for down.
    pub down_after: Duration,
    /// How long a failover may take; twice as long, and no second one follows it.
    pub failover_timeout: Duration,
    /// How many replicas may synchronise with the new master at the same time.
    pub parallel_syncs: u32,
    /// How to log in to the master and its replicas.
    pub auth: Credentials,
    /// Run for every event of level warning.
    pub notification_script: Option<String>,
    /// Run when the master moves.
    pub client_reconfig_script: Option<String>,
    /// Commands that the servers know by another name, in upper case.
    pub renamed_commands: BTreeMap<String, String>,
    /// How long a master that has just restarted may go on loading before it counts as down; zero: no limit.
    pub master_reboot_down_after: Duration,
}

impl GroupConfig {
    /// The original's defaults, with the quorum that `sentinel monitor` must always name.
    pub fn new(quorum: Quorum) -> Self {
        let timing = Timing::default();
        GroupConfig {
            quorum,
            down_after: timing.default_down_after,
            failover_timeout: timing.default_failover_timeout,
            parallel_syncs: 1,
            auth: Credentials::default(),
            notification_script: None,
            client_reconfig_script: None,
            renamed_commands: BTreeMap::new(),
            master_reboot_down_after: Duration::ZERO,
        }
    }
}

/// The protocol's periods and limits. They are the original's; where Consentinel waits less, it does so on top of
/// them and `docs/architecture.md` says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Between two INFO to the same server.
    pub info_period: Duration,
    /// The longest time between two PING to the same server; a tenth of `down_after` when that is shorter.
    pub ping_period: Duration,
    /// The longest time between two questions to the same peer whether a master is down.
    pub ask_period: Duration,
    /// Between two hellos.
    pub publish_period: Duration,
    /// `down_after` of a group that sets none.
    pub default_down_after: Duration,
    /// `failover_timeout` of a group that sets none.
    pub default_failover_timeout: Duration,
    /// How late a wake-up may be before the clock or the scheduler is distrusted.
    pub tilt_trigger: Duration,
    /// How long nothing is done after that.
    pub tilt_period: Duration,
    /// How long a replica may take to turn to the new master.
    pub replica_reconf_timeout: Duration,
    /// The least age of a silent link that is closed and opened again.
    pub min_link_reconnect_period: Duration,
    /// How long an election may take.
    pub election_timeout: Duration,
    /// How long a script may run.
    pub script_max_runtime: Duration,
    /// Before the first repetition of a script that failed; doubled each time.
    pub script_retry_delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            info_period: Duration::from_secs(10),
            ping_period: Duration::from_secs(1),
            ask_period: Duration::from_secs(1),
            publish_period: Duration::from_secs(2),
            default_down_after: Duration::from_secs(30),
            default_failover_timeout: Duration::from_secs(180),
            tilt_trigger: Duration::from_secs(2),
            tilt_period: Duration::from_secs(30),
            replica_reconf_timeout: Duration::from_secs(10),
            min_link_reconnect_period: Duration::from_secs(15),
            election_timeout: Duration::from_secs(10),
            script_max_runtime: Duration::from_secs(60),
            script_retry_delay: Duration::from_secs(30),
        }
    }
}
