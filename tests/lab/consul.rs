//! A real Consul: one agent, or three servers with a leader among them.

mod api;
mod certificates;
mod newer;
mod servers;

pub use certificates::Certificates;
pub use newer::{Mood, NewerConsul};
pub use servers::ConsulServers;

use crate::dns::{Dns, Kind, Message};
use crate::process::Process;
use crate::redis::find_on_path;
use crate::{Folder, eventually, free_port};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// For what a healthy Consul does, an election among its servers included.
const PATIENCE: Duration = Duration::from_secs(30);

/// What kind of agent to start.
#[derive(Clone, Debug)]
pub struct ConsulOptions {
    /// Whether it keeps what it knows on disk, so that it survives a restart; else it starts in a tenth of the time.
    pub on_disk: bool,
    /// `dc1`
    pub datacenter: String,
    /// Whether ACLs are on, with `deny` as their default. The lab's own requests then carry the management token.
    pub acl: bool,
    /// Whether it speaks https, too, and wants a certificate of every client there.
    pub certificates: Option<Certificates>,
    /// Whether it listens on a Unix socket, too.
    pub unix_socket: bool,
    /// More configuration, by Consul's names.
    pub more: Value,
    /// Files of configuration, by their names and what is in them.
    pub files: Vec<(String, String)>,
}

impl Default for ConsulOptions {
    fn default() -> Self {
        ConsulOptions {
            on_disk: false,
            datacenter: "dc1".into(),
            acl: false,
            certificates: None,
            unix_socket: false,
            more: json!({}),
            files: Vec::new(),
        }
    }
}

/// A Consul agent, running or not. All of its ports are on one loopback address.
#[derive(Debug)]
pub struct Consul {
    /// Its node's name.
    pub name: String,
    /// The token of the lab's own requests.
    pub token: Option<String>,
    ip: Ipv4Addr,
    ports: Ports,
    folder: PathBuf,
    dev: bool,
    process: Option<Process>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    dns: u16,
    http: u16,
    https: u16,
    serf_lan: u16,
    serf_wan: u16,
    server: u16,
}

impl Consul {
    /// Starts an agent that is its own server, and returns when it takes writes.
    pub fn start_new(folder: &Folder, options: &ConsulOptions) -> Consul {
        let mut consul = Consul::prepare(folder, Ipv4Addr::LOCALHOST, options, json!({ "server": true }));
        consul.start();
        if options.acl {
            consul.bootstrap();
        }
        consul
    }

    /// An agent that is its own server and forgets everything when it ends.
    pub fn dev(folder: &Folder) -> Consul {
        Consul::start_new(folder, &ConsulOptions::default())
    }

    /// Starts an agent that keeps nothing and asks that server; returns when it is of use.
    pub fn client_of(folder: &Folder, server: &Consul) -> Consul {
        let options = ConsulOptions { on_disk: true, ..ConsulOptions::default() };
        let role = json!({ "server": false, "retry_join": [server.lan_address()] });
        let mut consul = Consul::prepare(folder, Ipv4Addr::LOCALHOST, &options, role);
        consul.start();
        consul
    }

    /// Writes the configuration of an agent.
    fn prepare(folder: &Folder, ip: Ipv4Addr, options: &ConsulOptions, role: Value) -> Consul {
        let [dns, http, https, serf_lan, serf_wan, server] = [(); 6].map(|()| free_port());
        let ports = Ports { dns, http, https, serf_lan, serf_wan, server };
        let name = format!("agent-{http}");
        let folder = folder.sub(&name);
        let consul = Consul { name, token: None, ip, ports, folder, dev: !options.on_disk, process: None };
        let mut config = consul.config(options);
        merge(&mut config, role);
        if options.on_disk {
            merge(&mut config, json!({ "data_dir": consul.folder.join("data") }));
            if config["server"] == true && config.get("bootstrap_expect").is_none() {
                merge(&mut config, json!({ "bootstrap_expect": 1 }));
            }
        } else if let Some(map) = config.as_object_mut() {
            map.remove("server"); // it always is one
        }
        merge(&mut config, options.more.clone());
        let write = |name: &str, text: &str| {
            std::fs::write(consul.folder.join("config").join(name), text).expect("the folder is ours");
        };
        std::fs::create_dir_all(consul.folder.join("config")).expect("the folder is ours");
        write("lab.json", &config.to_string());
        options.files.iter().for_each(|(name, text)| write(name, text));
        consul
    }

    fn config(&self, options: &ConsulOptions) -> Value {
        let Ports { dns, http, https, serf_lan, serf_wan, server } = self.ports;
        let (mut https, mut http_addresses) = (Value::from(https), self.ip.to_string());
        let mut config = json!({
            "node_name": self.name,
            "datacenter": options.datacenter,
            "bind_addr": self.ip.to_string(),
            "client_addr": self.ip.to_string(),
            "disable_update_check": true,
            "log_level": "warn",
            // As quick as Consul's servers can be in finding that their leader is gone.
            "performance": { "raft_multiplier": 1 },
        });
        match &options.certificates {
            Some(certificates) => merge(&mut config, certificates.server_config()),
            None => https = json!(-1),
        }
        if options.unix_socket {
            http_addresses += &format!(" unix://{}", self.folder.join("http.sock").display());
        }
        if options.acl {
            merge(&mut config, json!({ "acl": { "enabled": true, "default_policy": "deny" } }));
        }
        merge(
            &mut config,
            json!({
                "addresses": { "http": http_addresses },
                "ports": { "dns": dns, "http": http, "https": https, "grpc": -1, "serf_lan": serf_lan,
                    "serf_wan": serf_wan, "server": server },
            }),
        );
        if consul_version() >= (1, 14) {
            // A server listens there unless it is told not to, and all would on the same port.
            merge(&mut config, json!({ "ports": { "grpc_tls": -1 } }));
        }
        config
    }

    /// Starts it, for the first time or again, and returns when it has a leader and takes writes.
    pub fn start(&mut self) {
        self.spawn();
        eventually("Consul takes writes", PATIENCE, || self.takes_writes().then_some(()));
    }

    /// Starts it and does not wait until it is of use.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut args = vec!["agent".into(), "-config-dir".into(), self.folder.join("config")];
        if self.dev {
            args.push("-dev".into());
        }
        self.process = Some(Process::start(&consul_program(), &args, &self.folder.join("log")));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGSTOP: it is silent.
    pub fn pause(&self) {
        self.process.as_ref().expect("it runs").pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.as_ref().expect("it runs").resume();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Where it speaks HTTP.
    pub fn http(&self) -> SocketAddr {
        (self.ip, self.ports.http).into()
    }

    /// The same, as CONSUL_HTTP_ADDR.
    pub fn address(&self) -> String {
        self.http().to_string()
    }

    /// Where it speaks https, as CONSUL_HTTP_ADDR.
    pub fn https_address(&self) -> String {
        format!("https://{}:{}", self.ip, self.ports.https)
    }

    /// Its Unix socket, as CONSUL_HTTP_ADDR.
    pub fn unix_address(&self) -> String {
        format!("unix://{}", self.folder.join("http.sock").display())
    }

    /// Where it answers DNS.
    pub fn dns(&self) -> SocketAddr {
        (self.ip, self.ports.dns).into()
    }

    /// Where other agents of its datacenter reach it.
    pub fn lan_address(&self) -> String {
        format!("{}:{}", self.ip, self.ports.serf_lan)
    }

    /// Where servers of other datacenters reach it.
    pub fn wan_address(&self) -> String {
        format!("{}:{}", self.ip, self.ports.serf_wan)
    }

    /// Asks its DNS.
    pub fn ask(&self, name: &str, kind: Kind) -> std::io::Result<Message> {
        Dns::new(self.dns(), Duration::from_secs(2)).ask(name, kind)
    }
}

/// The Consul that `CONSUL` names, or the one that `just deps` fetched, or else the machine's.
pub fn consul_program() -> PathBuf {
    if let Some(named) = std::env::var_os("CONSUL") {
        let named = std::path::absolute(named).expect("CONSUL names a program");
        assert!(named.is_file(), "CONSUL names {}, and there is no such file", named.display());
        return named;
    }
    let fetched = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/bin/consul"));
    let found = if fetched.is_file() { Some(fetched) } else { find_on_path(&["consul"]) };
    found.expect("there is a consul: run `just deps`")
}

/// Which Consul that is: 1.8 is `(1, 8)`.
pub fn consul_version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let output = Command::new(consul_program()).arg("version").output().expect("consul runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = || {
            let mut parts = text.split_whitespace().nth(1)?.trim_start_matches('v').split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        };
        version().unwrap_or_else(|| panic!("consul does not say its version: {text}"))
    })
}

/// Puts all of the second into the first; maps that both have are merged.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests;
