//! The state machine, from outside: it takes in one input at a time and gives out actions.

use crate::channel::{Owner, Purpose};
use crate::context::Context;
use crate::group::{Group, PeerAnswer};
use crate::ids::{GroupId, PeerId};
use crate::mutation::{Mutation, active};
use crate::save_gate::{Otherwise, SaveGate};
use crate::timers::Key;
use crate::{
    Action, CallId, Durable, DurableGroup, Epoch, GroupName, Hello, Input, Level, LinkError, LinkId, LinkUp,
    Reply, Rng, SentinelId, Seq, Time,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A Sentinel.
///
/// Its methods are, in this order: getters, which change nothing; `handle_*` and [`handle`](Self::handle), which take in what
/// happened; `poll_*`, which give out what is to be done. After each `handle` call [`poll_action`](Self::poll_action) until it
/// returns `None`, and carry the actions out in that order: a save stands before what waits for it. Only then ask
/// [`poll_timeout`](Self::poll_timeout) how long to wait; at that moment [`Input::Wake`] is due. A wake that comes too early
/// does nothing.
pub struct Sentinel {
    pub(crate) cx: Context,
    pub(crate) groups: BTreeMap<GroupId, Box<Group>>,
    pub(crate) names: BTreeMap<GroupName, GroupId>,
    last_group: u32,
    /// How far the clock was turned back so far: inside, time never is.
    pub(crate) skew: Duration,
}

impl Sentinel {
    /// Wakes up with what it knew. The seed decides its chances: the same seed, the same delays and identity.
    pub fn new(state: Durable, seed: u64, now: Time) -> Self {
        let mut rng = Rng::new(seed);
        let has_identity = state.myid.is_some();
        let myid = state.myid.unwrap_or_else(|| SentinelId::new(&rng.hex40()));
        let forgotten = active(Mutation::EpochForgottenByRestart);
        let epoch = if forgotten { Epoch(0) } else { state.current_epoch };
        let save_gate = SaveGate::new(epoch, has_identity);
        let mut cx = Context::new(state.config, myid, save_gate, rng, now);
        if !has_identity {
            cx.born = Some(now);
            cx.save_gate.urgently();
        }
        cx.log(Level::Notice, format!("Sentinel ID is {}", cx.myid));
        let (groups, names, skew) = (BTreeMap::new(), BTreeMap::new(), Duration::ZERO);
        let mut sentinel = Sentinel { cx, groups, names, last_group: 0, skew };
        for (name, saved) in state.groups {
            sentinel.watch(name, saved);
        }
        sentinel.save_if_due();
        sentinel.announce_dns();
        sentinel
    }

    /// Takes in one thing that happened. It never fails: what peers do wrong is input, too.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.detect_clock_jump(now);
        match input {
            Input::Wake => {}
            Input::Resolved { name, ip } => self.on_resolved(&name, ip),
            Input::Link { link, up } => self.on_link(link, up),
            Input::Reply { link, call, reply } => self.on_reply(link, call, reply),
            Input::Hello { link, hello } => self.on_hello(link, &hello),
            Input::Request { client, request } => self.on_request(client, request),
            Input::Saved { seq, result } => self.on_saved(seq, result.err().map(|error| error.0)),
            Input::ScriptEnded { job, end } => self.cx.on_script_ended(job, end),
            Input::Registry { group, event } => self.on_registry(&group, event),
        }
        self.fire_timers();
        self.save_if_due();
        self.announce_dns();
    }

    /// A script that was to be run runs now, as that process. Only to be shown: nothing depends on it.
    pub fn handle_script_pid(&mut self, job: crate::JobId, pid: u32) {
        self.cx.scripts.note_pid(job, pid);
    }

    /// The next thing to do. Call it until it returns `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        let next = self.cx.out.pop_front();
        if next.is_none() && self.cx.out.capacity() > KEPT_ROOM {
            // A start with a thousand masters leaves room for thousands of actions behind.
            self.cx.out = Default::default();
        }
        next
    }

    /// When `Input::Wake` is due, unless something else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.cx.timers.next().map(|at| at.earlier(self.skew))
    }

    /// Begins to watch a group.
    pub(crate) fn watch(&mut self, name: GroupName, saved: DurableGroup) {
        self.last_group += 1;
        let id = GroupId(self.last_group);
        let quorum = saved.config.quorum;
        let mut group = Group::new(id, name.clone(), saved, &mut self.cx);
        group.tell_monitor(quorum, &mut self.cx);
        group.advance_all(&mut self.cx);
        self.cx.dns_may_change(id);
        self.names.insert(name, id);
        self.groups.insert(id, Box::new(group));
    }

    /// Tells what DNS may say of each group to which something happened in this step.
    fn announce_dns(&mut self) {
        let changed = std::mem::take(&mut self.cx.dns_changed);
        if !self.cx.config.registry.dns {
            return;
        }
        for group in changed {
            self.with_group(group, |group, cx| group.announce_dns(cx));
        }
    }

    /// Something happened on which it depends what DNS may say of every group.
    pub(crate) fn all_dns_may_change(&mut self) {
        self.each_group(|group, cx| cx.dns_may_change(group.id));
    }

    fn fire_timers(&mut self) {
        // What became due while others were served waits for the next wake-up, and so does what is beyond a portion: no
        // step is endless, nor does it bring forth thousands of actions at once.
        let due: Vec<_> = std::iter::from_fn(|| self.cx.timers.pop(self.cx.now)).take(PORTION).collect();
        for key in due {
            match key {
                Key::Save => {}
                Key::Scripts => self.cx.advance_scripts(),
                Key::Tilt => self.leave_tilt(),
                Key::Peer(peer) => self.advance_peer(peer),
                Key::Node(group, node) => self.with_group(group, |group, cx| group.advance_node(node, cx)),
                Key::Group(group) => self.with_group(group, |group, cx| group.advance(cx)),
            }
        }
    }

    fn save_if_due(&mut self) {
        if let Some(seq) = self.cx.save_gate.begin(self.cx.now, self.cx.current_epoch) {
            let state = Box::new(self.durable());
            self.cx.out.push_back(Action::Save { seq, state });
        }
        self.cx.timers.set(Key::Save, self.cx.save_gate.deadline());
    }

    fn durable(&self) -> Durable {
        let group = |(name, id): (&GroupName, &GroupId)| {
            let group = self.groups.get(id).expect("every name stands for a group");
            (name.clone(), group.durable(&self.cx))
        };
        Durable {
            myid: Some(self.cx.myid.clone()),
            current_epoch: self.cx.current_epoch,
            config: self.cx.config.clone(),
            groups: self.names.iter().map(group).collect(),
        }
    }

    fn on_saved(&mut self, seq: Seq, error: Option<String>) {
        let failed_before = self.cx.save_gate.failure().is_some();
        if let Some(error) = &error {
            let text = format!("cannot save the state, so this sentinel neither votes nor leads: {error}");
            self.cx.log(Level::Warning, text);
        }
        let Context { save_gate, out, now, tilt, .. } = &mut self.cx;
        if !save_gate.on_saved(seq, error, *now, tilt.is_some(), out) {
            return;
        }
        if failed_before && self.cx.save_gate.failure().is_none() {
            self.cx.log(
                Level::Warning,
                "the state is saved again: this sentinel votes and leads again".to_owned(),
            );
        }
        // Votes are asked for in the order of the epochs: a peer of the original refuses one that is below another.
        let mut order: Vec<_> = self.groups.iter().map(|(id, group)| (group.election_epoch(), *id)).collect();
        order.sort();
        for (_, id) in order {
            self.with_group(id, |group, cx| group.on_saved(cx));
        }
    }

    fn on_resolved(&mut self, name: &std::sync::Arc<str>, ip: Option<IpAddr>) {
        if self.cx.hosts.on_resolved(name, ip) {
            self.all_dns_may_change();
        }
        for slot in self.cx.peers.keys().copied().collect::<Vec<_>>() {
            let waits =
                |peer: &crate::peer::Peer| matches!(&peer.addr.host, crate::Host::Name(of) if of == name);
            if self.cx.peers.get(&slot).is_some_and(waits) {
                self.cx.with_peer(slot, |peer, cx| peer.on_resolved(ip, cx));
                self.advance_peer(slot);
            }
        }
        self.each_group(|group, cx| group.on_resolved(name, ip, cx));
    }

    fn on_link(&mut self, link: LinkId, up: Result<LinkUp, LinkError>) {
        let owner = match up {
            Ok(_) => self.cx.links.get(&link).copied(),
            Err(_) => self.cx.links.remove(&link),
        };
        let Some(owner) = owner else { return };
        match (owner, up) {
            (Owner::Command(group, node), Ok(up)) => {
                self.with_group(group, |group, cx| group.on_command_up(node, link, up, cx))
            }
            (Owner::Command(group, node), Err(_)) => {
                self.with_group(group, |group, cx| group.on_command_lost(node, cx))
            }
            (Owner::PubSub(group, node), Ok(up)) => {
                self.with_group(group, |group, cx| group.on_pubsub_up(node, link, up, cx))
            }
            (Owner::PubSub(group, node), Err(_)) => {
                self.with_group(group, |group, cx| group.on_pubsub_lost(node, cx))
            }
            (Owner::Peer(peer), Ok(up)) => {
                self.cx.with_peer(peer, |peer, cx| peer.on_up(link, up.local, cx));
                self.advance_peer(peer);
                // One of the two may have been away, and know less.
                self.each_group_of(peer, |group, cx| {
                    group.ask_for_missing_vote(peer, cx);
                    group.say_hello_to(peer, cx);
                    group.advance(cx);
                });
            }
            (Owner::Peer(peer), Err(error)) => {
                let gone = |cx: &Context| cx.peers.get(&peer).is_some_and(|peer| peer.refuses);
                let before = gone(&self.cx);
                self.cx.with_peer(peer, |peer, cx| peer.on_lost(&error, cx));
                self.advance_peer(peer);
                if gone(&self.cx) && !before {
                    self.advance_groups_of(peer);
                }
            }
        }
    }

    fn on_reply(&mut self, link: LinkId, call: CallId, reply: Reply) {
        match self.cx.links.get(&link).copied() {
            Some(Owner::Command(group, node)) => {
                self.with_group(group, |group, cx| group.on_reply(node, link, call, reply, cx))
            }
            Some(Owner::Peer(peer)) => self.on_peer_reply(peer, link, call, reply),
            // On a subscription only the logging in is answered.
            Some(Owner::PubSub(..)) | None => {}
        }
    }

    fn on_peer_reply(&mut self, slot: PeerId, link: LinkId, call: CallId, reply: Reply) {
        let Some(peer) = self.cx.peers.get_mut(&slot) else { return };
        match (peer.channel.on_reply(link, call), reply) {
            (Some(Purpose::Ping), reply) => {
                let first = self.cx.with_peer(slot, |peer, cx| peer.on_ping_reply(&reply, cx));
                self.advance_peer(slot);
                if first == Some(true) {
                    self.advance_groups_of(slot);
                }
            }
            (Some(Purpose::Ask { group, config_epoch, election }), Reply::Down { down, leader, epoch }) => {
                let answer = PeerAnswer { down, leader, epoch };
                self.with_group(group, |group, cx| group.on_answer(slot, config_epoch, election, answer, cx));
            }
            (Some(Purpose::Identify), reply) => {
                peer.on_identified(&reply);
                self.each_group_of(slot, |group, cx| group.on_identified(slot, cx));
            }
            (Some(Purpose::ConfirmAddress { group }), reply) => {
                self.with_group(group, |group, cx| group.on_address(slot, reply, cx));
            }
            (Some(Purpose::ConfirmEpoch { group }), reply) => {
                self.with_group(group, |group, cx| group.on_epoch(slot, reply, cx));
            }
            (Some(Purpose::Survey { group, config_epoch }), Reply::Down { epoch, .. }) => {
                self.with_group(group, |group, cx| group.on_survey_answer(slot, config_epoch, epoch, cx));
            }
            _ => {}
        }
    }

    fn on_hello(&mut self, link: Option<LinkId>, hello: &Hello) {
        if let Some(link) = link {
            // What comes over a link that was closed is ignored, like everything else from it.
            let Some(Owner::PubSub(group, node)) = self.cx.links.get(&link).copied() else { return };
            self.with_group(group, |group, cx| group.on_heard(node, cx));
            // A server carries hellos of its own group: what it says of another one is of a stranger to that.
            if self.names.get(&hello.group) != Some(&group) {
                return;
            }
        }
        if hello.id == self.cx.myid {
            return;
        }
        if let Some(group) = self.names.get(&hello.group).copied() {
            self.with_group(group, |group, cx| group.on_hello(hello, cx));
        }
    }

    fn on_registry(&mut self, group: &GroupName, event: crate::RegistryEvent) {
        if let Some(id) = self.names.get(group).copied() {
            self.with_group(id, |group, cx| group.on_registry(event, cx));
        }
    }

    fn advance_peer(&mut self, peer: PeerId) {
        if self.cx.advance_peer(peer) {
            self.advance_groups_of(peer);
        }
    }

    fn advance_groups_of(&mut self, peer: PeerId) {
        self.each_group_of(peer, Group::advance);
    }

    fn each_group_of(&mut self, peer: PeerId, mut work: impl FnMut(&mut Group, &mut Context)) {
        let groups = self.cx.peers.get(&peer).map(|peer| peer.groups.clone()).unwrap_or_default();
        for group in groups {
            self.with_group(group, &mut work);
        }
    }

    pub(crate) fn with_group(&mut self, id: GroupId, work: impl FnOnce(&mut Group, &mut Context)) {
        if let Some(group) = self.groups.get_mut(&id) {
            work(group, &mut self.cx);
        }
    }

    pub(crate) fn each_group(&mut self, mut work: impl FnMut(&mut Group, &mut Context)) {
        for group in self.groups.values_mut() {
            work(group, &mut self.cx);
        }
    }

    /// Answers a request now, or when what it changed is on disk.
    pub(crate) fn respond(
        &mut self,
        client: crate::ClientId,
        response: crate::Response,
        otherwise: Otherwise,
    ) {
        let Context { save_gate, out, now, .. } = &mut self.cx;
        save_gate.respond(client, response, otherwise, *now, out);
    }
}

/// So many deadlines are served in one step.
const PORTION: usize = 64;

/// Room for actions that is kept while there are none.
const KEPT_ROOM: usize = 256;
