//! A Redis server: its two links, whether it answers, what it last said of itself.

use crate::channel::{Channel, Owner, Purpose, Renames};
use crate::context::{Context, for_log};
use crate::host_cache::HostCache;
use crate::ids::{GroupId, NodeId};
use crate::liveness::Liveness;
use crate::time::Beat;
use crate::timers::Key;
use crate::{Command, Detail, Doubt, Endpoint, Info, LinkKind, Reply, Role, RunId, Time};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Node {
    pub(crate) addr: Endpoint,
    /// Other addresses that lead to the same server.
    pub(crate) other_addrs: BTreeSet<Endpoint>,
    pub(crate) command: Channel,
    pub(crate) pubsub: Channel,
    pub(crate) alive: Liveness,
    pub(crate) sdown: Option<Time>,
    pub(crate) run_id: Option<RunId>,
    pub(crate) info: Option<(Time, Arc<Info>)>,
    /// What it says it is, and since when it has been saying so.
    pub(crate) role: Role,
    pub(crate) role_since: Time,
    /// How events described it as a replica, when it was made the master on another sentinel's word; until it has
    /// spoken itself.
    pub(crate) described_as: Option<Detail>,
    /// Since when it has been naming the master that it names.
    pub(crate) follows_since: Time,
    pub(crate) reconf: Reconf,
    /// It was the master, or was told to become one in vain, and has not been seen as a replica since.
    pub(crate) ousted: bool,
    pub(crate) reboot: Option<Reboot>,
    /// Until then it is the leader's to demote: it was well when it was replaced, so that was planned.
    pub(crate) left_to_leader: Option<Time>,
    /// It may hold writes back until then, for a failover that another sentinel leads, or that was ours.
    pub(crate) may_hold_until: Time,
    /// It was told to let writes pass and has not answered that yet; it does so by itself then.
    pub(crate) release_until: Option<Time>,
    /// When it was last told whom to follow.
    pub(crate) turned: Option<Time>,
    /// Whom it was told to follow then.
    pub(crate) turned_to: Option<Endpoint>,
    info_sent: Option<Time>,
    info_wanted: bool,
    /// When the hello subscription last carried anything.
    pub(crate) heard: Time,
    script_killed: bool,
    /// When a failover of its own was last aborted.
    aborted: Option<Time>,
    complained: bool,
}

/// How far a failover that we lead has turned it to the new master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reconf {
    None,
    Sent(Time),
    InProgress(Time),
    Done,
}

/// A master that was restarted: whether it still has the data that its replicas have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reboot {
    /// It is still reading its data.
    Loading(Time),
    /// It came back with so many keys; whether the replicas have far more is being asked.
    Suspected { since: Time, keys: u64 },
    /// They have, and it would wipe them.
    Emptied { since: Time, keys: u64 },
}

/// What is expected of a server, as its group sees it now.
pub(crate) struct Duty {
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) is_master: bool,
    pub(crate) down_after: Duration,
    pub(crate) info_period: Duration,
    pub(crate) reboot_limit: Duration,
    pub(crate) renames: Renames,
}

impl Node {
    pub(crate) fn new(addr: Endpoint, role: Role, beat: Beat, now: Time) -> Self {
        Node {
            addr,
            other_addrs: BTreeSet::new(),
            command: Channel::new(LinkKind::Command, now),
            pubsub: Channel::new(LinkKind::PubSub, now),
            alive: Liveness::new(beat, now),
            sdown: None,
            run_id: None,
            info: None,
            role,
            role_since: now,
            described_as: None,
            follows_since: now,
            reconf: Reconf::None,
            ousted: false,
            reboot: None,
            left_to_leader: None,
            may_hold_until: Time::ZERO,
            release_until: None,
            turned: None,
            turned_to: None,
            info_sent: None,
            info_wanted: true,
            heard: now,
            script_killed: false,
            aborted: None,
            complained: false,
        }
    }

    pub(crate) fn info(&self) -> Option<&Info> {
        self.info.as_ref().map(|(_, info)| &**info)
    }

    /// Whether that address, or that name, leads to it.
    pub(crate) fn is_at(&self, addr: &Endpoint, hosts: &HostCache) -> bool {
        hosts.same_place(&self.addr, addr)
            || self.other_addrs.iter().any(|other| hosts.same_place(other, addr))
    }

    /// From here on that one of its addresses is the one by which it is known. The link stays: it leads to the same
    /// server.
    pub(crate) fn call_it(&mut self, addr: &Endpoint) {
        self.other_addrs.remove(addr);
        let before = std::mem::replace(&mut self.addr, addr.clone());
        self.other_addrs.insert(before);
    }

    /// Whether it has said what it is since then.
    pub(crate) fn told_since(&self, then: Time) -> bool {
        self.info.as_ref().is_some_and(|(at, _)| *at >= then)
    }

    /// Whether it was replaced and has not become a replica since.
    pub(crate) fn is_replaced_master(&self) -> bool {
        self.ousted && self.role == Role::Master
    }

    /// Whether nothing stands against using it.
    pub(crate) fn is_usable(&self) -> bool {
        self.sdown.is_none() && self.command.is_open()
    }

    /// Whether it says that it is master after it has answered the order to become one. An answer from before the
    /// order says nothing: it may have been master by accident, with another order on its way to it.
    pub(crate) fn obeyed_as_master(&self) -> bool {
        let ordered = |purpose: &Purpose| matches!(purpose, Purpose::ReplicaOf { .. });
        self.role == Role::Master && !self.command.awaits(ordered)
    }

    /// Its INFO is wanted at once, not when its period is over.
    pub(crate) fn want_info(&mut self) {
        self.info_wanted = true;
    }

    /// Does what is due: connects, pings, asks for INFO, gives up silent links. Says when it comes next.
    pub(crate) fn advance(&mut self, duty: &Duty, cx: &mut Context) {
        let command = Owner::Command(duty.group, duty.node);
        let pubsub = Owner::PubSub(duty.group, duty.node);
        self.command.urgent = duty.is_master && self.sdown.is_none_or(|since| cx.now < since + STAYS_URGENT);
        self.drop_silent_links(duty, cx);
        self.command.advance(&self.addr, command, &duty.renames, cx);
        self.pubsub.advance(&self.addr, pubsub, &duty.renames, cx);
        if cx.now >= self.alive.next_ping() && self.command.call(Command::Ping, Purpose::Ping, cx) {
            self.alive.on_ping_sent(cx.now);
        }
        if cx.now >= self.info_due(duty) && self.command.call(Command::Info, Purpose::Info, cx) {
            self.info_sent = Some(cx.now);
            self.info_wanted = false;
        }
        let at = self.deadline(duty, cx);
        cx.timers.set(Key::Node(duty.group, duty.node), Some(at));
    }

    fn info_due(&self, duty: &Duty) -> Time {
        if !self.command.is_open() || self.command.awaits(|purpose| *purpose == Purpose::Info) {
            return Time::NEVER;
        }
        match self.info_sent {
            Some(sent) if !self.info_wanted => self.alive.beat().after(sent, duty.info_period),
            _ => Time::ZERO,
        }
    }

    fn drop_silent_links(&mut self, duty: &Duty, cx: &mut Context) {
        if cx.now >= self.silent_link_deadline(duty, cx) {
            self.command.close(cx);
            self.on_command_lost(cx.now);
        }
        if cx.now >= self.silent_pubsub_deadline(cx) {
            self.pubsub.close(cx);
        }
    }

    fn silent_link_deadline(&self, duty: &Duty, cx: &Context) -> Time {
        match (self.command.open_since(), self.alive.silent_since()) {
            (Some(open), Some(silent)) => {
                (open + cx.config.timing.min_link_reconnect_period).max(silent + duty.down_after / 2)
            }
            _ => Time::NEVER,
        }
    }

    fn silent_pubsub_deadline(&self, cx: &Context) -> Time {
        match self.pubsub.open_since() {
            Some(open) => open.max(self.heard) + cx.config.timing.publish_period * 3,
            None => Time::NEVER,
        }
    }

    fn deadline(&self, duty: &Duty, cx: &Context) -> Time {
        let mut at = self.command.deadline(&self.addr).min(self.pubsub.deadline(&self.addr));
        at = at.min(self.silent_link_deadline(duty, cx)).min(self.silent_pubsub_deadline(cx));
        if self.command.is_open() {
            at = at.min(self.alive.next_ping()).min(self.info_due(duty));
        }
        if self.sdown.is_none() && cx.tilt.is_none() {
            at = at.min(self.down_at(duty, cx));
        }
        at
    }

    /// When it is to be taken for down if nothing changes.
    fn down_at(&self, duty: &Duty, cx: &Context) -> Time {
        let mut at = Time::NEVER;
        self.each_doubt(duty, cx, |_, _, then| at = at.min(then));
        at
    }

    /// What speaks most for taking it for down: since when, and when that will be enough.
    pub(crate) fn doubt(&self, duty: &Duty, cx: &Context) -> Option<(Doubt, Time, Time)> {
        let mut first: Option<(Doubt, Time, Time)> = None;
        self.each_doubt(duty, cx, |doubt, since, then| {
            if first.is_none_or(|(.., earliest)| then < earliest) {
                first = Some((doubt, since, then));
            }
        });
        first
    }

    /// Everything that speaks for taking it for down: what, since when, and when it will be enough.
    fn each_doubt(&self, duty: &Duty, cx: &Context, mut tell: impl FnMut(Doubt, Time, Time)) {
        if let Some(since) = self.alive.silent_since() {
            tell(Doubt::Silent, since, since + duty.down_after);
        }
        if !duty.is_master {
            return;
        }
        if self.role == Role::Replica {
            let patience = duty.down_after + cx.config.timing.info_period * 2;
            tell(Doubt::SaysReplica, self.role_since, self.role_since + patience);
        }
        match self.reboot {
            Some(Reboot::Loading(since)) if !duty.reboot_limit.is_zero() => {
                tell(Doubt::Loading, since, since + duty.reboot_limit);
            }
            Some(Reboot::Emptied { since, .. }) => tell(Doubt::Emptied, since, Time::ZERO),
            _ => {}
        }
    }

    /// Judges whether it is down. The new verdict, when it is another one.
    pub(crate) fn judge(&mut self, duty: &Duty, cx: &mut Context) -> Option<bool> {
        let down = cx.now >= self.down_at(duty, cx);
        if down == self.sdown.is_some() {
            return None;
        }
        self.sdown = down.then_some(cx.now);
        self.want_info();
        Some(down)
    }

    /// Looks at the reply to a ping.
    pub(crate) fn on_ping_reply(&mut self, reply: &Reply, duty: &Duty, cx: &mut Context) {
        let period = ping_period(duty.down_after, cx);
        match reply {
            Reply::Pong => {
                self.alive.on_pong(period, cx.now);
                self.command.on_useful();
                self.pubsub.on_useful();
                self.script_killed = false;
                self.complained = false;
            }
            Reply::Busy => {
                self.alive.on_other_reply(period, cx.now);
                let may = duty.is_master && !cx.config.observe;
                if self.sdown.is_some() && may && !self.script_killed {
                    self.script_killed = self.command.call(Command::ScriptKill, Purpose::ScriptKill, cx);
                }
            }
            other => {
                self.alive.on_other_reply(period, cx.now);
                let refusals = ["NOAUTH", "NOPERM", "WRONGPASS"];
                if matches!(other, Reply::Error(text) if refusals.iter().any(|code| text.starts_with(code))) {
                    self.command.on_locked_out();
                }
                self.complain("PING", other, cx);
            }
        }
    }

    /// Logs an answer that an operator must know of, once until it is well again.
    pub(crate) fn complain(&mut self, command: &str, reply: &Reply, cx: &mut Context) {
        if let (Reply::Error(text), false) = (reply, self.complained) {
            self.complained = true;
            let text = for_log(text);
            cx.log(crate::Level::Warning, format!("{} answers {command} with an error: {text}", self.addr));
        }
    }

    pub(crate) fn on_command_lost(&mut self, now: Time) {
        self.alive.on_link_lost(now);
        self.info_wanted = true;
    }

    /// Tells it to follow that master, or nobody, and asks at once whether it does.
    pub(crate) fn turn(&mut self, master: Option<Endpoint>, plain: bool, cx: &mut Context) -> bool {
        let command = match plain {
            false => Command::ReplicaOf(master.clone()),
            true => Command::ReplicaOfPlain(master.clone()),
        };
        self.turn_by(command, master, plain, cx)
    }

    /// Tells a master that holds writes back to follow that one, and lets it answer them.
    pub(crate) fn demote(&mut self, master: Endpoint, cx: &mut Context) -> bool {
        self.turn_by(Command::Demote(master.clone()), Some(master), false, cx)
    }

    fn turn_by(&mut self, command: Command, master: Option<Endpoint>, plain: bool, cx: &mut Context) -> bool {
        let to = master.clone();
        let sent = self.command.call(command, Purpose::ReplicaOf { master, plain }, cx);
        if sent {
            self.turned_to = to;
            self.turned = Some(cx.now);
            self.command.call(Command::Info, Purpose::Info, cx);
            self.info_sent = Some(cx.now);
        }
        sent
    }

    /// Ends a FAILOVER that an operator has ordered at the server itself; not again and again where that is of no use.
    pub(crate) fn abort_own_failover(&mut self, cx: &mut Context) -> bool {
        let lately = self.aborted.is_some_and(|at| cx.now < at + ABORT_AGAIN);
        let sent = !lately && self.command.call(Command::AbortFailover, Purpose::Setup, cx);
        if sent {
            self.aborted = Some(cx.now);
        }
        sent
    }

    /// It has a new role in the group: what was held against it in the old one is forgotten.
    pub(crate) fn start_afresh(&mut self, now: Time) {
        self.sdown = None;
        self.alive.start_afresh(now);
        self.role_since = now;
        self.follows_since = now;
        self.reconf = Reconf::None;
        self.reboot = None;
        self.want_info();
    }

    /// Closes both links and forgets the timer: it is no longer watched.
    pub(crate) fn retire(&mut self, group: GroupId, node: NodeId, cx: &mut Context) {
        self.command.close(cx);
        self.pubsub.close(cx);
        cx.timers.set(Key::Node(group, node), None);
    }

    /// Logs in again: the password or the commands' names have changed.
    pub(crate) fn reconnect(&mut self, cx: &mut Context) {
        self.command.reopen(cx);
        self.pubsub.reopen(cx);
        self.on_command_lost(cx.now);
    }

    /// Subscribes to the hellos, once the subscription's own link stands.
    pub(crate) fn subscribe(&mut self, cx: &mut Context) {
        self.heard = cx.now;
        self.pubsub.call(Command::Subscribe, Purpose::Setup, cx);
    }

    /// Publishes a hello through this server.
    pub(crate) fn publish(&mut self, hello: crate::Hello, cx: &mut Context) {
        if self.command.pending() < MOST_PENDING {
            self.command.call(Command::Publish(hello), Purpose::Hello, cx);
        }
    }
}

/// Often enough that silence costs `down_after` and a tenth, never more often than a server should be bothered.
pub(crate) fn ping_period(down_after: Duration, cx: &Context) -> Duration {
    cx.config.timing.ping_period.min((down_after / 10).max(SHORTEST_PING))
}

/// A server that takes commands but answers none is not sent more and more of them.
const MOST_PENDING: usize = 100;
/// While the failover of a master is on its way, its return still matters.
const STAYS_URGENT: Duration = Duration::from_secs(1);
const ABORT_AGAIN: Duration = Duration::from_secs(1);
const SHORTEST_PING: Duration = Duration::from_millis(10);
