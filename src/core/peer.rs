//! Another sentinel: one link and one liveness, shared by all groups that watch together with it.

use crate::channel::{Channel, Owner, Purpose, Renames};
use crate::context::Context;
use crate::ids::{GroupId, PeerId};
use crate::liveness::Liveness;
use crate::time::Beat;
use crate::timers::Key;
use crate::{Command, Endpoint, LinkError, LinkId, LinkKind, Reply, SentinelId, Time};
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
    /// Whether the one that answers at its address says that it is this sentinel.
    identity: Identity,
    /// Whether it has answered at all since this sentinel was started.
    pub(crate) heard: bool,
    /// Whether it has answered a PING at the address where it is thought to be.
    pub(crate) answered: bool,
    /// When a connection to it was last refused: its process was not there.
    pub(crate) refused: Option<Time>,
    /// Whether the last attempt to connect to it was refused.
    pub(crate) refuses: bool,
    /// Until when it is pinged so often.
    watched: Option<(Duration, Time)>,
    /// The sentinel that has introduced itself at the address where this one was.
    pub(crate) replaced_by: Option<SentinelId>,
    /// When it did.
    pub(crate) replaced_at: Time,
}

impl Peer {
    pub(crate) fn new(slot: PeerId, id: SentinelId, addr: Endpoint, beat: Beat, now: Time) -> Self {
        let channel = Channel::new(LinkKind::Sentinel, now);
        let (alive, groups) = (Liveness::new(beat, now), BTreeSet::new());
        let (suspect, heard, answered, replaced_by) = (false, false, false, None);
        let (refused, refuses, watched) = (None, false, None);
        let identity = Identity::Unasked;
        Peer {
            slot,
            id,
            addr,
            channel,
            alive,
            groups,
            suspect,
            identity,
            heard,
            answered,
            refused,
            refuses,
            watched,
            replaced_by,
            replaced_at: now,
        }
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
        if cx.now >= self.silent_link_deadline(cx) {
            self.channel.close(cx);
            self.alive.on_link_lost(cx.now);
            self.identity = Identity::Unasked;
        }
        let suspect = self.alive.is_silent(SUSPECT_AFTER, cx.now);
        let changed = suspect != self.suspect;
        self.suspect = suspect;
        self.schedule(cx);
        changed
    }

    /// Whether it was asked for a vote that it has not given yet.
    pub(crate) fn owes_vote(&self) -> bool {
        self.channel.awaits(|purpose| matches!(purpose, Purpose::Ask { election: Some(_), .. }))
    }

    /// When a link that carries no answers is given up: it may lead nowhere any more, while a new one would pass. A peer
    /// that owes us a vote may be waiting for its disk, which keeps all later answers on the link waiting, too.
    fn silent_link_deadline(&self, cx: &Context) -> Time {
        let patience = match self.owes_vote() {
            true => cx.config.timing.min_link_reconnect_period,
            false => cx.config.timing.min_link_reconnect_period.min(SILENT_LINK),
        };
        match (self.channel.open_since(), self.alive.silent_since()) {
            (Some(open), Some(silent)) => open.max(silent) + patience,
            _ => Time::NEVER,
        }
    }

    fn schedule(&self, cx: &mut Context) {
        let mut at = self.channel.deadline(&self.addr);
        if self.channel.is_open() {
            at = at.min(self.alive.next_ping()).min(self.silent_link_deadline(cx));
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
            self.refuses = false;
            self.alive.on_link_up(cx.now);
            self.channel.call(Command::MyId, Purpose::Identify, cx);
        }
    }

    pub(crate) fn on_lost(&mut self, error: &LinkError, cx: &mut Context) {
        if *error == LinkError::Refused {
            self.refused = Some(cx.now);
            self.refuses = true;
        }
        self.channel.on_lost(cx);
        self.alive.on_link_lost(cx.now);
        self.identity = Identity::Unasked;
    }

    /// Something hangs on how soon it is known that it is gone.
    pub(crate) fn watch_closely(&mut self, period: Duration, until: Time, cx: &Context) {
        self.watched = Some((period, until));
        self.alive.ping_soon(cx.now);
    }

    fn ping_period(&self, cx: &Context) -> Duration {
        match self.watched {
            Some((period, until)) if cx.now < until => period,
            _ => cx.config.timing.ping_period,
        }
    }

    /// Takes in the reply to a PING. Returns whether it is the first one from this address.
    pub(crate) fn on_ping_reply(&mut self, reply: &Reply, cx: &mut Context) -> bool {
        let period = self.ping_period(cx);
        match reply {
            Reply::Pong => {
                self.alive.on_pong(period, cx.now);
                if !std::mem::replace(&mut self.heard, true) {
                    cx.dns_changed.extend(&self.groups);
                }
                self.channel.on_useful();
                !std::mem::replace(&mut self.answered, true)
            }
            _ => {
                self.alive.on_other_reply(period, cx.now);
                false
            }
        }
    }

    /// Takes in who is there.
    pub(crate) fn on_identified(&mut self, reply: &Reply) {
        self.identity = match reply {
            Reply::Id(id) if *id == self.id => Identity::Proven,
            Reply::Id(_) => Identity::Another,
            _ => Identity::Unknown,
        };
    }

    /// Whether the one that answers over our own connection says that it is this sentinel. Originals before 6.2 cannot say
    /// who they are.
    pub(crate) fn is_identified(&self) -> bool {
        self.channel.is_open() && matches!(self.identity, Identity::Proven | Identity::Unknown)
    }

    /// Whether it is another sentinel that answers at its address.
    pub(crate) fn is_another(&self) -> bool {
        self.channel.is_open() && self.identity == Identity::Another
    }

    /// Whether it is certainly at its address: it says so itself, and answers.
    pub(crate) fn is_settled(&self) -> bool {
        self.channel.is_open() && self.identity == Identity::Proven && !self.suspect
    }

    /// It has moved, or we have learnt better.
    pub(crate) fn move_to(&mut self, addr: Endpoint, cx: &mut Context) {
        self.addr = addr;
        self.answered = false;
        cx.dns_changed.extend(&self.groups);
        self.channel.reopen(cx);
        self.alive.on_link_lost(cx.now);
        self.identity = Identity::Unasked;
    }
}

/// What the one that answers at a sentinel's address has said of itself, since the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Identity {
    Unasked,
    Proven,
    /// It is another sentinel.
    Another,
    /// It could not say.
    Unknown,
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
pub(crate) const MOST_PENDING: usize = 100;
const SILENT_LINK: Duration = Duration::from_secs(1);
const SUSPECT_AFTER: Duration = Duration::from_millis(200);
