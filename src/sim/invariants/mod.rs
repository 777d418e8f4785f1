//! What must be true after every step, checked from outside: from what sentinels say and do, and from what is on
//! their disks; never from the core's own reasoning.

mod consul;
mod convergence;
mod demotion;
mod dns;
mod doom;
mod election;
mod hello;
mod hold;
mod progress;
mod promotion;
mod quorum;
mod repetition;
mod tilt;
mod vote;

use crate::network::NodeId;
use crate::report::Failure;
use crate::world::{Role, World};
use consentinel_core::{
    Action, CallId, ClientId, Command, DnsView, Endpoint, Epoch, Event, GroupName, Input, LinkId, Notice,
    Reply, Request, Response, RunId, SentinelId, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub(crate) use hold::WriteHold;
use progress::Progress;
use repetition::Repetitions;

/// What a world demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// At most one leader per group and epoch.
    OneLeader,
    /// A sentinel never gives two votes in an epoch, not even across a crash.
    OneVote,
    /// A config epoch names one master, forever.
    OneMasterPerEpoch,
    /// Votes and epochs are on disk before they are said.
    SavedBeforeSaid,
    /// A replica with priority 0 is never promoted.
    PriorityZero,
    /// The promoted replica is not worse than another that could have been chosen.
    BestReplica,
    /// Nobody promotes without having won an election.
    Elected,
    /// No failover begins unless enough sentinels really take the master for down.
    ReallyDown,
    /// In TILT nothing is begun or promoted, and peers are told that nothing is down.
    IdleInTilt,
    /// A sentinel's epochs never go back, not even across a crash.
    EpochsGrow,
    /// The newest master is never demoted without a newer epoch.
    NewestMasterStays,
    /// Who ends a failover has led every replica that it can reach to the new master.
    ReplicasTurned,
    /// After the disasters all agree within a bounded time.
    Convergence,
    /// A write that every server of a group held is still there.
    WritesKept,
    /// Consul's catalog holds one master, the record's.
    OneMasterPublished,
    /// What another fleet has published under the same names is left alone.
    OthersRecordKept,
    /// The record in Consul never goes back to an older epoch.
    RecordGrows,
    /// Who is published as master was elected in that epoch, and no other ever is published in it.
    ElectedPublished,
    /// Who is published as master has been one.
    SeenBeforePublished,
    /// How well servers are is written by the holder of the lock.
    HealthByHolder,
    /// A master that a majority hears is not critical in Consul for longer than a second.
    WellMasterNamed,
    /// DNS never goes back from a newer master to an older one.
    DnsNeverGoesBack,
    /// What DNS may say is told as soon as it changes.
    DnsUpToDate,
    /// Where nothing happens, nothing is published.
    Quiescence,
    /// While a majority of sentinels is well, a dead master is replaced within a bound that the faults explain.
    FailoverInTime,
    /// A server does not hold writes back for longer than a failover needs it.
    HeldWritesReleased,
    /// A write that was held is answered before its client is cut off.
    HeldWritesAnswered,
    /// A write that a replica has acknowledged (WAIT 1) is not lost while only sentinels and masters fail.
    WaitedWritesKept,
    /// No order, no save and no line in the log is repeated without end.
    NothingRepeats,
    /// The core keeps its contract with the driver.
    Contract,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A sentinel and a group.
type GroupAt = (u16, u16);

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Who was given a vote: by whom, in which group and epoch.
    votes: BTreeMap<(GroupAt, Epoch), SentinelId>,
    /// Whose votes reached a candidate.
    granted: BTreeMap<(GroupAt, Epoch), BTreeSet<NodeId>>,
    /// Who led in which group and epoch.
    leaders: BTreeMap<(u16, Epoch), u16>,
    /// The last epoch in which a sentinel voted for itself.
    candidacy: BTreeMap<GroupAt, Epoch>,
    /// Every epoch in which it did.
    candidacies: BTreeSet<(GroupAt, Epoch)>,
    /// In which epoch a sentinel leads.
    leading: BTreeMap<GroupAt, Epoch>,
    /// Whom a leader has led to his new master.
    told: BTreeSet<(GroupAt, NodeId)>,
    /// Who was in TILT after it had promoted a replica.
    distracted: BTreeSet<u16>,
    /// The master that a leader has replaced.
    replaced: BTreeMap<GroupAt, NodeId>,
    /// Failovers that an operator ordered.
    forced: BTreeSet<GroupAt>,
    /// What peers last said of a master: when, and whether it is down.
    opinions: BTreeMap<(GroupAt, NodeId), (Time, bool)>,
    /// Questions to peers that wait for an answer.
    asked: BTreeMap<(u16, CallId), u16>,
    /// Questions of peers that wait for an answer.
    asking: BTreeMap<(u16, ClientId), u16>,
    /// The master of each config epoch.
    masters: BTreeMap<(u16, Epoch), NodeId>,
    /// Who was first published as the master of each epoch.
    publications: BTreeMap<(u16, Epoch), NodeId>,
    /// The run of each server that last told a sentinel that it is a master, unless it told otherwise since.
    masters_met: BTreeMap<(u16, NodeId), RunId>,
    /// The lives of servers in which they were masters.
    pub(crate) reigns: BTreeSet<(NodeId, RunId)>,
    /// Epochs of failovers that an operator ordered.
    forced_epochs: BTreeSet<(u16, Epoch)>,
    /// How many sentinels, itself included, one knew when it stood, and when it was elected.
    counted: BTreeMap<(GroupAt, Epoch), usize>,
    /// Config epochs for which an original announced another master than the first.
    confused: BTreeSet<(u16, Epoch)>,
    /// The highest config epoch that each sentinel has announced.
    announced: BTreeMap<GroupAt, Epoch>,
    /// What each sentinel last told of a group for DNS.
    dns_views: BTreeMap<GroupAt, DnsView>,
    /// The epoch of the master that DNS last named.
    dns_epochs: BTreeMap<GroupAt, Epoch>,
    /// The highest epoch that each sentinel has announced.
    epochs: BTreeMap<u16, Epoch>,
    /// Until when, on its own clock, a sentinel must not act.
    tilt_until: BTreeMap<u16, Time>,
    /// What its clock last said.
    clocks: BTreeMap<u16, Time>,
    /// What each did how often in the present minute.
    repetitions: Repetitions,
    /// How failovers go on.
    progress: Progress,
    /// When something was last changed on the ways of the network, or in how Consul answers.
    way_to_consul_changed: Time,
    /// Since when Consul has said of a master that is well that it is objectively down.
    doomed: BTreeMap<u16, Time>,
    /// How often a sentinel thought at the same moment.
    busy: BTreeMap<u16, (Time, u32)>,
}

impl Witness {
    pub(crate) fn sentinel_started(&mut self, sentinel: u16, clock: Time) {
        self.clocks.insert(sentinel, clock);
    }

    /// Behind a sentinel's address there is somebody else now, who has neither voted nor announced anything.
    pub(crate) fn sentinel_renewed(&mut self, sentinel: u16) {
        self.votes.retain(|(at, _), _| at.0 != sentinel);
        self.granted.retain(|(at, _), _| at.0 != sentinel);
        self.candidacy.retain(|at, _| at.0 != sentinel);
        self.candidacies.retain(|(at, _)| at.0 != sentinel);
        self.announced.retain(|at, _| at.0 != sentinel);
        self.dns_epochs.retain(|at, _| at.0 != sentinel);
        self.epochs.remove(&sentinel);
    }

    /// What a sentinel only had in mind is gone.
    pub(crate) fn sentinel_died(&mut self, sentinel: u16, remembers: impl Fn(u16) -> Epoch) {
        let said = self.announced.iter_mut().chain(&mut self.dns_epochs);
        for (at, epoch) in said.filter(|(at, _)| at.0 == sentinel) {
            *epoch = remembers(at.1).min(*epoch);
        }
        self.dns_views.retain(|at, _| at.0 != sentinel);
        self.leading.retain(|at, _| at.0 != sentinel);
        self.forced.retain(|at| at.0 != sentinel);
        self.opinions.retain(|(at, _), _| at.0 != sentinel);
        self.asked.retain(|(asker, _), _| *asker != sentinel);
        self.asking.retain(|(asked, _), _| *asked != sentinel);
        self.masters_met.retain(|(met, _), _| *met != sentinel);
        self.tilt_until.remove(&sentinel);
        self.clocks.remove(&sentinel);
    }
}

impl World {
    /// Something is wrong.
    pub(crate) fn violated(&mut self, invariant: Invariant, what: String) {
        if self.failure.is_none() {
            self.story.tell(self.now, || format!("VIOLATED {invariant}: {what}"));
            self.failure = Some(Failure::new(self.seed, self.now, invariant, what));
        }
    }

    pub(crate) fn group_index(&self, name: &GroupName) -> Option<u16> {
        self.groups.iter().position(|group| group.name == *name).map(|index| index as u16)
    }

    /// The group of a Redis server.
    pub(crate) fn group_of(&self, master: &Endpoint) -> Option<(u16, NodeId)> {
        let node = self.addresses.node(master)?;
        match self.processes[node.index()].role {
            Role::Redis(redis) => Some((self.redises[usize::from(redis)].group, node)),
            _ => None,
        }
    }

    pub(crate) fn sentinel_name(&self, sentinel: u16) -> &str {
        self.addresses.name(self.sentinels[usize::from(sentinel)].node)
    }

    /// Before a sentinel hears of something.
    pub(crate) fn before_input(&mut self, sentinel: u16, clock: Time, input: &Input) {
        self.watch_clock(sentinel, clock);
        if matches!(input, Input::Wake) {
            self.watch_rest(sentinel);
            self.check_dns_is_told(sentinel);
        }
        match input {
            Input::Reply { link, call, reply: Reply::Down { down, leader, epoch } } => {
                let Some(group) = self.witness.asked.remove(&(sentinel, *call)) else { return };
                let Some(peer) = self.peer_behind(sentinel, *link) else { return };
                self.note_answer((sentinel, group), peer, *down, leader.as_ref(), *epoch);
            }
            Input::Reply { link, reply: Reply::Info(info), .. } if self.consul.is_some() => {
                self.note_info(sentinel, *link, info);
            }
            Input::Request { client, request: Request::IsMasterDown { master, .. } } => {
                if let Some((group, _)) = self.group_of(master) {
                    self.witness.asking.insert((sentinel, *client), group);
                }
            }
            _ => {}
        }
    }

    /// Before an action of a sentinel is carried out.
    pub(crate) fn observe(&mut self, sentinel: u16, action: &Action) {
        if let Action::Notify(notice) = action {
            self.count_line(sentinel, notice);
        }
        match action {
            Action::Call { command: Command::Ping | Command::Info, .. } => {}
            Action::Call { call, command: Command::IsMasterDown { master, epoch, candidate }, .. } => {
                let Some((group, _)) = self.group_of(master) else { return };
                self.witness.asked.insert((sentinel, *call), group);
                self.check_question(sentinel, *epoch, candidate.as_ref());
            }
            Action::Call { command: Command::Publish(hello), .. } => self.check_hello(sentinel, hello),
            Action::Call {
                link, command: Command::ReplicaOf(None) | Command::ReplicaOfPlain(None), ..
            } => {
                if let Some(node) = self.peer_behind(sentinel, *link) {
                    self.check_promotion(sentinel, node);
                }
            }
            Action::Call {
                link,
                command: Command::ReplicaOf(_) | Command::ReplicaOfPlain(_) | Command::Demote(_),
                ..
            } => {
                if let Some(node) = self.peer_behind(sentinel, *link) {
                    self.count_order(sentinel, node);
                    self.note_told(sentinel, node);
                    self.check_demotion(sentinel, node);
                }
            }
            Action::Respond { client, response: Response::Down { down, leader, epoch } } => {
                let Some(group) = self.witness.asking.remove(&(sentinel, *client)) else { return };
                self.check_answer((sentinel, group), *down, leader.as_ref(), *epoch);
            }
            Action::Register { group, request } => self.check_register(sentinel, group, request),
            Action::Dns { group, view } => self.check_dns(sentinel, group, view.as_deref()),
            Action::Notify(Notice::Event { event, detail, group: Some(group), .. }) => {
                self.stats.count(*event);
                if let Some(group) = self.group_index(group) {
                    self.hear((sentinel, group), *event, &detail.to_string());
                }
            }
            _ => {}
        }
    }

    /// A sentinel tells of an event.
    fn hear(&mut self, at: GroupAt, event: Event, payload: &str) {
        match event {
            Event::VoteForLeader => self.hear_vote(at, payload),
            Event::TryFailover => self.hear_attempt(at),
            Event::ElectedLeader => self.hear_election(at),
            Event::SelectedReplica => self.hear_choice(at, payload),
            Event::PromotedReplica => {
                if let Some(old) = self.last_place(payload) {
                    self.witness.replaced.insert(at, old);
                }
                self.witness.distracted.remove(&at.0);
                self.witness.told.retain(|(teller, _)| *teller != at);
                self.stats.promoted(at.1, self.now);
                self.note_to_publish(at);
            }
            Event::FailoverEnd => {
                self.check_turned(at, false);
                self.witness.leading.remove(&at);
                self.witness.forced.remove(&at);
            }
            Event::FailoverEndForTimeout => {
                self.check_turned(at, true);
                self.witness.leading.remove(&at);
            }
            Event::AbortNotElected | Event::AbortNoGoodReplica | Event::AbortReplicaTimeout => {
                self.witness.leading.remove(&at);
                self.witness.forced.remove(&at);
            }
            Event::Unmonitor => {
                self.witness.announced.remove(&at);
            }
            _ => {}
        }
    }

    /// The server whose address ends an event's payload.
    fn last_place(&self, payload: &str) -> Option<NodeId> {
        let mut words = payload.rsplit(' ');
        let (port, host) = (words.next()?, words.next()?);
        self.addresses.node(&Endpoint::parse(host, port).ok()?)
    }

    pub(crate) fn operator_asked(&mut self, sentinel: u16, request: &Request) {
        let Request::Failover { group } = request else { return };
        if let Some(group) = self.group_index(group) {
            self.witness.forced.insert((sentinel, group));
        }
    }

    /// Whether an original has given an epoch a second master.
    pub(crate) fn is_confused(&self) -> bool {
        !self.witness.confused.is_empty()
    }

    /// Who is at the other end of a sentinel's link.
    fn peer_behind(&self, sentinel: u16, link: LinkId) -> Option<NodeId> {
        let conn = self.sentinels[usize::from(sentinel)].conn_of(link)?;
        Some(self.net.conn(conn)?.server.node)
    }

    fn is_ours(&self, sentinel: u16) -> bool {
        self.sentinels[usize::from(sentinel)].is_core()
    }
}
