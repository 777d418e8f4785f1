//! What the original remembers of a master, of its replicas and of the other sentinels.

use super::wire::{Millis, Wire};
use super::world::{World, span};
use consentinel_core::{
    DurableGroup, Endpoint, Epoch, Event, GroupConfig, GroupName, Host, Info, Level, ReconfPhase, Role,
    RunId, SentinelId, Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which instance of which group.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) group: GroupName,
    pub(super) part: Part,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Master,
    Replica(Endpoint),
    Peer(SentinelId),
}

impl Who {
    pub(super) fn is_peer(&self) -> bool {
        matches!(self.part, Part::Peer(_))
    }
}

/// How something that is pinged is judged.
#[derive(Default)]
pub(super) struct Judgement {
    pub(super) is_down: bool,
    /// When it last went down; kept when it comes back. Zero: never.
    pub(super) since: Millis,
}

/// A Redis server.
pub(super) struct Node {
    pub(super) wire: Wire,
    pub(super) run_id: Option<RunId>,
    pub(super) down: Judgement,
    pub(super) script_killed: bool,
    pub(super) last_publish: Millis,
    /// When INFO last came; zero: never.
    pub(super) info_refresh: Millis,
    pub(super) info: Option<(Time, Arc<Info>)>,
    pub(super) role: Role,
    pub(super) role_since: Millis,
    /// When it last turned to another master, or into a replica.
    pub(super) conf_change: Millis,
    /// Set while a restarted master has not yet answered a ping.
    pub(super) rebooting_since: Option<Millis>,
    pub(super) reconf: ReconfPhase,
    pub(super) reconf_sent: Millis,
}

impl Node {
    pub(super) fn new(addr: Endpoint, role: Role, now: Millis) -> Self {
        Node {
            wire: Wire::new(addr, now),
            run_id: None,
            down: Judgement::default(),
            script_killed: false,
            last_publish: now,
            info_refresh: 0,
            info: None,
            role,
            role_since: now,
            conf_change: now,
            rebooting_since: None,
            reconf: ReconfPhase::None,
            reconf_sent: 0,
        }
    }

    /// For how long its link to its master has been down, by its last word.
    pub(super) fn link_down_for(&self) -> Millis {
        self.info.as_ref().map_or(0, |(_, info)| span(info.master_link_down))
    }

    pub(super) fn priority(&self) -> u32 {
        self.info.as_ref().map_or(100, |(_, info)| info.priority)
    }

    pub(super) fn follows(&self, master: &Endpoint) -> bool {
        self.info.as_ref().is_some_and(|(_, info)| info.master.as_ref() == Some(master))
    }

    pub(super) fn is_link_to_master_up(&self) -> bool {
        self.info.as_ref().is_some_and(|(_, info)| info.master_link_up)
    }
}

/// Another sentinel, as one group knows it; the link to it is the world's.
pub(super) struct Peer {
    pub(super) addr: Endpoint,
    pub(super) down: Judgement,
    pub(super) last_publish: Millis,
    pub(super) last_hello: Millis,
    pub(super) says_down: bool,
    pub(super) last_answer: Millis,
    pub(super) leader: Option<SentinelId>,
    pub(super) leader_epoch: Epoch,
}

impl Peer {
    pub(super) fn new(addr: Endpoint, now: Millis) -> Self {
        Peer {
            addr,
            down: Judgement::default(),
            last_publish: now,
            last_hello: now,
            says_down: false,
            last_answer: now,
            leader: None,
            leader_epoch: Epoch(0),
        }
    }
}

/// How far a failover is, and whom it promotes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failover {
    None,
    WaitStart,
    SelectReplica,
    SendNoOne(Endpoint),
    WaitPromotion(Endpoint),
    ReconfReplicas(Endpoint),
    UpdateConfig(Endpoint),
}

impl Failover {
    pub(super) fn chosen(&self) -> Option<&Endpoint> {
        match self {
            Failover::None | Failover::WaitStart | Failover::SelectReplica => None,
            Failover::SendNoOne(replica)
            | Failover::WaitPromotion(replica)
            | Failover::ReconfReplicas(replica)
            | Failover::UpdateConfig(replica) => Some(replica),
        }
    }

    /// The new master, once it has said that it is one.
    pub(super) fn promoted(&self) -> Option<&Endpoint> {
        match self {
            Failover::ReconfReplicas(replica) | Failover::UpdateConfig(replica) => Some(replica),
            _ => None,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        *self != Failover::None
    }
}

/// A watched master with all that belongs to it.
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) config: GroupConfig,
    pub(super) config_epoch: Epoch,
    pub(super) leader: Option<SentinelId>,
    pub(super) leader_epoch: Epoch,
    pub(super) master: Node,
    pub(super) replicas: BTreeMap<Endpoint, Node>,
    pub(super) peers: BTreeMap<SentinelId, Peer>,
    pub(super) odown: Judgement,
    pub(super) failover: Failover,
    pub(super) forced: bool,
    pub(super) failover_epoch: Epoch,
    /// When the last attempt began, ours or that of somebody we voted for; zero: never.
    pub(super) failover_start: Millis,
    pub(super) failover_change: Millis,
}

impl Group {
    pub(super) fn new(name: GroupName, saved: DurableGroup, world: &mut World) -> Self {
        let now = world.now;
        let DurableGroup { config, master, config_epoch, leader_epoch, replicas, sentinels } = saved;
        let node = |addr: Endpoint| (addr.clone(), Node::new(addr, Role::Replica, now));
        let is_master = |addr: &Endpoint| *addr == master;
        let replicas = replicas.into_iter().filter(|addr| !is_master(addr)).map(node).collect();
        for (id, addr) in &sentinels {
            world.peers.entry(id.clone()).or_insert_with(|| Wire::new(addr.clone(), now));
        }
        Group {
            name,
            config,
            config_epoch,
            leader: None,
            leader_epoch,
            master: Node::new(master, Role::Master, now),
            replicas,
            peers: sentinels.into_iter().map(|(id, addr)| (id, Peer::new(addr, now))).collect(),
            odown: Judgement::default(),
            failover: Failover::None,
            forced: false,
            failover_epoch: Epoch(0),
            failover_start: 0,
            failover_change: 0,
        }
    }

    pub(super) fn who(&self, part: Part) -> Who {
        Who { group: self.name.clone(), part }
    }

    pub(super) fn node_mut(&mut self, part: &Part) -> Option<&mut Node> {
        match part {
            Part::Master => Some(&mut self.master),
            Part::Replica(addr) => self.replicas.get_mut(addr),
            Part::Peer(_) => None,
        }
    }

    /// Where clients should go: the promoted replica as soon as it is promoted.
    pub(super) fn address(&self) -> &Endpoint {
        self.failover.promoted().unwrap_or(&self.master.wire.addr)
    }

    /// What is written to disk. While the promoted replica already stands as the master, the old master takes
    /// its place among the replicas.
    pub(super) fn durable(&self) -> DurableGroup {
        let master = self.address().clone();
        let swap = |addr: &Endpoint| match *addr == master {
            true => self.master.wire.addr.clone(),
            false => addr.clone(),
        };
        DurableGroup {
            config: self.config.clone(),
            config_epoch: self.config_epoch,
            leader_epoch: self.leader_epoch,
            replicas: self.replicas.keys().map(swap).collect(),
            sentinels: self.peers.iter().map(|(id, peer)| (id.clone(), peer.addr.clone())).collect(),
            master,
        }
    }

    /// An event about one of the instances: `<type> <name> <ip> <port> @ <master-name> <ip> <port>`.
    pub(super) fn tell(&self, world: &mut World, level: Level, event: Event, part: &Part) {
        self.tell_more(world, level, event, part, "");
    }

    /// The same, with something behind it.
    pub(super) fn tell_more(&self, world: &mut World, level: Level, event: Event, part: &Part, more: &str) {
        let master = &self.master.wire.addr;
        let payload = match part {
            Part::Master => format!("master {} {master}{more}", self.name),
            Part::Replica(addr) => format!("slave {} {addr} @ {} {master}{more}", joined(addr), self.name),
            Part::Peer(id) => {
                let addr = self.peers.get(id).map(|peer| peer.addr.to_string()).unwrap_or_default();
                format!("sentinel {id} {addr} @ {} {master}{more}", self.name)
            }
        };
        world.event(level, event, payload, Some(&self.name));
    }
}

fn joined(addr: &Endpoint) -> String {
    match &addr.host {
        Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]:{}", addr.port),
        host => format!("{host}:{}", addr.port),
    }
}
