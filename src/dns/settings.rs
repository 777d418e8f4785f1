//! How DNS is answered, as the operator says it.

use std::net::SocketAddr;

/// All that the operator decides of the embedded DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsSettings {
    /// Where it listens; nowhere when empty.
    pub bind: Vec<SocketAddr>,
    /// The domain in small letters, without a dot at the end.
    pub domain: String,
    /// How long answers may be kept, in seconds.
    pub ttl: u32,
    /// The datacenter, in small letters.
    pub datacenter: String,
    /// What is answered by a sentinel that hears no majority.
    pub without_majority: WithoutMajority,
    /// Answers over UDP in a second to the clients of one network; zero: no limit.
    pub rate_limit: u32,
}

/// What is answered by a sentinel that hears no majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithoutMajority {
    /// That it cannot tell.
    Silent,
    /// What it knew when it last heard one, and that this is old.
    Last,
}

impl Default for DnsSettings {
    fn default() -> Self {
        DnsSettings {
            bind: Vec::new(),
            domain: "consul".into(),
            ttl: 0,
            datacenter: "dc1".into(),
            without_majority: WithoutMajority::Silent,
            rate_limit: 500,
        }
    }
}

/// The longest domain: what we put before it must still fit into a name.
const LONGEST_DOMAIN: usize = 120;

/// A domain in the form in which it is compared; nothing when it is none.
pub(crate) fn domain(text: &str) -> Option<String> {
    let domain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    (domain.len() <= LONGEST_DOMAIN && domain.split('.').all(is_label)).then_some(domain)
}

/// A datacenter in the form in which it is compared; nothing when it is none.
pub(crate) fn datacenter(text: &str) -> Option<String> {
    is_label(text).then(|| text.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_compared_in_small_letters_and_without_its_last_dot() {
        assert_eq!(domain("Consul."), Some("consul".into()));
        assert_eq!(domain("redis.Example.org"), Some("redis.example.org".into()));
        for none in ["", ".", "a..b", "a b", "a.b..", "ä", &"a".repeat(64), &"a.".repeat(70)] {
            assert_eq!(domain(none), None, "{none}");
        }
        assert_eq!(datacenter("DC-1"), Some("dc-1".into()));
        assert_eq!(datacenter("a.b"), None);
    }
}
