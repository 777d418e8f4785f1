//! One connection that is wanted: opened, opened again when it is lost, and the calls that wait on it.

use crate::context::Context;
use crate::ids::{GroupId, NodeId, PeerId};
use crate::mutation::{Mutation, active};
use crate::{Action, CallId, Command, Credentials, Endpoint, Epoch, Host, LinkId, LinkKind, Time};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Command(GroupId, NodeId),
    PubSub(GroupId, NodeId),
    Peer(PeerId),
}

/// Why a call was made: what its reply is good for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Purpose {
    Setup,
    Ping,
    Info,
    Hello,
    ScriptKill,
    /// Clients of a replaced master are to be cut off.
    Cut,
    /// Servers without a file refuse it, and that is no fault.
    Rewrite,
    /// The master is to hold writes back.
    HoldWrites,
    /// It need not any longer.
    Release,
    /// Who is connected to a replaced master; whether those are cut off, too, that have not done anything yet.
    Clients {
        thorough: bool,
    },
    ReplicaOf {
        master: Option<Endpoint>,
        plain: bool,
    },
    /// Is the master down, and (in an election of that epoch) will you vote for us?
    Ask {
        group: GroupId,
        config_epoch: Epoch,
        election: Option<Epoch>,
    },
    /// Who is there?
    Identify,
    /// Does the sentinel itself say what a hello said in its name? First the address, then the epoch.
    ConfirmAddress {
        group: GroupId,
    },
    /// The second half.
    ConfirmEpoch {
        group: GroupId,
    },
    /// Whom did you last vote for? Asked before a returned master is demoted at first sight.
    Survey {
        group: GroupId,
        config_epoch: Epoch,
    },
}

pub(crate) struct Channel {
    kind: LinkKind,
    state: State,
    backoff: Duration,
    /// How often it was tried since it was last useful.
    attempts: u32,
    /// The last attempt to open it has failed, or nothing useful came of it.
    failed: bool,
    /// The other side does not let us in: our password is wrong.
    locked_out: bool,
    /// Something hangs on how soon it is open again.
    pub(crate) urgent: bool,
}

enum State {
    Closed { retry_at: Time },
    Resolving { since: Time },
    Opening { link: LinkId, since: Time },
    Open(Open),
}

struct Open {
    link: LinkId,
    since: Time,
    local: IpAddr,
    calls: VecDeque<(CallId, Purpose)>,
}

impl Channel {
    pub(crate) fn new(kind: LinkKind, now: Time) -> Self {
        let state = State::Closed { retry_at: now };
        Channel {
            kind,
            state,
            backoff: FIRST_RETRY,
            attempts: 0,
            failed: true,
            locked_out: false,
            urgent: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it is missing for longer than the moment that opening it again takes, or of no use.
    pub(crate) fn is_missing(&self) -> bool {
        self.locked_out || self.failed && !self.is_open()
    }

    /// How many calls have no reply yet.
    pub(crate) fn pending(&self) -> usize {
        match &self.state {
            State::Open(open) => open.calls.len(),
            _ => 0,
        }
    }

    /// Our own address on it.
    pub(crate) fn local(&self) -> Option<IpAddr> {
        match &self.state {
            State::Open(open) => Some(open.local),
            _ => None,
        }
    }

    /// Since when it has been open.
    pub(crate) fn open_since(&self) -> Option<Time> {
        match &self.state {
            State::Open(open) => Some(open.since),
            _ => None,
        }
    }

    /// Opens it when it is time, gives up an attempt that takes too long.
    pub(crate) fn advance(&mut self, to: &Endpoint, owner: Owner, renames: &Renames, cx: &mut Context) {
        match self.state {
            State::Closed { retry_at } if retry_at > Time::ZERO && active(Mutation::LinksStayLost) => {
                self.state = State::Closed { retry_at: Time::NEVER };
            }
            State::Closed { retry_at } if cx.now >= retry_at && to.port != 0 => match &to.host {
                Host::Ip(ip) => self.open(to, *ip, owner, renames, cx),
                Host::Name(name) => {
                    cx.hosts.look_up(name, &mut cx.out);
                    self.state = State::Resolving { since: cx.now };
                }
            },
            State::Resolving { since } if cx.now >= since + CONNECT_TIMEOUT => self.close(cx),
            State::Opening { since, .. } if cx.now >= since + self.connect_timeout() => self.close(cx),
            _ => {}
        }
    }

    /// How long an attempt may take. A packet that was lost is sent again by the system after a second, and a host that is
    /// back, or a network that passes again, is noticed only then: most attempts are short, and one in a few has the time
    /// that a distant server needs.
    fn connect_timeout(&self) -> Duration {
        let long = match self.kind {
            LinkKind::Sentinel => self.attempts.is_multiple_of(LONG_PEER_ATTEMPT),
            LinkKind::Command | LinkKind::PubSub => {
                !self.urgent || self.attempts.is_multiple_of(LONG_ATTEMPT)
            }
        };
        if long { CONNECT_TIMEOUT } else { SHORT_ATTEMPT }
    }

    /// A name was looked up: go on, if that was what this channel was waiting for.
    pub(crate) fn on_resolved(
        &mut self,
        to: &Endpoint,
        ip: Option<IpAddr>,
        owner: Owner,
        renames: &Renames,
        cx: &mut Context,
    ) {
        if let State::Resolving { .. } = self.state {
            match ip {
                Some(ip) => self.open(to, ip, owner, renames, cx),
                None => self.on_lost(cx),
            }
        }
    }

    fn open(&mut self, to: &Endpoint, ip: IpAddr, owner: Owner, renames: &Renames, cx: &mut Context) {
        self.attempts = self.attempts.wrapping_add(1);
        let link = cx.new_link(owner);
        let renames = renames.clone();
        cx.out.push_back(Action::Connect { link, to: to.clone(), ip, kind: self.kind, renames });
        self.state = State::Opening { link, since: cx.now };
    }

    /// The connection stands: log in and say who we are, before anything else is sent.
    pub(crate) fn on_up(
        &mut self,
        link: LinkId,
        local: IpAddr,
        auth: &Credentials,
        cx: &mut Context,
    ) -> bool {
        match self.state {
            State::Opening { link: opening, .. } if opening == link => {}
            _ => return false,
        }
        self.state = State::Open(Open { link, since: cx.now, local, calls: VecDeque::new() });
        // Until it has proved useful.
        self.failed = true;
        if auth.pass.is_some() {
            self.call(Command::Auth(auth.clone()), Purpose::Setup, cx);
        }
        let suffix = if self.kind == LinkKind::PubSub { "pubsub" } else { "cmd" };
        let id: String = cx.myid.as_str().chars().take(8).collect();
        self.call(Command::SetName(format!("sentinel-{id}-{suffix}")), Purpose::Setup, cx);
        true
    }

    /// The connection was lost, or could not be opened.
    pub(crate) fn on_lost(&mut self, cx: &mut Context) {
        self.failed |= matches!(self.state, State::Opening { .. } | State::Resolving { .. });
        let longest = match (self.urgent, self.kind) {
            (true, _) => URGENT_RETRY,
            (false, LinkKind::Sentinel) => PEER_RETRY,
            (false, _) => LAST_RETRY,
        };
        self.state = State::Closed { retry_at: cx.now + self.backoff.min(longest) };
        self.backoff = (self.backoff * 2).min(LAST_RETRY);
    }

    /// It has proved useful: the next loss may be followed by a quick attempt again.
    pub(crate) fn on_useful(&mut self) {
        self.failed = false;
        self.locked_out = false;
        self.attempts = 0;
        self.backoff = FIRST_RETRY;
    }

    /// The other side has answered that we may not do even the least.
    pub(crate) fn on_locked_out(&mut self) {
        self.locked_out = true;
    }

    /// Closes it from our side; it opens again after a moment.
    pub(crate) fn close(&mut self, cx: &mut Context) {
        if let State::Opening { link, .. } | State::Open(Open { link, .. }) = self.state {
            cx.drop_link(link);
        }
        self.on_lost(cx);
    }

    /// The other side has shown that it is there: the next attempt need not wait.
    pub(crate) fn retry_now(&mut self, now: Time) {
        if let State::Closed { retry_at } = &mut self.state {
            *retry_at = now.min(*retry_at);
        }
    }

    /// The other side seems to be there again: an attempt that began before is not waited for.
    pub(crate) fn hurry(&mut self, cx: &mut Context) {
        if let State::Opening { since, .. } = self.state
            && cx.now >= since + QUICK_ANSWER
        {
            self.close(cx);
            self.retry_now(cx.now);
        }
    }

    /// Closes it and opens it at once: the address or the password is another one.
    pub(crate) fn reopen(&mut self, cx: &mut Context) {
        self.close(cx);
        self.backoff = FIRST_RETRY;
        self.state = State::Closed { retry_at: cx.now };
    }

    /// Sends a command, if the connection stands.
    pub(crate) fn call(&mut self, command: Command, purpose: Purpose, cx: &mut Context) -> bool {
        let State::Open(open) = &mut self.state else { return false };
        let call = cx.new_call();
        open.calls.push_back((call, purpose));
        cx.out.push_back(Action::Call { link: open.link, call, command });
        true
    }

    /// What a reply is the reply to; nothing when it answers no call of this connection.
    pub(crate) fn on_reply(&mut self, link: LinkId, call: CallId) -> Option<Purpose> {
        match &mut self.state {
            State::Open(open)
                if open.link == link && open.calls.front().is_some_and(|(id, _)| *id == call) =>
            {
                let answered = open.calls.pop_front();
                if open.calls.is_empty() {
                    // Most is asked at its beginning, and of a subscription nothing later.
                    open.calls.shrink_to(if self.kind == LinkKind::PubSub { 0 } else { USUAL_CALLS });
                }
                answered.map(|(_, purpose)| purpose)
            }
            _ => None,
        }
    }

    /// Whether such a call is on its way.
    pub(crate) fn awaits(&self, wanted: impl Fn(&Purpose) -> bool) -> bool {
        match &self.state {
            State::Open(open) => open.calls.iter().any(|(_, purpose)| wanted(purpose)),
            _ => false,
        }
    }

    /// When `advance` has something to do.
    pub(crate) fn deadline(&self, to: &Endpoint) -> Time {
        match self.state {
            State::Closed { .. } if to.port == 0 => Time::NEVER,
            State::Closed { retry_at } => retry_at,
            State::Resolving { since } => since + CONNECT_TIMEOUT,
            State::Opening { since, .. } => since + self.connect_timeout(),
            State::Open(_) => Time::NEVER,
        }
    }
}

/// Commands that a server knows by another name.
pub(crate) type Renames = Arc<BTreeMap<String, String>>;

/// So many calls are mostly under way on a connection at most: PING, INFO, PUBLISH, one more.
const USUAL_CALLS: usize = 4;
/// A server that restarts is reached again soon after it listens; one that stays away costs two attempts a second.
const FIRST_RETRY: Duration = Duration::from_millis(20);
/// A master that restarts without its data must be seen before its replicas have found it again.
const URGENT_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_millis(500);
/// Another sentinel that is there again may know of a failover that this one has missed.
const PEER_RETRY: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Every so many attempts one has the whole time.
const LONG_PEER_ATTEMPT: u32 = 8;
const LONG_ATTEMPT: u32 = 4;
const SHORT_ATTEMPT: Duration = Duration::from_millis(250);
/// An attempt that is older than that was not answered by a server nearby.
const QUICK_ANSWER: Duration = Duration::from_millis(20);
