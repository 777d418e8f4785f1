//! The embedded DNS of daemons without any Consul: when it answers, and when it says that it cannot.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{
    Cluster, Dig, Dns, Extra, Folder, GROUP, Kind, Redis, Sentinel, Serving, Setup, Value, dig, eventually,
    free_port,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MASTER: &str = "redis.service.consul";

pub(crate) fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A cluster whose daemons all answer DNS, and where.
pub(crate) fn cluster_with(mut setup: Setup, lines: &[&str]) -> (Cluster, Vec<SocketAddr>) {
    let addresses: Vec<_> = setup.sentinels.iter().map(|_| local()).collect();
    let extra = |address: &SocketAddr| {
        let extra = Extra::default().args(&["--dns", &address.to_string()]);
        lines.iter().fold(extra, |extra, line| extra.line(line))
    };
    setup.extra = addresses.iter().map(extra).collect();
    (Cluster::start(&setup), addresses)
}

/// The port that an SRV question leads to, if it leads to one.
pub(crate) fn named(address: SocketAddr) -> Option<u16> {
    let message = Dns::new(address, Duration::from_secs(2)).ask(MASTER, Kind::Srv).ok()?;
    match &message.servers()[..] {
        [(_, port)] => Some(*port),
        _ => None,
    }
}

pub(crate) fn is_named(address: SocketAddr, port: u16) {
    eventually("DNS names the master", PATIENCE, || (named(address) == Some(port)).then_some(()));
}

/// Waits until the answer is of that kind, and gives it.
fn becomes(address: SocketAddr, status: &str, reason: &str) -> Dig {
    eventually("the answer is another one", PATIENCE, || {
        let dig = dig(address, &format!("{MASTER} SRV"));
        (dig.status == status && dig.reasons.iter().any(|it| it.starts_with(reason))).then_some(dig)
    })
}

fn count(sentinel: &Sentinel, text: &str) -> usize {
    sentinel.log().matches(text).count()
}

/// One daemon, alone with a master on that port.
fn alone(folder: &Folder, master: u16, quorum: u32, extra: Extra) -> Sentinel {
    let config = format!(
        "sentinel monitor {GROUP} 127.0.0.1 {master} {quorum}\nsentinel down-after-milliseconds {GROUP} 1000\n"
    );
    Sentinel::start_new(folder, ours(), &config, extra)
}

#[test]
fn a_daemon_that_hears_no_majority_says_so() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    let (lonely, master) = (addresses[0], cluster.redis[0].port);
    is_named(lonely, master);
    for sentinel in [1, 2] {
        cluster.sentinels[sentinel].kill();
    }
    let dig = becomes(lonely, "SERVFAIL", "22 (No Reachable Authority)");
    assert!(dig.reasons[0].contains("hears 1 of the 3 sentinels of mymaster"), "{}", dig.text);
    assert!(dig.answer.is_empty());
    let begun = "of the 3 sentinels of mymaster are heard, which is no majority: DNS does not name";
    assert_eq!(count(&cluster.sentinels[0], begun), 1);

    cluster.sentinels[1].start();
    is_named(lonely, master);
    let ended = "DNS names the master of mymaster again";
    eventually("the log says so", PATIENCE, || (count(&cluster.sentinels[0], ended) == 1).then_some(()));
    assert_eq!(count(&cluster.sentinels[0], begun), 1, "once, not with every look");
}

#[test]
fn without_a_majority_the_last_known_master_is_named_where_that_is_wanted() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &["sentinel dns-without-majority last"]);
    let (lonely, master) = (addresses[0], cluster.redis[0].port);
    is_named(lonely, master);
    for sentinel in [1, 2] {
        cluster.sentinels[sentinel].kill();
    }
    let dig = becomes(lonely, "NOERROR", "3 (Stale Answer)");
    assert!(dig.answer.iter().all(|record| record.contains(&format!(" {master} "))), "{}", dig.text);
    // What it sees by itself from now on does not count.
    cluster.redis[0].kill();
    eventually("the daemon misses the master", PATIENCE, || {
        cluster.sentinels[0].master().get("flags").filter(|flags| flags.contains("s_down")).map(drop)
    });
    assert_eq!(named(lonely), Some(master));
}

#[test]
fn nothing_is_answered_of_a_master_that_was_not_seen() {
    let folder = Folder::new();
    let mut redis = Redis::start_new(&folder, &Serving::default(), None);
    redis.kill();
    let address = local();
    let extra = Extra::default().args(&["--dns", &address.to_string()]);
    // Nobody else is there to agree that it is down.
    let mut sentinel = alone(&folder, redis.port, 2, extra);
    let dig = becomes(address, "SERVFAIL", "14 (Not Ready)");
    assert!(dig.reasons[0].contains("has not said yet that it is the master"), "{}", dig.text);
    redis.start();
    is_named(address, redis.port);
    // It remembers the master, and not that it was one.
    redis.kill();
    sentinel.terminate();
    sentinel.start();
    becomes(address, "SERVFAIL", "14 (Not Ready)");
}

#[test]
fn a_daemon_that_slept_does_not_name_the_master_that_it_remembers() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    let (sleeper, old) = (addresses[0], cluster.redis[0].port);
    is_named(sleeper, old);
    let begin = Instant::now();
    cluster.sentinels[0].pause();
    cluster.redis[0].kill();
    eventually("the others have another master, and some time has passed", PATIENCE, || {
        let others = addresses[1..].iter().all(|address| named(*address).is_some_and(|port| port != old));
        (others && begin.elapsed() > Duration::from_secs(5)).then_some(())
    });
    // The question waits for it, and is the first thing that it finds.
    let asked = std::thread::spawn(move || Dns::new(sleeper, PATIENCE).ask(MASTER, Kind::Srv));
    eventually("the question is there", PATIENCE, || waits_at(sleeper.port()).then_some(()));
    cluster.sentinels[0].resume();
    let first = asked.join().expect("it does not panic").expect("an answer");
    assert!(first.servers().is_empty(), "{first:?}");
    let new = eventually("it names a master", PATIENCE, || {
        let now = named(sleeper);
        assert_ne!(now, Some(old), "the old master is dead");
        now
    });
    assert!(cluster.redis.iter().any(|redis| redis.port == new));
}

/// Whether something that nobody has read yet has come in at a UDP port of this machine.
fn waits_at(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/udp").expect("the kernel tells");
    let here = format!(":{port:04X}");
    let waiting = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(queues)) = (fields.get(1), fields.get(4)) else { return false };
        local.ends_with(&here) && !queues.ends_with(":00000000")
    };
    table.lines().any(waiting)
}

#[test]
fn domain_datacenter_and_time_to_live_are_as_the_operator_says() {
    let folder = Folder::new();
    let redis = Redis::start_new(&folder, &Serving::default(), None);
    let address = local();
    let extra = Extra::default()
        .line(&format!("sentinel dns-bind {address}"))
        .line("sentinel dns-domain Redis.Example.")
        .line("sentinel dns-datacenter Paris")
        .line("sentinel dns-ttl 7")
        .line("sentinel consul enabled no")
        .line("sentinel consul-service mymaster sessions");
    let sentinel = alone(&folder, redis.port, 1, extra);
    let port = redis.port;
    let dig = eventually("the master is named", PATIENCE, || {
        let dig = dig(address, "sessions.service.redis.example SRV");
        (dig.status == "NOERROR").then_some(dig)
    });
    let target = "7f000001.addr.paris.redis.example.";
    let answer = format!("sessions.service.redis.example. 7 IN SRV 1 1 {port} {target}");
    assert_eq!(dig.answer.iter().collect::<Vec<_>>(), [&answer]);
    assert!(dig.additional.contains(&format!("{target} 7 IN A 127.0.0.1")), "{}", dig.text);
    for (question, status) in [
        ("sessions.service.paris.redis.example A", "NOERROR"),
        ("sessions.service.dc1.redis.example A", "NXDOMAIN"),
        ("redis.service.redis.example A", "NXDOMAIN"),
        ("sessions.service.consul A", "REFUSED"),
        ("example A", "REFUSED"),
    ] {
        assert_eq!(consentinel_lab::dig(address, question).status, status, "{question}");
    }
    let nothing = consentinel_lab::dig(address, "nothing.redis.example A");
    let soa = "redis.example. 0 IN SOA ns.redis.example. hostmaster.redis.example. * 3600 600 86400 0";
    assert_eq!(nothing.authority.iter().collect::<Vec<_>>(), [soa], "that nothing is there may not be kept");
    // What only the operator writes stays as it was written.
    assert!(sentinel.config_text().contains("sentinel dns-domain Redis.Example.\n"));
}

#[test]
fn it_is_answered_over_ipv6() {
    let folder = Folder::new();
    let redis = Redis::start_new(&folder, &Serving::default(), None);
    let port = free_port();
    let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
    let _sentinel = alone(&folder, redis.port, 1, Extra::default().args(&["--dns", &address.to_string()]));
    is_named(address, redis.port);
    assert_eq!(dig(address, "+tcp redis.service.consul A").status, "NOERROR");
    let ns = dig(address, "consul NS");
    assert!(ns.additional.contains("ns.consul. 0 IN AAAA ::1"), "{}", ns.text);
    let v4 = Dns::new((Ipv4Addr::LOCALHOST, port).into(), Duration::from_millis(200));
    assert!(v4.ask(MASTER, Kind::A).is_err(), "nobody asked for IPv4");
}

#[test]
fn no_port_is_opened_that_nobody_asked_for() {
    let folder = Folder::new();
    let redis = Redis::start_new(&folder, &Serving::default(), None);
    let sentinel = alone(&folder, redis.port, 1, Extra::default());
    let open = |protocol: &str| {
        let tables = [protocol.to_owned(), format!("{protocol}6")];
        let inodes: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", sentinel.pid()))
            .expect("it runs")
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let table = |name: &String| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
        let tables: String = tables.iter().map(table).collect();
        let ours = |line: &&str| {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            inodes.iter().any(|it| it == inode)
        };
        tables.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!open("tcp").is_empty(), "its own port is open");
    assert_eq!(open("udp"), Vec::<String>::new());
}

#[test]
fn a_port_that_somebody_has_stops_the_start_and_is_named() {
    let folder = Folder::new();
    let taken = std::net::UdpSocket::bind(local()).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, format!("port {}\nsentinel monitor m 127.0.0.1 1 1\n", free_port())).expect("ours");
    let output = Command::new(env!("CARGO_BIN_EXE_consentinel"))
        .arg(&file)
        .args(["--dns", &address])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("DNS cannot be answered: cannot listen on {address}")), "{told}");
    assert!(told.contains("sentinel dns-bind <ip:port>"), "{told}");
}

#[test]
fn masters_come_and_go_and_names_that_clash_are_told() {
    let folder = Folder::new();
    let (first, second) = (
        Redis::start_new(&folder, &Serving::default(), None),
        Redis::start_new(&folder, &Serving::default(), None),
    );
    let address = local();
    let extra = Extra::default()
        .args(&["--dns", &address.to_string()])
        .line("sentinel consul enabled no")
        .line("sentinel consul-service mymaster redis-one");
    let sentinel = alone(&folder, first.port, 1, extra);
    let status = |name: &str| dig(address, &format!("{name}.service.consul A")).status;
    let becomes = |name: &str, wanted: &str| {
        eventually("the answer is another one", PATIENCE, || (status(name) == wanted).then_some(()));
    };
    becomes("redis-one", "NOERROR");
    let monitor = |name: &str| {
        let port = second.port.to_string();
        sentinel.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", &port, "1"])
    };
    super::topologies::accepted(monitor("two"));
    becomes("redis", "NOERROR");
    // It would be called redis, too, and the next start would refuse that.
    let refused = monitor("three");
    let told =
        matches!(&refused, Some(Value::Error(text)) if text.contains("'two'") && text.contains("'three'"));
    assert!(told, "{refused:?}");
    super::topologies::accepted(sentinel.call(&["SENTINEL", "REMOVE", "two"]));
    // Now the name is free.
    super::topologies::accepted(monitor("three"));
    eventually("the third is found by the name", PATIENCE, || {
        let dig = dig(address, "three.redis.service.consul A");
        (dig.status == "NOERROR").then_some(())
    });
    super::topologies::accepted(sentinel.call(&["SENTINEL", "REMOVE", "three"]));
    becomes("redis", "NXDOMAIN");
    assert_eq!(status("redis-one"), "NOERROR");
}

#[test]
fn sentinels_are_found_while_they_are_up() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    let ports = |address: SocketAddr| {
        let dns = Dns::new(address, Duration::from_secs(2));
        let message = dns.ask("redis-sentinel.service.consul", Kind::Srv).expect("an answer");
        let mut ports: Vec<u16> = message.servers().into_iter().map(|(_, port)| port).collect();
        ports.sort();
        ports
    };
    let mut all: Vec<u16> = cluster.sentinels.iter().map(|sentinel| sentinel.port).collect();
    all.sort();
    eventually("all are found", PATIENCE, || (ports(addresses[0]) == all).then_some(()));
    let gone = cluster.sentinels[2].port;
    cluster.sentinels[2].kill();
    eventually("one is missing", PATIENCE, || {
        let left: Vec<u16> = all.iter().copied().filter(|port| *port != gone).collect();
        (ports(addresses[0]) == left).then_some(())
    });
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let message =
        Dns::new(addresses[0], Duration::from_secs(2)).ask("mymaster.redis-sentinel.service.consul", Kind::A);
    assert_eq!(message.expect("an answer").addresses(), [host]);
}
