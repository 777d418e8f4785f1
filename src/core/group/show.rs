//! The view of a group, for queries.

use super::Group;
use crate::channel::Channel;
use crate::context::Context;
use crate::ids::NodeId;
use crate::liveness::Liveness;
use crate::node::{Node, Reboot, Reconf};
use crate::{Endpoint, Epoch, GroupView, Health, LinkView, NodeView, PeerView, ReconfPhase, Time};

impl Group {
    pub(crate) fn view(&self, cx: &Context) -> GroupView {
        let replicas = self.nodes.replica_ids().into_iter();
        let mut replicas: Vec<_> = replicas.filter_map(|id| self.view_node(id, cx)).collect();
        replicas.sort_by(|a, b| a.addr.cmp(&b.addr));
        let mut sentinels = self.view_peers(cx);
        sentinels.sort_by(|a, b| a.id.cmp(&b.id));
        GroupView {
            name: self.name.clone(),
            config: self.config.clone(),
            address: self.address(cx),
            config_epoch: self.config_epoch(),
            announced_epoch: self.announced.config().1,
            master: self
                .view_node(self.nodes.master_id(), cx)
                .expect("a group always has its master among its nodes"),
            replicas,
            sentinels,
            outgoing: self.outgoing(cx).map(Box::new),
            ordered: self.failover.is_ordered(),
            odown: self.odown(),
            failover: self.failover.state().phase(),
            failover_since: self.failover.since(),
            successor: self
                .failover
                .state()
                .successor()
                .and_then(|id| self.nodes.get(id))
                .map(|node| node.addr.clone()),
            last_attempt: self.ballot.last_attempt(),
            next_attempt: self.next_attempt(cx),
            voted_for: self.ballot.leader().cloned(),
            leader_epoch: self.ballot.leader_epoch(),
            publication: self.view_publication(cx),
        }
    }

    fn outgoing(&self, cx: &Context) -> Option<NodeView> {
        let told = self.find(self.announced.master(), cx).filter(|id| *id != self.nodes.master_id())?;
        self.view_node(told, cx)
    }

    /// Where the master is, as clients are told: what is on disk.
    pub(crate) fn address(&self, cx: &Context) -> Endpoint {
        cx.shown(self.announced.master())
    }

    pub(crate) fn config_epoch(&self) -> Epoch {
        self.configuration.epoch()
    }

    /// Our end of the connection to the master.
    pub(crate) fn own_end(&self) -> Option<std::net::IpAddr> {
        self.master().command.local()
    }

    fn view_node(&self, id: NodeId, cx: &Context) -> Option<NodeView> {
        let node = self.nodes.get(id)?;
        Some(NodeView {
            addr: node.addr.clone(),
            ip: cx.hosts.ip(&node.addr.host),
            run_id: node.run_id.clone(),
            link: view_link(&node.command, &node.alive, node.sdown),
            pubsub_up: node.pubsub.is_open(),
            pubsub_missing: node.pubsub.is_missing(),
            info: node.info.clone(),
            role: node.role,
            role_since: node.role_since,
            reconf: match node.reconf {
                Reconf::None => ReconfPhase::None,
                Reconf::Sent(_) => ReconfPhase::Sent,
                Reconf::InProgress(_) => ReconfPhase::InProgress,
                Reconf::Done => ReconfPhase::Done,
            },
            promoted: self.failover.state().promotes(id),
            emptied: match node.reboot {
                Some(Reboot::Emptied { since, .. }) => Some(since),
                _ => None,
            },
            verdict: self.verdict(id, node, cx),
            lag: self.lag_of(node, cx),
        })
    }

    /// As Consul would be told, whether there is one or not.
    fn verdict(&self, id: NodeId, node: &Node, cx: &Context) -> Option<(Health, String)> {
        let verdict = match id == self.nodes.master_id() {
            true => Some(self.judge_master(self.config_epoch())),
            false => self.judge_replica(node, self.published_cause(node, cx), cx),
        };
        verdict.map(|verdict| (verdict.health, verdict.sentence))
    }

    fn view_peers(&self, cx: &Context) -> Vec<PeerView> {
        let view = |(slot, opinion): (&crate::ids::PeerId, &super::Opinion)| {
            let peer = cx.peers.get(slot)?;
            let vote = opinion.vote.as_ref();
            Some(PeerView {
                id: peer.id.clone(),
                addr: peer.addr.clone(),
                link: view_link(&peer.channel, &peer.alive, opinion.sdown),
                link_shared_by: peer.groups.len(),
                last_hello: opinion.last_hello,
                says_down: opinion.says_down(cx),
                voted_leader: vote.map(|(leader, _)| leader.clone()),
                voted_leader_epoch: vote.map_or(Epoch(0), |(_, epoch)| *epoch),
            })
        };
        self.peers.iter().filter_map(view).collect()
    }
}

fn view_link(channel: &Channel, alive: &Liveness, sdown: Option<Time>) -> LinkView {
    LinkView {
        missing: channel.is_missing(),
        up: channel.is_open(),
        pending: channel.pending(),
        ping_pending: alive.ping_pending(),
        last_ok: alive.last_ok,
        last_reply: alive.last_reply,
        sdown,
    }
}
