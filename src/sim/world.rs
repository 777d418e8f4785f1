//! The world: everything that exists, and the one loop that lets time pass.

use crate::addresses::Addresses;
use crate::clients::Client;
use crate::compound::Compound;
use crate::consul::Consul;
use crate::data::Writes;
use crate::event::{Event, Message};
use crate::host::SentinelHost;
use crate::invariants::Witness;
use crate::network::{ConnId, Network, NodeId, Purpose};
use crate::queue::Queue;
use crate::redis::Redis;
use crate::report::{Failure, Stats};
use crate::step::{Ambush, Step};
use crate::story::Story;
use consentinel_core::{GroupConfig, GroupName, Rng, Time};
use std::collections::VecDeque;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Sentinel(u16),
    Redis(u16),
    Client,
    Consul,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// It does not; its machine refuses connections.
    Dead,
    /// Its machine is gone as well.
    Vanished,
}

/// A process on a machine of its own.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) life: Life,
    /// Counts its lives.
    pub(crate) number: u32,
    pub(crate) paused: bool,
    /// What reached it while it was paused.
    backlog: VecDeque<Event>,
}

impl Process {
    pub(crate) fn new(role: Role) -> Self {
        Process { role, life: Life::Running, number: 0, paused: false, backlog: VecDeque::new() }
    }

    pub(crate) fn running(&self) -> bool {
        self.life == Life::Running
    }
}

/// A master and its replicas, as the operator thinks of them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: GroupName,
    pub(crate) config: GroupConfig,
    /// The server that the sentinels' files name as its master.
    pub(crate) configured: NodeId,
    /// Indexes of its Redis servers.
    pub(crate) redises: Vec<u16>,
}

/// Everything that exists.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) seed: u64,
    pub(crate) queue: Queue,
    pub(crate) rng: Rng,
    pub(crate) net: Network,
    pub(crate) processes: Vec<Process>,
    pub(crate) sentinels: Vec<SentinelHost>,
    pub(crate) redises: Vec<Redis>,
    pub(crate) clients: Vec<Client>,
    pub(crate) groups: Vec<Group>,
    pub(crate) consul: Option<Box<Consul>>,
    pub(crate) compound: Option<Compound>,
    pub(crate) addresses: Addresses,
    pub(crate) writes: Writes,
    pub(crate) witness: Witness,
    pub(crate) story: Story,
    pub(crate) stats: Stats,
    pub(crate) ambushes: Vec<Ambush>,
    /// Whether timers ring to the microsecond.
    pub(crate) punctual: bool,
    /// Counts the repairs of everything.
    pub(crate) era: u32,
    pub(crate) failure: Option<Failure>,
    /// Whether SENTINEL RESET was ever used, which forgets who does not follow the master directly at that moment.
    pub(crate) was_reset: bool,
}

impl World {
    /// Lets time pass until then, or until something is wrong.
    pub(crate) fn run_until(&mut self, end: Time) -> Result<(), Failure> {
        while self.queue.next_at().is_some_and(|at| at <= end) {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.dispatch(event);
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
        }
        self.now = end;
        Ok(())
    }

    /// Plans a deed.
    pub(crate) fn plan(&mut self, at: Time, step: Step) {
        self.queue.push(at, Event::Step(Box::new(step), self.era));
    }

    fn process_of(&self, event: &Event) -> Option<NodeId> {
        match event {
            Event::Arrive { conn, to_server, .. } => {
                let conn = self.net.conn(*conn)?;
                Some(if *to_server { conn.server.node } else { conn.client.node })
            }
            Event::Established { conn, .. } => Some(self.net.conn(*conn)?.client.node),
            Event::Wake { sentinel, .. }
            | Event::DiskDone { sentinel, .. }
            | Event::Resolved { sentinel, .. }
            | Event::ScriptEnded { sentinel, .. }
            | Event::RegistrarHears { sentinel, .. }
            | Event::RegistrarRings { sentinel, .. }
            | Event::ClientAsks { sentinel, .. } => Some(self.sentinels[usize::from(*sentinel)].node),
            Event::Reconnect { redis, .. }
            | Event::Cron { redis, .. }
            | Event::Loaded { redis, .. }
            | Event::ClientWrites { redis, .. } => Some(self.redises[usize::from(*redis)].node),
            _ => None,
        }
    }

    fn dispatch(&mut self, event: Event) {
        let Some(node) = self.process_of(&event) else { return self.dispatch_global(event) };
        let process = &mut self.processes[node.index()];
        if process.paused {
            process.backlog.push_back(event);
            return;
        }
        let (life, running) = (process.number, process.running());
        match event {
            Event::Arrive { conn, to_server, message } => self.arrive(node, conn, to_server, message),
            Event::Established { conn, result } => self.established(node, conn, result),
            Event::ClientAsks { client, sentinel, turn } if running => {
                self.client_asks(client, sentinel, turn);
            }
            Event::ClientWrites { client, redis, life: of, turn } if running && of == life => {
                self.client_writes(client, redis, turn);
            }
            Event::Wake { sentinel, life: of, number } if of == life => self.sentinel_wakes(sentinel, number),
            Event::DiskDone { sentinel, life: of, seq } if of == life => self.disk_done(sentinel, seq),
            Event::Resolved { sentinel, life: of, name } if of == life => self.resolved(sentinel, name),
            Event::ScriptEnded { sentinel, life: of, job } if of == life => self.script_ended(sentinel, job),
            Event::RegistrarHears { sentinel, life: of, answer } if of == life => {
                self.registrar_hears(sentinel, *answer);
            }
            Event::RegistrarRings { sentinel, life: of, bell } if of == life => {
                self.registrar_rings(sentinel, *bell);
            }
            Event::Reconnect { redis, life: of } if of == life => self.redis_reconnects(redis),
            Event::Cron { redis, life: of } if of == life => self.redis_cron(redis),
            Event::Loaded { redis, life: of } if of == life => self.redis_loaded(redis),
            _ => {}
        }
    }

    fn dispatch_global(&mut self, event: Event) {
        match event {
            Event::Syn { conn, attempt } => self.syn(conn, attempt),
            Event::ClientTurn { client } => self.client_turn(client),
            Event::ClientLearns { client, turn, master } => self.client_learns(client, turn, master),
            Event::ClientAcked { client, turn, data } => self.client_acked(client, turn, data),
            Event::ConsulHears(ask) => self.consul_hears(*ask),
            Event::SessionDue(session) => self.session_due(session),
            Event::Step(step, era) if era == self.era => self.apply(*step),
            _ => {}
        }
    }

    /// A connection attempt reaches a machine. Its kernel answers, whatever the process does.
    fn syn(&mut self, id: ConnId, attempt: u8) {
        let Some(conn) = self.net.conn(id) else { return };
        if !conn.client.open {
            return self.net.free_if_closed(id);
        }
        let process = &self.processes[conn.server.node.index()];
        match process.life {
            Life::Vanished => self.net.syn_lost(&mut self.queue, self.now, id, attempt),
            life => self.net.answer_syn(&mut self.queue, self.now, id, life == Life::Running),
        }
    }

    fn established(&mut self, node: NodeId, id: ConnId, result: Result<(), consentinel_core::LinkError>) {
        let Some(conn) = self.net.conn_mut(id) else { return };
        if !conn.client.open {
            return self.net.free_if_closed(id);
        }
        if result.is_err() {
            conn.client.open = false;
        }
        let (purpose, tag) = (conn.purpose, conn.client_tag);
        self.net.free_if_closed(id);
        match self.processes[node.index()].role {
            Role::Sentinel(sentinel) => self.link_answered(sentinel, tag, result),
            Role::Redis(redis) if purpose == Purpose::Replication => {
                self.upstream_answered(redis, id, result)
            }
            _ => {}
        }
    }

    fn arrive(&mut self, node: NodeId, id: ConnId, to_server: bool, message: Message) {
        let Some(conn) = self.net.conn_mut(id) else { return };
        let running = self.processes[node.index()].running();
        if !conn.end(to_server).open {
            // The machine knows no such connection, and says so.
            if running && !matches!(message, Message::Close) && conn.end(!to_server).open {
                let other = &mut self.net;
                other.send(
                    &mut self.queue,
                    self.now,
                    id,
                    !to_server,
                    Message::Close,
                    std::time::Duration::ZERO,
                );
            }
            return;
        }
        let purpose = conn.purpose;
        let tag = if to_server { conn.server_tag } else { conn.client_tag };
        let closes = matches!(message, Message::Close);
        if closes {
            conn.end(to_server).open = false;
        }
        match (self.processes[node.index()].role, to_server, purpose) {
            (Role::Sentinel(sentinel), false, _) => self.link_message(sentinel, tag, message),
            (Role::Sentinel(sentinel), true, _) => self.inbound_message(sentinel, id, tag, message),
            (Role::Redis(redis), true, Purpose::Replication) => self.downstream_message(redis, id, message),
            (Role::Redis(redis), true, _) => self.redis_command(redis, id, message),
            (Role::Redis(redis), false, _) => self.upstream_message(redis, id, message),
            (Role::Client | Role::Consul, _, _) => {}
        }
        if closes {
            self.net.free_if_closed(id);
        }
    }

    /// Lets a paused process go on: everything that waited reaches it now, in order.
    pub(crate) fn resume(&mut self, node: NodeId) {
        let process = &mut self.processes[node.index()];
        process.paused = false;
        let backlog = std::mem::take(&mut process.backlog);
        if let Role::Sentinel(sentinel) = process.role {
            self.sentinel(sentinel).resuming = true;
            self.carry_out_all(sentinel);
            self.sentinel(sentinel).resuming = false;
        }
        for event in backlog {
            self.dispatch(event);
        }
    }

    /// Forgets what waited for a process that is no more.
    pub(crate) fn drop_backlog(&mut self, node: NodeId) {
        let process = &mut self.processes[node.index()];
        process.paused = false;
        process.backlog.clear();
    }
}
