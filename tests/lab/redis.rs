//! A real Redis server.

use crate::process::Process;
use crate::resp::{Client, Value};
use crate::wait::eventually;
use crate::{Folder, free_port};
use std::path::PathBuf;
use std::time::Duration;

/// For what a healthy server does.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Redis server, running or not.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts a master that keeps nothing on disk but its configuration, and that waits for so many seconds before it
    /// sends its data to a replica. `host` is the loopback address, or name of one, by
    /// which it is known.
    pub fn master(folder: &Folder, sync_delay: u32, host: &str) -> Redis {
        Redis::start_new(folder, sync_delay, host, "")
    }

    /// Starts a replica.
    pub fn replica_of(folder: &Folder, sync_delay: u32, host: &str, master: u16) -> Redis {
        Redis::start_new(folder, sync_delay, host, &format!("replicaof {host} {master}\n"))
    }

    fn start_new(folder: &Folder, sync_delay: u32, host: &str, more: &str) -> Redis {
        let port = free_port();
        let folder = folder.sub(&format!("redis-{port}"));
        let known = match host {
            "127.0.0.1" => "bind 127.0.0.1\n".into(),
            host => format!("bind 127.0.0.1 ::1\nreplica-announce-ip {host}\n"),
        };
        let config = format!(
            "port {port}\n{known}dir {}\nsave \"\"\nappendonly no\nrepl-diskless-sync-delay {sync_delay}\n{more}",
            folder.display()
        );
        std::fs::write(folder.join("redis.conf"), config).expect("the folder is ours");
        let mut redis = Redis { port, folder, process: None };
        redis.start();
        redis
    }

    /// Starts it, for the first time or again, with the configuration that it last had.
    pub fn start(&mut self) {
        self.spawn();
        eventually("the Redis server answers", PATIENCE, || self.role());
    }

    /// Starts it and does not wait until it answers.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let program = on_path(&["redis-server", "valkey-server"]);
        self.process =
            Some(Process::start(&program, &[self.folder.join("redis.conf")], &self.folder.join("log")));
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
        Client::connect(self.port, Duration::from_millis(500)).ok()
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
