//! Connections that behave badly, and those that are not on the network.

use crate::{PATIENCE, ours};
use consentinel_lab::{Client, Extra, Folder, GROUP, Sentinel, eventually};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

fn start(folder: &Folder, lines: &str) -> Sentinel {
    let config = format!("{lines}sentinel monitor {GROUP} 127.0.0.1 1 1\n");
    Sentinel::start_new(folder, ours(), &config, Extra::default())
}

fn connect(sentinel: &Sentinel) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, sentinel.port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

fn answer(stream: &mut impl Read, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("it answers");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes of memory that the process holds.
fn memory(sentinel: &Sentinel) -> usize {
    let info = sentinel.call(&["INFO", "server"]).expect("it answers");
    let pid = info.text().and_then(|text| text.split("process_id:").nth(1)?.lines().next());
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.expect("it tells its pid")));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells");
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

#[test]
fn a_socket_of_this_machine_is_served_and_goes_with_the_daemon() {
    let folder = Folder::new();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).expect("the folder is ours")); // left behind by a crash
    let lines = format!("unixsocket {}\nunixsocketperm 700\nprotected-mode yes\n", path.display());
    let mut sentinel = start(&folder, &lines);
    let found = std::fs::metadata(&path).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o700);
    let mut client = UnixStream::connect(&path).expect("it listens");
    client.write_all(b"PING\r\nCLIENT INFO\r\n").expect("it reads");
    assert_eq!(answer(&mut client, 7), "+PONG\r\n");
    let shown = answer(&mut client, 60);
    assert!(shown.contains(&format!("addr={}", path.display())), "{shown}");
    sentinel.terminate();
    assert!(!path.exists(), "nobody listens there any more");
}

#[test]
fn a_client_that_does_not_read_costs_little_and_keeps_nobody_waiting() {
    let folder = Folder::new();
    let sentinel = start(&folder, "");
    let before = memory(&sentinel);
    let mut greedy = connect(&sentinel);
    greedy.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
    let many = b"INFO\r\n".repeat(10_000);
    // As much as the system takes; sooner or later it takes no more, since nobody reads at the other end.
    let mut sent = 0;
    while let Ok(length) = greedy.write(&many) {
        sent += length;
        assert!(sent < 1 << 30, "it reads on and on");
    }
    let begin = Instant::now();
    assert_eq!(sentinel.call(&["PING"]).and_then(|pong| pong.text().map(str::to_owned)), Some("PONG".into()));
    assert!(begin.elapsed() < Duration::from_secs(1));
    let grown = memory(&sentinel).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for one client");
    drop(greedy);
    eventually("the client is forgotten", PATIENCE, || {
        let list = sentinel.call(&["CLIENT", "LIST"])?;
        (list.text()?.lines().count() == 1).then_some(())
    });
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let folder = Folder::new();
    let sentinel = start(&folder, "");
    let mut slow = connect(&sentinel);
    slow.set_nodelay(true).expect("it can be set");
    for byte in b"*2\r\n$4\r\nPING\r\n$5\r\nhello\r\n" {
        slow.write_all(&[*byte]).expect("it reads");
        std::thread::yield_now();
    }
    assert_eq!(answer(&mut slow, 11), "$5\r\nhello\r\n");
}

#[test]
fn what_a_client_keeps_us_holding_is_shown() {
    let folder = Folder::new();
    let sentinel = start(&folder, "");
    let mut half = connect(&sentinel);
    half.write_all(b"*1\r\n$4\r\nPI").expect("it reads");
    let shown = || Some(sentinel.call(&["CLIENT", "LIST"])?.text()?.to_owned());
    let list =
        eventually("half a command is held", PATIENCE, || shown().filter(|list| list.contains("qbuf=10 ")));
    let fields = ["fd=", "obl=0 oll=0 omem=0 tot-mem=2058 "];
    assert!(list.lines().any(|line| fields.iter().all(|field| line.contains(field))), "{list}");
    assert!(!list.contains("fd=0 "), "{list}");
    half.write_all(b"NG\r\n").expect("it reads");
    assert_eq!(answer(&mut half, 7), "+PONG\r\n");
}

#[test]
fn one_client_too_many_is_told_so() {
    let folder = Folder::new();
    let sentinel = start(&folder, "maxclients 3\n");
    let open: Vec<_> = (0..3)
        .map(|_| {
            eventually("there is room again", PATIENCE, || {
                let mut client = Client::connect(sentinel.port, PATIENCE).ok()?;
                client.call(&["PING"]).ok()?.text()?;
                Some(client)
            })
        })
        .collect();
    let mut text = String::new();
    connect(&sentinel).read_to_string(&mut text).expect("it is closed in good order");
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    drop(open);
    eventually("there is room again", PATIENCE, || sentinel.call(&["PING"])?.text().map(|_| ()));
}

#[test]
fn silent_clients_are_closed_and_subscribers_are_not() {
    let folder = Folder::new();
    let sentinel = start(&folder, "timeout 1\n");
    let (mut silent, mut subscriber) = (connect(&sentinel), connect(&sentinel));
    subscriber.write_all(b"SUBSCRIBE nothing\r\n").expect("it reads");
    let confirmed = answer(&mut subscriber, 36);
    assert!(confirmed.contains("subscribe"), "{confirmed}");
    let begin = Instant::now();
    assert_eq!(silent.read(&mut [0; 1]).expect("it is closed in good order"), 0);
    assert!(begin.elapsed() >= Duration::from_millis(900));
    subscriber.write_all(b"PING\r\n").expect("it is still there");
    assert!(answer(&mut subscriber, 8).contains('2'));
}
