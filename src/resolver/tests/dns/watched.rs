//! The watch: the current master first, then changes only.

use super::name_server::{NameServer, PATIENCE, Question, Reply, until};
use consentinel_resolver::{Change, Epoch, Watch};
use futures_core::Stream;
use std::pin::Pin;
use std::time::Duration;

const FAST: Duration = Duration::from_millis(2);

async fn next(watch: &mut Watch) -> Change {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("something changes")
}

fn port(change: &Change) -> u16 {
    match change {
        Change::Master(master) => master.addr.port(),
        other => panic!("{other:?}"),
    }
}

fn master(port: u16, epoch: u64) -> impl FnMut(&Question) -> super::name_server::Act + Send + 'static {
    move |question| Reply::master(question, port, epoch).into()
}

#[tokio::test]
async fn it_yields_what_is_known_and_then_changes_only() {
    let server = NameServer::start(master(7001, 1));
    let resolver = server.builder().poll_fast(FAST).poll_slow(FAST).build().expect("it fits");
    let mut watch = resolver.watch();
    assert_eq!(port(&next(&mut watch).await), 7001);
    let looks = server.looks();
    until("it has looked again", || server.looks() > looks + 10).await;
    assert!(tokio::time::timeout(Duration::ZERO, watch.next()).await.is_err(), "nothing has changed");

    server.says(|question| Reply::to(question).code(3).into());
    assert!(matches!(next(&mut watch).await, Change::Unknown(error) if error.is_nobody()));
    server.says(master(7002, 2));
    assert_eq!(port(&next(&mut watch).await), 7002);
    server.says(master(7002, 3));
    assert!(matches!(next(&mut watch).await, Change::Master(master) if master.epoch == Some(Epoch(3))));
    let mut second = resolver.watch();
    assert_eq!(port(&next(&mut second).await), 7002, "whoever comes later begins with what is known");
}

#[tokio::test]
async fn whoever_is_slow_sees_the_newest() {
    let server = NameServer::start(master(7001, 1));
    let resolver = server.builder().poll_fast(FAST).poll_slow(FAST).build().expect("it fits");
    let (mut slow, mut quick) = (resolver.watch(), resolver.watch());
    next(&mut slow).await;
    next(&mut quick).await;
    for epoch in 2..50 {
        server.says(master(7000 + epoch, epoch.into()));
        assert_eq!(port(&next(&mut quick).await), 7000 + epoch);
    }
    assert_eq!(port(&next(&mut slow).await), 7049);
    assert!(tokio::time::timeout(Duration::ZERO, slow.next()).await.is_err(), "nothing has piled up");
}

#[tokio::test]
async fn it_is_a_stream() {
    let server = NameServer::start(master(7001, 1));
    let mut watch = server.resolver().watch();
    let first = std::future::poll_fn(|context| Pin::new(&mut watch).poll_next(context));
    let change = tokio::time::timeout(PATIENCE, first).await.expect("in time");
    assert_eq!(change.as_ref().map(port), Some(7001));
}

#[tokio::test]
async fn a_doubt_is_looked_into_at_once() {
    let server = NameServer::start(master(7001, 1));
    let hour = Duration::from_secs(3600);
    let resolver = server.builder().poll_fast(hour).poll_slow(hour).build().expect("it fits");
    let mut watch = resolver.watch();
    next(&mut watch).await;
    server.says(master(7002, 2));
    resolver.invalidate();
    assert_eq!(port(&next(&mut watch).await), 7002);
}

#[tokio::test]
async fn the_pauses_grow_while_nothing_happens() {
    let server = NameServer::start(master(7001, 1));
    let slow = Duration::from_secs(3600);
    let resolver = server.builder().poll_fast(FAST).poll_slow(slow).build().expect("it fits");
    let mut watch = resolver.watch();
    next(&mut watch).await;
    // 2, 4, 8 ms … : half a second after the first look there have been about eight.
    until("it has looked some times", || server.looks() >= 7).await;
    let looks = server.looks();
    let answered = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
    assert!(answered.is_err());
    assert!(server.looks() <= looks + 1, "{} looks after {looks}", server.looks());
    // And all of them may be answered from what the watch has found.
    for _ in 0..100 {
        resolver.master().await.expect("a master");
    }
    assert!(server.looks() <= looks + 2);
}

#[tokio::test]
async fn what_may_be_kept_is_not_asked_for_again() {
    let server = NameServer::start(|question| {
        let reply = Reply::to(question).ttl(3600).server("7f000001.addr.dc1.consul", 7001, "127.0.0.1");
        reply.text("n.node.consul", "epoch=5").into()
    });
    let resolver = server.builder().poll_fast(FAST).poll_slow(FAST).build().expect("it fits");
    let mut watch = resolver.watch();
    next(&mut watch).await;
    assert!(tokio::time::timeout(FAST * 50, watch.next()).await.is_err());
    assert_eq!(server.looks(), 1);
}
