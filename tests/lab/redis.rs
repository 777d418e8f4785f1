//! A real Redis server.

use crate::process::Process;
use crate::release::Release;
use crate::resp::{Client, Value};
use crate::wait::eventually;
use crate::{Folder, Names, free_port};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For what a healthy server does.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Which program.
    pub release: Release,
    /// By which of this machine's names or addresses it is known: `127.0.0.1`, `::1`, `localhost`.
    pub host: &'static str,
    /// `repl-diskless-sync-delay`: seconds that a master waits before it sends a replica its data.
    pub sync_delay: u32,
    /// `requirepass` and `masterauth`
    pub password: Option<String>,
    /// The host names that it knows, where they are not the machine's.
    pub names: Option<Names>,
    /// More lines of its configuration.
    pub lines: Vec<String>,
}

impl Default for Serving {
    fn default() -> Self {
        Serving {
            release: Release::Machine,
            host: "127.0.0.1",
            sync_delay: 0,
            password: None,
            names: None,
            lines: Vec::new(),
        }
    }
}

impl Serving {
    fn config(&self, port: u16, folder: &Path, follows: Option<u16>) -> String {
        let Serving { host, sync_delay, .. } = self;
        let known = match *host {
            "127.0.0.1" => "bind 127.0.0.1\n".into(),
            host => format!("bind 127.0.0.1 ::1\nreplica-announce-ip {host}\n"),
        };
        let secret = self.password.iter().map(|word| format!("requirepass {word}\nmasterauth {word}"));
        let follows = follows.iter().map(|master| format!("replicaof {host} {master}"));
        let more: String =
            secret.chain(follows).chain(self.lines.iter().cloned()).map(|line| line + "\n").collect();
        format!(
            "port {port}\n{known}dir {}\nsave \"\"\nappendonly no\nrepl-diskless-sync-delay {sync_delay}\n{more}",
            folder.display()
        )
    }
}

/// A Redis server, running or not.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub port: u16,
    /// Which program. To be changed only while it does not run.
    pub release: Release,
    /// What it asks its clients for.
    pub password: Option<String>,
    names: Option<Names>,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts a server that keeps nothing on disk but its configuration: a replica of that port, or a master.
    pub fn start_new(folder: &Folder, serving: &Serving, follows: Option<u16>) -> Redis {
        let port = free_port();
        let folder = folder.sub(&format!("redis-{port}"));
        let config = serving.config(port, &folder, follows);
        std::fs::write(folder.join("redis.conf"), config).expect("the folder is ours");
        let Serving { release, password, names, .. } = serving.clone();
        let mut redis = Redis { port, release, password, names, folder, process: None };
        redis.start();
        redis
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("redis.conf")
    }

    /// Starts it, for the first time or again, with the configuration that it last had.
    pub fn start(&mut self) {
        self.spawn();
        eventually("the Redis server answers", PATIENCE, || {
            let role = self.role();
            if self.process.as_mut().and_then(Process::exit_status).is_some() {
                // A child of the one that was killed, which was saving for it, may have had its port for a moment.
                self.process = None;
                self.spawn();
            }
            role
        });
    }

    /// Starts it and does not wait until it answers.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let (program, args) = (self.release.server(), vec![self.config().into()]);
        let (program, args) = match &self.names {
            Some(names) => names.within(&program, &args),
            None => (program, args),
        };
        self.process = Some(Process::start(&program, &args, &self.folder.join("log")));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.process.as_ref().expect("it runs").pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.as_ref().expect("it runs").resume();
    }

    /// A new connection; nothing when nobody answers.
    pub fn client(&self) -> Option<Client> {
        let client = Client::connect(self.port, Duration::from_millis(500)).ok()?;
        client.authenticated(self.password.as_deref()).ok()
    }

    /// One command over a connection of its own; nothing when nobody answers.
    pub fn call(&self, words: &[&str]) -> Option<Value> {
        self.client()?.call(words).ok()
    }

    /// `master` or `slave`; nothing when nobody answers.
    pub fn role(&self) -> Option<String> {
        self.call(&["ROLE"])?.items().first()?.text().map(str::to_owned)
    }

    /// The port of the master that it follows, once the link to it stands.
    pub fn follows(&self) -> Option<u16> {
        let role = self.call(&["ROLE"])?;
        match role.items() {
            [_, _, Value::Int(port), state, ..] if state.text() == Some("connected") => {
                u16::try_from(*port).ok()
            }
            _ => None,
        }
    }

    /// Writes a key; false when it is refused or nobody answers.
    pub fn set(&self, key: &str, value: &str) -> bool {
        self.call(&["SET", key, value]) == Some(Value::Simple("OK".into()))
    }

    /// Reads a key.
    pub fn get(&self, key: &str) -> Option<String> {
        self.call(&["GET", key])?.text().map(str::to_owned)
    }
}

/// The first of the programs that is on PATH; without any there is nothing to test with.
pub(crate) fn on_path(names: &[&str]) -> PathBuf {
    find_on_path(names).unwrap_or_else(|| panic!("none of {names:?} is on PATH: run `just deps`"))
}

pub(crate) fn find_on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|dir| dir.join(name)).find(|p| p.is_file()))
}
