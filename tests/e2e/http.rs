//! The HTTP port: what it answers, to whom, and what it does not let clients do.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, Extra, Reply, Setup, Web, eventually, free_port, read_reply};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What every answer says to a browser.
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Like a setup, with an HTTP port for its first daemon.
pub(super) fn with_http(mut setup: Setup) -> (Setup, Web) {
    let web = Web(free_port());
    setup.extra.resize(setup.sentinels.len(), Extra::default());
    setup.extra[0] = std::mem::take(&mut setup.extra[0]).args(&["--http", &web.address().to_string()]);
    (setup, web)
}

/// One daemon, its master and a replica.
fn alone() -> (Cluster, Web) {
    let (mut setup, web) = with_http(Setup::new(vec![ours()]));
    (setup.quorum, setup.replicas) = (1, 1);
    (Cluster::start(&setup), web)
}

fn get(web: Web, path: &str) -> Reply {
    web.get(path).unwrap_or_else(|| panic!("{path} is answered"))
}

fn events_of(reply: &[consentinel_lab::Sent]) -> Vec<String> {
    let event = |sent: &consentinel_lab::Sent| {
        let happening: Value = serde_json::from_str(&sent.data).expect("JSON");
        happening["event"].as_str().expect("an event").to_owned()
    };
    reply.iter().filter(|sent| sent.event == "happening").map(event).collect()
}

#[test]
fn a_failover_is_seen_in_everything_that_is_shown() {
    let (setup, web) = with_http(three_daemons());
    let mut cluster = Cluster::start(&setup);
    let old = format!("127.0.0.1:{}", cluster.redis[0].port);
    let state = get(web, "/v1/state").json();
    assert_eq!(state["masters"][0]["address"], old.as_str());
    assert_eq!(state["myid"], cluster.sentinels[0].id().as_str());
    assert_eq!(get(web, "/v1/history").json(), Value::Array(vec![]));
    eventually("it is ready", PATIENCE, || (get(web, "/ready").status == 200).then_some(()));
    let follower = web.follow("/v1/events", None);
    eventually("somebody follows", PATIENCE, || {
        get(web, "/metrics").body.contains("consentinel_http_followers 1\n").then_some(())
    });

    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let new = format!("127.0.0.1:{}", cluster.redis[new].port);
    let state = eventually("the state names the new master", PATIENCE, || {
        let state = get(web, "/v1/state").json();
        (state["masters"][0]["address"] == new.as_str()).then_some(state)
    });
    assert_eq!(state["masters"][0]["epoch"], state["current_epoch"]);
    let one = get(web, "/v1/state/mymaster").json();
    assert_eq!((&one["name"], &one["address"]), (&Value::from("mymaster"), &Value::from(new.as_str())));

    let failover = eventually("the history has it", PATIENCE, || {
        let history = get(web, "/v1/history?master=mymaster").json();
        history.as_array().and_then(|all| all.first().cloned()).filter(|one| one["outcome"] == "done")
    });
    assert_eq!((&failover["from"], &failover["to"]), (&Value::from(old), &Value::from(new)));
    assert_eq!(get(web, "/v1/history?master=other").json(), Value::Array(vec![]));
    let phases = failover["phases"].as_array().expect("phases");
    assert!(phases.iter().any(|mark| mark["phase"] == "switched"), "{phases:?}");

    let told = eventually("the new master is told", PATIENCE, || {
        let told = events_of(&follower.all());
        told.iter().any(|event| event == "+switch-master").then_some(told)
    });
    let first = told.iter().position(|event| event == "+sdown").expect("the silence was told");
    assert!(told[first..].iter().any(|event| event == "+switch-master"), "in order: {told:?}");

    eventually("the failover is counted", PATIENCE, || {
        let metrics = get(web, "/metrics").body;
        let counted =
            metrics.contains("consentinel_failovers_total{master=\"mymaster\",result=\"done\"} 1\n");
        // Whoever leads has measured it when the replicas are turned.
        let phase =
            "consentinel_failover_phase_duration_seconds_count{master=\"mymaster\",phase=\"outage\"} 1\n";
        (counted && metrics.contains(phase)).then_some(())
    });
    let explained = get(web, "/v1/explain/mymaster").json();
    assert_eq!(explained["master"], "mymaster");
    assert!(explained["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{explained}");
}

#[test]
fn a_reader_that_was_away_gets_what_it_has_missed_and_no_more() {
    let (mut cluster, web) = alone();
    let follower = web.follow("/v1/events?last=100", None);
    let seen = eventually("what happened before is told", PATIENCE, || {
        let all = follower.all();
        events_of(&all).contains(&"+slave".to_owned()).then_some(all)
    });
    drop(follower);
    let id = seen.last().expect("something").id.clone();
    for value in ["5000", "6000"] {
        let words = ["SENTINEL", "SET", "mymaster", "down-after-milliseconds", value];
        assert!(cluster.sentinels[0].call(&words).is_some());
    }
    let after = |last: &str, path: &str| {
        let follower = web.follow(path, Some(last));
        eventually("what was missed is told", PATIENCE, || {
            let all = follower.all();
            (events_of(&all).iter().filter(|event| *event == "+set").count() == 2).then_some(all)
        })
    };
    // What the id says counts for more than what the address asks for.
    let missed = after(&id, "/v1/events?last=100");
    assert_eq!(events_of(&missed), ["+set", "+set"]);

    let newest = missed.last().expect("something").id.clone();
    cluster.sentinels[0].kill();
    cluster.sentinels[0].start();
    let follower = web.follow("/v1/events", Some(&newest));
    let all = eventually("what the new process has seen is told", PATIENCE, || {
        let all = follower.all();
        events_of(&all).contains(&"+monitor".to_owned()).then_some(all)
    });
    assert_eq!(all[0].event, "restart");
    assert_ne!(all[1].id.rsplit_once('-').map(|id| id.0), newest.rsplit_once('-').map(|id| id.0));
}

#[test]
fn every_answer_has_its_headers_and_says_nothing_secret() {
    let (mut setup, web) = with_http(Setup::new(vec![ours()]));
    (setup.quorum, setup.replicas) = (1, 1);
    setup.serving.password = Some("geheim-der-server".into());
    setup.extra[0] = std::mem::take(&mut setup.extra[0]).password("geheim-der-sentinels");
    let _cluster = Cluster::start(&setup);
    let paths = [
        "/",
        "/page/page.css",
        "/page/main.js",
        "/page/icon.svg",
        "/v1/state",
        "/v1/state/mymaster",
        "/v1/history",
        "/v1/explain/mymaster",
        "/health",
        "/ready",
        "/metrics",
    ];
    for path in paths {
        let reply = get(web, path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        for (name, value) in HEADERS {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!reply.body.contains("geheim"), "{path}");
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()), "{path}");

        let head = web.ask("HEAD", path, &[]).expect("an answer");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), reply.header("content-type"), "{path}");
    }
    let head = web.ask("HEAD", "/v1/events", &[]).expect("an answer");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
}

#[test]
fn what_is_not_there_or_not_allowed_is_refused_in_words() {
    let (_cluster, web) = alone();
    let missing = [
        "/nothing",
        "/v1",
        "/v1/state/other",
        "/v1/state/",
        "/v1/explain/",
        "/v1/explain/%zz",
        "/page/../main.js",
        "//",
    ];
    for path in missing {
        let reply = get(web, path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.body.is_empty() && reply.header("content-security-policy").is_some(), "{path}");
    }
    assert!(get(web, "/nothing").body.contains("/v1/state"), "it says what there is");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let reply = web.ask(method, "/v1/state", &[]).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let posted = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    assert_eq!(web.say(posted).expect("an answer").status, 405);
}

#[test]
fn a_strangers_name_is_not_answered_over_loopback() {
    let (mut setup, web) = with_http(Setup::new(vec![ours()]));
    (setup.quorum, setup.replicas) = (1, 0);
    setup.extra[0] = std::mem::take(&mut setup.extra[0]).line("sentinel http-host status.example");
    let _cluster = Cluster::start(&setup);
    let port = web.0;
    let ask = |host: &str| web.ask("GET", "/v1/state", &[("Host", host)]).expect("an answer").status;
    for host in ["localhost", "127.0.0.1", "[::1]", "status.example"] {
        assert_eq!((ask(host), ask(&format!("{host}:{port}"))), (200, 200), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8654"] {
        assert_eq!(ask(host), 421, "{host}");
    }
    for host in ["", "a b", "localhost:x", "a/b"] {
        assert_eq!(ask(host), 400, "{host}");
    }
    for (request, status) in [
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 421),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n", 421),
    ] {
        assert_eq!(web.say(request).expect("an answer").status, status, "{request:?}");
    }
}

#[test]
fn bad_requests_are_refused_and_harm_nobody() {
    let (_cluster, web) = alone();
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(40_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200));
    let bad: [&str; 9] = [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
        &long,
        &wide,
        &many,
    ];
    for request in bad {
        // Whoever sends more than is read may see the connection break before it sees the answer.
        match web.say(request) {
            Ok(reply) => assert!((400..500).contains(&reply.status), "{request:.60?}: {}", reply.status),
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::InvalidData
                ),
                "{request:.60?}: {error}"
            ),
        }
    }
    assert_eq!(get(web, "/health").status, 200);
}

/// Whether a connection ends, and how long that took.
fn ends(stream: &mut TcpStream, within: Duration) -> Option<Duration> {
    let began = Instant::now();
    stream.set_read_timeout(Some(within)).expect("it can wait");
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Some(began.elapsed()),
            Ok(_) if began.elapsed() < within => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(began.elapsed()),
            _ => return None,
        }
    }
}

#[test]
fn slow_clients_are_let_go_and_too_many_are_told_so() {
    let (_cluster, web) = alone();
    let mut silent = web.connect().expect("a connection");
    let mut dripping = web.connect().expect("a connection");
    dripping.write_all(b"GET / HTTP/1.1\r\nHost: local").expect("it takes some");
    let mut idle = web.connect().expect("a connection");
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it takes a request");
    for stream in [&mut silent, &mut dripping, &mut idle] {
        assert!(ends(stream, Duration::from_secs(30)).is_some(), "it is let go");
    }

    // As many as there may be, and some more.
    let all: Vec<_> = (0..160).filter_map(|_| web.connect().ok()).collect();
    let refused = eventually("somebody is told that there are too many", PATIENCE, || {
        let reply = web.ask("GET", "/health", &[]).ok()?;
        (reply.status == 503).then_some(reply)
    });
    assert!(refused.body.contains("too many connections"), "{refused:?}");
    drop(all);
    eventually("there is room again", PATIENCE, || (web.get("/health")?.status == 200).then_some(()));
    let metrics = get(web, "/metrics").body;
    let count =
        metrics.lines().find_map(|line| line.strip_prefix("consentinel_http_connections_refused_total "));
    assert!(count.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count > 0), "{count:?}");
}

#[test]
fn those_who_follow_leave_room_for_those_who_ask() {
    let (_cluster, web) = alone();
    let followers: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = web.connect().expect("a connection");
            let request = format!("GET /v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", web.address());
            stream.write_all(request.as_bytes()).expect("it takes a request");
            let mut first = [0; 12];
            stream.read_exact(&mut first).expect("it answers");
            assert_eq!(&first, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let one_more = get(web, "/v1/events");
    assert_eq!(one_more.status, 503);
    assert!(one_more.body.contains("follow the events"), "{}", one_more.body);
    assert_eq!(get(web, "/ready").status, 200);
    drop(followers);
    eventually("those who have left are forgotten", PATIENCE, || {
        get(web, "/metrics").body.contains("consentinel_http_followers 0\n").then_some(())
    });
}

#[test]
fn several_requests_share_a_connection() {
    let (_cluster, web) = alone();
    let mut stream = web.connect().expect("a connection");
    let ask = |path: &str, last: bool| {
        let close = if last { "Connection: close\r\n" } else { "" };
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n")
    };
    let both = ask("/health", false) + &ask("/ready", true);
    stream.write_all(both.as_bytes()).expect("it takes requests");
    let all = read_reply(&mut stream).expect("answers").body;
    assert!(all.contains("\"healthy\":true") && all.contains("\"ready\":true"), "{all}");
}

#[test]
fn readiness_says_what_is_missing() {
    let (setup, web) = with_http(three_daemons());
    let mut cluster = Cluster::start(&setup);
    eventually("it is ready", PATIENCE, || (get(web, "/ready").status == 200).then_some(()));
    cluster.sentinels[1].kill();
    cluster.sentinels[2].kill();
    let reply = eventually("it is not ready without a majority", PATIENCE, || {
        let reply = get(web, "/ready");
        (reply.status == 503).then_some(reply)
    });
    let reasons = reply.json()["reasons"].to_string();
    assert!(reasons.contains("majority") && reasons.contains("mymaster"), "{reasons}");
    assert!(get(web, "/metrics").body.contains("consentinel_ready 0\n"));
    // It lives all the same.
    assert_eq!(get(web, "/health").status, 200);
    cluster.sentinels[1].start();
    eventually("a majority is heard again", PATIENCE, || (get(web, "/ready").status == 200).then_some(()));
}

#[test]
fn a_master_that_was_never_seen_and_a_disk_that_fails_are_not_ready() {
    let (cluster, web) = alone();
    let nowhere = free_port().to_string();
    let words = ["SENTINEL", "MONITOR", "ghost", "127.0.0.1", &nowhere, "1"];
    assert!(cluster.sentinels[0].call(&words).is_some());
    let reply = eventually("an unseen master is told", PATIENCE, || {
        let reply = get(web, "/ready");
        (reply.status == 503).then_some(reply)
    });
    assert!(reply.body.contains("never seen since the start: ghost"), "{}", reply.body);
    assert!(cluster.sentinels[0].call(&["SENTINEL", "REMOVE", "ghost"]).is_some());
    eventually("it is ready without it", PATIENCE, || (get(web, "/ready").status == 200).then_some(()));

    // A folder in the place of the file is a disk that fails.
    let sentinel = &cluster.sentinels[0];
    let (file, aside) = (sentinel.config(), sentinel.folder().join("aside"));
    std::fs::rename(&file, &aside).expect("the folder is ours");
    std::fs::create_dir(&file).expect("the folder is ours");
    assert!(sentinel.call(&["SENTINEL", "SET", "mymaster", "quorum", "1"]).is_some());
    let _ = sentinel.call(&["SENTINEL", "FLUSHCONFIG"]);
    let reply = eventually("the disk is told", PATIENCE, || {
        let reply = get(web, "/ready");
        (reply.status == 503).then_some(reply)
    });
    assert!(reply.body.contains("its state cannot be written"), "{}", reply.body);
    assert!(get(web, "/metrics").body.contains("consentinel_storage_error 1\n"));
    std::fs::remove_dir(&file).expect("it is empty");
    std::fs::rename(&aside, &file).expect("the folder is ours");
    eventually("it is ready again", PATIENCE, || (get(web, "/ready").status == 200).then_some(()));
    let failed = get(web, "/metrics").body;
    let failed = failed.lines().find_map(|line| line.strip_prefix("consentinel_save_failures_total "));
    assert!(failed.is_some_and(|count| count != "0"), "{failed:?}");
}

#[test]
fn a_daemon_that_stands_still_is_not_healthy_for_long_after_it_goes_on() {
    let (cluster, web) = alone();
    cluster.sentinels[0].pause();
    let mut stream = web.connect().expect("the system takes it");
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").expect("the system takes it");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("it can wait");
    let mut byte = [0];
    assert!(stream.read(&mut byte).is_err(), "nobody answers");
    cluster.sentinels[0].resume();
    stream.set_read_timeout(Some(PATIENCE)).expect("it can wait");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
}

#[test]
fn nothing_is_opened_that_nobody_asked_for_and_a_port_that_is_taken_stops_the_start() {
    let (setup, web) = with_http(Setup::new(vec![ours()]));
    let mut quiet = setup.clone();
    (quiet.quorum, quiet.replicas) = (1, 0);
    quiet.extra.clear();
    let cluster = Cluster::start(&quiet);
    assert!(web.connect().is_err());
    let taken = std::net::TcpListener::bind(web.address()).expect("it was free");
    let config = cluster.folder.sub("taken").join("sentinel.conf");
    std::fs::write(&config, format!("port {}\nsentinel http-bind {}\n", free_port(), web.address()))
        .expect("ours");
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_consentinel")).arg(&config).output().expect("it runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("cannot serve HTTP on {} (sentinel http-bind)", web.address())), "{said}");
    drop(taken);
}
