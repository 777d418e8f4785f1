//! redis-rs by the resolver, under load, while the master dies, freezes, or hands over.

use super::consul_stage::{SERVICE, Stage};
use super::resolver_application::{Application, Outcome, Write, all_on, keys, pause};
use crate::PATIENCE;
use consentinel_lab::{GROUP, Value, eventually};
use consentinel_resolver::{PubSubItem, Resolver};
use std::time::{Duration, Instant};

/// From the moment at which DNS names the new master to the one at which the old one gets no more writes.
const CUT_WITHIN: Duration = Duration::from_millis(100);

/// How the master goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
    HandedOver,
}

/// How the application hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It asks DNS again and again.
    Dns,
    /// Consul's blocking queries.
    Http,
}

fn resolver(stage: &Stage, by: By) -> Resolver {
    let builder = Resolver::builder(SERVICE).name_server(stage.consul.dns());
    let builder = match by {
        By::Dns => builder,
        By::Http => builder.consul(stage.consul.address()),
    };
    builder.build().expect("the settings are good")
}

/// Load, the end of the master, load on the new one; then the accounts are checked.
fn follows(end: End, by: By) {
    let mut stage = Stage::set();
    let application = Application::start(|| resolver(&stage, by));
    eventually("there is load", PATIENCE, || {
        (application.promised_since(Instant::now() - PATIENCE) > 100).then_some(())
    });
    let (prober, began) = (stage.prober(), Instant::now());
    match end {
        End::Killed => stage.cluster.redis[0].kill(),
        End::Stopped => stage.cluster.redis[0].pause(),
        End::HandedOver => {
            let reply = stage.cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP]);
            assert_eq!(reply, Some(Value::Simple("OK".into())));
        }
    }
    let new = stage.cluster.wait_for_new_master(0, PATIENCE);
    let port = stage.cluster.redis[new].port;
    let published =
        eventually("DNS names the new master", PATIENCE, || prober.timeline().first_only(port, began));
    eventually("the application goes on", PATIENCE, || {
        (application.promised_since(published) > 200).then_some(())
    });
    if end == End::Stopped {
        stage.cluster.redis[0].resume();
        let resumed = Instant::now();
        eventually("the application is not disturbed by the old master", PATIENCE, || {
            (application.promised_since(resumed) > 200).then_some(())
        });
    }
    if end != End::Killed {
        stage.cluster.wait_until_settled(new);
    }
    let heard = application.heard();
    let writes = application.stop();
    println!("{end:?}, by {by:?}:");
    report(&writes, began, published);
    check(&stage, new, &writes, published);
    check_news(&heard, published);
}

fn report(writes: &[Write], began: Instant, published: Instant) {
    let count = |fits: fn(&Outcome) -> bool| writes.iter().filter(|write| fits(&write.outcome)).count();
    println!(
        "  published after {:?}; pause {:?} (one connection), {:?} (pool), {:?} (with WAIT); {} promised, {} unknown, {} failed",
        published - began,
        pause(writes, "shared"),
        pause(writes, "pool"),
        pause(writes, "wait"),
        count(|outcome| matches!(outcome, Outcome::Promised(_))),
        count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
    );
    for write in writes.iter().filter(|write| !matches!(write.outcome, Outcome::Promised(_))).take(8) {
        println!(
            "  {} after {:?}: {:?}",
            write.key,
            write.ended.saturating_duration_since(began),
            write.outcome
        );
    }
}

/// Nothing is missing that was promised and replicated, nor anything that was promised after the switch was published.
fn check(stage: &Stage, new: usize, writes: &[Write], published: Instant) {
    let there = all_on(&stage.cluster.redis[new]);
    let missing = |fits: &dyn Fn(&Write) -> bool| -> Vec<String> {
        let lost = |write: &&Write| !there.contains(&write.key);
        keys(writes, |write| matches!(write.outcome, Outcome::Promised(_)) && fits(write))
            .filter(lost)
            .map(|write| write.key.clone())
            .collect()
    };
    let replicated = |write: &Write| matches!(write.outcome, Outcome::Promised(2..));
    assert!(keys(writes, replicated).count() > 50, "some were replicated");
    assert_eq!(missing(&replicated), Vec::<String>::new(), "promised and replicated");
    let late = |write: &Write| write.began >= published + CUT_WITHIN;
    assert!(keys(writes, late).count() > 600, "some came later");
    assert_eq!(missing(&late), Vec::<String>::new(), "promised by the old master after the switch");
    let last = writes
        .iter()
        .filter(|write| !there.contains(&write.key) && matches!(write.outcome, Outcome::Promised(_)));
    let last = last.map(|write| write.ended).max();
    println!(
        "  of those that were promised without waiting for replicas {} are lost; the last of them {}",
        missing(&|_| true).len(),
        last.map_or("never".into(), |last| match last.checked_duration_since(published) {
            Some(after) => format!("{after:?} after the switch was published"),
            None => format!("{:?} before the switch was published", published - last),
        })
    );
}

/// The subscriptions stood again after the switch, and said that they had not stood.
fn check_news(heard: &[(Instant, PubSubItem)], published: Instant) {
    let gaps: Vec<_> = heard.iter().filter(|(_, item)| !matches!(item, PubSubItem::Message(_))).collect();
    let last = heard.iter().rev().find(|(_, item)| matches!(item, PubSubItem::Message(_)));
    println!("  subscriptions: {gaps:?}");
    assert!(
        gaps.iter().any(|(_, item)| matches!(item, PubSubItem::Gap(gap) if gap.before.addr != gap.now.addr))
    );
    assert!(last.is_some_and(|(at, _)| *at > published), "messages come after the switch");
}

#[test]
fn an_application_follows_by_blocking_queries_when_the_master_is_killed() {
    follows(End::Killed, By::Http);
}

#[test]
fn an_application_follows_by_blocking_queries_when_the_master_freezes_and_comes_back() {
    follows(End::Stopped, By::Http);
}

#[test]
fn an_application_follows_by_blocking_queries_when_the_master_is_handed_over() {
    follows(End::HandedOver, By::Http);
}

#[test]
fn an_application_follows_by_dns_when_the_master_is_killed() {
    follows(End::Killed, By::Dns);
}

#[test]
fn an_application_follows_by_dns_when_the_master_freezes_and_comes_back() {
    follows(End::Stopped, By::Dns);
}
