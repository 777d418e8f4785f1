//! Everything that runs in a demo: three Redis servers, three daemons, and a Consul when there is one.

mod configs;
mod ready;

use super::actor::{Actor, Part};
use super::keeper::Folder;
use super::ports::Ports;
use configs::{consul_config, redis_config, sentinel_config};
use rustix::process::Signal;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the watched master is called.
pub(super) const GROUP: &str = "mymaster";

/// Of each there are three.
pub(super) const COUNT: usize = 3;

/// The ports of a demo: its servers, its daemons, DNS, and what Consul needs.
const SERVER: u16 = 1;
const DAEMON: u16 = 11;
const DNS: u16 = 7;
const CONSUL: u16 = 4;

/// How much of a log an error shows.
const LAST_WORDS: usize = 8;

/// With what a stage is set up.
#[derive(Clone, Debug)]
pub(super) struct Props {
    /// The Redis server.
    pub redis_server: PathBuf,
    /// Consul; without it the daemons answer DNS themselves.
    pub consul: Option<PathBuf>,
    /// `down-after-milliseconds`
    pub down_after: Duration,
}

/// What our hand did to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// It runs.
    Up,
    /// It was killed.
    Killed,
    /// It was stopped: it keeps its connections and says nothing.
    Stopped,
}

/// A Redis server of the demo.
#[derive(Debug)]
struct Server {
    hand: Hand,
    actor: Actor,
}

/// All of it. Dropping it kills everything and removes the folder.
#[derive(Debug)]
pub(super) struct Stage {
    servers: Vec<Server>,
    daemons: Vec<Actor>,
    consul: Option<Actor>,
    ports: Ports,
    folder: Folder,
    props: Props,
}

impl Stage {
    /// Takes ports and a folder; nothing runs yet.
    pub(super) fn new(props: Props) -> Result<Stage, String> {
        let (ports, folder) = (Ports::take()?, Folder::new()?);
        let mut stage =
            Stage { servers: Vec::new(), daemons: Vec::new(), consul: None, ports, folder, props };
        for number in 0..COUNT {
            stage.add_server(number)?;
            stage.add_daemon(number)?;
        }
        if let Some(program) = stage.props.consul.clone() {
            stage.add_consul(program)?;
        }
        Ok(stage)
    }

    fn add_server(&mut self, number: usize) -> Result<(), String> {
        let port = self.server_port(number);
        let folder = self.folder.sub(&format!("redis-{port}"))?;
        let config = folder.join("redis.conf");
        let master = (number > 0).then(|| self.server_port(0));
        write(&config, &redis_config(port, &folder, master))?;
        let part = Part {
            name: format!("redis {port}"),
            program: self.props.redis_server.clone(),
            words: vec![config.into()],
            log: folder.join("log"),
        };
        self.servers.push(Server { hand: Hand::Up, actor: Actor::new(part) });
        Ok(())
    }

    fn add_daemon(&mut self, number: usize) -> Result<(), String> {
        let (port, letter) = (self.daemon_port(number), letter(number));
        let folder = self.folder.sub(&format!("daemon-{letter}"))?;
        let config = folder.join("sentinel.conf");
        write(&config, &sentinel_config(port, &folder, self.server_port(0), self.props.down_after))?;
        let mut words = vec![config.into()];
        words.extend(match self.props.consul {
            Some(_) => ["--consul".into(), OsString::from(format!("http://{}", self.consul_http()))],
            None => ["--dns".into(), self.dns_of(number).to_string().into()],
        });
        let part = Part {
            name: format!("daemon {letter}"),
            program: "/proc/self/exe".into(),
            words,
            log: folder.join("log"),
        };
        self.daemons.push(Actor::new(part));
        Ok(())
    }

    fn add_consul(&mut self, program: PathBuf) -> Result<(), String> {
        let folder = self.folder.sub("consul")?;
        let config = folder.join("consul.json");
        let ports = [self.dns().port(), CONSUL, CONSUL + 1, CONSUL + 2, SERVER + 16].map(|port| match port {
            port if port < super::ports::BLOCK => self.ports.port(port),
            port => port,
        });
        write(&config, &consul_config(ports, configs::Version::of(&program)))?;
        let words = ["agent".into(), "-dev".into(), "-config-file".into(), config.into()].to_vec();
        let part = Part { name: "consul".into(), program, words, log: folder.join("log") };
        self.consul = Some(Actor::new(part));
        Ok(())
    }

    /// The port of a server.
    pub(super) fn server_port(&self, number: usize) -> u16 {
        self.ports.port(SERVER + number as u16)
    }

    /// The port of a daemon.
    pub(super) fn daemon_port(&self, number: usize) -> u16 {
        self.ports.port(DAEMON + number as u16)
    }

    /// Where DNS is answered: Consul's, or the first daemon's own.
    pub(super) fn dns(&self) -> SocketAddr {
        self.dns_of(0)
    }

    fn dns_of(&self, number: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.port(DNS + number as u16)).into()
    }

    /// Where Consul speaks HTTP.
    fn consul_http(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.port(CONSUL)).into()
    }

    /// Consul's own page, where there is a Consul.
    pub(super) fn consul_page(&self) -> Option<String> {
        self.consul.as_ref().map(|_| format!("http://{}/ui", self.consul_http()))
    }

    /// What our hand did to a server.
    pub(super) fn hand(&self, server: usize) -> Hand {
        self.servers[server].hand
    }

    /// SIGKILL, as when its machine lost its power.
    pub(super) async fn kill(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.hand = Hand::Killed;
        server.actor.kill().await;
    }

    /// SIGSTOP, as when its machine hangs.
    pub(super) fn stop(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.hand = Hand::Stopped;
        server.actor.signal(Signal::STOP);
    }

    /// Brings a server back, in the way in which it went.
    pub(super) fn bring_back(&mut self, server: usize) -> Result<(), String> {
        let server = &mut self.servers[server];
        match std::mem::replace(&mut server.hand, Hand::Up) {
            Hand::Up => Ok(()),
            Hand::Stopped => {
                server.actor.signal(Signal::CONT);
                Ok(())
            }
            Hand::Killed => server.actor.start(),
        }
    }

    /// An error when something has ended that nobody ended.
    pub(super) fn look_after(&mut self) -> Result<(), String> {
        let servers = self.servers.iter_mut().filter(|server| server.hand != Hand::Killed);
        let actors = servers.map(|server| &mut server.actor).chain(&mut self.daemons).chain(&mut self.consul);
        for actor in actors {
            if let Some(status) = actor.has_exited() {
                let last = actor.last_words(LAST_WORDS);
                return Err(format!(
                    "{} has ended by itself ({status}). Its last words:\n{last}",
                    actor.name()
                ));
            }
        }
        Ok(())
    }

    /// Tells whoever tidies up after a crash whether the terminal shows the demo's screen.
    pub(super) fn on_screen(&mut self, shown: bool) {
        self.folder.on_screen(shown);
    }

    /// Ends everything; returns when it is gone.
    pub(super) async fn strike(mut self) {
        // The daemons first: they would fail over once more.
        let servers = self.servers.iter_mut().map(|server| &mut server.actor);
        for actor in self.daemons.iter_mut().chain(servers).chain(&mut self.consul) {
            actor.kill().await;
        }
    }
}

/// What a daemon is called.
pub(super) fn letter(daemon: usize) -> char {
    ['A', 'B', 'C'].get(daemon).copied().unwrap_or('?')
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
