//! What is served when nobody answers.

use super::name_server::{Act, NameServer, PATIENCE, Reply, until};
use consentinel_resolver::{Freshness, LookupError};
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_last_answer_is_served_for_a_while_and_says_so() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let max_stale = Duration::from_millis(1500);
    let resolver = server.builder().max_stale(max_stale).build().expect("it fits");
    resolver.master().await.expect("a master");
    let confirmed = Instant::now();
    server.says(|question| Reply::to(question).code(2).into());
    let stale = resolver.master().await.expect("the last one");
    assert_eq!(stale.addr.port(), 7001);
    let Freshness::Stale { since } = stale.freshness else { panic!("{stale:?}") };
    assert!(since <= confirmed);
    assert_eq!(resolver.current().expect("it is known").freshness, stale.freshness);
    let error = loop {
        match resolver.master().await {
            Ok(master) => assert!(master.freshness.is_stale() && since.elapsed() < PATIENCE, "{master:?}"),
            Err(error) => break error,
        }
    };
    assert!(since.elapsed() >= max_stale);
    assert!(matches!(error, LookupError::Unanswered { .. }), "{error}");
    assert!(resolver.current().is_none());

    server.says(|question| Reply::master(question, 7001, 5).into());
    assert_eq!(resolver.master().await.expect("it is back").freshness, Freshness::Fresh);
}

#[tokio::test]
async fn a_stale_answer_does_not_cost_a_timeout_each_time() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let resolver = server.builder().reuse(PATIENCE).build().expect("it fits");
    resolver.master().await.expect("a master");
    server.says(|_| Act::Silence);
    resolver.invalidate();
    let looks = server.looks();
    for _ in 0..100 {
        assert!(resolver.master().await.expect("the last one").freshness.is_stale());
    }
    assert_eq!(server.looks(), looks + 1);
}

#[tokio::test]
async fn nobody_is_not_the_lack_of_an_answer() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let resolver = server.resolver();
    resolver.master().await.expect("a master");
    server.says(|question| Reply::to(question).code(3).into());
    assert!(resolver.master().await.expect_err("nobody is master").is_nobody());
    assert!(resolver.current().is_none());
    // An older one is still refused.
    server.says(|question| Reply::master(question, 7001, 4).into());
    assert!(matches!(resolver.master().await, Err(LookupError::Older { .. })));
}

#[tokio::test]
async fn a_watch_says_when_the_answer_becomes_stale_fresh_and_unknown() {
    use consentinel_resolver::Change;
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let fast = Duration::from_millis(5);
    let builder = server.builder().max_stale(Duration::from_millis(500)).poll_fast(fast).poll_slow(fast);
    let resolver = builder.build().expect("it fits");
    let mut watch = resolver.watch();
    let fresh = |change: Change| matches!(&change, Change::Master(it) if !it.freshness.is_stale());
    let stale = |change: Change| matches!(&change, Change::Master(it) if it.freshness.is_stale());
    assert!(fresh(watch.next().await));
    server.says(|question| Reply::to(question).code(2).into());
    assert!(stale(watch.next().await));
    server.says(|question| Reply::master(question, 7001, 5).into());
    assert!(fresh(watch.next().await));
    server.says(|question| Reply::to(question).code(2).into());
    assert!(stale(watch.next().await));
    let change = watch.next().await;
    assert!(matches!(change, Change::Unknown(LookupError::Unanswered { .. })), "{change:?}");
    let looks = server.looks();
    until("it goes on looking", || server.looks() > looks + 3).await;
}
