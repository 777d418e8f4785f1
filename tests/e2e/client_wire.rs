//! What client libraries send, byte by byte, to an original and to ours, which watch the same master.
//!
//! The libraries themselves are not at hand here: this is what go-redis, ioredis, Jedis, PSRedis and hiredis write when
//! they look for a master, and what they wait for.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Program, Release, Setup, eventually};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// What a conversation ends with, so that it is clear when all has been answered.
const LAST: &str = "*2\r\n$4\r\nPING\r\n$7\r\nthe-end\r\n";

/// A master, two replicas, and sentinels of three kinds; ours leads.
fn of_three_kinds() -> Cluster {
    let programs = vec![Program::Original, Program::Other(Release::Redis8), ours()];
    let mut setup = Setup::new(programs);
    setup.leader = Some(2);
    setup.down_after = super::mixed::DOWN_AFTER;
    Cluster::start(&setup)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the sentinel listens");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket takes a time-out");
    stream.set_nodelay(true).expect("a socket can be told not to wait");
    stream
}

/// Reads until that text has come, or the connection has been closed.
fn read_to(stream: &mut TcpStream, last: &str) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(&all).contains(last) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(_) => assert!(Instant::now() < deadline, "only {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends the bytes in pieces of that size, and returns all that is answered.
fn converse(port: u16, bytes: &str, piece: usize) -> String {
    let mut stream = connect(port);
    let all = format!("{bytes}{LAST}");
    for piece in all.as_bytes().chunks(piece) {
        if stream.write_all(piece).is_err() {
            break; // it has closed the connection, which is an answer
        }
    }
    read_to(&mut stream, "the-end\r\n")
}

/// Commands as arrays, one after the other.
fn arrays(commands: &[&str]) -> String {
    let array = |command: &&str| {
        let words: Vec<_> = command.split(' ').collect();
        let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{bulks}", words.len())
    };
    commands.iter().map(array).collect()
}

#[test]
fn hiredis_and_hand_written_clients_are_answered_alike() {
    let cluster = of_three_kinds();
    let address = "SENTINEL get-master-addr-by-name mymaster";
    let conversations = [
        // Inline commands.
        "PING\r\n".into(),
        "ping\nPiNg hello\n".into(),
        "\r\n\r\n  \r\nPING\r\n".into(),
        format!("{address}\r\n"),
        "  SENTINEL   \"get-master-addr-by-name\"\t'mymaster' \r\n".into(),
        "PING \"a\\x41\\n\\\"b\" \r\nPING ''\r\n".into(),
        "PING \"unbalanced\r\n".into(),
        "PING \"a\"b\r\n".into(),
        "SENTINEL\r\n".into(),
        "no-such-command with words\r\n".into(),
        // Arrays.
        arrays(&[address, "sentinel GET-MASTER-ADDR-BY-NAME nobody"]),
        "*0\r\n*-1\r\n*-5\r\n".into(),
        "*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nping\r\n".into(),
        "*2\r\n$4\r\nPING\r\n$0\r\n\r\n".into(),
        arrays(&vec![address; 300]),
        arrays(&["HELLO 4", "HELLO x", "HELLO 3 SETNAME", "HELLO 3 AUTH a b"]),
        // What breaks the protocol ends the connection.
        "*1\r\n$-1\r\n".into(),
        "*1\r\n$x\r\n".into(),
        "*x\r\n".into(),
        "*1\r\nPING\r\n".into(),
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
    ];
    let mut different = Vec::new();
    for bytes in &conversations {
        let expected = converse(cluster.sentinels[0].port, bytes, usize::MAX);
        for piece in [usize::MAX, 1, 7] {
            if piece == 1 && bytes.len() > 1000 {
                continue;
            }
            let answer = converse(cluster.sentinels[2].port, bytes, piece);
            if answer != expected {
                different.push(format!("in pieces of {piece}: {bytes:?}\n{answer:?}\n{expected:?}"));
            }
        }
    }
    assert!(different.is_empty(), "ours, and the original's:\n{}", different.join("\n"));
}

/// What libraries send when they connect to a sentinel and ask for the master and for the other sentinels.
#[test]
fn the_greetings_of_client_libraries_are_answered_alike() {
    let cluster = of_three_kinds();
    let greetings = [
        // go-redis 9
        vec![
            "HELLO 3",
            "CLIENT SETINFO LIB-NAME go-redis(,go1.22)",
            "CLIENT SETINFO LIB-VER 9.7.0",
            "SENTINEL get-master-addr-by-name mymaster",
            "SENTINEL sentinels mymaster",
            "SENTINEL replicas mymaster",
        ],
        // ioredis
        vec!["SENTINEL get-master-addr-by-name mymaster", "SENTINEL sentinels mymaster"],
        vec!["SENTINEL slaves mymaster", "CLIENT SETNAME an-application", "CLIENT GETNAME"],
        // Jedis
        vec![
            "CLIENT SETINFO LIB-NAME jedis",
            "SENTINEL get-master-addr-by-name mymaster",
            "SENTINEL masters",
        ],
        // PSRedis, predis
        vec!["SENTINEL get-master-addr-by-name mymaster", "ROLE", "SENTINEL sentinels mymaster", "PING"],
        // StackExchange.Redis
        vec![
            "CLIENT SETNAME box",
            "CONFIG GET timeout",
            "INFO replication",
            "CLIENT ID",
            "ECHO x",
            "SENTINEL MASTERS",
        ],
    ];
    for commands in &greetings {
        let said =
            |number: usize| shape(&converse(cluster.sentinels[number].port, &arrays(commands), usize::MAX));
        let (seven, eight, ours) = (said(0), said(1), said(2));
        assert!(ours == seven || ours == eight, "{commands:?}\nours  {ours}\nseven {seven}\neight {eight}");
    }
}

/// The answer without what differs from sentinel to sentinel: numbers, ids, versions, and the lengths that come of them.
fn shape(answer: &str) -> String {
    let mut lines = Vec::new();
    for line in answer.split("\r\n") {
        let is_id = line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = if is_id { "ID".to_owned() } else { line.replace(|c: char| c.is_ascii_digit(), "0") };
        // Lengths, and numbers, of any size.
        let mut plain = words.clone();
        while plain.contains("00") {
            plain = plain.replace("00", "0");
        }
        lines.push(plain);
    }
    lines.join("|")
}

/// What libraries subscribe to, by either kind of command, in either protocol; and what they hear of a failover.
#[test]
fn those_who_wait_for_a_new_master_hear_the_same_bytes() {
    let mut cluster = of_three_kinds();
    let waiting = [
        arrays(&["HELLO 3", "PSUBSCRIBE +switch-master"]),
        arrays(&["SUBSCRIBE +switch-master"]),
        arrays(&["SUBSCRIBE +switch-master +sdown-not-heard", "PING", "UNSUBSCRIBE +sdown-not-heard"]),
        arrays(&["PSUBSCRIBE *switch-m?ster", "PSUBSCRIBE nothing*"]),
        arrays(&["HELLO 3", "SUBSCRIBE +switch-master", "PING"]),
        "SUBSCRIBE +switch-master\r\n".into(),
    ];
    let subscribe = |port: u16, bytes: &String| {
        let mut stream = connect(port);
        stream.write_all(bytes.as_bytes()).expect("the sentinel reads");
        stream
    };
    let mut streams: Vec<Vec<_>> = waiting
        .iter()
        .map(|bytes| cluster.sentinels.iter().map(|sentinel| subscribe(sentinel.port, bytes)).collect())
        .collect();
    // Whoever is answered now has been heard by every sentinel.
    for sentinel in &cluster.sentinels {
        eventually("it answers", PATIENCE, || sentinel.call(&["PING"]));
    }
    let old = cluster.redis[0].port;
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let message = format!("mymaster 127.0.0.1 {old} 127.0.0.1 {}\r\n", cluster.redis[new].port);
    for (bytes, streams) in waiting.iter().zip(&mut streams) {
        let heard: Vec<_> = streams.iter_mut().map(|stream| read_to(stream, &message)).collect();
        let after_hello =
            |text: &String| text.split_once("modules").map_or(text.clone(), |(_, rest)| rest.into());
        let [seven, eight, ours] = &heard.iter().map(after_hello).collect::<Vec<_>>()[..] else {
            panic!("three sentinels")
        };
        assert!(ours.ends_with(&message), "{bytes:?}: {ours:?}");
        assert_eq!(ours, seven, "{bytes:?}");
        assert!(!bytes.starts_with("*1") || ours == eight, "{bytes:?}: {ours:?} and {eight:?}");
    }
}
