//! HAProxy in front of the servers, in the ways in which it finds the master.

use consentinel_lab::{Client, Folder, Process, Value, free_port};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// As many in a row tell that a proxy leads to the master alone.
const CONNECTIONS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// A running haproxy.
pub(crate) struct HaProxy {
    /// How it finds the master.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) port: u16,
    _process: Process,
}

impl HaProxy {
    /// All configurations; the one by SRV records only where there is a DNS.
    pub(crate) fn all(folder: &Folder, servers: &[u16], dns: &[SocketAddr]) -> Vec<HaProxy> {
        let mut all = vec![
            tcp_check(folder, "tcp-check", servers, ""),
            tcp_check(folder, "shutdown-sessions", servers, "on-marked-down shutdown-sessions"),
            external_check(folder, servers),
        ];
        if !dns.is_empty() {
            all.push(server_template(folder, dns));
        }
        all
    }

    /// Whether the server on that port is the only one that it leads to.
    pub(crate) fn leads_only_to(&self, master: u16) -> bool {
        let leads = || {
            let mut client = Client::connect(self.port, PATIENCE).ok()?;
            let reply = client.call(&["CONFIG", "GET", "port"]).ok()?;
            reply.items().get(1).and_then(Value::text)?.parse().ok()
        };
        (0..CONNECTIONS).all(|_| leads() == Some(master))
    }
}

fn start(folder: &Folder, name: &'static str, globals: &str, sections: &str, lines: &str) -> HaProxy {
    let port = free_port();
    let config = format!(
        "global\n  maxconn 1000\n{globals}defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n\
         \x20 timeout server 1h\n{sections}listen redis\n  bind 127.0.0.1:{port}\n{lines}"
    );
    let home = folder.sub(&format!("haproxy-{name}"));
    HaProxy { name, port, _process: Process::haproxy(&home, &config) }
}

fn checked(servers: &[u16], option: &str) -> String {
    let line = |server| format!("  server s{server} 127.0.0.1:{server} check {option}\n");
    servers.iter().map(line).collect()
}

/// The usual health check.
fn tcp_check(folder: &Folder, name: &'static str, servers: &[u16], option: &str) -> HaProxy {
    let servers = checked(servers, option);
    let lines = format!(
        "  option tcp-check\n  tcp-check send PING\\r\\n\n  tcp-check expect string +PONG\n\
         \x20 tcp-check send info\\ replication\\r\\n\n  tcp-check expect string role:master\n\
         \x20 tcp-check send QUIT\\r\\n\n  tcp-check expect string +OK\n{servers}"
    );
    start(folder, name, "", "", &lines)
}

/// A script asks each server for its role.
fn external_check(folder: &Folder, servers: &[u16]) -> HaProxy {
    let script = folder.sub("external-check").join("is-master");
    let text = "#!/bin/sh\nredis-cli -h \"$3\" -p \"$4\" ROLE | grep -q '^master'\n";
    std::fs::write(&script, text).expect("the folder is ours");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("the file is ours");
    let lines = format!(
        "  option external-check\n  external-check path /usr/local/bin:/usr/bin:/bin\n\
         \x20 external-check command {}\n{}",
        script.display(),
        checked(servers, "")
    );
    start(folder, "external-check", "  external-check\n  insecure-fork-wanted\n", "", &lines)
}

/// SRV records name the server; that it accepts connections is all that is checked.
fn server_template(folder: &Folder, dns: &[SocketAddr]) -> HaProxy {
    let nameservers: String =
        dns.iter().enumerate().map(|(number, at)| format!("  nameserver n{number} {at}\n")).collect();
    let resolvers = format!(
        "resolvers daemons\n{nameservers}  accepted_payload_size 4096\n  resolve_retries 3\n  timeout resolve 1s\n\
         \x20 timeout retry 200ms\n  hold valid 1s\n  hold obsolete 0s\n"
    );
    let lines = "  server-template master 1 _redis._tcp.service.consul resolvers daemons resolve-prefer ipv4 \
                 init-addr none check\n";
    start(folder, "SRV", "", &resolvers, lines)
}
