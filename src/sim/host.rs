//! A sentinel in the world: a mind, and the driver around it that turns actions into messages and back.

use crate::brain::{Brain, Kind};
use crate::consul::Registrar;
use crate::disk::Disk;
use crate::event::{Event, Message};
use crate::inbound::Inbound;
use crate::network::{ConnId, NodeId, Purpose};
use crate::step::Trigger;
use crate::world::World;
use consentinel_core::{
    Action, CallId, ClientId, Command, Hello, Input, JobId, LinkError, LinkId, LinkKind, LinkUp, Notice,
    Recorded, RegistryRequest, Response, ScriptEnd, SentinelId, Seq, Time,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A sentinel.
pub(crate) struct SentinelHost {
    pub(crate) node: NodeId,
    pub(crate) kind: Kind,
    pub(crate) brain: Box<dyn Brain>,
    pub(crate) id: SentinelId,
    /// Whether it only looks on and publishes: nobody counts it.
    pub(crate) observes: bool,
    pub(crate) disk: Disk,
    /// When its present life began.
    pub(crate) started: Time,
    /// By how many microseconds its clock is ahead of the world's.
    pub(crate) clock: i64,
    links: BTreeMap<LinkId, ConnId>,
    pub(crate) inbound: BTreeMap<ClientId, Inbound>,
    /// How many connections were ever opened to it.
    pub(crate) clients: u64,
    /// When the world will wake it, and which wake-up that is.
    wake_at: Option<Time>,
    wake_number: u64,
    /// The deadline that it asked for, on its own clock.
    pub(crate) deadline: Option<Time>,
    /// How many actions it may still carry out.
    pub(crate) actions_left: Option<u32>,
    /// Whether it carries out what it had decided before it was stopped.
    pub(crate) resuming: bool,
    pub(crate) operators: u64,
    /// Peers whose next request can be served once the mind has said all that it wants.
    pub(crate) ready: VecDeque<ClientId>,
    /// Whether they are being served.
    serving: bool,
    pub(crate) registrar: Registrar,
    /// What it lives through, when somebody wants to know.
    pub(crate) record: Option<Vec<Recorded>>,
}

impl fmt::Debug for SentinelHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelHost")
            .field("node", &self.node)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl SentinelHost {
    /// A sentinel that has not woken up yet.
    pub(crate) fn new(node: NodeId, kind: Kind, id: SentinelId, disk: Disk, clock: i64) -> Self {
        SentinelHost {
            node,
            kind,
            brain: kind.wake(disk.stored().clone(), 0, Time::ZERO),
            id,
            observes: false,
            disk,
            started: Time::ZERO,
            clock,
            links: BTreeMap::new(),
            inbound: BTreeMap::new(),
            clients: 0,
            wake_at: None,
            wake_number: 0,
            deadline: None,
            actions_left: None,
            resuming: false,
            operators: 0,
            ready: VecDeque::new(),
            serving: false,
            registrar: Registrar::default(),
            record: None,
        }
    }

    /// Whether it is one of ours.
    pub(crate) fn is_core(&self) -> bool {
        self.kind == Kind::Core
    }

    /// The world's time on this sentinel's clock.
    pub(crate) fn clock_at(&self, now: Time) -> Time {
        Time::from_micros(now.as_micros().saturating_add_signed(self.clock))
    }

    fn world_time(&self, core: Time) -> Time {
        Time::from_micros(core.as_micros().saturating_add_signed(-self.clock))
    }

    /// The connection behind a link.
    pub(crate) fn conn_of(&self, link: LinkId) -> Option<ConnId> {
        self.links.get(&link).copied()
    }

    /// Its clock has changed: the wake-up that is planned comes at the wrong time.
    pub(crate) fn forget_wake(&mut self) {
        self.wake_at = None;
    }

    /// Forgets what a process forgets when it ends.
    pub(crate) fn end_life(&mut self) {
        self.links.clear();
        self.inbound.clear();
        self.ready.clear();
        self.registrar = Registrar::default();
        self.wake_at = None;
        self.deadline = None;
        self.actions_left = None;
    }
}

impl World {
    pub(crate) fn sentinel(&mut self, sentinel: u16) -> &mut SentinelHost {
        &mut self.sentinels[usize::from(sentinel)]
    }

    /// Starts a sentinel's life.
    pub(crate) fn sentinel_starts(&mut self, sentinel: u16) {
        let world_seed = self.seed;
        let life = self.life_of(sentinel);
        let now = self.now;
        let host = self.sentinel(sentinel);
        host.started = now;
        let seed = consentinel_core::mix(world_seed ^ (u64::from(sentinel) << 32) ^ u64::from(life));
        let clock = host.clock_at(now);
        let state = host.disk.stored().clone();
        if let Some(record) = &mut host.record {
            record.push(Recorded::Start { seed, now: clock, state: Box::new(state.clone()) });
        }
        host.brain = host.kind.wake(state, seed, clock);
        self.witness.sentinel_started(sentinel, clock);
        self.note_identity(sentinel);
        self.carry_out_all(sentinel);
    }

    /// Gives a sentinel something to think about, and does what it then wants done.
    pub(crate) fn feed(&mut self, sentinel: u16, input: Input) {
        let now = self.now;
        let host = self.sentinel(sentinel);
        let clock = host.clock_at(now);
        if let Some(record) = &mut host.record {
            record.push(Recorded::Input(clock, input.clone()));
        }
        self.before_input(sentinel, clock, &input);
        self.sentinel(sentinel).brain.handle(clock, input);
        self.carry_out_all(sentinel);
    }

    /// Does what a sentinel wants done, until it wants nothing more, dies or is stopped.
    pub(crate) fn carry_out_all(&mut self, sentinel: u16) {
        let node = self.sentinel(sentinel).node;
        let life = self.processes[node.index()].number;
        while let Some(action) = self.sentinel(sentinel).brain.poll_action() {
            let counts = !matches!(action, Action::Register { .. } | Action::Dns { .. });
            if let Some(left) = self.sentinel(sentinel).actions_left.as_mut().filter(|_| counts) {
                if *left == 0 {
                    return self.apply(crate::step::Step::Crash { node, how: crate::step::Crash::Kill });
                }
                *left -= 1;
            }
            self.carry_out(sentinel, action);
            let process = &self.processes[node.index()];
            if process.number != life || process.paused || self.failure.is_some() {
                return;
            }
        }
        self.plan_wake(sentinel);
        // Whoever becomes ready while another is served waits for his turn: hundreds may have waited for one disk.
        if std::mem::replace(&mut self.sentinel(sentinel).serving, true) {
            return;
        }
        while let Some(client) = self.sentinel(sentinel).ready.pop_front() {
            self.serve_waiting(sentinel, client);
        }
        self.sentinel(sentinel).serving = false;
    }

    /// Sees to it that the sentinel is woken at its deadline.
    pub(crate) fn plan_wake(&mut self, sentinel: u16) {
        let now = self.now;
        let host = self.sentinel(sentinel);
        host.deadline = host.brain.poll_timeout();
        let Some(deadline) = host.deadline.filter(|deadline| *deadline != Time::NEVER) else { return };
        let at = host.world_time(deadline).max(now);
        if host.wake_at.is_some_and(|planned| planned <= at && planned >= now) {
            return;
        }
        host.wake_at = Some(at);
        host.wake_number += 1;
        let number = host.wake_number;
        let life = self.life_of(sentinel);
        // A timer rings a little late, never early.
        let late = if self.punctual { 0 } else { 1 + self.rng.below(500) };
        let at = at + Duration::from_micros(late);
        self.queue.push(at, Event::Wake { sentinel, life, number });
    }

    pub(crate) fn sentinel_wakes(&mut self, sentinel: u16, number: u64) {
        let now = self.now;
        let host = self.sentinel(sentinel);
        if number != host.wake_number {
            return;
        }
        host.wake_at = None;
        let clock = host.clock_at(now);
        match host.deadline {
            Some(deadline) if deadline <= clock => self.feed(sentinel, Input::Wake),
            _ => self.plan_wake(sentinel),
        }
    }

    fn carry_out(&mut self, sentinel: u16, action: Action) {
        let moment = match &action {
            Action::Respond { response: Response::Down { leader: Some(_), .. }, .. } => Some(Trigger::Votes),
            Action::Call { command: Command::ReplicaOf(None) | Command::ReplicaOfPlain(None), .. } => {
                Some(Trigger::Promotes)
            }
            Action::Register { request: RegistryRequest::Write(_), .. } => Some(Trigger::Publishes),
            _ => None,
        };
        if moment.is_some_and(|moment| self.spring(sentinel, moment)) {
            return;
        }
        self.observe(sentinel, &action);
        match action {
            Action::Resolve { name } => {
                let at = self.now + Duration::from_micros(300) + self.rng.span(Duration::from_millis(2));
                let life = self.life_of(sentinel);
                self.queue.push(at, Event::Resolved { sentinel, life, name });
            }
            Action::Connect { link, to, ip, kind, .. } => self.open_link(sentinel, link, ip, to.port, kind),
            Action::Disconnect(link) => {
                if let Some(conn) = self.sentinel(sentinel).links.remove(&link) {
                    self.net.close(&mut self.queue, self.now, conn, false, false);
                }
            }
            Action::Call { link, call, command } => self.call(sentinel, link, call, command),
            Action::Save { seq, state } => self.save(sentinel, seq, *state),
            Action::Respond { client, response } => self.respond(sentinel, client, &response),
            Action::Register { group, request } => self.registrar_asked(sentinel, &group, request),
            // Nobody asks: what may be said is looked at by the invariants.
            Action::Dns { .. } => {}
            Action::Notify(notice) => self.notify(sentinel, &notice),
            Action::RunScript { job, .. } => {
                let at = self.now + Duration::from_millis(50);
                let life = self.life_of(sentinel);
                self.queue.push(at, Event::ScriptEnded { sentinel, life, job });
            }
            Action::KillScript(_) => {}
            Action::Exit => {
                let node = self.sentinel(sentinel).node;
                self.apply(crate::step::Step::Crash { node, how: crate::step::Crash::Stop });
            }
        }
    }

    pub(crate) fn node_of(&self, sentinel: u16) -> NodeId {
        self.sentinels[usize::from(sentinel)].node
    }

    pub(crate) fn life_of(&self, sentinel: u16) -> u32 {
        self.processes[self.node_of(sentinel).index()].number
    }

    fn open_link(&mut self, sentinel: u16, link: LinkId, ip: IpAddr, port: u16, kind: LinkKind) {
        let purpose = match kind {
            LinkKind::Command => Purpose::Command,
            LinkKind::PubSub => Purpose::PubSub,
            LinkKind::Sentinel => Purpose::Sentinel,
        };
        // Where nobody is, nobody answers: the core gives up by itself.
        let Some(target) = self.addresses.listener(ip, port) else { return };
        let node = self.sentinel(sentinel).node;
        let conn = self.net.connect(&mut self.queue, self.now, (node, target), purpose, link.0);
        self.sentinel(sentinel).links.insert(link, conn);
    }

    fn call(&mut self, sentinel: u16, link: LinkId, call: CallId, command: Command) {
        let Some(conn) = self.sentinel(sentinel).links.get(&link).copied() else { return };
        let message = match command {
            Command::Ping => Message::Ping(call),
            Command::Info => Message::Info(call),
            Command::Publish(hello) => Message::Publish(call, Rc::new(hello)),
            other => Message::Command(call, Box::new(other)),
        };
        self.net.send(&mut self.queue, self.now, conn, true, message, Duration::ZERO);
    }

    fn save(&mut self, sentinel: u16, seq: Seq, state: consentinel_core::Durable) {
        self.stats.saves += 1;
        self.count_save(sentinel);
        let time = self.sentinels[usize::from(sentinel)].disk.begin(seq, state, &mut self.rng);
        let life = self.life_of(sentinel);
        if !self.sentinel(sentinel).is_core() {
            // The original writes and goes on in one breath.
            let _ = self.sentinels[usize::from(sentinel)].disk.finish(seq, &mut self.rng);
            return self.queue.push(self.now, Event::DiskDone { sentinel, life, seq });
        }
        if let Some(time) = time {
            self.queue.push(self.now + time, Event::DiskDone { sentinel, life, seq });
        }
        self.spring(sentinel, Trigger::Saves);
    }

    pub(crate) fn disk_done(&mut self, sentinel: u16, seq: Seq) {
        if !self.sentinel(sentinel).is_core() {
            return self.feed(sentinel, Input::Saved { seq, result: Ok(()) });
        }
        let result = self.sentinels[usize::from(sentinel)].disk.finish(seq, &mut self.rng);
        let Some(result) = result else { return };
        if result.is_ok() && self.spring(sentinel, Trigger::Saved) {
            return;
        }
        self.feed(sentinel, Input::Saved { seq, result });
        self.watch_saved();
    }

    pub(crate) fn resolved(&mut self, sentinel: u16, name: Arc<str>) {
        let ip = self.addresses.resolve(&consentinel_core::Host::Name(name.clone()));
        self.feed(sentinel, Input::Resolved { name, ip });
    }

    pub(crate) fn script_ended(&mut self, sentinel: u16, job: JobId) {
        self.feed(sentinel, Input::ScriptEnded { job, end: ScriptEnd::Exit(0) });
    }

    /// A connection attempt was answered.
    pub(crate) fn link_answered(&mut self, sentinel: u16, tag: u64, result: Result<(), LinkError>) {
        let link = LinkId(tag);
        let local = self.addresses.ip(self.node_of(sentinel));
        if result.is_err() {
            self.sentinel(sentinel).links.remove(&link);
        }
        self.feed(sentinel, Input::Link { link, up: result.map(|()| LinkUp { local }) });
    }

    /// Something arrives on a link that this sentinel opened.
    pub(crate) fn link_message(&mut self, sentinel: u16, tag: u64, message: Message) {
        let link = LinkId(tag);
        let input = match message {
            Message::Reply(call, reply) => Input::Reply { link, call, reply },
            Message::Push(hello) => Input::Hello { link: Some(link), hello: Hello::clone(&hello) },
            Message::Close => {
                self.sentinel(sentinel).links.remove(&link);
                Input::Link { link, up: Err(LinkError::Closed) }
            }
            _ => return,
        };
        self.feed(sentinel, input);
    }

    fn notify(&mut self, sentinel: u16, notice: &Notice) {
        let node = self.sentinel(sentinel).node;
        let Notice::Event { event, detail, .. } = notice else { return };
        let (addresses, story) = (&self.addresses, &mut self.story);
        story.tell(self.now, || {
            let detail = addresses.humanise(&detail.to_string());
            format!("{} {event} {detail}", addresses.name(node)).trim_end().to_owned()
        });
        self.spring(sentinel, Trigger::Says(*event));
    }
}
