//! Checks the name under which the port is asked.
//!
//! A page of a stranger, open in a browser on this machine, may let its own name lead to 127.0.0.1 and then read here as
//! if it were we (DNS rebinding). It cannot help sending its name along, though. So over loopback only such names are
//! answered as cannot be a stranger's: addresses, `localhost`, and those that the operator has named.

use std::net::{IpAddr, SocketAddr};

/// What is wrong with the name that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// None was sent, or several, or what is none.
    Malformed,
    /// Not one of ours.
    Foreign,
}

/// Looks at what stands in `Host`. `ours` are the names that the operator has allowed, in small letters.
pub(crate) fn check(host: &str, local: SocketAddr, ours: &[String]) -> Result<(), Unfit> {
    let name = name_of(host).ok_or(Unfit::Malformed)?;
    let by_address = local.ip().to_canonical().is_loopback() || !ours.is_empty();
    let known = name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || ours.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    if known || !by_address { Ok(()) } else { Err(Unfit::Foreign) }
}

/// The name without the port.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, rest.strip_prefix(':').or(rest.is_empty().then_some("0")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, Some("0")),
        },
    };
    let is_port = port?.parse::<u16>().is_ok();
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (is_port && !name.is_empty() && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, local: &str, ours: &[&str]) -> Result<(), Unfit> {
        let ours: Vec<String> = ours.iter().map(|name| name.to_string()).collect();
        check(host, local.parse().expect("an address"), &ours)
    }

    #[test]
    fn over_loopback_a_strangers_name_is_refused() {
        for local in ["127.0.0.1:8654", "[::1]:8654", "[::ffff:127.0.0.1]:8654"] {
            for host in ["localhost", "LOCALHOST:8654", "127.0.0.1:8654", "[::1]:8654", "[::1]", "10.0.0.1"] {
                assert_eq!(ask(host, local, &[]), Ok(()), "{host}");
            }
            for host in
                ["evil.example", "evil.example:8654", "localhost.evil.example", "127.0.0.1.evil.example"]
            {
                assert_eq!(ask(host, local, &[]), Err(Unfit::Foreign), "{host}");
            }
            assert_eq!(ask("redis.example:80", local, &["redis.example"]), Ok(()));
        }
    }

    #[test]
    fn elsewhere_names_count_only_when_the_operator_has_named_some() {
        assert_eq!(ask("redis.example", "10.0.0.1:8654", &[]), Ok(()));
        assert_eq!(ask("redis.example", "10.0.0.1:8654", &["redis.example"]), Ok(()));
        assert_eq!(ask("other.example", "10.0.0.1:8654", &["redis.example"]), Err(Unfit::Foreign));
        assert_eq!(ask("10.0.0.1:8654", "10.0.0.1:8654", &["redis.example"]), Ok(()));
    }

    #[test]
    fn what_is_no_name_is_told_apart() {
        for host in ["", ":80", "a b", "a:b", "a:70000", "[::1", "[evil]", "a/b", "user@localhost", "::1"] {
            assert_eq!(ask(host, "127.0.0.1:1", &[]), Err(Unfit::Malformed), "{host}");
        }
    }
}
