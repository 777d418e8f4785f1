//! Another sentinel: one link and one liveness, shared by all groups that watch together with it.

use crate::channel::{Channel, Owner, Purpose, Renames};
use crate::context::Context;
use crate::ids::{GroupId, PeerId};
use crate::liveness::Liveness;
use crate::time::Beat;
use crate::timers::Key;
use crate::{Command, Endpoint, LinkId, LinkKind, Reply, SentinelId, Time};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub(crate) struct Peer {
    slot: PeerId,
    pub(crate) id: SentinelId,
    pub(crate) addr: Endpoint,
    pub(crate) channel: Channel,
    pub(crate) alive: Liveness,
    pub(crate) groups: BTreeSet<GroupId>,
    /// Silent for long enough that the groups watch for the end of their `down_after`.
    pub(crate) suspect: bool,
    /// Whether it has answered at all since this sentinel was started.
    pub(crate) heard: bool,
}

impl Peer {
    pub(crate) fn new(slot: PeerId, id: SentinelId, addr: Endpoint, beat: Beat, now: Time) -> Self {
        let channel = Channel::new(LinkKind::Sentinel, now);
        let (alive, groups) = (Liveness::new(beat, now), BTreeSet::new());
        Peer { slot, id, addr, channel, alive, groups, suspect: false, heard: false }
    }

    fn owner(&self) -> Owner {
        Owner::Peer(self.slot)
    }

    /// Does what is due. True when the groups should look at this peer again.
    pub(crate) fn advance(&mut self, cx: &mut Context) -> bool {
        let owner = self.owner();
        self.channel.advance(&self.addr, owner, &Renames::default(), cx);
        if cx.now >= self.alive.next_ping() && self.channel.call(Command::Ping, Purpose::Ping, cx) {
            self.alive.on_ping_sent(cx.now);
        }
        let reconnect = cx.config.timing.min_link_reconnect_period;
        let stale = self.channel.open_since().is_some_and(|since| cx.now >= since + reconnect)
            && self.alive.is_silent(reconnect, cx.now);
        if stale {
            self.channel.close(cx);
            self.alive.on_link_lost(cx.now);
        }
        let suspect = self.alive.is_silent(SUSPECT_AFTER, cx.now);
        let changed = suspect != self.suspect;
        self.suspect = suspect;
        self.schedule(reconnect, cx);
        changed
    }

    fn schedule(&self, reconnect: Duration, cx: &mut Context) {
        let mut at = self.channel.deadline(&self.addr);
        if let Some(since) = self.channel.open_since() {
            at = at.min(self.alive.next_ping());
            if let Some(silent) = self.alive.silent_since() {
                at = at.min((silent + reconnect).max(since + reconnect));
            }
        }
        if let (Some(silent), false) = (self.alive.silent_since(), self.suspect) {
            at = at.min(silent + SUSPECT_AFTER);
        }
        cx.timers.set(Key::Peer(self.slot), Some(at));
    }

    pub(crate) fn on_resolved(&mut self, ip: Option<IpAddr>, cx: &mut Context) {
        let owner = self.owner();
        self.channel.on_resolved(&self.addr, ip, owner, &Renames::default(), cx);
    }

    pub(crate) fn on_up(&mut self, link: LinkId, local: IpAddr, cx: &mut Context) {
        let auth = cx.config.sentinel_auth.clone();
        if self.channel.on_up(link, local, &auth, cx) {
            self.alive.on_link_up(cx.now);
        }
    }

    pub(crate) fn on_lost(&mut self, cx: &mut Context) {
        self.channel.on_lost(cx);
        self.alive.on_link_lost(cx.now);
    }

    pub(crate) fn on_ping_reply(&mut self, reply: &Reply, cx: &mut Context) {
        let period = cx.config.timing.ping_period;
        match reply {
            Reply::Pong => {
                self.alive.on_pong(period, cx.now);
                self.heard = true;
                self.channel.on_useful();
            }
            _ => self.alive.on_other_reply(period, cx.now),
        }
    }

    /// It has moved, or we have learnt better.
    pub(crate) fn move_to(&mut self, addr: Endpoint, cx: &mut Context) {
        self.addr = addr;
        self.channel.reopen(cx);
        self.alive.on_link_lost(cx.now);
    }
}

impl Peer {
    /// Says hello to it directly.
    pub(crate) fn say(&mut self, hello: crate::Hello, cx: &mut Context) {
        if self.channel.pending() < MOST_PENDING * self.groups.len() {
            self.channel.call(Command::Publish(hello), Purpose::Hello, cx);
        }
    }
}

/// A peer that takes commands but answers none is not sent more and more of them.
const MOST_PENDING: usize = 100;
const SUSPECT_AFTER: Duration = Duration::from_millis(200);
