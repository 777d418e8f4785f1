//! A sentinel in a world that a test rules: servers that answer at once, a disk that works or does not.

use crate::registry::Registry;
use consentinel_core::{
    Action, ClientId, ClientLine, Command, DnsView, Durable, DurableGroup, Endpoint, Event, GroupConfig,
    GroupName, Hello, Host, Info, Input, JobId, LinkError, LinkId, LinkUp, Notice, Quorum, Reply, Request,
    Response, Role, RunId, SaveError, Sentinel, Seq, Time,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const MASTER: u16 = 6379;
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) struct Bench {
    pub(crate) sentinel: Sentinel,
    pub(crate) now: Time,
    pub(crate) servers: BTreeMap<u16, Info>,
    /// Other sentinels that answer, and what they say of themselves.
    pub(crate) peers: BTreeMap<u16, Hello>,
    /// What a server answers instead of obeying, to PING and to being turned.
    pub(crate) stubborn: BTreeMap<u16, Reply>,
    /// The addresses behind the names.
    pub(crate) names: BTreeMap<String, IpAddr>,
    pub(crate) disk: Result<(), SaveError>,
    /// Saves that are not answered yet, where the disk is slow.
    pub(crate) held: Option<Vec<Seq>>,
    pub(crate) events: Vec<(Event, String)>,
    pub(crate) logs: Vec<String>,
    /// Who was told to follow whom.
    pub(crate) turned: Vec<(u16, Option<Endpoint>)>,
    /// Other commands that a server got.
    pub(crate) commands: Vec<(u16, Command)>,
    pub(crate) connected: Vec<IpAddr>,
    pub(crate) scripts: Vec<(JobId, String, Vec<String>)>,
    pub(crate) killed: Vec<JobId>,
    pub(crate) responses: Vec<Response>,
    pub(crate) dns_views: Vec<Option<DnsView>>,
    /// What servers answer to CLIENT LIST, and whether they do.
    pub(crate) clients: Vec<ClientLine>,
    pub(crate) may_list_clients: bool,
    pub(crate) registry: Registry,
    links: BTreeMap<LinkId, u16>,
}

impl Bench {
    /// A master and replicas, watched with a quorum of one.
    pub(crate) fn new(replicas: &[u16]) -> Bench {
        Bench::with(replicas, |_| {})
    }

    pub(crate) fn with(replicas: &[u16], change: impl FnOnce(&mut Durable)) -> Bench {
        let mut config = GroupConfig::new(Quorum(1));
        config.down_after = Duration::from_secs(1);
        let mut durable = Durable::default();
        durable.groups.insert(group(), DurableGroup::new(endpoint(MASTER), config));
        change(&mut durable);
        let mut servers = BTreeMap::new();
        let follows = replicas.iter().map(|port| endpoint(*port)).collect();
        servers.insert(MASTER, Info { role: Some(Role::Master), replicas: follows, ..info(MASTER) });
        for port in replicas {
            let master = Some(endpoint(MASTER));
            servers.insert(
                *port,
                Info { role: Some(Role::Replica), master, master_link_up: true, ..info(*port) },
            );
        }
        let mut bench = Bench {
            sentinel: Sentinel::new(durable, 1, Time::ZERO),
            now: Time::ZERO,
            servers,
            peers: BTreeMap::new(),
            stubborn: BTreeMap::new(),
            names: BTreeMap::new(),
            disk: Ok(()),
            held: None,
            events: vec![],
            logs: vec![],
            turned: vec![],
            commands: vec![],
            connected: vec![],
            scripts: vec![],
            killed: vec![],
            responses: vec![],
            dns_views: vec![],
            clients: vec![],
            may_list_clients: true,
            registry: Registry::new(),
            links: BTreeMap::new(),
        };
        bench.settle();
        bench
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.sentinel.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.input(Input::Wake);
        }
        self.now = end;
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.sentinel.handle(self.now, input);
        self.settle();
    }

    pub(crate) fn ask(&mut self, request: Request) -> Response {
        self.input(Input::Request { client: ClientId(1), request });
        self.responses.pop().expect("every request is answered when the disk is quick")
    }

    fn settle(&mut self) {
        while let Some(action) = self.sentinel.poll_action() {
            if let Some(input) = self.carry_out(action) {
                self.sentinel.handle(self.now, input);
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Connect { link, to, ip, .. } => {
                self.connected.push(ip);
                self.links.insert(link, to.port);
                let listens = self.servers.contains_key(&to.port) || self.peers.contains_key(&to.port);
                let up = if listens { Ok(LinkUp { local: LOCAL }) } else { Err(LinkError::Refused) };
                return Some(Input::Link { link, up });
            }
            Action::Call { link, call, command } => {
                return self.answer(link, command).map(|reply| Input::Reply { link, call, reply });
            }
            Action::Save { seq, .. } if self.held.is_some() => self.held.get_or_insert_default().push(seq),
            Action::Save { seq, .. } => return Some(Input::Saved { seq, result: self.disk.clone() }),
            Action::Resolve { name } => {
                let ip = self.names.get(&*name).copied();
                return Some(Input::Resolved { name, ip });
            }
            Action::Notify(Notice::Event { event, detail, .. }) => {
                self.events.push((event, detail.to_string()))
            }
            Action::RunScript { job, path, args } => self.scripts.push((job, path, args)),
            Action::KillScript(job) => self.killed.push(job),
            Action::Respond { response, .. } => self.responses.push(response),
            Action::Register { group, request } => {
                return self.registry.answer(request).map(|event| Input::Registry { group, event });
            }
            Action::Dns { view, .. } => self.dns_views.push(view.map(|view| *view)),
            Action::Notify(Notice::Log { text, .. }) => self.logs.push(text),
            Action::Disconnect(_) | Action::Exit => {}
        }
        None
    }

    fn answer(&mut self, link: LinkId, command: Command) -> Option<Reply> {
        let port = *self.links.get(&link)?;
        if let Some(hello) = self.peers.get(&port) {
            let reply = answer_of(hello, &command);
            self.commands.push((port, command));
            return Some(reply);
        }
        let server = self.servers.get_mut(&port)?;
        let stubborn = self.stubborn.get(&port).cloned();
        let reply = match &command {
            Command::Ping => stubborn.unwrap_or(Reply::Pong),
            Command::Info => Reply::Info(Arc::new(server.clone())),
            Command::ReplicaOf(_) | Command::Demote(_) if stubborn.is_some() => stubborn?,
            Command::ReplicaOf(master) | Command::ReplicaOfPlain(master) => {
                self.turned.push((port, master.clone()));
                server.role = Some(if master.is_some() { Role::Replica } else { Role::Master });
                server.master = master.clone();
                Reply::Ok
            }
            Command::Demote(master) => {
                self.turned.push((port, Some(master.clone())));
                server.role = Some(Role::Replica);
                server.master = Some(master.clone());
                Reply::Ok
            }
            Command::ListClients if self.may_list_clients => Reply::Clients(self.clients.clone()),
            Command::ListClients => Reply::Error("NOPERM this user has no permissions".to_owned()),
            _ => Reply::Ok,
        };
        self.commands.push((port, command));
        Some(reply)
    }

    /// The disk is quick again.
    pub(crate) fn release(&mut self) {
        for seq in self.held.take().unwrap_or_default() {
            self.input(Input::Saved { seq, result: Ok(()) });
        }
    }

    /// A sentinel that runs says hello.
    pub(crate) fn hear(&mut self, hello: Hello) {
        self.peers.insert(hello.addr.port, hello.clone());
        self.input(Input::Hello { link: None, hello });
    }

    pub(crate) fn kill(&mut self, port: u16) {
        self.servers.remove(&port);
        self.peers.remove(&port);
        let lost: Vec<_> = self.links.iter().filter(|(_, of)| **of == port).map(|(link, _)| *link).collect();
        for link in lost {
            self.links.remove(&link);
            self.input(Input::Link { link, up: Err(LinkError::Closed) });
        }
    }

    pub(crate) fn saw(&self, event: Event) -> bool {
        self.events.iter().any(|(seen, _)| *seen == event)
    }

    /// Where clients are sent.
    pub(crate) fn master(&self) -> Endpoint {
        self.sentinel.master_of(group().as_str()).expect("it is watched")
    }
}

fn answer_of(hello: &Hello, command: &Command) -> Reply {
    match command {
        Command::Ping => Reply::Pong,
        Command::MyId => Reply::Id(hello.id.clone()),
        Command::MasterAddress(_) => Reply::Address(Some(hello.master.clone())),
        Command::MasterEpoch(_) => Reply::Epoch(hello.config_epoch),
        _ => Reply::Ok,
    }
}

pub(crate) fn group() -> GroupName {
    GroupName::new("mymaster")
}

pub(crate) fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(Host::Ip(LOCAL), port)
}

pub(crate) fn info(port: u16) -> Info {
    Info { run_id: Some(RunId::new(&format!("run{port}"))), keys: 300, ..Info::default() }
}
