//! A million looks by eight tasks while the master changes all the time.

use super::name_server::{Act, NameServer, Question, Reply, SRV};
use consentinel_resolver::{Epoch, Resolver};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TASKS: u64 = 8;
const LOOKS: u64 = 1_000_000;

/// Where the master of an epoch is: every part of the answer follows from it.
fn port(epoch: u64) -> u16 {
    (10_000 + epoch % 50_000) as u16
}

fn address(epoch: u64) -> String {
    format!("127.{}.{}.{}", epoch >> 16 & 255, epoch >> 8 & 255, epoch & 255)
}

/// Each time another epoch: mostly the next one, now and then one of the past.
fn answer(question: &Question, epoch: &AtomicU64) -> Act {
    if question.kind != SRV {
        return Reply::to(question).code(3).into();
    }
    let now = epoch.fetch_add(1, Ordering::Relaxed) + 1;
    let said = if now.is_multiple_of(5) { now / 2 } else { now };
    let target = format!("e{said}.node.consul");
    let reply = Reply::to(question).server(&target, port(said), &address(said));
    reply.text(&target, &format!("epoch={said}")).into()
}

async fn look(resolver: Resolver, looks: u64) -> u64 {
    let (mut last, mut changes) = (Epoch(0), 0);
    for number in 0..looks {
        let master = resolver.master().await.expect("there is always one");
        let epoch = master.epoch.expect("it has an epoch");
        assert!(epoch >= last, "epoch {epoch} after {last}");
        changes += u64::from(epoch > last);
        last = epoch;
        assert_eq!(master.addr.port(), port(epoch.0), "torn: {master:?}");
        assert_eq!(master.addr.ip().to_string(), address(epoch.0), "torn: {master:?}");
        assert_eq!(master.host, format!("e{epoch}.node.consul"), "torn: {master:?}");
        if number % 1000 == 0 {
            resolver.invalidate();
            tokio::task::yield_now().await;
        }
    }
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_million_looks_are_never_torn_and_never_go_back() {
    let epoch = Arc::new(AtomicU64::new(0));
    let counted = epoch.clone();
    let server = NameServer::start(move |question| answer(question, &counted));
    let often = Duration::from_millis(1);
    let builder = server.builder().timeout(Duration::from_secs(5)).poll_fast(often).poll_slow(often);
    let resolver = builder.build().expect("it fits");
    let watch = resolver.watch();
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(look(resolver.clone(), LOOKS / TASKS))).collect();
    let mut changes = 0;
    for task in tasks {
        changes += task.await.expect("never torn, never older");
    }
    drop(watch);
    assert!(changes > TASKS * 50, "the master changed before everybody's eyes: {changes}");
    assert!(epoch.load(Ordering::Relaxed) > 100);
}
