//! The embedded DNS under a flood: nobody else is flooded with its answers, and the sentinel does not feel it.

use super::dns::{cluster_with, is_named, named};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Folder, Kind, dns_question, free_port};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Asks without end, and reads what comes back as far as it comes.
fn flood_udp(to: SocketAddr, stop: &AtomicBool, asked: &AtomicU64) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    socket.connect(to).expect("a UDP socket connects to anything");
    socket.set_nonblocking(true).expect("it can be told");
    let questions = [
        dns_question("redis.service.consul", Kind::Srv),
        dns_question("redis-sentinel.service.consul", Kind::Srv),
        dns_question("nothing.consul", Kind::A),
        vec![0xff; 30],
    ];
    let mut buffer = [0; 2048];
    for question in questions.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // What does not go out is lost, as in any flood.
        let _ = socket.send(question);
        let _ = socket.recv(&mut buffer);
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same over connections, each of which is given up after a while.
fn flood_tcp(to: SocketAddr, stop: &AtomicBool, asked: &AtomicU64) {
    let question = dns_question("redis-replica.service.consul", Kind::Srv);
    let framed = [&(question.len() as u16).to_be_bytes()[..], &question].concat().repeat(100);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { continue };
        let timeout = Some(Duration::from_secs(1));
        stream.set_read_timeout(timeout).expect("not zero");
        stream.set_write_timeout(timeout).expect("not zero");
        if stream.write_all(&framed).is_ok() {
            let _ = stream.read(&mut [0; 8192]);
            asked.fetch_add(100, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_flood_does_not_stop_a_failover() {
    let (mut cluster, addresses) = cluster_with(three_daemons(), &[]);
    let old = cluster.redis[0].port;
    addresses.iter().for_each(|address| is_named(*address, old));
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let new = std::thread::scope(|scope| {
        for address in &addresses {
            scope.spawn(|| flood_udp(*address, &stop, &asked));
        }
        scope.spawn(|| flood_tcp(addresses[0], &stop, &asked));
        // Whatever goes wrong here, the flood ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            consentinel_lab::eventually("the flood flows", PATIENCE, || {
                (asked.load(Ordering::Relaxed) > 20_000).then_some(())
            });
            cluster.redis[0].kill();
            let new = cluster.wait_for_new_master(0, PATIENCE);
            let port = cluster.redis[new].port;
            addresses.iter().for_each(|address| is_named(*address, port));
            new
        }));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_ne!(new, 0);
    for address in &addresses {
        assert_eq!(named(*address), Some(cluster.redis[new].port));
    }
}

/// In a network of its own, where an address that is not loopback belongs to this machine: a daemon that may answer twice
/// a second, and forty who ask at once. `$0` is the daemon, `$1` the folder, `$2` the port.
const CROWD: &str = r#"
    ip link set lo up && ip addr add 198.18.0.1/32 dev lo && ip addr add 198.18.9.1/32 dev lo || exit 9
    cd "$1" || exit 9
    "$0" sentinel.conf --dns "198.18.0.1:$2" > daemon.log 2>&1 &
    daemon=$!
    trap 'kill $daemon; wait $daemon' EXIT
    ask() { dig @198.18.0.1 -p "$2" -b "$1" +tries=1 +timeout=2 +noall +comments +ignore consul SOA $3; }
    tries=0
    until ask 198.18.0.1 "$2" +tcp | grep -q NOERROR; do
        tries=$((tries + 1)); [ $tries -lt 200 ] || exit 8
    done
    asking=""
    for number in $(seq 40); do
        ask 198.18.0.1 "$2" > "udp.$number" & asking="$asking $!"
    done
    wait $asking
    for number in $(seq 5); do ask 198.18.0.1 "$2" +tcp > "tcp.$number"; done
    # Somebody else, of another network.
    ask 198.18.9.1 "$2" > other.1
    exit 0
"#;

#[test]
fn whoever_asks_too_much_over_udp_is_sent_to_tcp_or_hears_nothing() {
    let folder = Folder::new();
    let port = free_port();
    let config =
        format!("port {}\nsentinel monitor m 127.0.0.1 1 1\nsentinel dns-rate-limit 2\n", free_port());
    std::fs::write(folder.path().join("sentinel.conf"), config).expect("the folder is ours");
    // Whoever is not root becomes root in a user namespace.
    let namespaces = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
    let output = Command::new("unshare")
        .args([namespaces, "sh", "-c", CROWD, env!("CARGO_BIN_EXE_consentinel")])
        .arg(folder.path())
        .arg(port.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    let mut answers: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for entry in std::fs::read_dir(folder.path()).expect("the folder is ours").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((way @ ("udp" | "tcp" | "other"), _)) = name.split_once('.') else { continue };
        let text = std::fs::read_to_string(entry.path()).expect("it is readable");
        let flags = text.lines().find_map(|line| line.strip_prefix(";; flags: ")).unwrap_or_default();
        let kind = match flags.split(';').next().unwrap_or_default().contains("tc") {
            _ if flags.is_empty() => "silence",
            true => "come again",
            false => "answer",
        };
        *answers.entry((way.to_owned(), kind)).or_default() += 1;
    }
    let count = |way: &str, kind| answers.get(&(way.to_owned(), kind)).copied().unwrap_or(0);
    assert_eq!(count("tcp", "answer"), 5, "who comes over TCP is who he says: {answers:?}");
    assert_eq!(count("other", "answer"), 1, "others are not held back: {answers:?}");
    let (whole, again, silence) =
        (count("udp", "answer"), count("udp", "come again"), count("udp", "silence"));
    assert_eq!(whole + again + silence, 40, "{answers:?}");
    // Two a second, and a slow machine may take some seconds to ask.
    assert!((2..=20).contains(&whole), "{answers:?}");
    assert!(again >= 5 && silence >= 5, "{answers:?}");
    assert!(again.abs_diff(silence) <= 1, "every second one is sent to TCP: {answers:?}");
}
