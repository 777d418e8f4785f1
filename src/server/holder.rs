//! Finds out what listens on a port that we want: a sentinel tells it when it is asked for INFO.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long it may take to answer: the start waits for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// INFO has less than this.
const MOST: usize = 16 << 10;

/// What was answered on a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Whether it is a sentinel, or a Redis server.
    pub is_sentinel: bool,
    /// Whether it wants a password first.
    pub wants_password: bool,
    /// Its process, by its own word.
    pub pid: Option<u32>,
    /// Its configuration file, by its own word.
    pub config_file: Option<String>,
}

impl Holder {
    /// Asks who is there. Nothing where nobody answers, or in another protocol. Blocks.
    pub(crate) fn of(address: SocketAddr) -> Option<Holder> {
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"INFO server\r\nQUIT\r\n").ok()?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        let until = Instant::now() + PATIENCE;
        while answer.len() < MOST && Instant::now() < until {
            match stream.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend_from_slice(&part[..length]),
            }
        }
        Holder::read(&String::from_utf8_lossy(&answer))
    }

    fn read(answer: &str) -> Option<Holder> {
        if answer.starts_with("-NOAUTH") {
            return Some(Holder { wants_password: true, ..Holder::default() });
        }
        let field = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).filter(|text| !text.is_empty() && !text.contains(char::is_control))
        };
        Some(Holder {
            is_sentinel: field("redis_mode")? == "sentinel" || field("server_mode") == Some("sentinel"),
            wants_password: false,
            pid: field("process_id").and_then(|text| text.parse().ok()),
            config_file: field("config_file").map(str::to_owned),
        })
    }

    /// Who it is, and what to do.
    pub(crate) fn advice(&self) -> String {
        if self.wants_password {
            return "a Redis server or sentinel that wants a password has it: stop it, or choose another port"
                .to_owned();
        }
        let pid = self.pid.map(|pid| format!(" with pid {pid}")).unwrap_or_default();
        match (self.is_sentinel, &self.config_file) {
            (true, Some(file)) => format!(
                "the sentinel{pid} that runs by {file} has it: stop it (systemctl disable --now redis-sentinel), take its \
                 place (consentinel adopt {file}), or choose another port"
            ),
            (true, None) => format!("a sentinel{pid} has it: stop it, or choose another port"),
            (false, _) => format!("a Redis server{pid} has it: choose another port"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_sentinel_tells_who_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            let text = "redis_version:7.0.15\r\nredis_mode:sentinel\r\nprocess_id:812\r\nconfig_file:/etc/s.conf\r\n";
            stream.write_all(format!("${}\r\n{text}\r\n+OK\r\n", text.len()).as_bytes()).expect("it reads");
        });
        let holder = Holder::of(address).expect("it answers");
        server.join().expect("it ends");
        assert_eq!((holder.is_sentinel, holder.pid), (true, Some(812)));
        assert!(holder.advice().contains("pid 812 that runs by /etc/s.conf"), "{}", holder.advice());
    }

    #[test]
    fn what_is_no_sentinel_is_told_apart() {
        let advice = |answer: &str| Holder::read(answer).map(|holder| holder.advice());
        assert_eq!(advice("HTTP/1.1 400 Bad Request\r\n"), None);
        assert!(advice("-NOAUTH Authentication required.\r\n").is_some_and(|it| it.contains("password")));
        assert!(advice("$9\r\nredis_mode:standalone\r\n").is_some_and(|it| it.contains("Redis server")));
        let odd = Holder::read("redis_mode:sentinel\r\nconfig_file:/a\x1b[2J\r\n").expect("a sentinel");
        assert_eq!(odd.config_file, None);
    }
}
