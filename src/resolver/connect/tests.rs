//! Servers that lie, fall silent, or are somebody else.

use super::*;
use crate::origin::Found;
use crate::{Epoch, Source};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const MASTER: &str = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
const REPLICA: &str = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$9\r\nconnected\r\n:0\r\n";
const PONG: &str = "+PONG\r\n";

/// What a stand-in does with a connection, once it has been told something.
#[derive(Clone, Debug)]
enum Act {
    Say(String),
    SayAndClose(String),
    Close,
    Silence,
}

fn says(parts: &[&str]) -> Act {
    Act::Say(parts.concat())
}

/// A server that does with each connection what the list says; the last of the list with all that follow.
struct StandIn {
    addr: SocketAddr,
    met: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl StandIn {
    async fn start(acts: Vec<Act>) -> StandIn {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let (addr, met) = (listener.local_addr().expect("it is bound"), Arc::new(AtomicUsize::new(0)));
        let count = met.clone();
        let task = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let act = acts[count.fetch_add(1, Ordering::Relaxed).min(acts.len() - 1)].clone();
                let mut asked = [0; 500];
                let _ = stream.read(&mut asked).await;
                match act {
                    Act::Close => {}
                    Act::SayAndClose(text) => drop(stream.write_all(text.as_bytes()).await),
                    Act::Silence => kept.push(stream),
                    Act::Say(text) => {
                        let _ = stream.write_all(text.as_bytes()).await;
                        kept.push(stream);
                    }
                }
            }
        });
        StandIn { addr, met, task }
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nobody answers DNS there; who is master is told by [`named`].
async fn builder() -> Builder {
    let nobody = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    Resolver::builder("redis.service.consul")
        .name_server(nobody.local_addr().expect("it is bound"))
        .timeout(Duration::from_millis(20))
        .connect_timeout(Duration::from_millis(200))
        .connect_within(Duration::from_millis(700))
}

fn named(resolver: &Resolver, addr: SocketAddr, epoch: u64) {
    let ticket = resolver.inner.cell.ticket(std::time::Instant::now());
    let found = Found {
        addr,
        host: "7f000001.addr.dc1.consul".into(),
        epoch: Some(Epoch(epoch)),
        source: Source::Dns,
        ttl: Duration::from_secs(60),
        from: "a test".into(),
    };
    resolver.inner.settle(ticket, Ok(found)).expect("it is newer");
}

async fn with(builder: Builder, stand_in: &StandIn) -> Resolver {
    let resolver = builder.build().expect("the settings are good");
    named(&resolver, stand_in.addr, 1);
    resolver
}

async fn connect(resolver: &Resolver) -> Result<Connection, ConnectError> {
    timeout(PATIENCE, resolver.connect()).await.expect("in a bounded time")
}

#[tokio::test]
async fn a_master_is_taken_at_the_first_try() {
    let server = StandIn::start(vec![says(&[MASTER, PONG])]).await;
    let resolver = with(builder().await, &server).await;
    let connection = connect(&resolver).await.expect("it says that it is master");
    assert_eq!((connection.master().addr, server.met()), (server.addr, 1));
}

#[tokio::test]
async fn a_replica_is_asked_again_and_taken_when_it_is_promoted() {
    let server =
        StandIn::start(vec![says(&[REPLICA, PONG]), says(&[REPLICA, PONG]), says(&[MASTER, PONG])]).await;
    let resolver = with(builder().await, &server).await;
    connect(&resolver).await.expect("the third time it is master");
    assert_eq!(server.met(), 3);
}

#[tokio::test]
async fn who_loads_is_waited_for() {
    for word in
        ["-LOADING Redis is loading the dataset in memory\r\n", "-MASTERDOWN Link with MASTER is down\r\n"]
    {
        let server = StandIn::start(vec![says(&[MASTER, word]), says(&[MASTER, PONG])]).await;
        let resolver = with(builder().await, &server).await;
        connect(&resolver).await.expect("it is ready by then");
    }
}

#[tokio::test]
async fn the_error_says_what_the_last_one_was() {
    for (act, expected) in [
        (says(&[REPLICA, PONG]), "says that it is no master but a replica of 127.0.0.1:7001"),
        (says(&["-LOADING in a minute\r\n", PONG]), "is not ready: LOADING in a minute"),
        (Act::Close, "cannot be reached: it has closed the connection"),
        (
            Act::SayAndClose("-ERR max number of clients reached\r\n".into()),
            "it has closed the connection, and said: ERR max number of clients reached",
        ),
        (Act::Silence, "has not answered within 200ms"),
        (
            says(&["HTTP/1.1 400 Bad Request\r\n\r\n"]),
            "does not answer as Redis does: what it says is no RESP",
        ),
        (says(&["*99999999999\r\n"]), "its answer is longer than"),
        (says(&[MASTER, PONG, "+more\r\n"]), "it says more than it was asked"),
        (says(&["+OK\r\n", PONG]), "to ROLE it says OK"),
        (says(&["*1\r\n$8\r\nsentinel\r\n", PONG]), "no master but a sentinel"),
    ] {
        let server = StandIn::start(vec![act.clone()]).await;
        let resolver = with(builder().await, &server).await;
        let error = connect(&resolver).await.expect_err("it is no master");
        assert!(matches!(error, ConnectError::GaveUp { tries: 2.., .. }), "{act:?}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(&server.addr.to_string()), "{act:?}: {text}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once_and_not_repeated() {
    for answer in [
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        "-ERR unknown command 'AUTH', with args beginning with: 'a-secret-word'\r\n",
        "-ERR AUTH a-secret-word what?\r\n",
    ] {
        let server = StandIn::start(vec![says(&[answer, "-NOAUTH\r\n", "-NOAUTH\r\n"])]).await;
        let resolver = with(builder().await.username("shop").password("a-secret-word"), &server).await;
        let error = connect(&resolver).await.expect_err("it is wrong");
        assert!(matches!(&error, ConnectError::Refused { refusal: Refusal::Denied(_), .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        assert_eq!(server.met(), 1);
    }
}

#[tokio::test]
async fn who_wants_a_password_is_told_apart() {
    let server = StandIn::start(vec![says(&["-NOAUTH Authentication required.\r\n", PONG])]).await;
    let resolver = with(builder().await, &server).await;
    let error = connect(&resolver).await.expect_err("there is no password").to_string();
    assert!(
        error.contains("denies it: NOAUTH Authentication required. (Builder::password sets one)"),
        "{error}"
    );
}

#[tokio::test]
async fn who_may_not_ping_may_still_connect() {
    let server = StandIn::start(vec![says(&["+OK\r\n", MASTER, "-NOPERM no permissions\r\n"])]).await;
    let resolver = with(builder().await.password("x"), &server).await;
    connect(&resolver).await.expect("ROLE was answered");
}

#[tokio::test]
async fn the_silent_one_is_left_as_soon_as_another_is_named() {
    let silent = StandIn::start(vec![Act::Silence]).await;
    let master = StandIn::start(vec![says(&[MASTER, PONG])]).await;
    let patient = builder().await.connect_timeout(PATIENCE).connect_within(PATIENCE * 2);
    let resolver = with(patient, &silent).await;
    let connecting = tokio::spawn({
        let resolver = resolver.clone();
        async move { connect(&resolver).await }
    });
    timeout(PATIENCE, async {
        while silent.met() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is tried");
    named(&resolver, master.addr, 2);
    let connection = timeout(PATIENCE / 2, connecting).await.expect("long before the timeout");
    let connection = connection.expect("no panic").expect("the other is master");
    assert_eq!(connection.master().addr, master.addr);
}

#[tokio::test]
async fn nobody_named_is_an_error_of_the_look_up() {
    let resolver = builder().await.build().expect("the settings are good");
    let error = connect(&resolver).await.expect_err("nobody answers DNS");
    assert!(matches!(error, ConnectError::Lookup { .. }), "{error:?}");
    assert!(error.to_string().contains("redis.service.consul"), "{error}");
}

#[tokio::test]
async fn dropping_the_attempt_leaves_no_watch_behind() {
    let silent = StandIn::start(vec![Act::Silence]).await;
    let resolver = with(builder().await.connect_timeout(PATIENCE).connect_within(PATIENCE), &silent).await;
    timeout(Duration::from_millis(200), resolver.connect()).await.expect_err("it is silent");
    assert!(!resolver.inner.watchers.are_there());
}
