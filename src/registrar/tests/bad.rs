//! With something that answers as no Consul should.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What is done with a request.
enum Reply {
    /// An answer as HTTP has it.
    Status(u16, &'static str),
    /// These bytes, and an end.
    Bytes(&'static [u8]),
    /// A body that never ends.
    Endless,
    /// Nothing, ever.
    Silence,
}

/// Answers every request as it is told to, by its path. It goes on until the process ends.
fn serve(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let reply = Arc::new(reply);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = reply.clone();
            std::thread::spawn(move || converse(stream, &*reply));
        }
    });
    address
}

/// Requests of one connection. Whoever is gone is none of our business.
fn converse(stream: TcpStream, reply: &dyn Fn(&str) -> Reply) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut first, mut length) = (String::new(), 0);
        lines.read_line(&mut first).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        lines.read_exact(&mut vec![0; length]).ok()?;
        match reply(first.split(' ').nth(1)?) {
            Reply::Status(status, body) => {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} x\r\nX-Consul-Index: 1\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
            }
            Reply::Bytes(bytes) => {
                stream.write_all(bytes).ok()?;
                return None;
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 65_536], b"\r\n".to_vec()].concat();
                loop {
                    stream.write_all(&chunk).ok()?;
                }
            }
            // The other side gives up and closes.
            Reply::Silence => return stream.read(&mut [0]).ok().map(drop),
        }
    }
}

fn fault_of_look(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> RegistryError {
    let mut bench = Bench::at(&serve(reply));
    bench.ask(RegistryRequest::Look { tries: 0 });
    bench.failed()
}

#[test]
fn a_status_of_trouble_is_told_by_its_kind() {
    use RegistryFault::*;
    for (status, body, kind) in [
        (403, "Permission denied", Denied),
        (403, "ACL not found", Denied),
        (500, "No cluster leader", Leaderless),
        (429, "rate limit exceeded, try again later", Limited),
        (503, "rate limit exceeded for operation that can only be performed by the leader", Limited),
        (500, "rpc error: something", Nonsense),
        (418, "I'm a teapot", Nonsense),
        (302, "", Nonsense),
        (200, "<html>a proxy's login page</html>", Nonsense),
        (200, "{\"a\":1}", Nonsense),
        (200, "", Nonsense),
    ] {
        let error = fault_of_look(move |_| Reply::Status(status, body));
        assert_eq!(error.kind, kind, "{status} {body}: {}", error.text);
        assert!(error.text.len() < 600 && !error.text.contains('\n'), "{}", error.text);
    }
}

#[test]
fn what_is_no_http_is_nonsense_and_what_breaks_off_is_unreachable() {
    let fault = |bytes: &'static [u8]| fault_of_look(move |_| Reply::Bytes(bytes)).kind;
    assert_eq!(fault(b"-ERR unknown command\r\n\r\n"), RegistryFault::Nonsense);
    // So an agent does when it has served enough connections.
    assert_eq!(fault(b""), RegistryFault::Limited);
    assert_eq!(fault(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]"), RegistryFault::Unreachable);
}

#[test]
fn an_answer_without_an_end_is_not_taken_in() {
    assert_eq!(fault_of_look(|_| Reply::Endless).kind, RegistryFault::Nonsense);
}

#[test]
fn who_does_not_answer_is_silent_and_where_nobody_listens_is_unreachable() {
    assert_eq!(fault_of_look(|_| Reply::Silence).kind, RegistryFault::Silent);
    let mut bench = Bench::at(&format!("127.0.0.1:{}", consentinel_lab::free_port()));
    bench.ask(RegistryRequest::Look { tries: 0 });
    assert_eq!(bench.failed().kind, RegistryFault::Unreachable);
    let counted = bench.registrar.gauge().counters();
    assert_eq!(counted.trouble.map(|error| error.kind), Some(RegistryFault::Unreachable));
    assert!(counted.failures[0] > 0 && counted.requests > 0);
}

/// What a write comes to when looks find nothing and transactions are answered like this.
fn write_against(status: u16, body: &'static str) -> RegistryEvent {
    let address = serve(move |path| match path {
        "/v1/txn" => Reply::Status(status, body),
        _ if path.contains("index=") => Reply::Silence,
        _ => Reply::Status(404, ""),
    });
    let mut bench = Bench::at(&address);
    bench.look();
    bench.write(claim(Fence(0), 1, 7001, None))
}

fn fault_of_write(status: u16, body: &'static str) -> RegistryError {
    match write_against(status, body) {
        RegistryEvent::Failed(error) => error,
        other => panic!("{status} {body}: {other:?}"),
    }
}

#[test]
fn what_became_of_a_transaction_is_told_by_the_operation_that_failed() {
    let stale = r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"whatever"}]}"#;
    assert_eq!(write_against(409, stale), RegistryEvent::Stale);
    let later = r#"{"Results":null,"Errors":[{"OpIndex":2,"What":"Missing node registration"}]}"#;
    assert_eq!(fault_of_write(409, later).kind, RegistryFault::Nonsense);
    let denied = r#"{"Errors":[{"OpIndex":0,"What":"Permission denied"},{"OpIndex":1,"What":"Permission denied"},
        {"OpIndex":2,"What":"Permission denied"},{"OpIndex":3,"What":"Permission denied"}]}"#;
    let error = fault_of_write(409, denied);
    assert_eq!(error.kind, RegistryFault::Denied);
    for rule in [
        r#"key_prefix "consentinel/mymaster/" { policy = "write" }"#,
        r#"node "consentinel-mymaster" { policy = "write" }"#,
        r#"service_prefix "redis" { policy = "write" }"#,
    ] {
        assert!(error.text.contains(rule), "{}", error.text);
    }
}

#[test]
fn a_transaction_that_is_not_understood_did_not_happen() {
    for (status, body) in [
        (200, "null"),
        (200, "{}"),
        (200, r#"{"Results":[{"KV":{"Key":"other","ModifyIndex":7}}]}"#),
        (200, r#"{"Results":[{"KV":{"Key":"consentinel/mymaster/state","ModifyIndex":"x"}}]}"#),
        (409, "stale"),
        (413, "Request body too large"),
        (400, "Failed to parse body"),
    ] {
        assert_eq!(fault_of_write(status, body).kind, RegistryFault::Nonsense, "{status} {body}");
    }
    assert_eq!(fault_of_write(500, "No cluster leader").kind, RegistryFault::Leaderless);
    let good = r#"{"Results":[{"KV":{"Key":"consentinel/mymaster/state","ModifyIndex":7}}],"Errors":null}"#;
    assert_eq!(write_against(200, good), RegistryEvent::Written(Fence(7)));
}

#[test]
fn a_write_does_not_wait_for_a_look_that_hangs() {
    let good = r#"{"Results":[{"KV":{"Key":"consentinel/mymaster/state","ModifyIndex":7}}]}"#;
    let address = serve(move |path| match path {
        "/v1/txn" => Reply::Status(200, good),
        _ => Reply::Silence,
    });
    let mut bench = Bench::at(&address);
    bench.ask(RegistryRequest::Look { tries: 0 });
    let begin = std::time::Instant::now();
    assert_eq!(bench.written(claim(Fence(0), 1, 7001, None)), Fence(7));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[test]
fn two_masters_under_one_name_are_not_both_published() {
    let mut bench = Bench::at(&serve(|_| Reply::Status(404, "")));
    bench.look();
    bench.registrar.ask(GroupName::new("other"), RegistryRequest::Look { tries: 0 });
    let error = bench.failed();
    assert!(error.text.contains("'mymaster' and 'other'"), "{}", error.text);
    bench.ask(RegistryRequest::Forget);
    bench.registrar.ask(GroupName::new("other"), RegistryRequest::Look { tries: 1 });
    bench.seen();
}
