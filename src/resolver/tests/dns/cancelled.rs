//! Futures that are dropped: the others do not notice, and nothing is left running.

use super::name_server::{Act, NameServer, PATIENCE, Reply, until};
use consentinel_resolver::{Change, Resolver};
use std::time::Duration;

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn nothing_runs() {
    until("nothing is left running", || tasks() == 0).await;
}

/// Answers each question after that time.
fn slow(after: Duration) -> NameServer {
    NameServer::start(move |question| Act::Late(after, Reply::master(question, 7001, 5).bytes()))
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_ends() {
    let server = NameServer::start(|_| Act::Silence);
    let resolver = server.builder().timeout(PATIENCE).build().expect("it fits");
    for _ in 0..20 {
        let looks = server.looks();
        let mut look = Box::pin(resolver.master());
        tokio::select! {
            _ = &mut look => panic!("nobody answers"),
            () = until("the question is there", || server.looks() > looks) => {}
        }
        drop(look);
        nothing_runs().await;
    }
}

#[tokio::test]
async fn many_callers_share_one_look() {
    let server = slow(Duration::from_millis(100));
    let resolver = server.builder().timeout(PATIENCE).build().expect("it fits");
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.master().await.map(|master| master.addr.port()) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("it does not panic"), Ok(7001));
    }
    assert_eq!(server.looks(), 1);
    nothing_runs().await;
}

#[tokio::test]
async fn whoever_leaves_does_not_disturb_the_others() {
    let server = slow(Duration::from_millis(100));
    let resolver = server.builder().timeout(PATIENCE).build().expect("it fits");
    for dropped in 0..8 {
        resolver.invalidate();
        let looks = server.looks();
        let mut callers: Vec<_> = (0..8)
            .map(|_| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.master().await.map(|master| master.addr.port()) })
            })
            .collect();
        until("the question is there", || server.looks() > looks).await;
        callers.remove(dropped).abort();
        for caller in callers {
            assert_eq!(caller.await.expect("it does not panic"), Ok(7001));
        }
        assert_eq!(server.looks(), looks + 1, "the look went on");
    }
    nothing_runs().await;
}

/// One that began the look and is then neither polled nor dropped must not hold up the others.
#[tokio::test]
async fn whoever_stands_still_does_not_hold_up_the_others() {
    let server = slow(Duration::from_millis(50));
    let resolver = server.builder().timeout(PATIENCE).build().expect("it fits");
    let mut first = Box::pin(resolver.master());
    tokio::select! {
        biased;
        _ = &mut first => panic!("it cannot be there yet"),
        () = until("the question is there", || server.looks() == 1) => {}
    }
    let second = tokio::time::timeout(PATIENCE, resolver.master()).await.expect("it ends");
    assert_eq!(second.expect("a master").addr.port(), 7001);
    assert_eq!(server.looks(), 1);
    assert_eq!(first.await.expect("a master").addr.port(), 7001);
}

#[tokio::test]
async fn a_doubt_is_not_answered_by_a_look_that_began_before() {
    let mut ids = Vec::new();
    let server = NameServer::start(move |question| {
        if !ids.contains(&question.id) {
            ids.push(question.id);
        }
        let epoch = ids.iter().position(|id| *id == question.id).expect("it is there") as u64 + 1;
        Act::Late(Duration::from_millis(50), Reply::master(question, 7000 + epoch as u16, epoch).bytes())
    });
    let resolver = server.builder().timeout(PATIENCE).reuse(PATIENCE).build().expect("it fits");
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.master().await }
    });
    until("the question is there", || server.looks() == 1).await;
    for _ in 0..50 {
        resolver.invalidate();
    }
    let late: Vec<_> = (0..50).map(|_| resolver.master()).collect();
    for look in late {
        assert_eq!(look.await.expect("a master").addr.port(), 7002);
    }
    assert_eq!(early.await.expect("it does not panic").expect("a master").addr.port(), 7001);
    assert_eq!(server.looks(), 2, "one for those who doubt");
}

#[tokio::test]
async fn the_task_of_the_watch_ends_with_the_last_watch() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 5).into());
    let resolver = server.resolver();
    resolver.master().await.expect("a master");
    nothing_runs().await;
    for silent in [false, true] {
        if silent {
            server.says(|_| Act::Silence);
        }
        let (mut first, second) = (resolver.watch(), resolver.clone().watch());
        first.next().await;
        let questions = server.questions().len();
        drop(first);
        resolver.invalidate();
        until("it goes on", || server.questions().len() > questions).await;
        drop(second);
        nothing_runs().await;
    }
}

#[tokio::test]
async fn nothing_runs_when_the_resolver_is_gone() {
    let server = slow(Duration::from_millis(20));
    let resolver = server.builder().timeout(PATIENCE).build().expect("it fits");
    let watch = resolver.watch();
    let weak: Resolver = resolver.clone();
    drop(resolver);
    weak.master().await.expect("a master");
    let _ = tokio::time::timeout(Duration::from_millis(1), weak.replicas()).await;
    let _ = tokio::time::timeout(Duration::from_millis(1), weak.sentinels()).await;
    drop((weak, watch));
    nothing_runs().await;
}

/// A look is bound to the runtime of whoever began it. Another one's must not depend on that.
#[test]
fn a_runtime_that_ends_takes_no_look_of_another_one_with_it() {
    let server = slow(Duration::from_millis(100));
    let resolver = server.builder().build().expect("it fits");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    let mut began = Box::pin(resolver.master());
    first.block_on(async {
        tokio::select! {
            _ = &mut began => panic!("it cannot be there yet"),
            () = until("the question is there", || server.looks() == 1) => {}
        }
    });
    let other = std::thread::spawn({
        let resolver = resolver.clone();
        move || second.block_on(async { tokio::time::timeout(PATIENCE, resolver.master()).await })
    });
    drop(first);
    let master = other.join().expect("it does not panic").expect("in time").expect("a master");
    assert_eq!(master.addr.port(), 7001);
    drop(began);
}

#[test]
fn a_watch_goes_on_when_the_runtime_ends_that_looked_for_it() {
    let server = NameServer::start(|question| Reply::master(question, 7001, 1).into());
    let fast = Duration::from_millis(5);
    let resolver = server.builder().poll_fast(fast).poll_slow(fast).build().expect("it fits");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    let mut watch = first.block_on(async { resolver.watch() });
    first.block_on(watch.next());
    let other = std::thread::spawn(move || {
        second.block_on(async { tokio::time::timeout(PATIENCE, watch.next()).await.expect("it is seen") })
    });
    drop(first);
    server.says(|question| Reply::master(question, 7002, 2).into());
    let change = other.join().expect("it does not panic");
    assert!(matches!(&change, Change::Master(master) if master.addr.port() == 7002), "{change:?}");
}
