//! From names to masters, replicas and sentinels: what a Consul service's DNS answers mean.

use crate::dns::{self, Extra, Kind, Lack, Reply, Server, Way};
use crate::name::Name;
use crate::origin::Found;
use crate::{Attempt, Epoch, LookupError, Source};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Of how many servers whose address did not come along the address is looked up.
const MOST_LOOKED_UP: usize = 64;

/// The name servers, and what they are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub name: Name,
    pub servers: Vec<SocketAddr>,
    pub timeout: Duration,
}

/// A server that DNS named, with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub addr: SocketAddr,
    pub host: String,
    pub priority: u16,
    pub weight: u16,
}

/// How it went with one name server.
enum Trouble {
    /// Ask the next one.
    Failed(Attempt),
    /// It has answered, and that is final.
    Final(LookupError),
    /// It has answered, and another one may know more.
    Doubtful(LookupError),
}

impl Service {
    /// The master, by the first name server that knows one that is not older than the floor.
    pub(crate) async fn master(&self, floor: Option<Epoch>) -> Result<Found, LookupError> {
        let (mut tried, mut doubt) = (Vec::new(), None);
        for server in &self.servers {
            match self.master_by(*server, floor).await {
                Ok(found) => return Ok(found),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Doubtful(error)) => doubt = doubt.or(Some(error)),
                Err(Trouble::Failed(attempt)) => {
                    tracing::debug!("{attempt}");
                    tried.push(attempt);
                }
            }
        }
        Err(doubt.unwrap_or_else(|| LookupError::Unanswered { name: self.name.text(), tried: tried.into() }))
    }

    /// All servers of a service.
    pub(crate) async fn all(&self, name: &str) -> Result<Vec<Located>, LookupError> {
        let mut tried = Vec::new();
        for server in &self.servers {
            match self.all_by(*server, name).await {
                Ok(all) => return Ok(all),
                Err(Trouble::Final(error) | Trouble::Doubtful(error)) => return Err(error),
                Err(Trouble::Failed(attempt)) => tried.push(attempt),
            }
        }
        Err(LookupError::Unanswered { name: name.to_owned(), tried: tried.into() })
    }

    async fn master_by(&self, from: SocketAddr, floor: Option<Epoch>) -> Result<Found, Trouble> {
        let name = self.name.text();
        let reply = self.srv(from, &name, Way::Usual).await?;
        let (server, epoch) = choose(&name, from, &reply).map_err(Trouble::Doubtful)?;
        let epoch = match epoch {
            Some(epoch) => Some(epoch),
            None => self.epoch_by_text(from, &name, &server.target).await,
        };
        let address = self.locate(from, &server.target, &reply).await.map_err(Trouble::Failed)?;
        let addr = SocketAddr::new(address, server.port);
        let name_and_from = || (name.clone(), from.to_string());
        match (floor, epoch) {
            (Some(have), Some(got)) if got < have => {
                let (name, from) = name_and_from();
                return Err(Trouble::Doubtful(LookupError::Older { name, from, have, got }));
            }
            (Some(have), None) => {
                let (name, from) = name_and_from();
                return Err(Trouble::Doubtful(LookupError::NoEpoch { name, from, master: addr, have }));
            }
            _ => {}
        }
        let (host, ttl) = (server.target.clone(), server.ttl);
        Ok(Found { addr, host, epoch, source: Source::Dns, ttl, from: from.to_string() })
    }

    async fn all_by(&self, from: SocketAddr, name: &str) -> Result<Vec<Located>, Trouble> {
        let reply = match self.srv(from, name, Way::Whole).await {
            Err(Trouble::Failed(_)) => self.srv(from, name, Way::Usual).await?,
            other => other?,
        };
        let (mut all, mut failed, mut looked_up) = (Vec::new(), None, 0);
        for server in &reply.servers {
            let known = along(&reply, &server.target).or_else(|| self.in_name(&server.target));
            let address = match known {
                Some(address) => Ok(address),
                None if looked_up == MOST_LOOKED_UP => continue,
                None => {
                    looked_up += 1;
                    self.locate(from, &server.target, &reply).await
                }
            };
            match address {
                Ok(address) => all.push(Located {
                    addr: SocketAddr::new(address, server.port),
                    host: server.target.clone(),
                    priority: server.priority,
                    weight: server.weight,
                }),
                Err(attempt) => failed = Some(attempt),
            }
        }
        match failed {
            Some(attempt) if all.is_empty() => Err(Trouble::Failed(attempt)),
            _ => Ok(all),
        }
    }

    /// At least one server.
    async fn srv(&self, from: SocketAddr, name: &str, way: Way) -> Result<Reply, Trouble> {
        let nobody = |said: &str| {
            Trouble::Final(LookupError::Nobody {
                name: name.into(),
                from: from.to_string(),
                said: said.into(),
            })
        };
        match dns::ask(from, name, Kind::Srv, way, self.timeout).await {
            Ok(reply) if reply.servers.is_empty() => Err(nobody("that there is no such service")),
            Ok(reply) => Ok(reply),
            Err(Lack::Nothing(said)) => Err(nobody(said)),
            Err(Lack::Failed(why)) => {
                Err(Trouble::Failed(Attempt::new(from.to_string(), dns::question(name, Kind::Srv), why)))
            }
        }
    }

    /// The epoch as TXT of the service (the embedded DNS) or of the node (Consul).
    async fn epoch_by_text(&self, from: SocketAddr, name: &str, target: &str) -> Option<Epoch> {
        let ask = |name: String| async move {
            let reply = dns::ask(from, &name, Kind::Txt, Way::Usual, self.timeout).await.ok()?;
            reply.answers.iter().find_map(epoch)
        };
        let (service, node) = tokio::join!(ask(name.to_owned()), ask(target.to_owned()));
        service.max(node)
    }

    /// A target's address: it came along, it is in the name, or somebody knows it.
    async fn locate(&self, from: SocketAddr, target: &str, reply: &Reply) -> Result<IpAddr, Attempt> {
        if let Some(address) = along(reply, target).or_else(|| self.in_name(target)) {
            return Ok(address);
        }
        let inside = self.name.is_in_domain(target);
        if !inside && let Some(address) = dns::in_hosts_file(target) {
            return Ok(address);
        }
        let failed = match self.address_by(from, target).await {
            Ok(address) => return Ok(address),
            Err(failed) => failed,
        };
        // Consul does not ask others, unless it is told to; the host's own name servers may know the name.
        let system = if inside { Vec::new() } else { dns::system_servers().unwrap_or_default() };
        for server in system.into_iter().filter(|server| *server != from) {
            if let Ok(address) = self.address_by(server, target).await {
                return Ok(address);
            }
        }
        Err(failed)
    }

    async fn address_by(&self, from: SocketAddr, host: &str) -> Result<IpAddr, Attempt> {
        let mut failed = None;
        for kind in [Kind::A, Kind::Aaaa] {
            let outcome = match dns::ask(from, host, kind, Way::Usual, self.timeout).await {
                Ok(reply) => match reply.answers.iter().find_map(address) {
                    Some(address) => return Ok(address),
                    None => "an answer without an address".to_owned(),
                },
                Err(Lack::Nothing(said)) => format!("{said}, though an SRV record leads there"),
                Err(Lack::Failed(why)) => why,
            };
            failed = failed.or(Some(Attempt::new(from.to_string(), dns::question(host, kind), outcome)));
        }
        Err(failed.expect("two kinds were asked for"))
    }

    /// Consul's `7f000001.addr.dc1.consul`.
    fn in_name(&self, target: &str) -> Option<IpAddr> {
        if let Ok(address) = target.parse() {
            return Some(address);
        }
        let (digits, rest) = target.split_once(".addr.")?;
        let hexadecimal = digits.bytes().all(|it| it.is_ascii_hexdigit());
        if !hexadecimal || !self.name.is_in_domain(rest) {
            return None;
        }
        match digits.len() {
            8 => Some(Ipv4Addr::from(u32::from_str_radix(digits, 16).ok()?).into()),
            32 => Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?).into()),
            _ => None,
        }
    }
}

/// The one master of an answer: the one with the highest epoch where there are several.
fn choose<'a>(
    name: &str,
    from: SocketAddr,
    reply: &'a Reply,
) -> Result<(&'a Server, Option<Epoch>), LookupError> {
    let mut masters = BTreeMap::new();
    for server in &reply.servers {
        masters.entry((&server.target, server.port)).or_insert(server);
    }
    let alone = masters.len() == 1;
    let with_epoch = |server: &'a Server| (server, epoch_of(reply, &server.target, alone));
    let all: Vec<_> = masters.into_values().map(with_epoch).collect();
    let highest = all.iter().map(|(_, epoch)| *epoch).max().expect("there is one server at least");
    let mut newest = all.iter().filter(|(_, epoch)| *epoch == highest);
    match (newest.next(), newest.next()) {
        (Some(only), None) => Ok(*only),
        _ => Err(LookupError::Ambiguous {
            name: name.to_owned(),
            from: from.to_string(),
            masters: all.iter().map(|(server, epoch)| written(server, *epoch)).collect(),
        }),
    }
}

fn written(server: &Server, epoch: Option<Epoch>) -> String {
    let Server { target, port, .. } = server;
    epoch.map_or_else(|| format!("{target}:{port}"), |epoch| format!("{target}:{port} (epoch {epoch})"))
}

/// The epoch that came along for a target: a text of its own name, or, as Consul orders them, one that follows
/// its address and bears the name of the node; and any where there is one server only.
fn epoch_of(reply: &Reply, target: &str, alone: bool) -> Option<Epoch> {
    let (mut own, mut following, mut behind) = (None, None, false);
    for extra in &reply.extras {
        match extra {
            Extra::Address(owner, _) => behind = owner == target,
            Extra::Text(owner, _) if owner == target => own = own.max(epoch(extra)),
            Extra::Text(..) if behind || alone => following = following.max(epoch(extra)),
            Extra::Text(..) => {}
        }
    }
    own.or(following)
}

fn epoch(extra: &Extra) -> Option<Epoch> {
    let Extra::Text(_, text) = extra else { return None };
    text.strip_prefix("epoch=")?.parse().ok().map(Epoch)
}

fn address(extra: &Extra) -> Option<IpAddr> {
    match extra {
        Extra::Address(_, address) => Some(*address),
        Extra::Text(..) => None,
    }
}

/// The address of a target that came along with the answer, IPv4 first.
fn along(reply: &Reply, target: &str) -> Option<IpAddr> {
    let addresses = reply.extras.iter().filter_map(|extra| match extra {
        Extra::Address(owner, address) if owner == target => Some(*address),
        _ => None,
    });
    addresses.min_by_key(IpAddr::is_ipv6)
}
