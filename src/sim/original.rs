//! A model of the original redis-sentinel (7.0): its timing, its habits and its weaknesses.
//!
//! It speaks the core's language, so that a world can seat it beside real cores in one quorum, and shares none of
//! their logic. Where the core waits for deadlines, this one ticks ten to twenty times a second and looks at every
//! instance each time; where the core saves before it speaks, this one saves and speaks in one breath and does not
//! look whether the save went well; where the core listens for a promotion, this one waits for the next INFO.
//!
//! A world that wants the original's real durability (its write is synchronous) must not crash it between a `Save`
//! and what follows it in the same step: the state that `Save` carries counts as written.
//!
//! Left out, because no world here needs it: host names, scripts, and changes at run time other than
//! SENTINEL FAILOVER, FLUSHCONFIG and SIMULATE-FAILURE.

mod failover;
mod gossip;
mod info;
mod instance;
mod switch;
#[cfg(test)]
mod tests;
mod tick;
mod view;
mod vote;
mod wire;
mod world;

use consentinel_core::{
    Action, CallId, Command, Durable, Epoch, Event, GroupName, Hello, Input, Level, LinkError, LinkId,
    LinkUp, Notice, Refusal, Reply, Request, Response, Rng, SentinelId, Seq, Time,
};
use instance::{Group, Part, Who};
use std::collections::BTreeMap;
use std::time::Duration;
use wire::{Purpose, Wire};
use world::{Call, World};

/// Ticks a second: this many, and up to as many more, anew after each tick.
const HZ: u64 = 10;

/// The original, used exactly like `consentinel_core::Sentinel`.
///
/// ```
/// use consentinel_core::{Action, Durable, Time};
/// use consentinel_sim::OriginalSentinel;
/// let mut sentinel = OriginalSentinel::new(Durable::default(), 42, Time::ZERO);
/// assert!(matches!(sentinel.poll_action(), Some(Action::Save { .. })));
/// assert_eq!(sentinel.poll_timeout(), Some(Time::from_millis(1)));
/// ```
pub struct OriginalSentinel {
    groups: BTreeMap<GroupName, Group>,
    world: World,
    next_tick: Time,
    last_input: Time,
}

impl OriginalSentinel {
    /// Wakes up with what it knew.
    pub fn new(saved: Durable, seed: u64, now: Time) -> Self {
        let mut rng = Rng::new(seed);
        let is_new = saved.myid.is_none();
        let myid = saved.myid.unwrap_or_else(|| SentinelId::new(&rng.hex40()));
        let mut world = World::new(myid, saved.current_epoch, saved.config, rng, now);
        let mut groups = BTreeMap::new();
        for (name, state) in saved.groups {
            world.auth.insert(name.clone(), state.config.auth.clone());
            groups.insert(name.clone(), Group::new(name, state, &mut world));
        }
        for group in groups.values() {
            let more = format!(" quorum {}", group.config.quorum);
            group.tell_more(&mut world, Level::Warning, Event::Monitor, &Part::Master, &more);
        }
        let mut sentinel =
            OriginalSentinel { groups, world, next_tick: now + Duration::from_millis(1), last_input: now };
        sentinel.world.dirty = is_new;
        sentinel.flush();
        sentinel
    }

    /// Takes in one thing that happened. Never fails.
    pub fn handle(&mut self, now: Time, input: Input) {
        if now < self.last_input {
            self.next_tick = now;
        }
        self.last_input = now;
        self.world.now = world::millis(now);
        match input {
            Input::Wake => {}
            Input::Link { link, up } => self.handle_link(link, up),
            Input::Reply { call, reply, .. } => self.handle_reply(now, call, reply),
            Input::Hello { link, hello } => self.handle_hello(link, &hello),
            Input::Request { client, request } => {
                let response = self.handle_request(request);
                self.world.actions.push_back(Action::Respond { client, response });
            }
            Input::Saved { seq, result } => self.handle_saved(seq, result.err().map(|error| error.0)),
            Input::Resolved { .. } | Input::ScriptEnded { .. } | Input::Registry { .. } => {}
        }
        if now >= self.next_tick {
            self.tick(now);
        }
        self.flush();
    }

    /// The next thing to do. Call until it returns nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.world.actions.pop_front()
    }

    /// When to send `Input::Wake`, unless something else happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        Some(self.next_tick)
    }

    fn tick(&mut self, now: Time) {
        self.world.check_tilt();
        let mut shared: BTreeMap<SentinelId, usize> = BTreeMap::new();
        for id in self.groups.values().flat_map(|group| group.peers.keys()) {
            *shared.entry(id.clone()).or_default() += 1;
        }
        for group in self.groups.values_mut() {
            group.tick(&shared, &mut self.world);
        }
        let hz = HZ + self.world.rng.below(HZ);
        self.next_tick = now + Duration::from_millis(1000 / hz);
    }

    fn wire_mut(&mut self, who: &Who) -> Option<&mut Wire> {
        match &who.part {
            Part::Peer(id) => self.world.peers.get_mut(id),
            part => self.groups.get_mut(&who.group)?.node_mut(part).map(|node| &mut node.wire),
        }
    }

    /// Lends the wire and the world at the same time.
    fn with_wire(&mut self, who: &Who, change: impl FnOnce(&mut Wire, &mut World)) {
        match &who.part {
            Part::Peer(id) => {
                if let Some(mut wire) = self.world.peers.remove(id) {
                    change(&mut wire, &mut self.world);
                    self.world.peers.insert(id.clone(), wire);
                }
            }
            part => {
                let node = self.groups.get_mut(&who.group).and_then(|group| group.node_mut(part));
                if let Some(node) = node {
                    change(&mut node.wire, &mut self.world);
                }
            }
        }
    }

    fn handle_link(&mut self, link: LinkId, up: Result<LinkUp, LinkError>) {
        let Some(who) = self.world.route(link) else { return };
        self.with_wire(&who, |wire, world| match up {
            Ok(LinkUp { local }) => wire.opened(link, local, world),
            Err(_) => wire.lost(link, world),
        });
    }

    fn handle_hello(&mut self, link: Option<LinkId>, hello: &Hello) {
        let now = self.world.now;
        let who = link.and_then(|link| self.world.route(link));
        if let Some(wire) = who.and_then(|who| self.wire_mut(&who)) {
            wire.pubsub_activity = now;
        }
        if hello.id == self.world.myid {
            return;
        }
        if let Some(group) = self.groups.get_mut(&hello.group) {
            group.handle_hello(hello, &mut self.world);
        }
    }

    fn handle_reply(&mut self, at: Time, call: CallId, reply: Reply) {
        let Some(Call { who, purpose, .. }) = self.world.take_call(call) else { return };
        if let Some(wire) = self.wire_mut(&who) {
            wire.pending = wire.pending.saturating_sub(1);
        }
        match (purpose, reply) {
            (Purpose::Ping, reply) => self.handle_pong(&who, &reply),
            (Purpose::Publish, Reply::Ok) => self.handle_published(&who),
            (Purpose::Info, Reply::Info(info)) => {
                if let Some(group) = self.groups.get_mut(&who.group) {
                    group.handle_info(&who.part, info, at, &mut self.world);
                }
            }
            (Purpose::IsDown, Reply::Down { down, leader, epoch }) => {
                if let (Some(group), Part::Peer(id)) = (self.groups.get_mut(&who.group), &who.part) {
                    group.handle_answer(id, down, leader.map(|leader| (leader, epoch)), &self.world);
                }
            }
            _ => {}
        }
    }

    fn handle_pong(&mut self, who: &Who, reply: &Reply) {
        let now = self.world.now;
        let Some(wire) = self.wire_mut(who) else { return };
        wire.last_pong = now;
        if matches!(reply, Reply::Pong) {
            wire.last_avail = now;
            wire.act_ping = None;
        }
        let node = self.groups.get_mut(&who.group).and_then(|group| group.node_mut(&who.part));
        let Some(node) = node else { return };
        match reply {
            Reply::Pong => node.rebooting_since = None,
            Reply::Busy if node.down.is_down && !node.script_killed => {
                let kill = Command::ScriptKill;
                node.script_killed = node.wire.send(kill, Purpose::Discard, who, &mut self.world);
            }
            _ => {}
        }
    }

    fn handle_published(&mut self, who: &Who) {
        let now = self.world.now;
        let Some(group) = self.groups.get_mut(&who.group) else { return };
        let last = match &who.part {
            Part::Peer(id) => group.peers.get_mut(id).map(|peer| &mut peer.last_publish),
            part => group.node_mut(part).map(|node| &mut node.last_publish),
        };
        if let Some(last) = last {
            *last = now;
        }
    }

    fn handle_request(&mut self, request: Request) -> Response {
        match request {
            Request::IsMasterDown { master, epoch, candidate } => {
                match self.groups.values_mut().find(|group| group.is_at(&master)) {
                    Some(group) => group.answer(epoch, candidate.as_ref(), &mut self.world),
                    None => Response::Down { down: false, leader: None, epoch: Epoch(0) },
                }
            }
            Request::Failover { group } => self.handle_failover_request(&group),
            Request::FlushConfig => {
                self.world.dirty = true;
                Response::Ok
            }
            Request::SimulateFailure { crash_after_election, crash_after_promotion } => {
                self.world.crash_after_election = crash_after_election;
                self.world.crash_after_promotion = crash_after_promotion;
                Response::Ok
            }
            Request::Reset { .. } => Response::Count(0),
            _ => Response::Refused(Refusal::NotSaved),
        }
    }

    fn handle_failover_request(&mut self, name: &GroupName) -> Response {
        let Some(group) = self.groups.get_mut(name) else { return Response::Refused(Refusal::NoSuchMaster) };
        if group.failover.is_under_way() {
            return Response::Refused(Refusal::InProgress);
        }
        if group.best_replica(&self.world).is_none() {
            return Response::Refused(Refusal::NoGoodReplica);
        }
        group.start_failover(&mut self.world);
        group.forced = true;
        Response::Ok
    }

    fn handle_saved(&mut self, seq: Seq, error: Option<String>) {
        if self.world.saving != Some(seq) {
            return;
        }
        self.world.saving = None;
        if let Some(error) = &error {
            let text =
                format!("WARNING: Sentinel was not able to save the new configuration on disk!!!: {error}");
            self.world.actions.push_back(Action::Notify(Notice::Log { level: Level::Warning, text }));
        }
        self.world.storage_error = error;
    }

    /// Writes the state when it changed, before anything else of this step: the original's write is synchronous.
    fn flush(&mut self) {
        if !self.world.dirty || self.world.saving.is_some() {
            return;
        }
        self.world.dirty = false;
        let seq = self.world.next_seq();
        self.world.saving = Some(seq);
        let state = Box::new(self.durable());
        self.world.actions.push_front(Action::Save { seq, state });
    }

    fn durable(&self) -> Durable {
        Durable {
            myid: Some(self.world.myid.clone()),
            current_epoch: self.world.current_epoch,
            config: self.world.config.clone(),
            groups: self.groups.iter().map(|(name, group)| (name.clone(), group.durable())).collect(),
        }
    }
}
