//! A host's own resolver, which asks Consul for everything under `.consul` by the files that operators copy.

use crate::process::Process;
use crate::redis::find_on_path;
use crate::{Consul, Dns, Folder, Kind, eventually, free_port};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// The port of Consul's DNS in the files.
const USUAL_PORT: &str = "8600";

/// A resolver that runs.
#[derive(Debug)]
pub struct Resolver {
    port: u16,
    _process: Process,
}

impl Resolver {
    /// dnsmasq, with `consul/dns/dnsmasq.conf`.
    pub fn dnsmasq(folder: &Folder, consul: &Consul) -> Resolver {
        let more = "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\npid-file=\nuser=\n\
             stop-dns-rebind\n";
        Resolver::start("dnsmasq", &["--keep-in-foreground", "--conf-file={config}"], folder, consul, more)
    }

    /// unbound, with `consul/dns/unbound.conf`.
    pub fn unbound(folder: &Folder, consul: &Consul) -> Resolver {
        let more = "server:\n    interface: 127.0.0.1\n    port: {port}\n    username: \"\"\n    chroot: \"\"\n    \
             pidfile: \"\"\n    use-syslog: no\n    private-address: 127.0.0.0/8\n\
             remote-control:\n    control-enable: no\n";
        Resolver::start("unbound", &["-d", "-c", "{config}"], folder, consul, more)
    }

    fn start(program: &str, args: &[&str], folder: &Folder, consul: &Consul, more: &str) -> Resolver {
        let port = free_port();
        let folder = folder.sub(&format!("{program}-{port}"));
        let config = folder.join("config");
        let mut text = shipped(&format!("dns/{program}.conf"));
        assert!(text.contains(USUAL_PORT), "the file says where Consul answers");
        text = text.replace(USUAL_PORT, &consul.dns().port().to_string());
        write!(text, "\n{}", more.replace("{port}", &port.to_string())).expect("a string takes everything");
        std::fs::write(&config, text).expect("the folder is ours");
        let args: Vec<_> =
            args.iter().map(|word| word.replace("{config}", &config.display().to_string())).collect();
        let process = Process::start(&installed(program), &args, &folder.join("log"));
        let resolver = Resolver { port, _process: process };
        let dns = resolver.dns();
        eventually("the resolver answers", PATIENCE, || dns.ask("localhost", Kind::A).ok());
        resolver
    }

    /// Somebody who asks it.
    pub fn dns(&self) -> Dns {
        Dns::new(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), Duration::from_secs(2))
    }
}

/// A file of the folder `consul`, as it is shipped.
pub fn shipped(name: &str) -> String {
    let path = shipped_path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where a file of the folder `consul` is.
pub fn shipped_path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../consul")).join(name)
}

/// A program of the machine's. Debian puts resolvers and proxies where only root's PATH leads.
pub fn installed(program: &str) -> PathBuf {
    let usual = PathBuf::from("/usr/sbin").join(program);
    let found = if usual.is_file() { Some(usual) } else { find_on_path(&[program]) };
    found.unwrap_or_else(|| panic!("there is no {program}: run `just deps`"))
}
