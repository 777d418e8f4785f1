//! What servers say, and what follows from it.

use super::{FailoverState, Group};
use crate::channel::Purpose;
use crate::context::{Context, for_log};
use crate::ids::NodeId;
use crate::node::Node;
use crate::{CallId, Endpoint, Event, Info, Level, LinkId, LinkUp, Remark, Reply, Role};
use std::net::IpAddr;
use std::sync::Arc;

impl Group {
    pub(crate) fn on_command_up(&mut self, id: NodeId, link: LinkId, up: LinkUp, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if node.command.on_up(link, up.local, &self.config.auth, cx) {
            cx.dns_may_change(self.id);
            node.alive.on_link_up(cx.now);
            node.want_info();
            self.release_again(id, cx);
            self.greet(id, cx);
            self.advance_node(id, cx);
            self.advance(cx);
        }
    }

    /// A new link carries a hello at once, so that sentinels that start together find each other together.
    fn greet(&mut self, id: NodeId, cx: &mut Context) {
        let soon = cx.now + GREETING;
        if self.nodes.get(id).is_some_and(|node| node.info.is_none()) {
            self.hellos.hurry(soon);
        }
    }

    pub(crate) fn on_pubsub_up(&mut self, id: NodeId, link: LinkId, up: LinkUp, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if node.pubsub.on_up(link, up.local, &self.config.auth, cx) {
            node.subscribe(cx);
            self.advance_node(id, cx);
        }
    }

    pub(crate) fn on_command_lost(&mut self, id: NodeId, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.command.on_lost(cx);
        cx.dns_may_change(self.id);
        node.on_command_lost(cx.now);
        if let FailoverState::WaitPromotion { epoch, promoted, since } = self.failover.state()
            && promoted == id
        {
            // Whether it heard us is unknown: it is told again when it is back.
            self.enter(FailoverState::Promoting { epoch, promoted, since }, cx);
        }
        self.advance_node(id, cx);
        self.advance(cx);
    }

    pub(crate) fn on_pubsub_lost(&mut self, id: NodeId, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.pubsub.on_lost(cx);
        self.advance_node(id, cx);
    }

    /// The hello subscription of a node carried something.
    pub(crate) fn on_heard(&mut self, id: NodeId, cx: &Context) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.heard = cx.now;
        }
    }

    pub(crate) fn on_resolved(&mut self, name: &str, ip: Option<IpAddr>, cx: &mut Context) {
        use crate::Host;
        use crate::channel::Owner;
        let waits = |node: &Node| matches!(&node.addr.host, Host::Name(of) if **of == *name);
        let renames = self.renames.clone();
        for (id, node) in self.nodes.iter_mut().filter(|(_, node)| waits(node)) {
            let (command, pubsub) = (Owner::Command(self.id, id), Owner::PubSub(self.id, id));
            node.command.on_resolved(&node.addr, ip, command, &renames, cx);
            node.pubsub.on_resolved(&node.addr, ip, pubsub, &renames, cx);
        }
        self.merge_places(cx);
        self.advance_all(cx);
    }

    /// Two nodes that a look-up has shown to be one server become one: the master stays, or the one that was here first.
    fn merge_places(&mut self, cx: &mut Context) {
        let mut kept = vec![self.nodes.master_id()];
        for id in self.nodes.replica_ids() {
            let Some(node) = self.nodes.get(id) else { continue };
            let addr = node.addr.clone();
            let twin =
                |other: &NodeId| self.nodes.get(*other).is_some_and(|other| other.is_at(&addr, &cx.hosts));
            match kept.iter().copied().find(twin) {
                None => kept.push(id),
                Some(_) if self.failover.state().promotes(id) => {}
                Some(twin) => {
                    self.forget_node(id, cx);
                    self.learn_name(twin, &addr);
                    cx.save_gate.soon(cx.now);
                }
            }
        }
    }

    /// A server of which only the address was known, as peers tell no names, has said its name: by that it will still be
    /// found when it has moved.
    fn learn_name(&mut self, id: NodeId, addr: &Endpoint) -> bool {
        let Some(node) = self.nodes.get_mut(id) else { return false };
        let learns = node.addr.host.ip().is_some() && addr.host.ip().is_none();
        if learns {
            node.addr = addr.clone();
        }
        learns
    }

    /// A reply came over a node's command link.
    pub(crate) fn on_reply(
        &mut self,
        id: NodeId,
        link: LinkId,
        call: CallId,
        reply: Reply,
        cx: &mut Context,
    ) {
        let duty = self.duty(id, cx);
        let Some(node) = self.nodes.get_mut(id) else { return };
        let Some(purpose) = node.command.on_reply(link, call) else { return };
        match (purpose, reply) {
            (Purpose::Ping, reply) => {
                node.on_ping_reply(&reply, &duty, cx);
                self.advance_node(id, cx);
            }
            (Purpose::Info, Reply::Info(info)) => self.on_info(id, info, cx),
            (Purpose::Info, _) => self.advance_node(id, cx),
            (Purpose::Setup, reply) => node.complain("AUTH or CLIENT SETNAME", &reply, cx),
            (Purpose::ReplicaOf { master, plain: false }, Reply::Error(text)) => {
                self.on_refusal(id, master, &text, cx);
            }
            (Purpose::ReplicaOf { plain: true, .. }, reply) => node.complain("SLAVEOF", &reply, cx),
            (Purpose::Release, _) => node.release_until = None,
            (Purpose::Cut, reply) => node.complain("CLIENT KILL", &reply, cx),
            (Purpose::Clients { thorough }, reply) => self.on_clients(id, thorough, reply, cx),
            (Purpose::HoldWrites, reply) => {
                self.on_hold_answered(&reply, cx);
                self.advance(cx);
            }
            _ => {}
        }
    }

    /// A node would not be turned. A server to which a part of the transaction is unknown gets SLAVEOF alone; one that
    /// is busy reading its data, or running a script, is left to it.
    fn on_refusal(&mut self, id: NodeId, master: Option<Endpoint>, text: &str, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let busy = ["LOADING", "BUSY", "MASTERDOWN"].iter().any(|code| text.starts_with(code));
        let text = for_log(text);
        let addr = node.addr.clone();
        let hands_over = text.contains("while failing over");
        if cx.tilt.is_none() && hands_over && node.abort_own_failover(cx) {
            cx.log(Level::Warning, format!("{addr} is in a FAILOVER of its own, which is aborted: {text}"));
            node.turn(master, false, cx);
            return self.advance_node(id, cx);
        }
        if cx.tilt.is_none() && !busy && !hands_over {
            cx.log(Level::Warning, format!("{addr} refused to be turned ({text}): SLAVEOF alone follows"));
            node.turn(master, true, cx);
            return self.advance_node(id, cx);
        }
        cx.log(Level::Warning, format!("{addr} refused to be turned: {text}"));
        if cx.tilt.is_none() && self.failover.state().waits_for(id) {
            self.give_up_on(id, cx);
            self.advance(cx);
        }
    }

    /// A node told about itself.
    pub(super) fn on_info(&mut self, id: NodeId, info: Arc<Info>, cx: &mut Context) {
        cx.dns_may_change(self.id);
        self.note_run_id(id, &info, cx);
        if !self.merge_twin(id, cx) {
            return self.advance_all(cx);
        }
        self.note_role(id, &info, cx);
        if id == self.nodes.master_id() && info.role == Some(Role::Master) {
            self.welcome_replicas(&info, cx);
        }
        if let Some(node) = self.nodes.get_mut(id) {
            node.info = Some((cx.now, info));
        }
        if id == self.nodes.master_id() {
            self.vouch(cx);
        }
        self.advance_node(id, cx);
        if cx.tilt.is_some() {
            return;
        }
        self.consider_reboot(id, cx);
        if self.failover.state().waits_for(id)
            && self.nodes.get(id).is_some_and(|node| node.obeyed_as_master())
        {
            self.on_promoted(cx);
        }
        self.on_reconf_info(id, cx);
        self.repair(id, cx);
        self.advance(cx);
        self.advance_node(id, cx);
    }

    fn note_run_id(&mut self, id: NodeId, info: &Info, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if info.run_id.is_none() || node.run_id == info.run_id {
            return;
        }
        let restarted = node.run_id.is_some();
        node.run_id.clone_from(&info.run_id);
        if restarted {
            self.event(Event::Reboot, self.describe(id, cx), cx);
            self.on_reboot(id, info, cx);
        }
    }

    fn note_role(&mut self, id: NodeId, info: &Info, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let Some(role) = info.role else { return };
        if node.info().and_then(|info| info.master.as_ref()) != info.master.as_ref() {
            node.follows_since = cx.now;
        }
        let follows_ours = info.master.as_ref().is_some_and(|master| self.is_master_at(master, cx));
        let is_master = id == self.nodes.master_id();
        let Some(node) = self.nodes.get_mut(id) else { return };
        // A replaced master that follows somebody else has not been put right yet.
        if role == Role::Replica && (follows_ours || is_master) {
            node.ousted = false;
        }
        if node.role == role {
            return;
        }
        node.role = role;
        node.role_since = cx.now;
        let before = node.described_as.take();
        let expected = if is_master && before.is_none() { Role::Master } else { Role::Replica };
        let event = if role == expected { Event::RoleAsExpected } else { Event::RoleUnexpected };
        let what = before.unwrap_or_else(|| self.describe(id, cx));
        self.event(event, what.with(Remark::Role(role)), cx);
    }

    fn welcome_replicas(&mut self, info: &Info, cx: &mut Context) {
        for addr in &info.replicas {
            if !cx.accepts(addr) {
                continue;
            }
            if let Some(known) = self.find(addr, cx) {
                if self.learn_name(known, addr) {
                    cx.save_gate.soon(cx.now);
                }
                self.follow_announced(known, addr, info, cx);
                continue;
            }
            if self.nodes.len() > MOST_NODES {
                continue;
            }
            let id = self.nodes.add(addr.clone(), Role::Replica, cx.now);
            self.event(Event::NewReplica, self.describe(id, cx), cx);
            self.advance_node(id, cx);
            self.note_names(addr, cx);
            cx.save_gate.soon(cx.now);
        }
    }

    fn note_names(&self, addr: &Endpoint, cx: &mut Context) {
        if let crate::Host::Name(name) = &addr.host {
            cx.hosts.look_up(name, &mut cx.out);
        }
    }
}

/// More servers than anybody puts behind one master: a bound for what a broken INFO could make us remember.
const MOST_NODES: usize = 512;
const GREETING: std::time::Duration = std::time::Duration::from_millis(20);
