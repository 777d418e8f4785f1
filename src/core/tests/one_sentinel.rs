//! One sentinel, driven by hand: what it says to whom, step by step.

use consentinel_core::{
    Action, Command, Durable, DurableGroup, Endpoint, Event, GroupConfig, GroupName, Host, Info, Input,
    LinkError, LinkId, LinkKind, LinkUp, Notice, Quorum, Reply, Role, RunId, SaveError, Sentinel, Time,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MASTER: u16 = 6379;

/// A sentinel, and servers that answer at once as the test has set them up.
struct Bench {
    sentinel: Sentinel,
    now: Time,
    servers: BTreeMap<u16, Info>,
    links: BTreeMap<LinkId, (u16, LinkKind)>,
    disk: Result<(), SaveError>,
    events: Vec<(Event, String)>,
    turned: Vec<(u16, Option<Endpoint>)>,
}

impl Bench {
    fn new(replicas: &[u16]) -> Bench {
        let master = endpoint(MASTER);
        let mut config = GroupConfig::new(Quorum(1));
        config.down_after = Duration::from_secs(1);
        let mut durable = Durable::default();
        durable.groups.insert(GroupName::new("mymaster"), DurableGroup::new(master.clone(), config));
        let mut servers = BTreeMap::new();
        let follows = replicas.iter().map(|port| endpoint(*port)).collect();
        servers.insert(MASTER, Info { role: Some(Role::Master), replicas: follows, keys: 3, ..info(MASTER) });
        for port in replicas {
            let follows = Some(master.clone());
            let replica = Info {
                role: Some(Role::Replica),
                master: follows,
                master_link_up: true,
                keys: 3,
                ..info(*port)
            };
            servers.insert(*port, replica);
        }
        let sentinel = Sentinel::new(durable, 1, Time::ZERO);
        let links = BTreeMap::new();
        let mut bench =
            Bench { sentinel, now: Time::ZERO, servers, links, disk: Ok(()), events: vec![], turned: vec![] };
        bench.settle();
        bench
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.sentinel.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.sentinel.handle(at, Input::Wake);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while let Some(action) = self.sentinel.poll_action() {
            let answer = match action {
                Action::Connect { link, to, kind, .. } => {
                    let listens = self.servers.contains_key(&to.port);
                    self.links.insert(link, (to.port, kind));
                    Some(Input::Link {
                        link,
                        up: if listens { Ok(LinkUp { local: LOCAL }) } else { Err(LinkError::Refused) },
                    })
                }
                Action::Call { link, call, command } => {
                    self.answer(link, &command).map(|reply| Input::Reply { link, call, reply })
                }
                Action::Save { seq, .. } => Some(Input::Saved { seq, result: self.disk.clone() }),
                Action::Notify(Notice::Event { event, payload, .. }) => {
                    self.events.push((event, payload));
                    None
                }
                _ => None,
            };
            if let Some(input) = answer {
                self.sentinel.handle(self.now, input);
            }
        }
    }

    fn answer(&mut self, link: LinkId, command: &Command) -> Option<Reply> {
        let (port, _) = *self.links.get(&link)?;
        let server = self.servers.get_mut(&port)?;
        Some(match command {
            Command::Ping => Reply::Pong,
            Command::Info => Reply::Info(Arc::new(server.clone())),
            Command::ReplicaOf(master) => {
                self.turned.push((port, master.clone()));
                server.role = Some(if master.is_some() { Role::Replica } else { Role::Master });
                server.master = master.clone();
                Reply::Ok
            }
            _ => Reply::Ok,
        })
    }

    fn kill(&mut self, port: u16) {
        self.servers.remove(&port);
        let lost: Vec<_> =
            self.links.iter().filter(|(_, (of, _))| *of == port).map(|(link, _)| *link).collect();
        for link in lost {
            self.links.remove(&link);
            self.sentinel.handle(self.now, Input::Link { link, up: Err(LinkError::Closed) });
            self.settle();
        }
    }

    fn saw(&self, event: Event) -> bool {
        self.events.iter().any(|(seen, _)| *seen == event)
    }

    fn master(&self) -> Endpoint {
        self.sentinel.master_of(&GroupName::new("mymaster")).expect("it is watched")
    }
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(Host::Ip(LOCAL), port)
}

fn info(port: u16) -> Info {
    Info { run_id: Some(RunId::new(&format!("run{port}"))), ..Info::default() }
}

#[test]
fn a_killed_master_is_replaced_a_few_milliseconds_after_down_after() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_millis(999));
    assert!(!bench.saw(Event::Sdown));
    bench.run(Duration::from_millis(20));
    assert_eq!(bench.master(), endpoint(6380));
    assert_eq!(bench.turned, [(6380, None)]);
    let names: Vec<_> =
        bench.events.iter().map(|(event, _)| event.as_str()).filter(|name| *name != "+monitor").collect();
    let story = [
        "+slave",
        "+sdown",
        "+odown",
        "+new-epoch",
        "+try-failover",
        "+vote-for-leader",
        "+elected-leader",
        "+failover-state-select-slave",
        "+selected-slave",
        "+failover-state-send-slaveof-noone",
        "+failover-state-wait-promotion",
        "-role-change",
        "+promoted-slave",
        "+failover-state-reconf-slaves",
        "+failover-end",
        "+switch-master",
        "+slave",
    ];
    assert_eq!(names, story);
}

#[test]
fn a_master_that_returns_becomes_a_replica_at_first_sight() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(3));
    bench.turned.clear();
    bench
        .servers
        .insert(MASTER, Info { role: Some(Role::Master), run_id: Some(RunId::new("again")), ..info(MASTER) });
    bench.run(Duration::from_millis(600));
    assert_eq!(bench.turned, [(MASTER, Some(endpoint(6380)))]);
    assert!(bench.saw(Event::ConvertToReplica));
}

#[test]
fn without_a_disk_nobody_leads_until_it_works_again() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.disk = Err(SaveError("no space left".to_owned()));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(20));
    assert_eq!(bench.master(), endpoint(MASTER));
    assert!(bench.turned.is_empty() && !bench.saw(Event::ElectedLeader));
    bench.disk = Ok(());
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn a_master_that_restarts_empty_does_not_wipe_its_replicas() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    let empty = Info { role: Some(Role::Master), run_id: Some(RunId::new("empty")), ..info(MASTER) };
    bench.servers.insert(MASTER, Info { keys: 0, replid: Some(RunId::new("new")), ..empty });
    bench.run(Duration::from_millis(100));
    assert_eq!(bench.master(), endpoint(6380));
}
