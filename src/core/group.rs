//! A watched master with its replicas and the sentinels that watch it too.
//!
//! Each file of this room adds one concern: `observe` takes in what servers say, `agreement` finds out whether the
//! master is objectively down, `election` and `failover` act on it, `order` begins it when an operator says so,
//! `planned_failover` sees to it that nothing is lost then, `cuts` that no client stays behind, `select` chooses, `reconfigure` turns the other
//! replicas, `switch` changes and announces
//! the master, `gossip` speaks and hears hellos, `repair` puts strayed servers right, `reboot` guards the replicas
//! against a master that came back empty, `dns_view` says what DNS may answer, `admin` carries out what operators ask for, `twins` keeps a server with two addresses once, `show` lets others look,
//! `explain` says why nothing happens.

mod admin;
mod agreement;
mod announced;
mod ballot;
mod cuts;
mod dns_view;
mod election;
mod entries;
mod explain;
mod failover;
mod gossip;
mod observe;
mod order;
mod planned_failover;
mod publish;
mod reboot;
mod reconfigure;
mod repair;
mod select;
mod show;
mod switch;
mod twins;

use crate::channel::Renames;
use crate::context::Context;
use crate::ids::{GroupId, NodeId, PeerId};
use crate::mutation::{Mutation, active};
use crate::node::{Duty, Node, Reboot, Reconf};
use crate::time::Beat;
use crate::timers::Key;
use crate::{
    Detail, DurableGroup, Endpoint, Epoch, Event, GroupConfig, GroupName, InstanceKind, Role, SentinelId,
    Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

use agreement::Agreement;
pub(crate) use agreement::PeerAnswer;
use announced::Announced;
use ballot::Ballot;
use dns_view::DnsState;
pub(crate) use failover::Failover;
use gossip::Hellos;
use publish::Publication;
use repair::Survey;

pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) name: GroupName,
    pub(crate) config: GroupConfig,
    renames: Renames,
    /// When what is done again and again is done.
    beat: Beat,
    /// Boxed, as a map makes room for eleven at once, and most groups have one to three.
    nodes: BTreeMap<NodeId, Box<Node>>,
    last_node: u32,
    master: NodeId,
    peers: BTreeMap<PeerId, Opinion>,
    config_epoch: Epoch,
    ballot: Ballot,
    agreement: Agreement,
    failover: Failover,
    /// The order by which the failover under way was begun.
    order: Option<order::Order>,
    /// A master that holds writes back for a failover of ours.
    held: Option<planned_failover::WriteHold>,
    /// The old master of a failover by order, whose clients are looked at.
    cuts: Option<cuts::Cuts>,
    failover_since: Time,
    announced: Announced,
    hellos: Hellos,
    survey: Option<Survey>,
    /// When the master became the master, or the group was reset: what servers said before is of another time.
    switched: Time,
    publishing: Publication,
    dns: DnsState,
}

/// What another sentinel thinks, as far as it told us.
#[derive(Default)]
pub(crate) struct Opinion {
    /// It takes the master for down, and when it said so.
    down: Option<Time>,
    /// Its last vote.
    vote: Option<(SentinelId, Epoch)>,
    /// An election of ours for which it would not give its vote.
    refused: Option<Epoch>,
    last_hello: Time,
    /// The newest configuration that it has said hello with.
    config_epoch: Epoch,
    /// How long its last vote took.
    vote_took: Duration,
    /// When it was last told that its configuration is an old one.
    corrected: Option<Time>,
    sdown: Option<Time>,
}

impl Group {
    pub(crate) fn new(id: GroupId, name: GroupName, saved: DurableGroup, cx: &mut Context) -> Self {
        let now = cx.now;
        let beat = cx.beat();
        let mut group = Group {
            beat,
            id,
            name,
            renames: Renames::new(saved.config.renamed_commands.clone()),
            config: saved.config,
            nodes: BTreeMap::new(),
            last_node: 0,
            master: NodeId(0),
            peers: BTreeMap::new(),
            config_epoch: saved.config_epoch,
            ballot: Ballot::new(saved.leader_epoch, now),
            agreement: Agreement::new(),
            failover: Failover::Idle,
            order: None,
            held: None,
            cuts: None,
            failover_since: now,
            announced: Announced::new(saved.master.clone(), saved.config_epoch, now),
            hellos: Hellos::new(now),
            survey: None,
            switched: now,
            publishing: Publication::default(),
            dns: DnsState::new(),
        };
        group.nodes.insert(NodeId(0), Box::new(Node::new(saved.master, Role::Master, beat, now)));
        for replica in saved.replicas {
            if group.find(&replica, cx).is_none() {
                group.add_node(replica, Role::Replica, now);
            }
        }
        for (sentinel, addr) in saved.sentinels {
            if sentinel != cx.myid {
                let peer = cx.join_peer(&sentinel, &addr, id);
                group.peers.insert(peer, Opinion::new(now));
            }
        }
        group
    }

    /// What must survive a restart.
    pub(crate) fn durable(&self, cx: &Context) -> DurableGroup {
        let replicas = self.nodes.iter().filter(|(id, _)| **id != self.master);
        let peers = self.peers.keys().filter_map(|slot| cx.peers.get(slot));
        DurableGroup {
            config: self.config.clone(),
            master: self.master().addr.clone(),
            config_epoch: self.config_epoch,
            leader_epoch: self.ballot.leader_epoch(),
            replicas: replicas.map(|(_, node)| node.addr.clone()).collect(),
            sentinels: peers.map(|peer| (peer.id.clone(), peer.addr.clone())).collect(),
        }
    }

    pub(crate) fn master(&self) -> &Node {
        self.nodes.get(&self.master).expect("a group always has its master among its nodes")
    }

    fn master_mut(&mut self) -> &mut Node {
        self.nodes.get_mut(&self.master).expect("a group always has its master among its nodes")
    }

    fn add_node(&mut self, addr: Endpoint, role: Role, now: Time) -> NodeId {
        self.last_node += 1;
        let id = NodeId(self.last_node);
        self.nodes.insert(id, Box::new(Node::new(addr, role, self.beat, now)));
        id
    }

    fn find(&self, addr: &Endpoint, cx: &Context) -> Option<NodeId> {
        self.nodes.iter().find(|(_, node)| node.is_at(addr, &cx.hosts)).map(|(id, _)| *id)
    }

    fn replica_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|id| *id != self.master).collect()
    }

    /// Lets every node do what is due, then the group. For what changes the duty of all.
    pub(crate) fn advance_all(&mut self, cx: &mut Context) {
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.advance_node(id, cx);
        }
        self.advance(cx);
    }

    /// Lets one node do what is due. The group follows when the verdict on it changed.
    pub(crate) fn advance_node(&mut self, id: NodeId, cx: &mut Context) {
        let duty = self.duty(id, cx);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let local = node.command.local();
        node.advance(&duty, cx);
        if node.command.local() != local {
            cx.dns_may_change(self.id);
        }
        if cx.tilt.is_some() {
            return;
        }
        if let Some(down) = node.judge(&duty, cx) {
            node.advance(&duty, cx);
            let event = if down { Event::Sdown } else { Event::SdownOver };
            self.event(event, self.describe(id, cx), cx);
            self.on_verdict(id, down, cx);
        }
    }

    fn on_verdict(&mut self, id: NodeId, down: bool, cx: &mut Context) {
        if id != self.master {
            return self.advance(cx);
        }
        self.ballot.forget_leaders();
        if down {
            self.agreement.ask_from(cx.now);
            // The choice among the replicas is to rest on what they say now, not on what they said seconds ago.
            self.nodes.values_mut().for_each(|node| node.want_info());
            // What peers said of an earlier time that it was down says nothing of this one.
            self.peers.values_mut().for_each(Opinion::forget_verdict);
        } else {
            self.agreement.stop_asking();
        }
        self.advance_all(cx);
    }

    /// Lets the group do what is due, apart from its nodes' own duties.
    pub(crate) fn advance(&mut self, cx: &mut Context) {
        if cx.tilt.is_none() {
            self.drop_replaced_peers(cx);
            self.judge_peers(cx);
            self.agree(cx);
            self.drive_failover(cx);
            self.drive_survey(cx);
            self.drive_publication(cx);
            self.drive_cuts(cx);
        } else {
            self.leave_health_to_others(cx);
        }
        if cx.now >= self.hellos.due() {
            self.say_hello(cx);
        }
        if cx.now >= self.dns_deadline() {
            cx.dns_may_change(self.id);
        }
        let at = self.deadline(cx);
        cx.timers.set(Key::Group(self.id), Some(at));
    }

    fn deadline(&self, cx: &Context) -> Time {
        let mut at = self.hellos.due().min(self.dns_deadline());
        if cx.tilt.is_none() {
            at = at.min(self.agreement_deadline(cx)).min(self.failover_deadline(cx));
            at = at.min(self.peers_deadline(cx)).min(self.survey_deadline());
            at = at.min(self.publication_deadline()).min(self.cuts_deadline());
        }
        at
    }

    /// What is expected of a node, as things stand.
    fn duty(&self, id: NodeId, cx: &Context) -> Duty {
        Duty {
            group: self.id,
            node: id,
            is_master: id == self.master,
            down_after: self.config.down_after,
            info_period: self.info_period(id, cx),
            reboot_limit: self.config.master_reboot_down_after,
            renames: self.renames.clone(),
        }
    }

    /// How often a node is asked for INFO: as rarely as the original, but often while something hangs on the answer.
    fn info_period(&self, id: NodeId, cx: &Context) -> Duration {
        let Some(node) = self.nodes.get(&id) else { return Duration::MAX };
        let period = cx.config.timing.info_period;
        if self.failover.waits_for(id) || self.planned_waits_for(id) {
            return PROMOTION_POLL;
        }
        if self.order.is_some() && matches!(self.failover, Failover::Selecting { .. }) {
            return STREAM_POLL;
        }
        if self.failover.turns_replicas() && matches!(node.reconf, Reconf::Sent(_) | Reconf::InProgress(_)) {
            return RECONF_POLL;
        }
        let master = self.master();
        let reading = node.ousted && node.info().is_some_and(|info| info.loading);
        if matches!(master.reboot, Some(Reboot::Loading(_))) {
            return LOADING_POLL;
        }
        if id == self.master && (self.waits_to_publish() || self.waits_to_be_named(cx)) {
            let loads = node.info().is_some_and(|info| info.loading);
            return if loads { LOADING_POLL } else { period.min(UNSETTLED_INFO) };
        }
        if reading || master.reboot.is_some() || node.turned.is_some_and(|at| cx.now < at + TURN_WATCH) {
            return RECONF_POLL;
        }
        let unsettled = match id == self.master {
            true => node.role == Role::Replica,
            false => {
                let astray =
                    node.role == Role::Master || node.info().is_some_and(|info| !info.master_link_up);
                master.sdown.is_some() || self.failover.is_active() || astray
            }
        };
        if unsettled { period.min(UNSETTLED_INFO) } else { period }
    }

    /// A node as events name it.
    fn describe(&self, id: NodeId, cx: &Context) -> Detail {
        let kind = if id == self.master { InstanceKind::Master } else { InstanceKind::Replica };
        match self.nodes.get(&id) {
            Some(node) => self.describe_at(kind, &node.addr, cx),
            None => Detail::Text(String::new()),
        }
    }

    fn describe_peer(&self, slot: PeerId, cx: &Context) -> Detail {
        match cx.peers.get(&slot) {
            Some(peer) => self.describe_at(InstanceKind::Sentinel(peer.id.clone()), &peer.addr, cx),
            None => Detail::Text(String::new()),
        }
    }

    fn describe_at(&self, kind: InstanceKind, addr: &Endpoint, cx: &Context) -> Detail {
        Detail::instance(kind, self.name.clone(), cx.shown(addr), cx.shown(&self.master().addr))
    }

    fn describe_master(&self, cx: &Context) -> Detail {
        self.describe(self.master, cx)
    }

    fn event(&self, event: Event, detail: Detail, cx: &mut Context) {
        cx.dns_may_change(self.id);
        cx.event(event, detail, Some((&self.name, &self.config)));
    }

    /// How many sentinels make a majority of all that were ever known.
    fn majority(&self) -> usize {
        let all = self.peers.len() + 1;
        all / 2 + 1
    }
}

impl Opinion {
    fn forget_verdict(&mut self) {
        self.down = self
            .down
            .filter(|_| active(Mutation::OpinionsNeverExpire) || active(Mutation::OpinionsOutliveTheMaster));
    }

    fn new(now: Time) -> Self {
        Opinion { last_hello: now, ..Opinion::default() }
    }
}

const PROMOTION_POLL: Duration = Duration::from_millis(5);
const STREAM_POLL: Duration = Duration::from_millis(20);
const RECONF_POLL: Duration = Duration::from_millis(50);
const LOADING_POLL: Duration = Duration::from_millis(200);
const TURN_WATCH: Duration = Duration::from_millis(500);
const UNSETTLED_INFO: Duration = Duration::from_secs(1);
