//! The network: connections that keep order, paths between machines that delay, stall, cut or refuse.
//!
//! Everything rides on connections, as over TCP: within a connection nothing is lost or overtaken, but it may come
//! late, never, or the connection may break.

use crate::event::{Event, Message};
use crate::queue::Queue;
use consentinel_core::{LinkError, Rng, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// A process in the world: a sentinel, a Redis server or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u16);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection. The generation tells it from an earlier one that used the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId {
    index: u32,
    generation: u32,
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A sentinel's commands to a Redis server.
    Command,
    /// A sentinel's subscription on a Redis server.
    PubSub,
    /// A sentinel's commands to another sentinel.
    Sentinel,
    /// A replica's stream from its master.
    Replication,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    /// Whether the process behind it still holds it.
    pub(crate) open: bool,
    /// When the latest message under way to this end arrives.
    last: Time,
    /// What is stuck on its way to this end.
    held: VecDeque<Message>,
}

/// A connection from one process (the client) to another (the server).
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) purpose: Purpose,
    /// What the client's process calls it.
    pub(crate) client_tag: u64,
    /// What the server's process calls it; zero until it does.
    pub(crate) server_tag: u64,
}

impl Conn {
    pub(crate) fn end(&mut self, server: bool) -> &mut End {
        if server { &mut self.server } else { &mut self.client }
    }
}

/// The way from one machine to another, in that direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Messages pass.
    Open,
    /// Nothing passes and nobody is told. What was sent is sent again after the repair.
    Cut,
    /// Messages wait, in order, until they are released.
    Held,
    /// New connections are refused.
    Refused,
}

/// How the network of a world behaves when nobody disturbs it.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// The zone of each node.
    pub(crate) zones: Vec<u8>,
    /// Microseconds from zone to zone, at least.
    pub(crate) base: Vec<Vec<u64>>,
    /// Microseconds that may come on top.
    pub(crate) jitter: u64,
    /// How many messages of a hundred thousand are lost and sent again by TCP.
    pub(crate) stalls: u64,
}

impl Weather {
    /// One quick local network.
    pub(crate) fn lan(nodes: usize) -> Self {
        Weather { zones: vec![0; nodes], base: vec![vec![100]], jitter: 100, stalls: 0 }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

/// All connections and paths.
#[derive(Debug)]
pub(crate) struct Network {
    weather: Weather,
    paths: Vec<Path>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By how much messages from and to each node are slowed.
    slow: Vec<u32>,
    rng: Rng,
}

/// How often a connection attempt is repeated before it is given up, at doubling distances from a second.
const SYN_ATTEMPTS: u8 = 6;

impl Network {
    pub(crate) fn new(weather: Weather, rng: Rng) -> Self {
        let nodes = weather.zones.len();
        Network {
            weather,
            paths: vec![Path::Open; nodes * nodes],
            slots: Vec::new(),
            free: Vec::new(),
            slow: vec![1; nodes],
            rng,
        }
    }

    fn path_index(&self, from: NodeId, to: NodeId) -> usize {
        from.index() * self.slow.len() + to.index()
    }

    /// The state of the way from one node to another.
    pub(crate) fn path(&self, from: NodeId, to: NodeId) -> Path {
        self.paths[self.path_index(from, to)]
    }

    /// Slows a node's traffic down.
    pub(crate) fn set_slow(&mut self, node: NodeId, factor: u32) {
        self.slow[node.index()] = factor;
    }

    /// Whether a node's traffic is slowed down.
    pub(crate) fn is_slow(&self, node: NodeId) -> bool {
        self.slow[node.index()] > 1
    }

    /// How long one message takes at most where nobody interferes, and whether some are lost and sent again.
    pub(crate) fn longest_latency(&self) -> (Duration, bool) {
        let base = self.weather.base.iter().flatten().max().copied().unwrap_or_default();
        (Duration::from_micros(base + self.weather.jitter), self.weather.stalls > 0)
    }

    /// How long one message takes.
    pub(crate) fn latency(&mut self, from: NodeId, to: NodeId) -> Duration {
        let zone = |node: NodeId| usize::from(self.weather.zones[node.index()]);
        let mut micros = self.weather.base[zone(from)][zone(to)] + self.rng.below(self.weather.jitter);
        let slow = self.slow[from.index()].max(self.slow[to.index()]);
        if slow > 1 {
            micros = micros.max(200) * u64::from(slow);
        }
        if self.weather.stalls > 0 && self.rng.below(100_000) < self.weather.stalls {
            micros += 200_000 + self.rng.below(600_000);
        }
        Duration::from_micros(micros)
    }

    pub(crate) fn conn(&self, id: ConnId) -> Option<&Conn> {
        let slot = self.slots.get(id.index as usize)?;
        slot.conn.as_ref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.conn.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// All connections.
    pub(crate) fn conns(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = ConnId { index: index as u32, generation: slot.generation };
            Some((id, slot.conn.as_ref()?))
        })
    }

    /// Begins a connection attempt.
    pub(crate) fn connect(
        &mut self,
        queue: &mut Queue,
        now: Time,
        ends: (NodeId, NodeId),
        purpose: Purpose,
        client_tag: u64,
    ) -> ConnId {
        let end = |node, open| End { node, open, last: Time::ZERO, held: VecDeque::new() };
        let conn = Conn {
            client: end(ends.0, true),
            server: end(ends.1, false),
            purpose,
            client_tag,
            server_tag: 0,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        slot.conn = Some(conn);
        let id = ConnId { index, generation: slot.generation };
        self.send_syn(queue, now, id, 0);
        id
    }

    /// Sends a connection attempt on its way, or plans the next one when the way is closed.
    pub(crate) fn send_syn(&mut self, queue: &mut Queue, now: Time, id: ConnId, attempt: u8) {
        let Some(conn) = self.conn(id) else { return };
        let (from, to) = (conn.client.node, conn.server.node);
        match (self.path(from, to), self.path(to, from)) {
            (Path::Open, Path::Open) => {
                let at = now + self.latency(from, to);
                queue.push(at, Event::Syn { conn: id, attempt });
            }
            (Path::Refused, _) | (_, Path::Refused) => {
                let at = now + self.latency(from, to);
                queue.push(at, Event::Established { conn: id, result: Err(LinkError::Refused) });
            }
            _ => self.syn_lost(queue, now, id, attempt),
        }
    }

    /// Nobody answers: try again later, or give up.
    pub(crate) fn syn_lost(&mut self, queue: &mut Queue, now: Time, id: ConnId, attempt: u8) {
        let at = now + Duration::from_secs(1 << attempt);
        if attempt + 1 < SYN_ATTEMPTS {
            queue.push(at, Event::Syn { conn: id, attempt: attempt + 1 });
        } else {
            let result = Err(LinkError::Unreachable("timed out".into()));
            queue.push(at, Event::Established { conn: id, result });
        }
    }

    /// The other machine's answer to a connection attempt.
    pub(crate) fn answer_syn(&mut self, queue: &mut Queue, now: Time, id: ConnId, accept: bool) {
        let Some(conn) = self.conn_mut(id) else { return };
        conn.server.open = accept;
        let (from, to) = (conn.server.node, conn.client.node);
        let at = now + self.latency(from, to);
        if let Some(conn) = self.conn_mut(id) {
            conn.client.last = at;
        }
        let result = if accept { Ok(()) } else { Err(LinkError::Refused) };
        queue.push(at, Event::Established { conn: id, result });
    }

    /// Sends a message; `extra` is how long the sender needs before it is out.
    pub(crate) fn send(
        &mut self,
        queue: &mut Queue,
        now: Time,
        id: ConnId,
        to_server: bool,
        message: Message,
        extra: Duration,
    ) {
        let Some(conn) = self.conn_mut(id) else { return };
        let (from, to) = (conn.end(!to_server).node, conn.end(to_server).node);
        let stuck = !conn.end(to_server).held.is_empty();
        if stuck || matches!(self.path(from, to), Path::Cut | Path::Held) {
            if let Some(conn) = self.conn_mut(id) {
                conn.end(to_server).held.push_back(message);
            }
            return;
        }
        let at = now + extra + self.latency(from, to);
        if let Some(conn) = self.conn_mut(id) {
            let end = conn.end(to_server);
            end.last = end.last.max(at);
            let at = end.last;
            queue.push(at, Event::Arrive { conn: id, to_server, message });
        }
    }

    /// A process closes its end, and the other end is told; `silently` when its machine vanished.
    pub(crate) fn close(&mut self, queue: &mut Queue, now: Time, id: ConnId, server: bool, silently: bool) {
        let Some(conn) = self.conn_mut(id) else { return };
        if !conn.end(server).open {
            return;
        }
        conn.end(server).open = false;
        conn.end(server).held.clear();
        if !silently && conn.end(!server).open {
            self.send(queue, now, id, !server, Message::Close, Duration::ZERO);
        }
        self.free_if_closed(id);
    }

    /// Forgets a connection that neither end holds.
    pub(crate) fn free_if_closed(&mut self, id: ConnId) {
        if self.conn(id).is_some_and(|conn| !conn.client.open && !conn.server.open) {
            self.slots[id.index as usize].conn = None;
            self.free.push(id.index);
        }
    }

    /// Breaks a connection: both ends are told.
    pub(crate) fn reset(&mut self, queue: &mut Queue, now: Time, id: ConnId) {
        for to_server in [false, true] {
            if self.conn_mut(id).is_some_and(|conn| conn.end(to_server).open) {
                let at = now + Duration::from_micros(self.rng.below(1000));
                queue.push(at, Event::Arrive { conn: id, to_server, message: Message::Close });
            }
        }
    }

    /// Changes the way from one node to another. What was stuck on it is sent on when it opens.
    pub(crate) fn set_path(&mut self, queue: &mut Queue, now: Time, from: NodeId, to: NodeId, path: Path) {
        let index = self.path_index(from, to);
        let before = std::mem::replace(&mut self.paths[index], path);
        if path == Path::Refused || (path == Path::Open && before != Path::Open) {
            for id in self.conns().map(|(id, _)| id).collect::<Vec<_>>() {
                self.reopen(queue, now, id, (from, to), before == Path::Cut, path == Path::Refused);
            }
        }
    }

    fn reopen(
        &mut self,
        queue: &mut Queue,
        now: Time,
        id: ConnId,
        way: (NodeId, NodeId),
        cut: bool,
        refused: bool,
    ) {
        for to_server in [false, true] {
            let Some(conn) = self.conn_mut(id) else { return };
            if (conn.end(!to_server).node, conn.end(to_server).node) != way {
                continue;
            }
            let held = std::mem::take(&mut conn.end(to_server).held);
            if refused || (cut && self.rng.per_mille(50)) {
                self.reset(queue, now, id);
                return;
            }
            // TCP notices the repair with its next attempt.
            let mut extra = if cut { self.rng.span(Duration::from_millis(400)) } else { Duration::ZERO };
            for message in held {
                self.send(queue, now, id, to_server, message, extra);
                extra = Duration::ZERO;
            }
        }
    }
}
