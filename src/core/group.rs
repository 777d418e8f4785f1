//! A watched master with its replicas and the sentinels that watch it too.
//!
//! A group is made of parts, each of which has its fields for itself: `nodes` (the servers), `opinion` (what each sentinel
//! thinks), `configuration` (by which epoch the master is the master), `ballot` (our votes and attempts), `agreement`
//! (whether the master is objectively down), `failover_state` (where a failover of ours stands), `announced` (what is on
//! disk and may be told), and the state of `planned_failover`, `cuts`, `gossip`, `repair`, `publish` and `dns_view`.
//!
//! Each file adds one concern: `observe` takes in what servers say, `agreement` finds out whether the master is objectively
//! down, `election` and `failover` act on it, `order` begins it when an operator says so, `planned_failover` sees to it that
//! nothing is lost then, `cuts` that no client stays behind, `select` chooses, `reconfigure` turns the other replicas,
//! `switch` changes and announces the master, `gossip` speaks and hears hellos, `confirm` asks whether they are true, `repair` puts strayed servers right, `reboot`
//! guards the replicas against a master that came back empty, `publish` and `entries` say what Consul is to hold, `dns_view`
//! what DNS may answer, `admin` carries out what operators ask for, `twins` keeps a server with two addresses once, `show`
//! lets others look, `explain` says why nothing happens.

mod admin;
mod agreement;
mod announced;
mod ballot;
mod configuration;
mod confirm;
mod cuts;
mod dns_view;
mod election;
mod entries;
mod explain;
mod failover;
mod failover_state;
mod gossip;
mod nodes;
mod observe;
mod opinion;
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
use crate::node::{Duty, Node, Reboot, Reconf};
use crate::time::Beat;
use crate::timers::Key;
use crate::{Detail, DurableGroup, Endpoint, Event, GroupConfig, GroupName, InstanceKind, Role, Time};
use std::collections::BTreeMap;
use std::time::Duration;

use agreement::Agreement;
pub(crate) use agreement::PeerAnswer;
use announced::Announced;
use ballot::Ballot;
use configuration::{Configuration, is_newer};
use confirm::Strangers;
use dns_view::DnsState;
use failover_state::{Failover, FailoverState};
use gossip::Hellos;
use nodes::Nodes;
use opinion::Opinion;
use publish::Publication;
use repair::Survey;

pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) name: GroupName,
    pub(crate) config: GroupConfig,
    renames: Renames,
    /// When what is done again and again is done.
    beat: Beat,
    nodes: Nodes,
    peers: BTreeMap<PeerId, Opinion>,
    strangers: Strangers,
    configuration: Configuration,
    ballot: Ballot,
    agreement: Agreement,
    failover: Failover,
    /// A master that holds writes back for a failover of ours.
    held: Option<planned_failover::WriteHold>,
    /// The old master of a failover by order, whose clients are looked at.
    cuts: Option<cuts::Cuts>,
    announced: Announced,
    hellos: Hellos,
    survey: Option<Survey>,
    publishing: Publication,
    dns: DnsState,
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
            nodes: Nodes::new(saved.master.clone(), beat, now),
            peers: BTreeMap::new(),
            strangers: Strangers::default(),
            configuration: Configuration::new(saved.config_epoch, now),
            ballot: Ballot::new(saved.leader_epoch, now),
            agreement: Agreement::new(),
            failover: Failover::new(now),
            held: None,
            cuts: None,
            announced: Announced::new(saved.master, saved.config_epoch, now),
            hellos: Hellos::new(now),
            survey: None,
            publishing: Publication::default(),
            dns: DnsState::new(),
        };
        for replica in saved.replicas {
            if group.find(&replica, cx).is_none() {
                group.nodes.add(replica, Role::Replica, now);
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
        let replicas = self.nodes.replicas();
        let peers = self.peers.keys().filter_map(|slot| cx.peers.get(slot));
        DurableGroup {
            config: self.config.clone(),
            master: self.master().addr.clone(),
            config_epoch: self.config_epoch(),
            leader_epoch: self.ballot.leader_epoch(),
            replicas: replicas.map(|(_, node)| node.addr.clone()).collect(),
            sentinels: peers.map(|peer| (peer.id.clone(), peer.addr.clone())).collect(),
        }
    }

    pub(crate) fn master(&self) -> &Node {
        self.nodes.master()
    }

    fn find(&self, addr: &Endpoint, cx: &Context) -> Option<NodeId> {
        self.nodes.find(addr, &cx.hosts)
    }

    /// Lets every node do what is due, then the group. For what changes the duty of all.
    pub(crate) fn advance_all(&mut self, cx: &mut Context) {
        for id in self.nodes.ids() {
            self.advance_node(id, cx);
        }
        self.advance(cx);
    }

    /// Lets one node do what is due. The group follows when the verdict on it changed.
    pub(crate) fn advance_node(&mut self, id: NodeId, cx: &mut Context) {
        let duty = self.duty(id, cx);
        let Some(node) = self.nodes.get_mut(id) else { return };
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
        if id != self.nodes.master_id() {
            return self.advance(cx);
        }
        self.ballot.forget_leaders();
        if down {
            self.agreement.ask_from(cx.now);
            // The choice among the replicas is to rest on what they say now, not on what they said seconds ago.
            self.nodes.all_mut().for_each(|node| node.want_info());
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
            is_master: id == self.nodes.master_id(),
            down_after: self.config.down_after,
            info_period: self.info_period(id, cx),
            reboot_limit: self.config.master_reboot_down_after,
            renames: self.renames.clone(),
        }
    }

    /// How often a node is asked for INFO: as rarely as the original, but often while something hangs on the answer.
    fn info_period(&self, id: NodeId, cx: &Context) -> Duration {
        let Some(node) = self.nodes.get(id) else { return Duration::MAX };
        let period = cx.config.timing.info_period;
        if self.failover.state().waits_for(id) || self.planned_waits_for(id) {
            return PROMOTION_POLL;
        }
        if self.failover.is_ordered() && matches!(self.failover.state(), FailoverState::Selecting { .. }) {
            return STREAM_POLL;
        }
        if self.failover.state().turns_replicas()
            && matches!(node.reconf, Reconf::Sent(_) | Reconf::InProgress(_))
        {
            return RECONF_POLL;
        }
        let master = self.master();
        let reading = node.ousted && node.info().is_some_and(|info| info.loading);
        if matches!(master.reboot, Some(Reboot::Loading(_))) {
            return LOADING_POLL;
        }
        if id == self.nodes.master_id() && (self.waits_to_publish() || self.waits_to_be_named(cx)) {
            let loads = node.info().is_some_and(|info| info.loading);
            return if loads { LOADING_POLL } else { period.min(UNSETTLED_INFO) };
        }
        if reading || master.reboot.is_some() || node.turned.is_some_and(|at| cx.now < at + TURN_WATCH) {
            return RECONF_POLL;
        }
        let unsettled = match id == self.nodes.master_id() {
            true => node.role == Role::Replica,
            false => {
                let astray =
                    node.role == Role::Master || node.info().is_some_and(|info| !info.master_link_up);
                master.sdown.is_some() || self.failover.state().is_active() || astray
            }
        };
        if unsettled { period.min(UNSETTLED_INFO) } else { period }
    }

    /// A node as events name it.
    fn describe(&self, id: NodeId, cx: &Context) -> Detail {
        let kind = if id == self.nodes.master_id() { InstanceKind::Master } else { InstanceKind::Replica };
        match self.nodes.get(id) {
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
        self.describe(self.nodes.master_id(), cx)
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

const PROMOTION_POLL: Duration = Duration::from_millis(5);
const STREAM_POLL: Duration = Duration::from_millis(20);
const RECONF_POLL: Duration = Duration::from_millis(50);
const LOADING_POLL: Duration = Duration::from_millis(200);
const TURN_WATCH: Duration = Duration::from_millis(500);
const UNSETTLED_INFO: Duration = Duration::from_secs(1);
