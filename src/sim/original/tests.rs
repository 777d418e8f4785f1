//! One original sentinel with servers and peers that are nothing but tables.

use super::OriginalSentinel;
use consentinel_core::{
    Action, CallId, ClientId, Command, Durable, DurableGroup, Endpoint, Epoch, Event, FailoverPhase,
    GroupConfig, GroupName, Hello, Info, Input, LinkError, LinkId, LinkKind, LinkUp, Notice, Offset, Quorum,
    Refusal, Reply, Request, Response, Role, RunId, SentinelId, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

const MASTER: u16 = 6379;
const NEAR: u16 = 6380;
const FAR: u16 = 6381;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn at(port: u16) -> Endpoint {
    Endpoint::parse("127.0.0.1", &port.to_string()).expect("an address")
}

fn group() -> GroupName {
    GroupName::new("mymaster")
}

fn peer(number: u16) -> SentinelId {
    SentinelId::new(&format!("peer{number}"))
}

/// The world around the one sentinel.
struct Stage {
    sentinel: OriginalSentinel,
    now: Time,
    servers: BTreeMap<u16, Info>,
    /// Nobody listens there.
    dead: BTreeSet<u16>,
    /// Whether the peers see the master down, and for whom they vote.
    peers_say: (bool, Option<SentinelId>),
    links: BTreeMap<LinkId, u16>,
    inbox: VecDeque<Input>,
    told: Vec<(Time, Event, String)>,
    responses: Vec<Response>,
    hellos: Vec<(u16, Hello)>,
    saved: Vec<Durable>,
    exited: bool,
}

impl Stage {
    /// A master, a replica that is near to it, one that lags, and two peers; down-after is one second.
    fn new() -> Stage {
        let mut state = DurableGroup::new(at(MASTER), GroupConfig::new(Quorum(2)));
        state.config.down_after = Duration::from_secs(1);
        state.config.failover_timeout = Duration::from_secs(10);
        for number in [1, 2] {
            state.sentinels.insert(peer(number), at(5000 + number));
        }
        let groups = BTreeMap::from([(group(), state)]);
        let durable = Durable { myid: Some(SentinelId::new("me")), groups, ..Durable::default() };
        let replicas = vec![at(NEAR), at(FAR)];
        let run_id = |port: u16| Some(RunId::new(&format!("run{port}")));
        let master = Info { role: Some(Role::Master), replicas, run_id: run_id(MASTER), ..Info::default() };
        let replica = |port, offset| Info {
            role: Some(Role::Replica),
            master: Some(at(MASTER)),
            master_link_up: true,
            repl_offset: Offset(offset),
            run_id: run_id(port),
            ..Info::default()
        };
        let servers = [(MASTER, master), (NEAR, replica(NEAR, 200)), (FAR, replica(FAR, 100))];
        let now = Time::from_millis(500);
        let mut stage = Stage {
            sentinel: OriginalSentinel::new(durable, 7, now),
            now,
            servers: servers.into(),
            dead: BTreeSet::new(),
            peers_say: (false, None),
            links: BTreeMap::new(),
            inbox: VecDeque::new(),
            told: Vec::new(),
            responses: Vec::new(),
            hellos: Vec::new(),
            saved: Vec::new(),
            exited: false,
        };
        stage.run(Duration::from_secs(12));
        stage
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.run_until(end, |_| false);
    }

    /// Runs until something holds; false when it did not within a minute.
    fn reaches(&mut self, holds: impl Fn(&Stage) -> bool) -> bool {
        let end = self.now + Duration::from_secs(60);
        self.run_until(end, holds)
    }

    fn run_until(&mut self, end: Time, holds: impl Fn(&Stage) -> bool) -> bool {
        loop {
            self.settle();
            if holds(self) {
                return true;
            }
            let next = self.sentinel.poll_timeout().expect("it always ticks");
            if next > end {
                self.now = end;
                return false;
            }
            self.now = next;
            self.sentinel.handle(next, Input::Wake);
        }
    }

    fn settle(&mut self) {
        loop {
            while let Some(action) = self.sentinel.poll_action() {
                self.carry_out(action);
            }
            let Some(input) = self.inbox.pop_front() else { return };
            self.sentinel.handle(self.now, input);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect { link, to, kind, .. } => {
                assert_eq!(kind == LinkKind::Sentinel, to.port < 6000);
                let up = match self.dead.contains(&to.port) {
                    true => Err(LinkError::Refused),
                    false => Ok(LinkUp { local: LOCAL }),
                };
                self.links.insert(link, to.port);
                self.inbox.push_back(Input::Link { link, up });
            }
            Action::Disconnect(link) => drop(self.links.remove(&link)),
            Action::Call { link, call, command } => self.answer(link, call, command),
            Action::Save { seq, state } => {
                self.saved.push(*state);
                self.inbox.push_back(Input::Saved { seq, result: Ok(()) });
            }
            Action::Respond { response, .. } => self.responses.push(response),
            Action::Notify(Notice::Event { event, detail, .. }) => {
                self.told.push((self.now, event, detail.to_string()))
            }
            Action::Exit => self.exited = true,
            _ => {}
        }
    }

    fn answer(&mut self, link: LinkId, call: CallId, command: Command) {
        let Some(port) = self.links.get(&link).copied() else { return };
        if self.dead.contains(&port) {
            return;
        }
        let server = self.servers.get_mut(&port);
        let reply = match (command, server) {
            (Command::Ping, _) => Reply::Pong,
            (Command::Info, Some(info)) => Reply::Info(Arc::new(info.clone())),
            (Command::ReplicaOf(to), Some(info)) => {
                info.role = Some(if to.is_some() { Role::Replica } else { Role::Master });
                info.master = to;
                Reply::Ok
            }
            (Command::Publish(hello), _) => {
                self.hellos.push((port, hello));
                Reply::Ok
            }
            (Command::IsMasterDown { epoch, candidate, .. }, _) => {
                let (down, leader) = self.peers_say.clone();
                Reply::Down { down, leader: leader.filter(|_| candidate.is_some()), epoch }
            }
            _ => Reply::Ok,
        };
        self.inbox.push_back(Input::Reply { link, call, reply });
    }

    fn kill(&mut self, port: u16) {
        self.dead.insert(port);
        let broken: Vec<_> =
            self.links.iter().filter(|(_, to)| **to == port).map(|(link, _)| *link).collect();
        for link in broken {
            self.links.remove(&link);
            self.inbox.push_back(Input::Link { link, up: Err(LinkError::Closed) });
        }
    }

    fn ask(&mut self, request: Request) -> Response {
        self.sentinel.handle(self.now, Input::Request { client: ClientId(1), request });
        self.settle();
        self.responses.pop().expect("every request is answered")
    }

    fn was_told(&self, event: Event) -> bool {
        self.told.iter().any(|(_, told, _)| *told == event)
    }

    fn when(&self, event: Event) -> Time {
        self.told.iter().find(|(_, told, _)| *told == event).expect("it was told").0
    }

    fn phase(&self) -> FailoverPhase {
        self.sentinel.group(&group()).expect("watched").failover
    }
}

#[test]
fn replicas_are_found_through_the_master() {
    let stage = Stage::new();
    let view = stage.sentinel.group(&group()).expect("watched");
    assert_eq!(view.replicas.iter().map(|node| node.addr.port).collect::<Vec<_>>(), [NEAR, FAR]);
    assert!(view.replicas.iter().all(|node| node.link.up && node.pubsub_up && node.link.sdown.is_none()));
    let last = stage.saved.last().expect("new replicas are saved");
    assert_eq!(last.groups[&group()].replicas.len(), 2);
}

#[test]
fn a_hello_goes_out_every_two_seconds() {
    let mut stage = Stage::new();
    stage.hellos.clear();
    stage.run(Duration::from_secs(10));
    let heard = |port| stage.hellos.iter().filter(|(to, _)| *to == port).count();
    for port in [MASTER, NEAR, FAR, 5001, 5002] {
        assert!((4..=5).contains(&heard(port)), "{port} heard {} hellos", heard(port));
    }
}

#[test]
fn a_dead_master_is_replaced_by_the_replica_that_came_farthest() {
    let mut stage = Stage::new();
    let killed = stage.now;
    stage.kill(MASTER);
    stage.peers_say = (true, Some(SentinelId::new("me")));
    assert!(stage.reaches(|stage| stage.was_told(Event::SwitchMaster)));
    let order: Vec<_> =
        stage.told.iter().map(|(_, event, _)| *event).skip_while(|e| *e != Event::Sdown).collect();
    assert_eq!(
        order,
        [
            Event::Sdown,
            Event::Odown,
            Event::NewEpoch,
            Event::TryFailover,
            Event::VoteForLeader,
            Event::ElectedLeader,
            Event::SelectReplica,
            Event::SelectedReplica,
            Event::SendReplicaOfNoOne,
            Event::WaitPromotion,
            Event::RoleUnexpected,
            Event::PromotedReplica,
            Event::ReconfReplicas,
            Event::ReconfSent,
            Event::ReconfInProgress,
            Event::ReconfDone,
            Event::FailoverEnd,
            Event::SwitchMaster,
            Event::NewReplica,
            Event::NewReplica,
        ]
    );
    let sdown = stage.when(Event::Sdown) - killed;
    assert!(sdown >= Duration::from_millis(900) && sdown <= Duration::from_millis(2100), "{sdown:?}");
    // The replica turned at once; the original sees it with the INFO of the next second.
    let waited = stage.when(Event::PromotedReplica) - stage.when(Event::WaitPromotion);
    assert!(waited <= Duration::from_millis(1200), "{waited:?}");
    assert!(stage.when(Event::SwitchMaster) - killed > Duration::from_millis(1500));
    let (_, _, payload) =
        stage.told.iter().find(|(_, event, _)| *event == Event::SwitchMaster).expect("told");
    assert_eq!(payload, "mymaster 127.0.0.1 6379 127.0.0.1 6380");
    let last = &stage.saved.last().expect("saved").groups[&group()];
    assert_eq!((last.master.clone(), last.config_epoch), (at(NEAR), Epoch(1)));
    assert!(last.replicas.contains(&at(MASTER)));
}

#[test]
fn the_address_is_the_new_masters_as_soon_as_it_is_promoted() {
    let mut stage = Stage::new();
    stage.kill(MASTER);
    stage.peers_say = (true, Some(SentinelId::new("me")));
    assert!(stage.reaches(|stage| stage.phase() == FailoverPhase::ReconfReplicas));
    assert!(!stage.was_told(Event::SwitchMaster));
    assert_eq!(stage.sentinel.group(&group()).expect("watched").address, at(NEAR));
    let last = &stage.saved.last().expect("saved").groups[&group()];
    assert_eq!(last.replicas.iter().map(|addr| addr.port).collect::<Vec<_>>(), [MASTER, FAR]);
}

#[test]
fn without_votes_the_attempt_is_given_up_and_not_repeated_for_twice_the_timeout() {
    let mut stage = Stage::new();
    stage.kill(MASTER);
    stage.peers_say = (true, Some(peer(1)));
    assert!(stage.reaches(|stage| stage.was_told(Event::AbortNotElected)));
    let first = stage.when(Event::TryFailover);
    stage.told.clear();
    assert!(stage.reaches(|stage| stage.was_told(Event::TryFailover)));
    let pause = stage.when(Event::TryFailover) - first;
    assert!(pause >= Duration::from_secs(20) && pause <= Duration::from_secs(22), "{pause:?}");
}

#[test]
fn one_opinion_is_not_enough() {
    let mut stage = Stage::new();
    stage.kill(MASTER);
    stage.run(Duration::from_secs(30));
    assert!(stage.was_told(Event::Sdown) && !stage.was_told(Event::Odown));
}

#[test]
fn the_first_to_ask_has_the_vote_and_the_answer_leaves_with_the_save() {
    let mut stage = Stage::new();
    let ask =
        |candidate| Request::IsMasterDown { master: at(MASTER), epoch: Epoch(5), candidate: Some(candidate) };
    let saves = stage.saved.len();
    let given = Response::Down { down: false, leader: Some(peer(1)), epoch: Epoch(5) };
    assert_eq!(stage.ask(ask(peer(1))), given);
    assert_eq!(stage.saved.len(), saves + 1);
    assert_eq!(stage.ask(ask(peer(2))), given);
    assert_eq!(stage.saved.last().expect("saved").groups[&group()].leader_epoch, Epoch(5));
}

#[test]
fn a_newer_configuration_is_followed() {
    let mut stage = Stage::new();
    let hello = Hello {
        addr: at(5001),
        id: peer(1),
        current_epoch: Epoch(3),
        group: group(),
        master: at(FAR),
        config_epoch: Epoch(3),
    };
    stage.sentinel.handle(stage.now, Input::Hello { link: None, hello });
    stage.settle();
    assert!(stage.was_told(Event::ConfigUpdateFrom) && stage.was_told(Event::SwitchMaster));
    assert_eq!(stage.sentinel.group(&group()).expect("watched").address, at(FAR));
}

#[test]
fn a_master_that_returns_is_left_writable_for_eight_seconds() {
    let mut stage = Stage::new();
    stage.kill(MASTER);
    stage.peers_say = (true, Some(SentinelId::new("me")));
    assert!(stage.reaches(|stage| stage.was_told(Event::SwitchMaster)));
    stage.run(Duration::from_secs(30));
    stage.dead.clear();
    let returned = stage.now;
    assert!(stage.reaches(|stage| stage.was_told(Event::ConvertToReplica)));
    let writable = stage.when(Event::ConvertToReplica) - returned;
    assert!(writable >= Duration::from_secs(8) && writable <= Duration::from_secs(22), "{writable:?}");
    assert_eq!(stage.servers[&MASTER].master, Some(at(NEAR)));
}

#[test]
fn a_manual_failover_needs_no_votes_but_a_good_replica() {
    let mut stage = Stage::new();
    assert_eq!(stage.ask(Request::Failover { group: group() }), Response::Ok);
    assert_eq!(stage.ask(Request::Failover { group: group() }), Response::Refused(Refusal::InProgress));
    assert!(stage.reaches(|stage| stage.was_told(Event::SwitchMaster)));
    for port in [NEAR, FAR, MASTER] {
        stage.kill(port);
    }
    stage.run(Duration::from_secs(5));
    assert_eq!(stage.ask(Request::Failover { group: group() }), Response::Refused(Refusal::NoGoodReplica));
}

#[test]
fn a_jump_of_the_clock_stops_it_for_half_a_minute() {
    let mut stage = Stage::new();
    stage.now += Duration::from_secs(5);
    stage.sentinel.handle(stage.now, Input::Wake);
    assert!(stage.reaches(|stage| stage.was_told(Event::Tilt)));
    stage.kill(MASTER);
    stage.peers_say = (true, Some(SentinelId::new("me")));
    stage.run(Duration::from_secs(20));
    assert!(!stage.was_told(Event::Sdown));
    assert!(stage.reaches(|stage| stage.was_told(Event::SwitchMaster)));
    assert!(stage.when(Event::Sdown) >= stage.when(Event::TiltOver));
}

#[test]
fn a_simulated_crash_comes_after_the_promotion() {
    let mut stage = Stage::new();
    let request = Request::SimulateFailure { crash_after_election: false, crash_after_promotion: true };
    assert_eq!(stage.ask(request), Response::Ok);
    stage.kill(MASTER);
    stage.peers_say = (true, Some(SentinelId::new("me")));
    assert!(stage.reaches(|stage| stage.exited));
    assert!(stage.was_told(Event::PromotedReplica));
}
