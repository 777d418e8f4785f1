//! What can be seen from outside.

use super::OriginalSentinel;
use super::instance::{Failover, Group, Judgement, Node, Peer};
use super::wire::Wire;
use super::world::{span, time};
use consentinel_core::{FailoverPhase, GroupName, GroupView, LinkView, NodeView, PeerView, SentinelId, View};

impl OriginalSentinel {
    /// All that can be seen.
    pub fn view(&self) -> View {
        View {
            myid: self.world.myid.clone(),
            current_epoch: self.world.current_epoch,
            tilt: self.world.tilt.map(time),
            storage_error: self.world.storage_error.clone(),
            config: self.world.config.clone(),
            scripts: Vec::new(),
            simulate_failure: (self.world.crash_after_election, self.world.crash_after_promotion),
            groups: self.groups.values().map(|group| self.view_of(group)).collect(),
        }
    }

    /// All that can be seen of one group.
    pub fn group(&self, name: &GroupName) -> Option<GroupView> {
        self.groups.get(name).map(|group| self.view_of(group))
    }

    fn view_of(&self, group: &Group) -> GroupView {
        let next_attempt = group.failover_start + 2 * span(group.config.failover_timeout);
        GroupView {
            name: group.name.clone(),
            config: group.config.clone(),
            address: group.address().clone(),
            config_epoch: group.config_epoch,
            announced_epoch: group.config_epoch,
            master: node_view(group, &group.master),
            replicas: group.replicas.values().map(|node| node_view(group, node)).collect(),
            sentinels: group.peers.iter().map(|(id, peer)| self.peer_view(id, peer)).collect(),
            outgoing: None,
            ordered: false,
            odown: group.odown.since_if_down(),
            failover: phase(&group.failover),
            failover_since: time(group.failover_change),
            successor: group.failover.chosen().cloned(),
            last_attempt: (group.failover_start != 0).then(|| time(group.failover_start)),
            next_attempt: time(next_attempt),
            voted_for: group.leader.clone(),
            leader_epoch: group.leader_epoch,
            publication: None,
        }
    }

    fn peer_view(&self, id: &SentinelId, peer: &Peer) -> PeerView {
        let fallback = Wire::new(peer.addr.clone(), self.world.now);
        let wire = self.world.peers.get(id).unwrap_or(&fallback);
        PeerView {
            id: id.clone(),
            addr: peer.addr.clone(),
            link: link_view(wire, &peer.down),
            link_shared_by: self.groups.values().filter(|group| group.peers.contains_key(id)).count(),
            last_hello: time(peer.last_hello),
            says_down: peer.says_down,
            voted_leader: peer.leader.clone(),
            voted_leader_epoch: peer.leader_epoch,
        }
    }
}

impl Judgement {
    fn since_if_down(&self) -> Option<consentinel_core::Time> {
        self.is_down.then(|| time(self.since))
    }
}

fn phase(failover: &Failover) -> FailoverPhase {
    match failover {
        Failover::None => FailoverPhase::None,
        Failover::WaitStart => FailoverPhase::WaitStart,
        Failover::SelectReplica => FailoverPhase::SelectReplica,
        Failover::SendNoOne(_) => FailoverPhase::SendReplicaOfNoOne,
        Failover::WaitPromotion(_) => FailoverPhase::WaitPromotion,
        Failover::ReconfReplicas(_) | Failover::UpdateConfig(_) => FailoverPhase::ReconfReplicas,
    }
}

fn node_view(group: &Group, node: &Node) -> NodeView {
    NodeView {
        addr: node.wire.addr.clone(),
        ip: node.wire.addr.host.ip(),
        run_id: node.run_id.clone(),
        link: link_view(&node.wire, &node.down),
        pubsub_up: is_up(&node.wire.pubsub),
        pubsub_missing: !is_up(&node.wire.pubsub),
        info: node.info.clone(),
        role: node.role,
        role_since: time(node.role_since),
        reconf: node.reconf,
        promoted: group.failover.chosen() == Some(&node.wire.addr),
        emptied: None,
        verdict: None,
        lag: None,
    }
}

fn link_view(wire: &Wire, down: &Judgement) -> LinkView {
    LinkView {
        missing: !is_up(&wire.command),
        up: is_up(&wire.command),
        pending: wire.pending,
        ping_pending: wire.act_ping.map(time),
        last_ok: time(wire.last_avail),
        last_reply: time(wire.last_pong),
        sdown: down.since_if_down(),
    }
}

fn is_up(conn: &Option<super::wire::Conn>) -> bool {
    conn.as_ref().is_some_and(|conn| conn.local.is_some())
}
