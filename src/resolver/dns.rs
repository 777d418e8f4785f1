//! Questions to name servers, and their answers. The types of hickory stop here.

use crate::BuildError;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Srv,
    Txt,
}

/// By which way. Over UDP Consul leaves out all but three servers without saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// UDP, and TCP when the answer was truncated.
    Usual,
    /// TCP alone.
    Whole,
}

/// A useful answer. Names are in lower case and have no dot at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub servers: Vec<Server>,
    /// What was asked for, where that was addresses or texts.
    pub answers: Vec<Extra>,
    /// What came along, in its order.
    pub extras: Vec<Extra>,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
    pub ttl: Duration,
}

/// An address or a text, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    Address(String, IpAddr),
    Text(String, String),
}

/// Why there is no useful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// It is an answer: there is nothing by that name.
    Nothing(&'static str),
    /// The server cannot say, or says nothing that makes sense.
    Failed(String),
    /// The server has said nothing for so long.
    Silent(Duration),
}

impl Lack {
    /// In a sentence.
    pub(crate) fn text(&self) -> String {
        match self {
            Lack::Nothing(said) => (*said).to_owned(),
            Lack::Failed(why) => why.clone(),
            Lack::Silent(limit) => format!("no answer within {limit:?}"),
        }
    }
}

/// Asks one server one question. Whatever it opens for that is closed when the future ends or is dropped.
pub(crate) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: Kind,
    way: Way,
    timeout: Duration,
) -> Result<Reply, Lack> {
    let mut fqdn =
        Name::from_ascii(name).map_err(|error| Lack::Failed(format!("no name for DNS: {error}")))?;
    fqdn.set_fqdn(true);
    let resolver = resolver(server, way, timeout).map_err(|error| Lack::Failed(error.to_string()))?;
    match tokio::time::timeout(timeout, resolver.lookup(fqdn, kind.record())).await {
        Err(_) => Err(Lack::Silent(timeout)),
        Ok(Err(error)) => Err(lack(&error, timeout)),
        Ok(Ok(lookup)) => Ok(reply(name, kind, &lookup)),
    }
}

/// As a question is written in errors: `SRV redis.service.consul.`
pub(crate) fn question(name: &str, kind: Kind) -> String {
    format!("{} {name}.", kind.record())
}

/// The name servers of `/etc/resolv.conf`.
pub(crate) fn system_servers() -> Result<Vec<SocketAddr>, BuildError> {
    let text = std::fs::read(RESOLV_CONF);
    let text = text.map_err(|error| BuildError::SystemNameServers { reason: error.to_string() })?;
    servers_of(&text)
}

fn servers_of(text: &[u8]) -> Result<Vec<SocketAddr>, BuildError> {
    let wrong = |error: NetError| BuildError::SystemNameServers { reason: error.to_string() };
    let (config, _) = system_conf::parse_resolv_conf(text).map_err(wrong)?;
    let server = |server: &NameServerConfig| {
        let port = server.connections.first().map_or(53, |connection| connection.port);
        SocketAddr::new(server.ip, port)
    };
    Ok(config.name_servers().iter().map(server).collect())
}

/// The address of a name in `/etc/hosts`, IPv4 before IPv6.
pub(crate) fn in_hosts_file(name: &str) -> Option<IpAddr> {
    let name = Name::from_ascii(name).ok()?;
    let hosts = Hosts::from_system().ok()?;
    [RecordType::A, RecordType::AAAA].into_iter().find_map(|kind| {
        let lookup = hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
        lookup.answers().iter().find_map(|record| record.data.ip_addr())
    })
}

impl Kind {
    fn record(self) -> RecordType {
        match self {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Srv => RecordType::SRV,
            Kind::Txt => RecordType::TXT,
        }
    }
}

/// A resolver for one question: it remembers nothing, and what it has opened ends with it.
fn resolver(server: SocketAddr, way: Way, timeout: Duration) -> Result<TokioResolver, NetError> {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = match way {
        Way::Usual => vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())],
        Way::Whole => vec![on_port(ConnectionConfig::tcp())],
    };
    let servers = vec![NameServerConfig::new(server.ip(), true, connections)];
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options(timeout);
    builder.build()
}

fn options(timeout: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = timeout;
    options.attempts = 0; // over UDP a lost question is sent again anyway
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    options
}

fn lack(error: &NetError, timeout: Duration) -> Lack {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) if error.is_nx_domain() => Lack::Nothing("NXDOMAIN"),
        NetError::Dns(DnsError::NoRecordsFound(_)) => Lack::Nothing("that there are no such records"),
        NetError::Dns(DnsError::ResponseCode(code)) => Lack::Failed(format!("{code} ({code:?})")),
        NetError::Timeout => Lack::Silent(timeout),
        NetError::Io(error) => Lack::Failed(error.to_string()),
        NetError::Proto(error) => Lack::Failed(format!("an answer that is no DNS: {error}")),
        other => Lack::Failed(other.to_string()),
    }
}

fn reply(name: &str, kind: Kind, lookup: &Lookup) -> Reply {
    let owners = owners(name, lookup.answers());
    let own = || lookup.answers().iter().filter(|record| owners.contains(&text(&record.name)));
    let mut reply =
        Reply { extras: lookup.additionals().iter().filter_map(extra).collect(), ..Reply::default() };
    match kind {
        Kind::Srv => reply.servers = own().filter_map(server).collect(),
        Kind::A | Kind::Aaaa | Kind::Txt => reply.answers = own().filter_map(extra).collect(),
    }
    reply
}

/// The name that was asked for, and what the answer calls it by CNAME.
fn owners(name: &str, answers: &[Record]) -> BTreeSet<String> {
    let mut owners = BTreeSet::from([name.to_owned()]);
    for _ in 0..answers.len() {
        let before = owners.len();
        for record in answers {
            if let RData::CNAME(target) = &record.data
                && owners.contains(&text(&record.name))
            {
                owners.insert(text(&target.0));
            }
        }
        if owners.len() == before {
            break;
        }
    }
    owners
}

/// A target `.` and a port 0 say that there is no such service.
fn server(record: &Record) -> Option<Server> {
    let RData::SRV(srv) = &record.data else { return None };
    let ttl = Duration::from_secs(record.ttl.into());
    let target = text(&srv.target);
    let useful = !target.is_empty() && srv.port > 0;
    useful.then_some(Server { priority: srv.priority, weight: srv.weight, port: srv.port, target, ttl })
}

fn extra(record: &Record) -> Option<Extra> {
    let owner = text(&record.name);
    match &record.data {
        RData::A(address) => Some(Extra::Address(owner, address.0.into())),
        RData::AAAA(address) => Some(Extra::Address(owner, address.0.into())),
        RData::TXT(txt) => {
            let text: Vec<u8> = txt.txt_data.iter().flatten().copied().collect();
            Some(Extra::Text(owner, String::from_utf8_lossy(&text).into_owned()))
        }
        _ => None,
    }
}

fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_name_servers_keep_their_order() {
        let text =
            b"# by somebody\nsearch example.org\nnameserver 127.0.0.53\nnameserver ::1\noptions edns0\n";
        let servers = servers_of(text).expect("there are two");
        let servers: Vec<_> = servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["127.0.0.53:53", "[::1]:53"]);
    }

    #[test]
    fn a_system_without_name_servers_is_an_error_that_says_so() {
        for text in ["", "search example.org\n", "nameserver nonsense\n"] {
            let error = servers_of(text.as_bytes()).expect_err("there is none");
            assert!(matches!(error, BuildError::SystemNameServers { .. }), "{error}");
            assert!(error.to_string().contains("name_server(…)"), "{error}");
        }
    }

    #[test]
    fn the_hosts_file_is_read() {
        assert!(in_hosts_file("localhost").is_some_and(|address| address.is_loopback()));
        assert_eq!(in_hosts_file("no-such-host.example"), None);
    }
}
