//! A Redis server: its role, its history of writes, what it says of itself and what sentinels may ask of it.

use crate::addresses::endpoint;
use crate::data::DataRef;
use crate::event::{Entry, Event, Message, Piece};
use crate::invariants::WriteHold;
use crate::network::{ConnId, NodeId, Purpose};
use crate::step::Finds;
use crate::waiting::Unconfirmed;
use crate::world::{Role as WorldRole, World};
use consentinel_core::{CallId, Command, Endpoint, Hello, Info, Offset, Reply, Role, RunId, Time};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What its operator decided.
#[derive(Clone, Debug)]
pub(crate) struct RedisSettings {
    pub(crate) priority: u32,
    /// How long it reads its data after a start.
    pub(crate) load_time: Duration,
    /// How long a full synchronisation from it takes.
    pub(crate) sync_time: Duration,
    /// The stream that it keeps for replicas that come back, in bytes; zero: they always get everything.
    pub(crate) backlog: u64,
    /// The host name under which it announces itself, if any.
    pub(crate) announce: Option<Endpoint>,
}

/// A replica, as its master sees it.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) conn: ConnId,
    pub(crate) addr: Endpoint,
}

/// The master, as a replica sees it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) master: Endpoint,
    pub(crate) link: UpstreamLink,
    pub(crate) down_since: Time,
    /// When it last sent anything.
    pub(crate) heard: Time,
}

/// How far the link to the master has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamLink {
    /// There is none.
    None,
    /// It is being opened, or the stream was asked for.
    Opening(ConnId),
    /// A full synchronisation is under way.
    Syncing(ConnId),
    /// The stream flows.
    Online(ConnId),
}

impl UpstreamLink {
    pub(crate) fn conn(self) -> Option<ConnId> {
        match self {
            UpstreamLink::None => None,
            UpstreamLink::Opening(conn) | UpstreamLink::Syncing(conn) | UpstreamLink::Online(conn) => {
                Some(conn)
            }
        }
    }
}

/// A Redis server.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) node: NodeId,
    pub(crate) group: u16,
    pub(crate) settings: RedisSettings,
    pub(crate) run_id: RunId,
    /// Whom it follows; nobody: it is a master.
    pub(crate) upstream: Option<Upstream>,
    /// What its configuration file says about that.
    pub(crate) config_master: Option<Endpoint>,
    pub(crate) replid: RunId,
    /// The history that it followed before, and the first offset that is not of it any more.
    pub(crate) replid2: Option<(RunId, u64)>,
    pub(crate) offset: u64,
    /// Whether it could go on with its history at another master.
    pub(crate) has_history: bool,
    pub(crate) data: DataRef,
    pub(crate) stream: VecDeque<Entry>,
    /// The first offset that the kept stream holds.
    pub(crate) stream_start: u64,
    pub(crate) downstream: Vec<Downstream>,
    pub(crate) subscribers: Vec<ConnId>,
    pub(crate) loading: bool,
    /// Whether it hangs in a FAILOVER of its own: it holds writes back, and refuses to be turned.
    pub(crate) fails_over: bool,
    /// Until when it holds writes back.
    pub(crate) holds_until: Time,
    /// Who made it hold writes back, and since when.
    pub(crate) hold: Option<WriteHold>,
    /// Writes that wait until it does not hold them back any more: of whom, and which.
    pub(crate) held: BTreeSet<(u16, u32)>,
    /// Those of them that were answered, or cut off, meanwhile.
    pub(crate) settled: BTreeSet<(u16, u32)>,
    /// Writes under WAIT 1 that no replica has acknowledged yet.
    pub(crate) unconfirmed: Vec<Unconfirmed>,
    /// When it began its life with nothing where there had been something.
    pub(crate) emptied: Option<Time>,
}

impl Redis {
    pub(crate) fn is_master(&self) -> bool {
        self.upstream.is_none()
    }

    /// Whether the stream of its master flows.
    pub(crate) fn is_linked(&self) -> bool {
        matches!(self.upstream, Some(Upstream { link: UpstreamLink::Online(_), .. }))
    }

    /// What it says about itself.
    pub(crate) fn info(&self, now: Time, keys: u32) -> Info {
        let mut info = Info {
            run_id: Some(self.run_id.clone()),
            role: Some(if self.is_master() { Role::Master } else { Role::Replica }),
            loading: self.loading,
            keys: u64::from(keys),
            replid: Some(self.replid.clone()),
            former_replid: self.replid2.as_ref().map(|(id, _)| id.clone()),
            master_repl_offset: Offset(self.offset),
            replicas: self.downstream.iter().map(|replica| replica.addr.clone()).collect(),
            priority: self.settings.priority,
            ..Info::default()
        };
        if let Some(upstream) = &self.upstream {
            info.master = Some(upstream.master.clone());
            info.master_link_up = self.is_linked();
            info.syncing = matches!(upstream.link, UpstreamLink::Syncing(_));
            if !info.master_link_up {
                info.master_link_down = Duration::from_secs((now - upstream.down_since).as_secs());
            }
            info.repl_offset = Offset(if self.has_history { self.offset } else { 1 });
        }
        info
    }

    /// Adds to its stream.
    pub(crate) fn record(&mut self, entry: Entry) {
        self.offset = entry.end;
        self.stream.push_back(entry);
        while self.offset.saturating_sub(self.stream_start) > self.settings.backlog {
            match self.stream.pop_front() {
                Some(dropped) => self.stream_start = dropped.end + 1,
                None => break,
            }
        }
    }

    /// Begins a history of its own, which goes on from the one so far.
    pub(crate) fn fork_history(&mut self, replid: RunId) {
        let before = std::mem::replace(&mut self.replid, replid);
        self.replid2 = self.has_history.then_some((before, self.offset + 1));
        self.has_history = true;
    }

    /// Forgets the stream that it kept.
    pub(crate) fn drop_stream(&mut self) {
        self.stream.clear();
        self.stream_start = self.offset + 1;
    }
}

/// How long a hello is in a replication stream, roughly.
const PUBLISH_BYTES: u64 = 140;

impl World {
    /// Who it is, by index.
    pub(crate) fn redis(&mut self, redis: u16) -> &mut Redis {
        &mut self.redises[usize::from(redis)]
    }

    /// A command reaches a Redis server.
    pub(crate) fn redis_command(&mut self, redis: u16, conn: ConnId, message: Message) {
        let now = self.now;
        match message {
            Message::Ping(call) => self.answer(conn, call, Reply::Pong),
            Message::Info(call) => {
                let server = &self.redises[usize::from(redis)];
                let mut info = server.info(now, self.writes.count(server.data));
                if self.consul.is_some() {
                    info.replica_offsets = self.replica_offsets(redis);
                }
                self.answer(conn, call, Reply::Info(Arc::new(info)));
            }
            Message::Publish(call, hello) => {
                if self.redis(redis).loading {
                    return self.answer(conn, call, loading());
                }
                self.answer(conn, call, Reply::Ok);
                self.publish(redis, &hello);
                if self.redis(redis).is_master() {
                    self.append(redis, PUBLISH_BYTES, Piece::Publish(hello));
                }
            }
            Message::Command(call, command) => self.redis_order(redis, conn, call, *command),
            Message::Close => self.redis(redis).subscribers.retain(|subscriber| *subscriber != conn),
            _ => {}
        }
    }

    /// How far its replicas have come.
    fn replica_offsets(&self, redis: u16) -> Vec<(Endpoint, Offset)> {
        let offset = |replica: &Downstream| {
            let node = self.net.conn(replica.conn)?.client.node;
            let WorldRole::Redis(redis) = self.processes[node.index()].role else { return None };
            Some((replica.addr.clone(), Offset(self.redises[usize::from(redis)].offset)))
        };
        self.redises[usize::from(redis)].downstream.iter().filter_map(offset).collect()
    }

    fn redis_order(&mut self, redis: u16, conn: ConnId, call: CallId, command: Command) {
        match command {
            Command::Subscribe => {
                self.redis(redis).subscribers.push(conn);
                self.answer(conn, call, Reply::Ok);
            }
            Command::ReplicaOf(_) if self.redis(redis).loading => self.answer(conn, call, loading()),
            Command::ReplicaOfPlain(_) | Command::Demote(_) if self.redis(redis).loading => {
                self.answer(conn, call, loading());
            }
            Command::ReplicaOf(_) | Command::ReplicaOfPlain(_) | Command::Demote(_)
                if self.redis(redis).fails_over =>
            {
                let text = "ERR REPLICAOF not allowed while failing over.";
                self.answer(conn, call, Reply::Error(text.into()));
            }
            Command::AbortFailover => {
                let node = self.redis(redis).node;
                self.tell(node, || "ends its own FAILOVER".into());
                self.redis(redis).fails_over = false;
                self.answer(conn, call, Reply::Ok);
            }
            Command::ReplicaOf(master) => {
                self.answer(conn, call, Reply::Ok);
                self.redis_follows(redis, master.clone());
                self.redis(redis).config_master = master;
                self.kill_clients(redis, Some(conn));
            }
            Command::ReplicaOfPlain(master) => {
                self.answer(conn, call, Reply::Ok);
                self.redis_follows(redis, master);
            }
            Command::Demote(master) => {
                self.answer(conn, call, Reply::Ok);
                self.redis_follows(redis, Some(master));
                self.let_held_writes_pass(redis);
            }
            Command::CutClients => {
                self.answer(conn, call, Reply::Ok);
                self.kill_clients(redis, Some(conn));
            }
            Command::RewriteConfig => {
                self.answer(conn, call, Reply::Ok);
                let server = self.redis(redis);
                server.config_master = server.upstream.as_ref().map(|upstream| upstream.master.clone());
            }
            Command::HoldWrites(span) => {
                self.note_hold(redis, conn, span);
                let until = self.now + span;
                let server = self.redis(redis);
                server.holds_until = until.max(server.holds_until);
                self.answer(conn, call, Reply::Ok);
            }
            Command::LetWritesPass => {
                self.let_held_writes_pass(redis);
                self.answer(conn, call, Reply::Ok);
            }
            Command::ScriptKill => {
                self.answer(conn, call, Reply::Error("NOTBUSY No scripts in execution right now.".into()));
            }
            _ => self.answer(conn, call, Reply::Ok),
        }
    }

    /// CLIENT UNPAUSE.
    fn let_held_writes_pass(&mut self, redis: u16) {
        let server = self.redis(redis);
        server.holds_until = Time::ZERO;
        server.hold = None;
        for (client, turn) in std::mem::take(&mut server.held) {
            self.client_writes(client, redis, turn);
            self.redis(redis).settled.insert((client, turn));
        }
    }

    /// CLIENT KILL of clients and subscribers, all but the one who asked.
    fn kill_clients(&mut self, redis: u16, asker: Option<ConnId>) {
        let node = self.redis(redis).node;
        let killed: Vec<ConnId> = self
            .net
            .conns()
            .filter(|(id, conn)| {
                conn.server.node == node
                    && conn.server.open
                    && matches!(conn.purpose, Purpose::Command | Purpose::PubSub)
                    && Some(*id) != asker
            })
            .map(|(id, _)| id)
            .collect();
        for conn in killed {
            self.net.close(&mut self.queue, self.now, conn, true, false);
        }
        self.check_held_writes(redis, asker);
        let server = self.redis(redis);
        server.subscribers.clear();
        server.unconfirmed.clear();
        server.settled.append(&mut server.held);
    }

    pub(crate) fn answer(&mut self, conn: ConnId, call: CallId, reply: Reply) {
        let message = Message::Reply(call, reply);
        self.net.send(&mut self.queue, self.now, conn, false, message, Duration::ZERO);
    }

    /// A message reaches the subscribers of this server.
    pub(crate) fn publish(&mut self, redis: u16, hello: &Rc<Hello>) {
        let redis = &self.redises[usize::from(redis)];
        for conn in &redis.subscribers {
            let message = Message::Push(hello.clone());
            self.net.send(&mut self.queue, self.now, *conn, false, message, Duration::ZERO);
        }
    }

    /// Starts a Redis server's life.
    pub(crate) fn redis_starts(&mut self, redis: u16, finds: Finds) {
        let fresh = RunId::new(&self.rng.hex40());
        let run_id = RunId::new(&self.rng.hex40());
        let delay = self.rng.span(Duration::from_secs(1));
        let now = self.now;
        let server = self.redis(redis);
        server.run_id = run_id;
        server.fails_over = false;
        server.holds_until = Time::ZERO;
        server.hold = None;
        server.held.clear();
        server.settled.clear();
        server.unconfirmed.clear();
        server.downstream.clear();
        server.subscribers.clear();
        if finds != Finds::History {
            server.has_history = false;
            server.replid2 = None;
            server.offset = 0;
        }
        if finds == Finds::Nothing {
            server.emptied = (server.data != DataRef::EMPTY).then_some(now);
            server.data = DataRef::EMPTY;
        }
        server.upstream = server.config_master.clone().map(|master| Upstream {
            master,
            link: UpstreamLink::None,
            down_since: now,
            heard: now,
        });
        let reign = server.is_master().then(|| (server.node, server.run_id.clone()));
        if reign.is_some() {
            server.fork_history(fresh);
        } else if finds != Finds::History {
            server.replid = fresh;
        }
        server.drop_stream();
        let node = server.node;
        let load = if finds == Finds::Nothing { Duration::ZERO } else { server.settings.load_time };
        server.loading = load > Duration::ZERO;
        self.witness.reigns.extend(reign);
        let life = self.processes[node.index()].number;
        if load > Duration::ZERO {
            self.queue.push(now + load, Event::Loaded { redis, life });
        } else {
            self.redis_loaded(redis);
        }
        self.queue.push(now + Duration::from_secs(9) + delay, Event::Cron { redis, life });
    }

    pub(crate) fn redis_loaded(&mut self, redis: u16) {
        self.redis(redis).loading = false;
        if !self.redis(redis).is_master() {
            self.redis_reconnects(redis);
        }
    }

    /// Every ten seconds: the master's sign of life, and the replica's doubt when it does not come.
    pub(crate) fn redis_cron(&mut self, redis: u16) {
        let now = self.now;
        let server = self.redis(redis);
        if server.is_master() && !server.downstream.is_empty() {
            self.append(redis, 14, Piece::Ping);
        }
        let silent = self.redis(redis).upstream.as_ref().is_some_and(|upstream| {
            now - upstream.heard > REPL_TIMEOUT && upstream.link != UpstreamLink::None
        });
        if silent {
            self.drop_upstream(redis);
            self.redis_retries(redis);
        }
        let life = self.processes[self.redises[usize::from(redis)].node.index()].number;
        self.queue.push(now + Duration::from_secs(10), Event::Cron { redis, life });
    }

    /// A full synchronisation put one data set in the place of another.
    pub(crate) fn note_full_sync(&mut self, redis: u16, before: DataRef, after: DataRef) {
        if self.writes.contains(after, before) {
            return;
        }
        let lost = self.writes.count(before) - self.writes.count(self.writes.common(before, after));
        self.stats.rolled_back += 1;
        self.stats.wiped += u64::from(self.writes.common(before, after) == DataRef::EMPTY);
        let name = self.addresses.name(self.redises[usize::from(redis)].node);
        self.story
            .tell(self.now, || format!("{name} copies its master's data and loses {lost} writes of its own"));
    }

    /// A server's own address, as it announces it to whom it follows.
    pub(crate) fn announced(&self, redis: u16) -> Endpoint {
        let server = &self.redises[usize::from(redis)];
        let (ip, port) = (self.addresses.ip(server.node), crate::addresses::REDIS_PORT);
        server.settings.announce.clone().unwrap_or_else(|| endpoint(ip, port))
    }
}

const REPL_TIMEOUT: Duration = Duration::from_secs(60);

fn loading() -> Reply {
    Reply::Error("LOADING Redis is loading the dataset in memory".into())
}
