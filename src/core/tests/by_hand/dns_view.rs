//! What DNS may say, without any registry.

use crate::bench::{Bench, MASTER, MS, endpoint, group, info};
use consentinel_core::{
    DnsView, Endpoint, Epoch, Health, Hello, Info, Input, Request, Response, Role, SaveError, SentinelId,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn named(replicas: &[u16]) -> Bench {
    Bench::with(replicas, |durable| durable.config.registry.dns = true)
}

fn view(bench: &Bench) -> DnsView {
    bench.sentinel.dns_view(&group()).expect("it is watched, and all is on disk")
}

/// Role, port and health of what may be named.
fn servers(view: &DnsView) -> Vec<(Role, u16, Health)> {
    view.entries.iter().map(|entry| (entry.role, entry.addr.port, entry.health)).collect()
}

fn hello(id: &str, port: u16, epoch: u64, master: u16) -> Hello {
    Hello {
        addr: Endpoint::parse("127.0.0.1", &port.to_string()).expect("an address"),
        id: SentinelId::new(id),
        current_epoch: Epoch(epoch),
        group: group(),
        master: endpoint(master),
        config_epoch: Epoch(epoch),
    }
}

fn promote(bench: &mut Bench, port: u16) {
    let server = bench.servers.get_mut(&port).expect("it is there");
    (server.role, server.master) = (Some(Role::Master), None);
}

use Health::{Critical, Passing};
use Role::{Master, Replica};

#[test]
fn a_master_that_has_spoken_is_vouched_for_and_its_replicas_are_named_with_it() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    let view = view(&bench);
    assert!(view.vouched && view.majority);
    assert_eq!((view.epoch, view.heard), (Epoch(0), (1, 1)));
    assert_eq!(servers(&view), [(Master, MASTER, Passing), (Replica, 6380, Passing)]);
    assert_eq!(view.sentinels.len(), 1, "this one");
}

#[test]
fn nothing_vouches_for_a_master_that_was_not_seen_nor_for_one_that_says_it_is_a_replica() {
    let mut bench = named(&[]);
    bench.kill(MASTER);
    let fresh = Bench::with(&[], |durable| {
        durable.config.registry.dns = true;
        durable.groups.get_mut(&group()).expect("it is there").master = endpoint(7000);
    });
    assert!(!view(&fresh).vouched);
    // It comes as a replica: that is no word of a master.
    let role = Some(Replica);
    let mut bench = Bench::with(&[], |durable| {
        durable.groups.get_mut(&group()).expect("it is there").master = endpoint(7000);
        durable.config.registry.dns = true;
    });
    bench.servers.insert(7000, Info { role, master: Some(endpoint(1)), ..info(7000) });
    bench.run(SECOND * 5);
    assert!(!view(&bench).vouched);
    promote(&mut bench, 7000);
    bench.run(SECOND * 2);
    assert!(view(&bench).vouched, "its word is asked for every second");
}

#[test]
fn a_master_that_is_objectively_down_is_critical_and_the_next_one_is_named_at_once() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    bench.servers.get_mut(&6380).expect("it is there").priority = 0;
    bench.run(SECOND * 11);
    bench.kill(MASTER);
    bench.run(SECOND * 2);
    assert_eq!(servers(&view(&bench))[0], (Master, MASTER, Critical));
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    bench.kill(MASTER);
    bench.run(MS * 1020);
    let view = view(&bench);
    assert!(view.vouched && view.epoch > Epoch(0));
    assert_eq!(servers(&view)[0], (Master, 6380, Passing));
}

#[test]
fn who_has_followed_goes_on_naming_by_a_hello_and_not_before_it_is_on_disk() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    promote(&mut bench, 6380);
    bench.hear(hello("peer", 26380, 0, MASTER));
    bench.held = Some(vec![]);
    bench.hear(hello("peer", 26380, 3, 6380));
    assert_eq!(bench.sentinel.dns_view(&group()), None, "what was said before holds");
    bench.release();
    let view = view(&bench);
    assert_eq!((view.epoch, view.vouched), (Epoch(3), true));
    assert_eq!(servers(&view)[0], (Master, 6380, Passing));
}

#[test]
fn where_the_disk_has_failed_a_master_that_is_one_again_is_not_named_by_its_old_epoch() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    bench.disk = Err(SaveError("full".to_owned()));
    promote(&mut bench, 6380);
    bench.hear(hello("peer", 26380, 3, 6380));
    bench.run(SECOND * 2);
    assert_eq!((view(&bench).epoch, servers(&view(&bench))[0].1), (Epoch(3), 6380));
    promote(&mut bench, MASTER);
    bench.hear(hello("peer", 26380, 4, MASTER));
    bench.run(SECOND * 2);
    assert_eq!((view(&bench).epoch, servers(&view(&bench))[0].1), (Epoch(4), MASTER));
}

#[test]
fn who_has_seen_no_master_does_not_take_a_hellos_word_for_one() {
    let mut bench = named(&[]);
    bench.kill(MASTER);
    let mut bench = Bench::with(&[], |durable| {
        durable.groups.get_mut(&group()).expect("it is there").master = endpoint(7000);
        durable.config.registry.dns = true;
    });
    bench.hear(hello("peer", 26380, 3, 7001));
    assert!(!view(&bench).vouched);
    bench.servers.insert(7001, Info { role: Some(Master), ..info(7001) });
    bench.run(SECOND * 3);
    assert!(view(&bench).vouched);
}

#[test]
fn a_sentinel_of_the_file_counts_when_it_has_shown_itself() {
    let mut bench = Bench::with(&[], |durable| {
        let group = durable.groups.get_mut(&group()).expect("it is there");
        for port in [26380, 26381] {
            group.sentinels.insert(SentinelId::new(&format!("{port:040}")), endpoint(port));
        }
    });
    bench.run(MS * 500);
    let lonely = view(&bench);
    assert_eq!((lonely.heard, lonely.majority), ((1, 3), false), "they have not been taken for down yet");
    bench.hear(hello(&format!("{:040}", 26380), 26380, 0, MASTER));
    let heard = view(&bench);
    assert_eq!((heard.heard, heard.majority), ((2, 3), true));
    assert_eq!(heard.sentinels.len(), 2);
    bench.kill(26380);
    bench.run(SECOND * 5);
    assert!(!view(&bench).majority, "it has not answered since");
}

#[test]
fn after_a_sleep_the_master_must_speak_again() {
    let mut bench = named(&[]);
    bench.run(SECOND * 3);
    assert!(view(&bench).vouched);
    bench.stubborn.clear();
    bench.now += SECOND * 4;
    bench.sentinel.handle(bench.now, Input::Wake);
    assert!(!view(&bench).vouched);
    bench.input(Input::Wake);
    bench.run(SECOND * 2);
    assert!(view(&bench).vouched, "in TILT, too");
}

#[test]
fn where_the_disk_has_failed_clients_and_dns_hear_the_same() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    bench.disk = Err(SaveError("no space".into()));
    promote(&mut bench, 6380);
    bench.hear(hello("peer", 26380, 3, 6380));
    bench.run(SECOND * 2);
    let view = view(&bench);
    assert_eq!((bench.master(), view.epoch), (endpoint(6380), Epoch(3)));
    assert_eq!(view.entries[0].addr, bench.master());
}

#[test]
fn a_reset_asks_the_master_anew_and_an_unknown_group_has_no_name() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    let reset = Request::Reset { pattern: "*".into() };
    assert!(!matches!(bench.ask(reset), Response::Refused(_)));
    bench.run(MS * 100);
    assert!(view(&bench).vouched);
    let nobody = consentinel_core::GroupName::new("nobody");
    assert_eq!(bench.sentinel.dns_view(&nobody), None);
}

#[test]
fn what_dns_may_say_is_told_once_and_again_when_it_changes() {
    let mut bench = named(&[6380]);
    bench.run(SECOND * 3);
    assert_eq!(bench.dns_views.last(), Some(&Some(view(&bench))));
    let told = bench.dns_views.len();
    bench.run(SECOND * 60);
    assert_eq!(bench.dns_views.len(), told, "nothing happens, and nothing is told");
    bench.kill(MASTER);
    bench.run(MS * 1020);
    assert_eq!(bench.dns_views.last(), Some(&Some(view(&bench))));
    assert_eq!(view(&bench).named_master(), Some(&endpoint(6380)));
}

#[test]
fn what_changes_by_time_alone_is_told_at_its_time() {
    // Nobody turns the replica.
    let mut bench = Bench::with(&[6380, 6381], |durable| {
        (durable.config.registry.dns, durable.config.observe) = (true, true);
    });
    bench.run(SECOND * 3);
    promote(&mut bench, 6380);
    bench.hear(hello("peer", 26380, 3, 6380));
    let of_replica = |bench: &Bench| {
        let view = bench.dns_views.last().cloned().flatten().expect("something was told");
        view.entries.iter().find(|entry| entry.addr == endpoint(6381)).map(|entry| entry.health)
    };
    bench.run(SECOND * 9);
    assert_eq!(of_replica(&bench), Some(Health::Warning), "it is given ten seconds to turn");
    bench.run(SECOND);
    assert_eq!(of_replica(&bench), Some(Critical));
    assert_eq!(bench.dns_views.last(), Some(&bench.sentinel.dns_view(&group())));
}

#[test]
fn a_group_that_is_watched_no_more_is_told_once_and_without_dns_nothing_is() {
    let mut bench = named(&[]);
    bench.run(SECOND);
    bench.ask(Request::Remove { group: group() });
    assert_eq!(bench.dns_views.last(), Some(&None));
    let mut bench = Bench::new(&[6380]);
    bench.run(SECOND * 3);
    assert!(bench.dns_views.is_empty());
}
