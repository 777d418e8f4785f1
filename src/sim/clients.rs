//! Clients: they ask a sentinel where the master is, write to it, and remember what was acknowledged.

use crate::data::DataRef;
use crate::event::{Event, Piece};
use crate::network::{NodeId, Path};
use crate::world::World;
use consentinel_core::{Endpoint, Time};
use std::time::Duration;

/// A client of one group.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) node: NodeId,
    pub(crate) group: u16,
    /// Whether its writes count for it only when a replica has them (WAIT 1). Such a client writes more often.
    pub(crate) waits: bool,
    /// When it last began something.
    began: Time,
    /// Where it thinks that the master is.
    master: Option<Endpoint>,
    /// Counts what it does: an answer to an older question is ignored.
    turn: u32,
    /// Whether the last thing that it did has been answered.
    answered: bool,
    /// How often it wrote to this master without asking again.
    writes: u32,
    /// The acknowledged writes, each by the data set that it made.
    pub(crate) acked_writes: Vec<DataRef>,
}

impl Client {
    /// A client that waits for replicas.
    pub(crate) fn waiting(node: NodeId, group: u16) -> Self {
        Client { waits: true, ..Client::new(node, group) }
    }

    pub(crate) fn new(node: NodeId, group: u16) -> Self {
        Client {
            node,
            group,
            waits: false,
            began: Time::ZERO,
            master: None,
            turn: 0,
            answered: true,
            writes: 0,
            acked_writes: Vec::new(),
        }
    }
}

/// How long a client waits for an answer, and between two writes.
const PATIENCE: Duration = Duration::from_millis(1000);
/// Between two writes of a client that waits for replicas.
const EAGER: Duration = Duration::from_millis(40);
/// So many writes, for a tenth of a second.
const BURST: u32 = 500;
/// After so many writes it asks again.
const TRUST: u32 = 10;

impl World {
    pub(crate) fn client(&mut self, client: u16) -> &mut Client {
        &mut self.clients[usize::from(client)]
    }

    pub(crate) fn passes(&self, from: NodeId, to: NodeId) -> bool {
        self.net.path(from, to) == Path::Open
    }

    /// A client does its next thing.
    pub(crate) fn client_turn(&mut self, index: u16) {
        let now = self.now;
        let client = &mut self.clients[usize::from(index)];
        let (pause, trust) = if client.waits { (EAGER, TRUST * 3) } else { (PATIENCE, TRUST) };
        if !client.answered && client.waits && now < client.began + PATIENCE {
            return self.queue.push(now + pause, Event::ClientTurn { client: index });
        }
        client.began = now;
        if !client.answered || client.writes >= trust {
            client.master = None;
        }
        client.turn += 1;
        client.answered = false;
        let (turn, node, master) = (client.turn, client.node, client.master.clone());
        self.queue.push(now + pause, Event::ClientTurn { client: index });
        match master {
            None => {
                let sentinel = self.rng.below(self.sentinels.len() as u64) as u16;
                let target = self.sentinels[usize::from(sentinel)].node;
                if self.passes(node, target) {
                    let at = now + self.net.latency(node, target);
                    self.queue.push(at, Event::ClientAsks { client: index, sentinel, turn });
                }
            }
            Some(master) => {
                self.client(index).writes += 1;
                let ip = self.addresses.resolve(&master.host);
                let target = ip.and_then(|ip| self.addresses.listener(ip, master.port));
                let Some(target) = target.filter(|target| self.passes(node, *target)) else { return };
                let process = &self.processes[target.index()];
                let crate::world::Role::Redis(redis) = process.role else { return };
                let life = process.number;
                let at = now + self.net.latency(node, target);
                self.queue.push(at, Event::ClientWrites { client: index, redis, life, turn });
            }
        }
    }

    /// A client writes to the master more often than clients do, for a while. Which one.
    pub(crate) fn burst(&mut self, group: u16, from: Time) -> Option<usize> {
        let client = self.clients.iter().position(|client| client.group == group && !client.waits)?;
        let redis = self.master_of(group)?;
        let life = self.processes[self.redises[usize::from(redis)].node.index()].number;
        let turn = self.clients[client].turn;
        for step in 0..BURST {
            let at = from + Duration::from_micros(200) * step;
            self.queue.push(at, Event::ClientWrites { client: client as u16, redis, life, turn });
        }
        Some(client)
    }

    /// What the master of a group holds, as the first sentinel knows it.
    pub(crate) fn held_by_master(&self, group: u16) -> DataRef {
        self.master_of(group).map_or(DataRef::EMPTY, |redis| self.redises[usize::from(redis)].data)
    }

    fn master_of(&self, group: u16) -> Option<u16> {
        let view = self.sentinels.first()?.brain.group(&self.groups[usize::from(group)].name)?;
        let node = self.addresses.node(&view.address)?;
        match self.processes[node.index()].role {
            crate::world::Role::Redis(redis) => Some(redis),
            _ => None,
        }
    }

    /// A client's question reaches a sentinel.
    pub(crate) fn client_asks(&mut self, client: u16, sentinel: u16, turn: u32) {
        let (asker, group) = (self.client(client).node, self.client(client).group);
        let name = self.groups[usize::from(group)].name.clone();
        let master = self.sentinel(sentinel).brain.group(&name).map(|view| view.address);
        let node = self.sentinel(sentinel).node;
        if self.passes(node, asker) {
            let at = self.now + self.net.latency(node, asker);
            self.queue.push(at, Event::ClientLearns { client, turn, master });
        }
    }

    /// The answer reaches the client, which goes on with a write at once.
    pub(crate) fn client_learns(&mut self, index: u16, turn: u32, master: Option<Endpoint>) {
        let client = self.client(index);
        if client.turn == turn {
            client.answered = true;
            client.master = master;
            client.writes = 0;
        }
    }

    /// A write reaches a server.
    pub(crate) fn client_writes(&mut self, client: u16, redis: u16, turn: u32) {
        let now = self.now;
        let server = &mut self.redises[usize::from(redis)];
        if server.settled.remove(&(client, turn)) {
            return;
        }
        if server.fails_over {
            // For how long nobody knows: the client gives up.
            return;
        }
        if now < server.holds_until && server.is_master() {
            // It is looked at again in a moment: the hold may have ended.
            server.held.insert((client, turn));
            let life = self.processes[server.node.index()].number;
            let again = self.now + Duration::from_millis(1);
            return self.queue.push(again, Event::ClientWrites { client, redis, life, turn });
        }
        server.held.remove(&(client, turn));
        let accepts = server.is_master() && !server.loading;
        let node = server.node;
        if accepts && self.client(client).waits {
            return self.write_and_wait(client, redis, turn);
        }
        let data = accepts.then(|| self.write(redis));
        let asker = self.client(client).node;
        if self.passes(node, asker) {
            let at = self.now + self.net.latency(node, asker);
            self.queue.push(at, Event::ClientAcked { client, turn, data });
        }
    }

    /// A master carries out a write.
    pub(crate) fn write(&mut self, redis: u16) -> DataRef {
        let before = self.redis(redis).data;
        let data = self.writes.append(before);
        self.redis(redis).data = data;
        let bytes = 40 + self.rng.below(200);
        self.append(redis, bytes, Piece::Write(data));
        data
    }

    /// The server's answer reaches the client.
    pub(crate) fn client_acked(&mut self, index: u16, turn: u32, data: Option<DataRef>) {
        let client = self.client(index);
        if client.turn != turn {
            return;
        }
        match data {
            Some(data) => {
                client.answered = true;
                client.acked_writes.push(data);
                let waits = client.waits;
                self.stats.acknowledged += 1;
                self.stats.confirmed += u64::from(waits);
            }
            None => client.master = None,
        }
    }
}
