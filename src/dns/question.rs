//! What a name asks for, as Consul understands names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The labels of the name, in small letters.
    pub labels: Vec<String>,
    /// The labels as they were written.
    pub written: Vec<String>,
    /// The type of record.
    pub kind: Kind,
}

/// A type of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports.
    Srv,
    /// Texts.
    Txt,
    /// Another name.
    Cname,
    /// Where the zone begins.
    Soa,
    /// Who answers for the zone.
    Ns,
    /// Whatever there is.
    Any,
    /// A copy of the zone.
    Transfer,
    /// Something that is never there.
    Other,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// It is not in our domain.
    Outside,
    /// The domain itself.
    Apex,
    /// `[<tag>.]<service>.service[.<datacenter>]`, or as RFC 2782 has it: `_<service>._<tag>[.service][.<datacenter>]`.
    Service {
        /// The service.
        service: String,
        /// Its tag; nothing for all.
        tag: Option<String>,
    },
    /// `<node>.node[.<datacenter>]`
    Node(String),
    /// `<hexadecimal digits>.addr[.<datacenter>]`
    Address(IpAddr),
    /// `ns`: whoever answers.
    NameServer,
    /// There are names below it, and nothing else.
    Between,
    /// It cannot be there.
    Nothing,
}

impl Question {
    /// A question for the name with these labels, as they were written.
    pub(super) fn new(written: Vec<String>, kind: Kind) -> Question {
        let labels = written.iter().map(|label| label.to_ascii_lowercase()).collect();
        Question { labels, written, kind }
    }

    /// The last labels of the name, as they were written.
    pub(super) fn tail(&self, labels: usize) -> String {
        self.written[self.written.len().saturating_sub(labels)..].join(".")
    }
}

impl Subject {
    /// What the name stands for in that domain and datacenter.
    pub(super) fn of(labels: &[String], domain: &[String], datacenter: &str) -> Subject {
        let Some(labels) = labels.strip_suffix(domain) else { return Subject::Outside };
        match labels {
            [] => return Subject::Apex,
            [only] if only == "ns" => return Subject::NameServer,
            [only] if only == datacenter || only.starts_with('_') => return Subject::Between,
            _ => {}
        }
        let Some(at) = labels.iter().rposition(|label| is_keyword(label) || label.starts_with('_')) else {
            return Subject::Nothing;
        };
        // `service` may be left out behind labels that begin with an underscore.
        let (word, parts, place) = match labels[at].as_str() {
            word if is_keyword(word) => (word, &labels[..at], &labels[at + 1..]),
            _ => ("service", &labels[..=at], &labels[at + 1..]),
        };
        let here = match place {
            [] => true,
            [place] => place == datacenter,
            _ => return Subject::Nothing,
        };
        match (word, parts) {
            // An address is the same everywhere.
            ("addr", [digits]) => address(digits).map_or(Subject::Nothing, Subject::Address),
            _ if !here => Subject::Nothing,
            (_, []) => Subject::Between,
            ("service", [only]) if only.starts_with('_') => Subject::Between,
            ("service", parts) => service(parts),
            ("node", parts) => Subject::Node(parts.join(".")),
            _ => Subject::Nothing,
        }
    }
}

fn is_keyword(label: &str) -> bool {
    matches!(label, "service" | "node" | "addr")
}

fn service(parts: &[String]) -> Subject {
    if let [service, tag] = parts
        && let (Some(service), Some(tag)) = (service.strip_prefix('_'), tag.strip_prefix('_'))
    {
        let tag = Some(tag).filter(|tag| !matches!(*tag, "tcp" | "")).map(str::to_owned);
        return Subject::Service { service: service.to_owned(), tag };
    }
    let (service, tags) = parts.split_last().expect("an empty name was sorted out before");
    let tag = (!tags.is_empty()).then(|| tags.join("."));
    Subject::Service { service: service.clone(), tag }
}

/// An address as Consul writes it into a name.
fn address(digits: &str) -> Option<IpAddr> {
    // Digits alone: a sign would be read, too.
    let all = digits.bytes().all(|c| c.is_ascii_hexdigit());
    match digits.len() {
        8 if all => u32::from_str_radix(digits, 16).ok().map(|bits| Ipv4Addr::from_bits(bits).into()),
        32 if all => u128::from_str_radix(digits, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> Subject {
        let labels = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
        Subject::of(&labels(name), &labels("redis.example"), "dc1")
    }

    fn of(service: &str, tag: Option<&str>) -> Subject {
        Subject::Service { service: service.into(), tag: tag.map(str::to_owned) }
    }

    #[test]
    fn services_with_and_without_tag_and_datacenter() {
        for (name, expected) in [
            ("redis.service.redis.example", of("redis", None)),
            ("redis.service.dc1.redis.example", of("redis", None)),
            ("master.redis.service.redis.example", of("redis", Some("master"))),
            ("a.b.redis.service.dc1.redis.example", of("redis", Some("a.b"))),
            ("_redis._tcp.service.redis.example", of("redis", None)),
            ("_redis._mymaster.service.dc1.redis.example", of("redis", Some("mymaster"))),
            ("_redis._tcp.redis.example", of("redis", None)),
            ("_redis._mymaster.dc1.redis.example", of("redis", Some("mymaster"))),
            ("mymaster._redis._tcp.service.redis.example", of("_tcp", Some("mymaster._redis"))),
            ("redis.service.dc2.redis.example", Subject::Nothing),
            ("redis.service.a.dc1.redis.example", Subject::Nothing),
        ] {
            assert_eq!(subject(name), expected, "{name}");
        }
    }

    #[test]
    fn nodes_addresses_and_what_lies_between() {
        for (name, expected) in [
            ("consentinel-m.node.redis.example", Subject::Node("consentinel-m".into())),
            ("consentinel-a.b.node.dc1.redis.example", Subject::Node("consentinel-a.b".into())),
            ("consentinel-m.node.dc2.redis.example", Subject::Nothing),
            ("7f000001.addr.dc1.redis.example", Subject::Address(Ipv4Addr::LOCALHOST.into())),
            ("7f000001.addr.dc2.redis.example", Subject::Address(Ipv4Addr::LOCALHOST.into())),
            (
                "00000000000000000000000000000001.addr.redis.example",
                Subject::Address(Ipv6Addr::LOCALHOST.into()),
            ),
            ("+7f00001.addr.redis.example", Subject::Nothing),
            ("7f00001.addr.redis.example", Subject::Nothing),
            ("a.7f000001.addr.redis.example", Subject::Nothing),
            ("redis.example", Subject::Apex),
            ("ns.redis.example", Subject::NameServer),
            ("dc1.redis.example", Subject::Between),
            ("service.redis.example", Subject::Between),
            ("service.dc1.redis.example", Subject::Between),
            ("addr.redis.example", Subject::Between),
            ("_tcp.service.redis.example", Subject::Between),
            ("_tcp.redis.example", Subject::Between),
            ("nothing.redis.example", Subject::Nothing),
            ("service.dc2.redis.example", Subject::Nothing),
            ("example", Subject::Outside),
            ("redis.example.org", Subject::Outside),
            ("myredis.example", Subject::Outside),
        ] {
            assert_eq!(subject(name), expected, "{name}");
        }
    }
}
