//! What all groups share: the epoch, the clock, chance, and the way out.

use super::instance::{Part, Who};
use super::wire::{Millis, Purpose, Wire};
use consentinel_core::{
    Action, CallId, Command, Config, Credentials, Detail, Endpoint, Epoch, Event, GroupName, Level, LinkId,
    LinkKind, Notice, Rng, SentinelId, Seq, Time,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The wall clock's time at the core's origin: late enough that "never", which the original writes as zero,
/// lies further back than any of its periods.
const EPOCH_MILLIS: Millis = 1_700_000_000_000;

/// Candidates start this much apart, at most.
const MAX_DESYNC: u64 = 1000;

/// A call under way.
pub(super) struct Call {
    pub(super) link: LinkId,
    pub(super) who: Who,
    pub(super) purpose: Purpose,
}

pub(super) struct World {
    pub(super) now: Millis,
    pub(super) myid: SentinelId,
    pub(super) config: Config,
    pub(super) auth: BTreeMap<GroupName, Credentials>,
    pub(super) current_epoch: Epoch,
    pub(super) rng: Rng,
    pub(super) actions: VecDeque<Action>,
    /// Links to other sentinels, shared by all groups.
    pub(super) peers: BTreeMap<SentinelId, Wire>,
    pub(super) tilt: Option<Millis>,
    /// The last time that the clock was looked at.
    pub(super) previous_tick: Millis,
    pub(super) crash_after_election: bool,
    pub(super) crash_after_promotion: bool,
    /// The state changed and must be written.
    pub(super) dirty: bool,
    pub(super) saving: Option<Seq>,
    pub(super) storage_error: Option<String>,
    routes: BTreeMap<LinkId, Who>,
    calls: BTreeMap<CallId, Call>,
    links: u64,
    last_call: u64,
    saves: u64,
}

impl World {
    pub(super) fn new(myid: SentinelId, epoch: Epoch, config: Config, rng: Rng, now: Time) -> Self {
        World {
            now: millis(now),
            myid,
            config,
            auth: BTreeMap::new(),
            current_epoch: epoch,
            rng,
            actions: VecDeque::new(),
            peers: BTreeMap::new(),
            tilt: None,
            previous_tick: millis(now),
            crash_after_election: false,
            crash_after_promotion: false,
            dirty: false,
            saving: None,
            storage_error: None,
            routes: BTreeMap::new(),
            calls: BTreeMap::new(),
            links: 0,
            last_call: 0,
            saves: 0,
        }
    }

    pub(super) fn ping_period(&self) -> Millis {
        span(self.config.timing.ping_period)
    }

    pub(super) fn info_period(&self) -> Millis {
        span(self.config.timing.info_period)
    }

    pub(super) fn ask_period(&self) -> Millis {
        span(self.config.timing.ask_period)
    }

    pub(super) fn publish_period(&self) -> Millis {
        span(self.config.timing.publish_period)
    }

    pub(super) fn min_link_reconnect_period(&self) -> Millis {
        span(self.config.timing.min_link_reconnect_period)
    }

    /// A random delay that keeps candidates apart.
    pub(super) fn desync(&mut self) -> Millis {
        self.rng.below(MAX_DESYNC) as Millis
    }

    /// The clock jumped, or the process slept: distrust both.
    pub(super) fn check_tilt(&mut self) {
        let delta = self.now - self.previous_tick;
        if delta < 0 || delta > span(self.config.timing.tilt_trigger) {
            self.tilt = Some(self.now);
            self.event(Level::Warning, Event::Tilt, "#tilt mode entered".into(), None);
        }
        self.previous_tick = self.now;
    }

    /// Whether nothing may be done now; ends the distrust when its time is over.
    pub(super) fn is_tilted(&mut self) -> bool {
        let Some(since) = self.tilt else { return false };
        if self.now - since < span(self.config.timing.tilt_period) {
            return true;
        }
        self.tilt = None;
        self.event(Level::Warning, Event::TiltOver, "#tilt mode exited".into(), None);
        false
    }

    pub(super) fn event(&mut self, level: Level, event: Event, payload: String, group: Option<&GroupName>) {
        let (detail, group) = (Detail::Text(payload), group.cloned());
        self.actions.push_back(Action::Notify(Notice::Event { level, event, detail, group }));
    }

    pub(super) fn auth_for(&self, who: &Who) -> Option<Credentials> {
        let auth = match who.part {
            Part::Peer(_) => &self.config.sentinel_auth,
            _ => self.auth.get(&who.group)?,
        };
        auth.pass.is_some().then(|| auth.clone())
    }

    pub(super) fn connect(
        &mut self,
        who: &Who,
        to: Endpoint,
        ip: IpAddr,
        kind: LinkKind,
        renames: Arc<BTreeMap<String, String>>,
    ) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.routes.insert(link, who.clone());
        self.actions.push_back(Action::Connect { link, to, ip, kind, renames });
        link
    }

    pub(super) fn disconnect(&mut self, link: LinkId) {
        self.forget(link);
        self.actions.push_back(Action::Disconnect(link));
    }

    /// Nothing more is expected from a link.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.routes.remove(&link);
        self.calls.retain(|_, call| call.link != link);
    }

    pub(super) fn next_call(&mut self, link: LinkId, who: &Who, purpose: Purpose) -> CallId {
        self.last_call += 1;
        let call = CallId(self.last_call);
        self.calls.insert(call, Call { link, who: who.clone(), purpose });
        call
    }

    pub(super) fn call(&mut self, link: LinkId, call: CallId, command: Command) {
        self.actions.push_back(Action::Call { link, call, command });
    }

    pub(super) fn route(&self, link: LinkId) -> Option<Who> {
        self.routes.get(&link).cloned()
    }

    pub(super) fn take_call(&mut self, call: CallId) -> Option<Call> {
        self.calls.remove(&call)
    }

    pub(super) fn next_seq(&mut self) -> Seq {
        self.saves += 1;
        Seq(self.saves)
    }
}

pub(super) fn millis(time: Time) -> Millis {
    EPOCH_MILLIS + time.as_millis() as Millis
}

/// The other way round; what lies before the origin becomes the origin.
pub(super) fn time(millis: Millis) -> Time {
    Time::from_millis(u64::try_from(millis - EPOCH_MILLIS).unwrap_or(0))
}

pub(super) fn span(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX / 16)
}
