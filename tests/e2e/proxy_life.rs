//! The life of a proxy: its sockets, its signals, its limits, and what it does not start with.

use super::proxy_stage::{A_WHILE, Alone, ends, farewell, get, metric, ok, port_of, refused, send_signal};
use super::tls::tls_lines;
use crate::{PATIENCE, ours};
use consentinel_lab::{
    Authority, Client, Extra, Folder, GROUP, Process, Sentinel, Value, eventually, free_port, poll_until,
    raise_file_limit,
};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[test]
fn unix_sockets_and_ipv6_lead_there_too() {
    let alone = Alone::start();
    let path = alone.folder.path().join("redis.sock");
    // One that was left behind.
    drop(UnixListener::bind(&path).expect("the folder is ours"));
    let (six, socket) = (free_port(), format!("unix:{}", path.display()));
    let words = ["--listen", &format!("[::1]:{six}"), "--listen", &socket, "--unix-mode", "600"];
    let mut proxy = alone.proxy(&words);
    let ping = |mut stream: Box<dyn ReadWrite>| {
        stream.write_all(b"PING\r\n").expect("it is there");
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"+PONG\r\n");
    };
    ping(Box::new(TcpStream::connect((Ipv6Addr::LOCALHOST, six)).expect("it is let in")));
    ping(Box::new(UnixStream::connect(&path).expect("it is let in")));
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // While it is in use nobody else takes it.
    let dns = alone.dns.to_string();
    let output = refused(&["--listen", &socket, "--dns", &dns, "redis.service.consul"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another program listens there already"));
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().success());
    assert!(!path.exists(), "it goes with the proxy");
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn sigterm_lets_clients_finish_and_a_second_one_does_not() {
    let alone = Alone::start();
    let mut proxy = alone.proxy(&["--drain", "60s"]);
    let mut client = proxy.client();
    assert_eq!(port_of(&mut client), Some(alone.redis.port));
    proxy.signal(Signal::TERM);
    eventually("nobody is let in any more", PATIENCE, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).is_err().then_some(())
    });
    assert_eq!(client.call(&["SET", "a", "b"]).expect("who is in may stay"), ok());
    drop(client);
    assert!(proxy.exit().success());

    let mut proxy = alone.proxy(&["--drain", "60s"]);
    let mut client = proxy.client();
    assert_eq!(port_of(&mut client), Some(alone.redis.port));
    proxy.signal(Signal::TERM);
    proxy.says("they may stay");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().success());
    ends(&mut client);

    let mut proxy = alone.proxy(&["--drain", "100ms"]);
    let mut client = proxy.client();
    assert_eq!(port_of(&mut client), Some(alone.redis.port));
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().success(), "there is an end to patience");
    ends(&mut client);
}

/// A process that is no child of ours.
struct Heir(u32);

impl Drop for Heir {
    fn drop(&mut self) {
        if Path::new(&format!("/proc/{}", self.0)).exists() {
            send_signal(self.0, Signal::KILL);
        }
    }
}

#[test]
fn sigusr2_starts_a_successor_and_nobody_is_refused() {
    let alone = Alone::start();
    let path = alone.folder.path().join("redis.sock");
    let mut proxy = alone.proxy(&["--drain", "60s", "--listen", &format!("unix:{}", path.display())]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "a", "b"]).expect("an answer"), ok());
    let port = proxy.port;
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = over.clone();
    let visitor = std::thread::spawn(move || {
        let (mut visits, begin) = (0, Instant::now());
        while !stop.load(std::sync::atomic::Ordering::Relaxed) && begin.elapsed() < PATIENCE {
            let mut client = Client::connect(port, PATIENCE).expect("nobody is refused");
            assert_eq!(client.call(&["GET", "a"]).expect("an answer").text(), Some("b"));
            visits += 1;
        }
        visits
    });
    proxy.signal(Signal::USR2);
    let heir = eventually("another process takes over", PATIENCE, || {
        let log = proxy.log();
        let line = log.lines().find(|line| line.contains("has taken over"))?;
        line.split_once("process ")?.1.split(' ').next()?.parse().ok().map(Heir)
    });
    assert_ne!(heir.0, proxy.pid());
    eventually("the new one has visitors", PATIENCE, || {
        (metric(proxy.http, "consentinel_proxy_connections_total{to=\"master\"}") > 50.0).then_some(())
    });
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(visitor.join().expect("nobody was refused") > 50);
    assert_eq!(client.call(&["GET", "a"]).expect("who was there stays").text(), Some("b"));
    drop(client);
    assert!(proxy.exit().success(), "the last client has gone");
    assert!(path.exists(), "the file belongs to the new one");
    UnixStream::connect(&path).expect("it is let in");
    assert_eq!(port_of(&mut proxy.client()), Some(alone.redis.port));
    send_signal(heir.0, Signal::TERM);
    eventually("the new one ends", PATIENCE, || (!path.exists()).then_some(()));
}

#[test]
fn systemd_is_told_who_is_there_and_that_he_is_well() {
    let alone = Alone::start();
    let path = alone.folder.path().join("notify.sock");
    let systemd = UnixDatagram::bind(&path).expect("the folder is ours");
    systemd.set_read_timeout(Some(PATIENCE)).expect("a time");
    let hears = |text: &str| -> String {
        let mut bytes = [0; 512];
        loop {
            let length = systemd.recv(&mut bytes).unwrap_or_else(|error| panic!("no {text}: {error}"));
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if said.contains(text) {
                return said;
            }
        }
    };
    let (listen, dns) = (format!("127.0.0.1:{}", free_port()), alone.dns.to_string());
    let words = ["proxy", "--listen", &listen, "--dns", &dns, "redis.service.consul"];
    let variables = [("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "100000".into())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let log = alone.folder.path().join("log");
    let mut process = Process::start_with(&ours().path(), &words, &variables, &log);
    assert!(hears("READY=1").contains(&format!("MAINPID={}", process.pid())));
    hears("WATCHDOG=1");
    send_signal(process.pid(), Signal::USR2);
    let said = hears("READY=1");
    let pid = said.lines().find_map(|line| line.strip_prefix("MAINPID=")?.parse().ok());
    let heir = Heir(pid.expect("the new one says its number"));
    assert_ne!(heir.0, process.pid());
    assert!(process.wait_for_exit(PATIENCE).success());
    hears("WATCHDOG=1");
    send_signal(heir.0, Signal::TERM);
    hears("STOPPING=1");
}

#[test]
fn over_tls_the_certificates_are_checked_and_read_again() {
    let folder = Folder::new();
    let (house, stranger) = (Authority::new(&folder, "house"), Authority::new(&folder, "stranger"));
    let own = house.issue("all");
    let (redis, home) = (free_port(), folder.sub("redis"));
    let config = format!(
        "port 0\nbind 127.0.0.1\ndir {}\nsave \"\"\n{}",
        home.display(),
        tls_lines(redis, &house, &own)
    );
    std::fs::write(home.join("redis.conf"), config).expect("the folder is ours");
    let _redis = Process::start(Path::new("redis-server"), &[home.join("redis.conf")], &home.join("log"));
    let dns = super::dns::local();
    let config = format!(
        "{}sentinel monitor {GROUP} 127.0.0.1 {redis} 1\nsentinel down-after-milliseconds {GROUP} 2000\n",
        tls_lines(free_port(), &house, &own)
    );
    let extra = Extra::default().args(&["--dns", &dns.to_string()]);
    let _sentinel = Sentinel::start_new(&folder, ours(), &config, extra);
    super::dns::is_named(dns, redis);

    let ca = folder.path().join("ca.pem");
    std::fs::copy(stranger.ca(), &ca).expect("the folder is ours");
    let text = |path: &Path| path.display().to_string();
    let words = ["--tls-ca", &text(&ca), "--tls-cert", &text(&own.cert), "--tls-key", &text(&own.key)];
    let words: Vec<&str> = words.into_iter().chain(["--hold", "0s"]).collect();
    let proxy = super::proxy_stage::ProxyRun::leading(&folder, dns, &words);
    let line = farewell(proxy.port);
    assert!(line.contains("no TLS: its certificate comes from an authority that is not among"), "{line}");
    std::fs::copy(house.ca(), &ca).expect("the folder is ours");
    proxy.signal(Signal::HUP);
    proxy.says("the certificates were read again");
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "a", "b"]).expect("an answer"), ok());
    let long = "x".repeat(3_000_000);
    assert_eq!(client.call(&["SET", "long", &long]).expect("an answer"), ok());
    assert_eq!(client.call(&["GET", "long"]).expect("an answer").text(), Some(&*long));
    std::fs::write(&ca, "nothing").expect("the folder is ours");
    proxy.signal(Signal::HUP);
    proxy.says("the certificates stay as they were");
    assert_eq!(proxy.client().call(&["GET", "a"]).expect("an answer").text(), Some("b"));

    // A name is checked where one is said: these certificates are for nobody.
    let named: Vec<&str> = words.iter().copied().chain(["--tls-server-name", "redis.example"]).collect();
    std::fs::copy(house.ca(), &ca).expect("the folder is ours");
    let proxy = super::proxy_stage::ProxyRun::leading(&folder, dns, &named);
    // The first client may come before anybody is named, and is told that.
    consentinel_lab::eventually("the name is refused", crate::PATIENCE, || {
        farewell(proxy.port).contains("no TLS").then_some(())
    });
}

#[test]
fn the_log_can_be_moved_away_and_can_be_json() {
    let alone = Alone::start();
    let (log, moved) = (alone.folder.path().join("log.json"), alone.folder.path().join("moved"));
    let (listen, dns) = (format!("127.0.0.1:{}", free_port()), alone.dns.to_string());
    let file = log.display().to_string();
    let words = ["proxy", "--listen", &listen, "--dns", &dns, "--log-format", "json", "--log-file", &file];
    let words = [&words[..], &["redis.service.consul"]].concat();
    let process = Process::start(&ours().path(), &words, &alone.folder.path().join("out"));
    eventually("it logs", PATIENCE, || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("\"message\":\"the master is 127.0.0.1").then_some(())
    });
    std::fs::rename(&log, &moved).expect("the folder is ours");
    send_signal(process.pid(), Signal::USR1);
    send_signal(process.pid(), Signal::TERM);
    eventually("a new one is written", PATIENCE, || {
        std::fs::read_to_string(&log).ok()?.contains("SIGTERM").then_some(())
    });
}

#[test]
fn one_too_many_is_told_and_the_others_stay() {
    let alone = Alone::start();
    let proxy = alone.proxy(&["--max-connections", "10"]);
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    assert!(clients.iter_mut().all(|client| port_of(client) == Some(alone.redis.port)));
    for _ in 0..500 {
        let line = farewell(proxy.port);
        assert!(
            line.is_empty() || line == "-ERR consentinel: too many connections are open: 10\r\n",
            "{line}"
        );
    }
    assert!(clients.iter_mut().all(|client| port_of(client) == Some(alone.redis.port)));
    clients.pop();
    eventually("there is room again", PATIENCE, || proxy.leads_to());
    assert!(proxy.metric("consentinel_proxy_refused_total{reason=\"too_many\"}") >= 500.0);
}

#[test]
fn so_many_are_held_and_no_more() {
    let mut alone = Alone::start();
    let proxy = alone.proxy(&["--hold", "60s", "--hold-connections", "3"]);
    alone.redis.kill();
    eventually("nobody is the master", PATIENCE, || (get(proxy.http, "/health").0 == 503).then_some(()));
    let mut held: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    held.iter_mut().for_each(|client| client.send(&["PING"]).expect("it is let in"));
    eventually("they are held", PATIENCE, || {
        (proxy.metric("consentinel_proxy_connections_held") == 3.0).then_some(())
    });
    assert!(farewell(proxy.port).contains("too many wait already"));
    alone.redis.start();
    for client in &mut held {
        assert_eq!(client.read().expect("an answer").text(), Some("PONG"));
    }
}

#[test]
fn two_thousand_who_are_idle_take_little_and_all_get_their_answer() {
    const CLIENTS: usize = 2000;
    raise_file_limit();
    let alone = Alone::start();
    let proxy = alone.proxy(&[]);
    drop(proxy.client().call(&["PING"]));
    let before = proxy.memory();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| proxy.client()).collect();
    let ask = |clients: &mut Vec<Client>| {
        clients.iter_mut().for_each(|client| client.send(&["PING"]).expect("it is let in"));
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.read().expect("an answer").text(), Some("PONG")));
    };
    ask(&mut clients);
    assert_eq!(proxy.metric("consentinel_proxy_connections{to=\"master\"}"), CLIENTS as f64);
    ask(&mut clients);
    let each = (proxy.memory() - before) as f64 / CLIENTS as f64;
    assert!(each < 8.0, "{each} kB for each");
    drop(clients);
    eventually("all have gone", PATIENCE, || {
        (proxy.metric("consentinel_proxy_connections{to=\"master\"}") == 0.0).then_some(())
    });
}

#[test]
fn who_asks_and_does_not_read_costs_no_memory() {
    let alone = Alone::start();
    alone.be_patient();
    let proxy = alone.proxy(&[]);
    let value = "x".repeat(1_000_000);
    assert_eq!(proxy.client().call(&["SET", "long", &value]).expect("an answer"), ok());
    let before = proxy.memory();
    let mut slow: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut slow {
        (0..20).for_each(|_| client.send(&["GET", "long"]).expect("it is let in"));
    }
    // Nothing to wait for: it must not grow.
    let grown = poll_until(A_WHILE * 3, || (proxy.memory() > before + 16 * 1024).then_some(()));
    assert_eq!(grown, None, "{} kB were {before} before", proxy.memory());
    let said = proxy.client().call(&["ECHO", "others are served meanwhile"]);
    assert_eq!(
        said.ok().as_ref().and_then(Value::text),
        Some("others are served meanwhile"),
        "{}",
        proxy.log()
    );
    for client in &mut slow {
        for _ in 0..20 {
            assert_eq!(client.read().expect("all of it comes").text().map(str::len), Some(value.len()));
        }
    }
}

#[test]
fn who_ends_one_direction_still_hears_the_other() {
    let alone = Alone::start();
    let proxy = alone.proxy(&[]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).expect("it is let in");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(&b"PING\r\n".repeat(1000)).expect("it is there");
    stream.shutdown(std::net::Shutdown::Write).expect("it is there");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end");
    assert_eq!(text, "+PONG\r\n".repeat(1000));
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let name = "redis.service.consul";
    for (words, code, part) in [
        (vec![name], 2, "--listen"),
        (vec!["--listen", "127.0.0.1:1"], 2, "NAME"),
        (vec!["--listen", "localhost:1", name], 2, "write 127.0.0.1:6379"),
        (vec!["--listen", "127.0.0.1:1", "--hold", "soon", name], 2, "--hold"),
        (vec!["--listen", "127.0.0.1:1", "--replicas", "127.0.0.1:1", name], 2, "named twice"),
        (vec!["--listen", "127.0.0.1:1", "--tls", name], 2, "--tls-ca"),
        (vec!["--listen", "127.0.0.1:1", "--tls-ca", "/nowhere", name], 2, "--tls-ca /nowhere: "),
        (vec!["--listen", "127.0.0.1:1", "--dns", "consul", name], 2, "an IP address is expected"),
        (vec!["--listen", "127.0.0.1:1", "no name"], 2, "no name"),
        (vec!["--listen", &taken, name], 1, "another program listens there already"),
        (vec!["--listen", "unix:/nowhere/a.sock", name], 1, "cannot listen on unix:/nowhere/a.sock"),
    ] {
        let output = refused(&words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(part), "{words:?}: {text}");
    }
    let help = Command::new(ours().path()).args(["proxy", "--help"]).output().expect("it is there");
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--fall-back-to-master"));
}
