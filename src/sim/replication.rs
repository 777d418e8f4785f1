//! Replication: who follows whom, partial and full synchronisation, and the stream.

use crate::event::{Entry, Event, Message, Piece};
use crate::network::{ConnId, Purpose};
use crate::redis::{Downstream, Upstream, UpstreamLink};
use crate::world::World;
use consentinel_core::{Endpoint, LinkError, RunId};
use std::time::Duration;

/// What a master that is asked for its stream can do.
enum Answer {
    /// It has nothing to give now.
    Refuse,
    /// The stream goes on after this offset.
    Continue(u64),
    /// Everything has to be sent.
    Full,
}

impl World {
    /// REPLICAOF.
    pub(crate) fn redis_follows(&mut self, redis: u16, master: Option<Endpoint>) {
        let now = self.now;
        let current = self.redis(redis).upstream.as_ref().map(|upstream| upstream.master.clone());
        if current == master {
            return;
        }
        let name = self.addresses.name(self.redises[usize::from(redis)].node).to_owned();
        let whom = master.as_ref().map(|master| self.addresses.call(master));
        self.story.tell(now, || match whom {
            Some(master) => format!("{name} follows {master}"),
            None => format!("{name} is a master now"),
        });
        self.drop_upstream(redis);
        self.drop_downstream(redis);
        match master {
            None => {
                let replid = RunId::new(&self.rng.hex40());
                let server = self.redis(redis);
                server.upstream = None;
                server.fork_history(replid);
                let reign = (server.node, server.run_id.clone());
                self.witness.reigns.insert(reign);
            }
            Some(master) => {
                // A master that becomes a replica keeps its history: it may be able to go on.
                let link = UpstreamLink::None;
                let server = self.redis(redis);
                server.upstream = Some(Upstream { master, link, down_since: now, heard: now });
                server.unconfirmed.clear();
                self.redis_reconnects(redis);
            }
        }
    }

    /// Tries again in up to a second.
    pub(crate) fn redis_retries(&mut self, redis: u16) {
        let at = self.now + Duration::from_millis(100) + self.rng.span(Duration::from_millis(900));
        let life = self.processes[self.redises[usize::from(redis)].node.index()].number;
        self.queue.push(at, Event::Reconnect { redis, life });
    }

    /// A replica without a link tries to reach its master.
    pub(crate) fn redis_reconnects(&mut self, redis: u16) {
        let now = self.now;
        let server = &self.redises[usize::from(redis)];
        let Some(upstream) = &server.upstream else { return };
        if upstream.link != UpstreamLink::None || server.loading {
            return;
        }
        let ip = self.addresses.resolve(&upstream.master.host);
        let target = ip.and_then(|ip| self.addresses.listener(ip, upstream.master.port));
        let node = server.node;
        let reachable = target.filter(|target| *target != node);
        let Some(target) = reachable else { return self.redis_retries(redis) };
        let conn = self.net.connect(&mut self.queue, now, (node, target), Purpose::Replication, 0);
        if let Some(upstream) = &mut self.redis(redis).upstream {
            upstream.link = UpstreamLink::Opening(conn);
            upstream.heard = now;
        }
    }

    /// The connection to the master stands, or it does not.
    pub(crate) fn upstream_answered(&mut self, redis: u16, conn: ConnId, result: Result<(), LinkError>) {
        let from = self.announced(redis);
        let server = self.redis(redis);
        let Some(upstream) = &mut server.upstream else { return };
        if upstream.link != UpstreamLink::Opening(conn) {
            return;
        }
        if result.is_err() {
            upstream.link = UpstreamLink::None;
            return self.redis_retries(redis);
        }
        let history = server.has_history.then(|| (server.replid.clone(), server.offset));
        let message = Message::Psync { history, from };
        self.net.send(&mut self.queue, self.now, conn, true, message, Duration::ZERO);
    }

    /// A replica says something to its master.
    pub(crate) fn downstream_message(&mut self, redis: u16, conn: ConnId, message: Message) {
        match message {
            Message::Psync { history, from } => match self.psync(redis, history) {
                Answer::Refuse => self.net.close(&mut self.queue, self.now, conn, true, false),
                Answer::Continue(after) => {
                    let replid = self.redis(redis).replid.clone();
                    self.admit(redis, conn, from);
                    self.send_down(conn, Message::Continue { replid }, Duration::ZERO);
                    let missed: Vec<Entry> =
                        self.redis(redis).stream.iter().filter(|entry| entry.end > after).cloned().collect();
                    for entry in missed {
                        self.send_down(conn, Message::Stream(entry), Duration::ZERO);
                    }
                }
                Answer::Full => {
                    let server = self.redis(redis);
                    let (replid, offset, data) = (server.replid.clone(), server.offset, server.data);
                    let time = server.settings.sync_time;
                    self.admit(redis, conn, from);
                    self.send_down(conn, Message::FullResync, Duration::ZERO);
                    self.send_down(conn, Message::Snapshot { replid, offset, data }, time);
                }
            },
            Message::Ack(offset) => self.confirm(redis, offset),
            Message::Close => self.redis(redis).downstream.retain(|replica| replica.conn != conn),
            _ => {}
        }
    }

    fn send_down(&mut self, conn: ConnId, message: Message, extra: Duration) {
        self.net.send(&mut self.queue, self.now, conn, false, message, extra);
    }

    fn admit(&mut self, redis: u16, conn: ConnId, addr: Endpoint) {
        let downstream = &mut self.redis(redis).downstream;
        downstream.retain(|replica| replica.addr != addr);
        downstream.push(Downstream { conn, addr });
    }

    fn psync(&mut self, redis: u16, history: Option<(RunId, u64)>) -> Answer {
        let server = self.redis(redis);
        if server.loading || (!server.is_master() && !server.is_linked()) {
            return Answer::Refuse;
        }
        let Some((replid, offset)) = history.filter(|_| server.settings.backlog > 0) else {
            return Answer::Full;
        };
        let same = replid == server.replid;
        let before = server.replid2.as_ref().is_some_and(|(id, end)| *id == replid && offset < *end);
        let kept = offset + 1 >= server.stream_start && offset <= server.offset;
        if (same || before) && kept { Answer::Continue(offset) } else { Answer::Full }
    }

    /// The master says something to its replica.
    pub(crate) fn upstream_message(&mut self, redis: u16, conn: ConnId, message: Message) {
        let now = self.now;
        let server = self.redis(redis);
        let Some(upstream) = &mut server.upstream else { return };
        if upstream.link.conn() != Some(conn) {
            return;
        }
        upstream.heard = now;
        match message {
            Message::Continue { replid } => {
                upstream.link = UpstreamLink::Online(conn);
                if replid != server.replid {
                    server.fork_history(replid);
                    self.drop_downstream(redis);
                }
            }
            Message::FullResync => {
                upstream.link = UpstreamLink::Syncing(conn);
                server.has_history = false;
                server.replid2 = None;
                self.drop_downstream(redis);
            }
            Message::Snapshot { replid, offset, data } => {
                upstream.link = UpstreamLink::Online(conn);
                server.has_history = true;
                server.replid = replid;
                server.offset = offset;
                server.drop_stream();
                let before = std::mem::replace(&mut server.data, data);
                self.note_full_sync(redis, before, data);
            }
            Message::Stream(entry) if entry.end > server.offset => self.replicate(redis, entry),
            Message::Close => {
                upstream.link = UpstreamLink::None;
                upstream.down_since = now;
                self.redis_retries(redis);
            }
            _ => {}
        }
    }

    /// A replica takes in a piece of the stream and passes it on.
    fn replicate(&mut self, redis: u16, entry: Entry) {
        match &entry.what {
            Piece::Write(data) => self.redis(redis).data = *data,
            Piece::Publish(hello) => {
                let hello = hello.clone();
                self.publish(redis, &hello);
            }
            Piece::GetAck => {
                let link = self.redis(redis).upstream.as_ref().and_then(|upstream| upstream.link.conn());
                if let Some(conn) = link {
                    let message = Message::Ack(entry.end);
                    self.net.send(&mut self.queue, self.now, conn, true, message, Duration::ZERO);
                }
            }
            Piece::Ping => {}
        }
        self.stream_out(redis, entry);
    }

    /// A master adds to its stream.
    pub(crate) fn append(&mut self, redis: u16, bytes: u64, what: Piece) {
        let end = self.redis(redis).offset + bytes;
        self.stream_out(redis, Entry { end, what });
    }

    fn stream_out(&mut self, redis: u16, entry: Entry) {
        let server = &mut self.redises[usize::from(redis)];
        for replica in &server.downstream {
            let message = Message::Stream(entry.clone());
            self.net.send(&mut self.queue, self.now, replica.conn, false, message, Duration::ZERO);
        }
        server.record(entry);
    }

    /// Leaves the master.
    pub(crate) fn drop_upstream(&mut self, redis: u16) {
        let now = self.now;
        let Some(upstream) = &mut self.redis(redis).upstream else { return };
        let link = std::mem::replace(&mut upstream.link, UpstreamLink::None);
        if matches!(link, UpstreamLink::Online(_)) {
            upstream.down_since = now;
            self.stats.streams_lost += 1;
        }
        if let Some(conn) = link.conn() {
            self.net.close(&mut self.queue, now, conn, false, false);
        }
    }

    /// Sends all replicas away, so that they ask again.
    pub(crate) fn drop_downstream(&mut self, redis: u16) {
        for replica in std::mem::take(&mut self.redis(redis).downstream) {
            self.net.close(&mut self.queue, self.now, replica.conn, true, false);
        }
    }
}
