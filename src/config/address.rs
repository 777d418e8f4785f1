//! Where to listen, as `sentinel http-bind` and `sentinel dns-bind` say it: `<address>[:<port>] ...`

use super::error::Wrong;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// More than these nobody needs, and each is a socket.
const MOST: usize = 16;

/// The addresses behind a directive; where one says no port, it is this. A single empty word stands for none at all.
pub(super) fn listening(
    directive: &str,
    words: &[impl AsRef<str>],
    port: u16,
) -> Result<Vec<SocketAddr>, Wrong> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.as_ref().split_whitespace()).collect();
    if words.len() > MOST {
        return Err(Wrong::new(format!("'{directive}' takes {MOST} addresses at most, not {}", words.len())));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for word in words {
        let address = one(word, port).ok_or_else(|| {
            Wrong::new(format!("'{directive}': '{word}' is no address to listen on")).hint(format!(
                "Write an IP address with or without a port: 127.0.0.1, 127.0.0.1:{port}, [::1]:{port}; '*' and \
                 '::*' are all of IPv4 and all of IPv6."
            ))
        })?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn one(word: &str, port: u16) -> Option<SocketAddr> {
    if let Some(ip) = ip(word) {
        return Some(SocketAddr::new(ip, port));
    }
    let (host, port) = word.rsplit_once(':')?;
    // The kernel would choose a port that nobody knows.
    let port = port.parse().ok().filter(|port| *port != 0 && word.as_bytes().last() != Some(&b':'))?;
    match host.strip_prefix('[') {
        Some(inner) => {
            ip(inner.strip_suffix(']')?).filter(IpAddr::is_ipv6).map(|ip| SocketAddr::new(ip, port))
        }
        None => ip(host).filter(|ip| ip.is_ipv4() || host == ANY_V6).map(|ip| SocketAddr::new(ip, port)),
    }
}

/// All of IPv6, as `bind` says it.
const ANY_V6: &str = "::*";

fn ip(text: &str) -> Option<IpAddr> {
    match text {
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        ANY_V6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Wrong> {
        let found = listening("http-bind", &[text], 8654)?;
        Ok(found.iter().map(SocketAddr::to_string).collect())
    }

    #[test]
    fn addresses_have_a_port_or_get_one() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:8654"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:8654"),
            ("[::1]", "[::1]:8654"),
            ("[::1]:80", "[::1]:80"),
            ("*", "0.0.0.0:8654"),
            ("*:81", "0.0.0.0:81"),
            ("::*", "[::]:8654"),
            ("::*:82", "[::]:82"),
        ] {
            assert_eq!(read(text).expect("an address"), [expected], "{text}");
        }
        assert_eq!(read("127.0.0.1 127.0.0.1:8654 ::1").expect("addresses").len(), 2);
        assert!(read("").expect("none").is_empty());
    }

    #[test]
    fn what_is_no_address_is_told_apart() {
        for text in [
            "localhost",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "8654",
            "[127.0.0.1]:1",
            "::1:x",
            "*:*",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&(1..=17).map(|n| format!("10.0.0.{n} ")).collect::<String>()).is_err());
    }
}
