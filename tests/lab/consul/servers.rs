//! Three Consul servers.

use super::{Consul, ConsulOptions, PATIENCE};
use crate::{Folder, eventually};
use serde_json::json;
use std::net::Ipv4Addr;

/// Three servers on 127.0.0.1 to 127.0.0.3, one of which leads. They keep what they know on disk.
#[derive(Debug)]
pub struct ConsulServers(pub Vec<Consul>);

impl ConsulServers {
    /// Starts them, and returns when every one has the same leader and takes writes.
    pub fn start(folder: &Folder) -> ConsulServers {
        ConsulServers::start_with(folder, &ConsulOptions::default())
    }

    /// The same, with these options.
    pub fn start_with(folder: &Folder, options: &ConsulOptions) -> ConsulServers {
        let options = ConsulOptions { on_disk: true, ..options.clone() };
        let mut join: Vec<String> = Vec::new();
        let mut servers: Vec<Consul> = Vec::new();
        for host in 1..=3 {
            let role =
                json!({ "server": true, "bootstrap_expect": 3, "retry_join": join, "retry_interval": "1s" });
            let mut server = Consul::prepare(folder, Ipv4Addr::new(127, 0, 0, host), &options, role);
            join.push(server.lan_address());
            server.spawn();
            servers.push(server);
        }
        let servers = ConsulServers(servers);
        servers.wait_until_led();
        servers
    }

    /// Which one leads, when all that run agree about it.
    pub fn leader(&self) -> Option<usize> {
        let mut running = self.0.iter().filter(|server| server.runs());
        let leader = running.next()?.leader()?;
        if !running.all(|server| server.leader().as_ref() == Some(&leader)) {
            return None;
        }
        self.0.iter().position(|server| server.runs() && server.raft_address() == leader)
    }

    /// Waits until all that run have the same leader and take writes, and says which one it is.
    pub fn wait_until_led(&self) -> usize {
        eventually("the servers have a leader", PATIENCE, || {
            let leader = self.leader()?;
            self.0.iter().filter(|server| server.runs()).all(Consul::takes_writes).then_some(leader)
        })
    }

    /// SIGKILL for the leader. Says who it was.
    pub fn kill_leader(&mut self) -> usize {
        let leader = self.wait_until_led();
        self.0[leader].kill();
        leader
    }
}

impl Consul {
    fn raft_address(&self) -> String {
        format!("{}:{}", self.ip, self.ports.server)
    }
}
