//! The configuration of all that runs.

use super::GROUP;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A server. It keeps its data, so that it comes back with them; that they are in the kernel's hands is enough, as no
/// machine is lost here.
pub(super) fn redis_config(port: u16, folder: &Path, master: Option<u16>) -> String {
    let follows = master.map(|master| format!("replicaof 127.0.0.1 {master}\n")).unwrap_or_default();
    let folder = folder.display();
    format!(
        "port {port}\nbind 127.0.0.1\ndir \"{folder}\"\nsave \"\"\nappendonly yes\nappendfsync no\n\
         repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n{follows}"
    )
}

/// A daemon.
pub(super) fn sentinel_config(port: u16, folder: &Path, master: u16, down_after: Duration) -> String {
    let (folder, down_after) = (folder.display(), down_after.as_millis());
    format!(
        "port {port}\nbind 127.0.0.1\ndir \"{folder}\"\nsentinel monitor {GROUP} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {GROUP} {down_after}\nsentinel failover-timeout {GROUP} 10000\n\
         sentinel parallel-syncs {GROUP} 1\n"
    )
}

/// Consul, in memory and on loopback only. The ports are those of DNS, HTTP, its two gossips and its servers.
pub(super) fn consul_config(ports: [u16; 5], version: Option<Version>) -> String {
    let [dns, http, serf_lan, serf_wan, server] = ports;
    let mut config = json!({
        "node_name": "demo",
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "disable_update_check": true,
        "log_level": "warn",
        // As quick as it can be in choosing itself.
        "performance": { "raft_multiplier": 1 },
        "ports": { "dns": dns, "http": http, "https": -1, "grpc": -1, "serf_lan": serf_lan, "serf_wan": serf_wan,
            "server": server },
    });
    if version.is_some_and(|version| version >= Version(1, 14)) {
        config["ports"]["grpc_tls"] = Value::from(-1);
    }
    config.to_string()
}

/// What Consul is, as far as its configuration depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32);

impl Version {
    /// Asks the program.
    pub(super) fn of(program: &Path) -> Option<Version> {
        let output = Command::new(program).arg("version").output().ok()?;
        Version::read(&String::from_utf8_lossy(&output.stdout))
    }

    /// `Consul v1.8.7`
    fn read(text: &str) -> Option<Version> {
        let mut numbers = text.split_once("Consul v")?.1.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Version(number()?, number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_consul_is_told_of_a_port_that_an_earlier_one_does_not_know() {
        let config = |text| consul_config([1, 2, 3, 4, 5], Version::read(text));
        assert!(config("Consul v1.22.1\nRevision 3").contains("grpc_tls"));
        assert!(!config("Consul v1.8.7\nRevision 1").contains("grpc_tls"));
        assert!(!config("nonsense").contains("grpc_tls"));
    }

    #[test]
    fn the_first_server_follows_nobody() {
        let folder = Path::new("/tmp/a b");
        assert!(!redis_config(1, folder, None).contains("replicaof"));
        assert!(redis_config(2, folder, Some(1)).ends_with("replicaof 127.0.0.1 1\n"));
        assert!(redis_config(2, folder, None).contains("dir \"/tmp/a b\"\n"));
    }
}
