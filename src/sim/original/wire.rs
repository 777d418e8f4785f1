//! The connections to one instance, with the times by which the original judges it.

use super::instance::Who;
use super::world::World;
use consentinel_core::{CallId, Command, Endpoint, LinkId, LinkKind};
use std::net::IpAddr;
use std::sync::Arc;

/// Milliseconds on the wall clock.
pub(super) type Millis = i64;

/// No more than this may be under way without an answer.
const MAX_PENDING: usize = 100;

/// One connection; what is sent before it stands waits.
pub(super) struct Conn {
    pub(super) link: LinkId,
    /// Our own address on it, once it stands.
    pub(super) local: Option<IpAddr>,
    since: Millis,
    waiting: Vec<(CallId, Command)>,
}

/// What a call was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Ping,
    Info,
    Publish,
    IsDown,
    /// The answer does not matter.
    Discard,
}

/// The original's `instanceLink`.
pub(super) struct Wire {
    pub(super) addr: Endpoint,
    pub(super) command: Option<Conn>,
    pub(super) pubsub: Option<Conn>,
    /// Set when either connection is lost, cleared when both are at least being opened.
    pub(super) disconnected: bool,
    pub(super) pending: usize,
    pub(super) pubsub_activity: Millis,
    pub(super) last_avail: Millis,
    /// When the first ping was sent that has no answer yet.
    pub(super) act_ping: Option<Millis>,
    pub(super) last_ping: Millis,
    pub(super) last_pong: Millis,
    last_reconnect: Millis,
}

impl Wire {
    pub(super) fn new(addr: Endpoint, now: Millis) -> Self {
        Wire {
            addr,
            command: None,
            pubsub: None,
            disconnected: true,
            pending: 0,
            pubsub_activity: 0,
            last_avail: now,
            // Not connected counts as a ping without an answer.
            act_ping: Some(now),
            last_ping: 0,
            last_pong: now,
            last_reconnect: 0,
        }
    }

    /// As `sentinelResetMaster` leaves it.
    pub(super) fn reset(&mut self, addr: Endpoint, world: &mut World) {
        self.close(world);
        self.addr = addr;
        (self.act_ping, self.last_ping) = (Some(world.now), 0);
        (self.last_avail, self.last_pong) = (world.now, world.now);
    }

    pub(super) fn is_full(&self, shared_by: usize) -> bool {
        self.pending >= MAX_PENDING * shared_by.max(1)
    }

    /// Opens what is missing, at most once a ping period.
    pub(super) fn reconnect(&mut self, who: &Who, world: &mut World) {
        let Some(ip) = self.addr.host.ip() else { return };
        if !self.disconnected || self.addr.port == 0 {
            return;
        }
        if world.now - self.last_reconnect < world.ping_period() {
            return;
        }
        self.last_reconnect = world.now;
        let is_peer = who.is_peer();
        if self.command.is_none() {
            let kind = if is_peer { LinkKind::Sentinel } else { LinkKind::Command };
            self.command = Some(open(world, who, &self.addr, ip, kind));
            self.pending = 0;
            self.introduce(who, "cmd", world);
            self.ping(who, world);
        }
        if !is_peer && self.pubsub.is_none() {
            let mut conn = open(world, who, &self.addr, ip, LinkKind::PubSub);
            let call = world.next_call(conn.link, who, Purpose::Discard);
            conn.waiting.push((call, Command::Subscribe));
            self.pubsub = Some(conn);
            self.pubsub_activity = world.now;
        }
        self.disconnected = false;
    }

    fn introduce(&mut self, who: &Who, kind: &str, world: &mut World) {
        if let Some(auth) = world.auth_for(who) {
            self.send(Command::Auth(auth), Purpose::Discard, who, world);
        }
        let name = format!("sentinel-{}-{kind}", &world.myid.as_str()[..8.min(world.myid.as_str().len())]);
        self.send(Command::SetName(name), Purpose::Discard, who, world);
    }

    /// Sends a command, or keeps it until the connection stands. False when there is none.
    pub(super) fn send(&mut self, command: Command, purpose: Purpose, who: &Who, world: &mut World) -> bool {
        let Some(conn) = &mut self.command else { return false };
        let call = world.next_call(conn.link, who, purpose);
        self.pending += 1;
        match conn.local {
            Some(_) => world.call(conn.link, call, command),
            None => conn.waiting.push((call, command)),
        }
        true
    }

    pub(super) fn ping(&mut self, who: &Who, world: &mut World) {
        if self.send(Command::Ping, Purpose::Ping, who, world) {
            self.last_ping = world.now;
            self.act_ping.get_or_insert(world.now);
        }
    }

    /// A connection stands: what waited goes out.
    pub(super) fn opened(&mut self, link: LinkId, local: IpAddr, world: &mut World) {
        let both = [&mut self.command, &mut self.pubsub];
        for conn in both.into_iter().flatten().filter(|conn| conn.link == link) {
            conn.local = Some(local);
            for (call, command) in std::mem::take(&mut conn.waiting) {
                world.call(link, call, command);
            }
        }
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, link: LinkId, world: &mut World) {
        for conn in [&mut self.command, &mut self.pubsub] {
            conn.take_if(|conn| conn.link == link);
        }
        self.disconnected = true;
        world.forget(link);
    }

    /// Closes both connections.
    pub(super) fn close(&mut self, world: &mut World) {
        self.close_command(world);
        self.close_pubsub(world);
    }

    fn close_command(&mut self, world: &mut World) {
        if let Some(conn) = self.command.take() {
            self.pending = 0;
            self.disconnected = true;
            world.disconnect(conn.link);
        }
    }

    fn close_pubsub(&mut self, world: &mut World) {
        if let Some(conn) = self.pubsub.take() {
            self.disconnected = true;
            world.disconnect(conn.link);
        }
    }

    /// Closes connections that are open but silent, so that they are opened again.
    pub(super) fn close_if_silent(&mut self, down_after: Millis, world: &mut World) {
        let (now, least_age) = (world.now, world.min_link_reconnect_period());
        let is_old = |conn: &Option<Conn>| conn.as_ref().is_some_and(|conn| now - conn.since > least_age);
        let ping_late = self.act_ping.is_some_and(|since| now - since > down_after / 2);
        if is_old(&self.command) && ping_late && now - self.last_pong > down_after / 2 {
            self.close_command(world);
        }
        if is_old(&self.pubsub) && now - self.pubsub_activity > world.publish_period() * 3 {
            self.close_pubsub(world);
        }
    }

    /// For how long it has been silent.
    pub(super) fn silence(&self, now: Millis) -> Millis {
        match self.act_ping {
            Some(since) => now - since,
            None if self.disconnected => now - self.last_avail,
            None => 0,
        }
    }
}

fn open(world: &mut World, who: &Who, to: &Endpoint, ip: IpAddr, kind: LinkKind) -> Conn {
    let link = world.connect(who, to.clone(), ip, kind, Arc::default());
    Conn { link, local: None, since: world.now, waiting: Vec::new() }
}
