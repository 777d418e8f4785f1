//! Hellos that anybody can publish: what is believed, and what is not.

use crate::bench::{Bench, MASTER, MS, endpoint, group, info};
use consentinel_core::{
    Command, Epoch, Event, Hello, Info, Input, LinkId, Request, Response, Role, SentinelId,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PEER: u16 = 26380;

fn id(name: &str) -> SentinelId {
    SentinelId::new(&format!("{name:0>40}"))
}

fn hello(name: &str, port: u16, epoch: u64, master: u16) -> Hello {
    Hello {
        addr: endpoint(port),
        id: id(name),
        current_epoch: Epoch(epoch),
        group: group(),
        master: endpoint(master),
        config_epoch: Epoch(epoch),
    }
}

fn forged(hello: Hello) -> Input {
    Input::Hello { link: None, hello }
}

fn sentinels(bench: &Bench) -> Vec<(SentinelId, u16)> {
    let group = bench.sentinel.group(&group()).expect("it is watched");
    group.sentinels.iter().map(|peer| (peer.id.clone(), peer.addr.port)).collect()
}

/// Three sentinels, of which this is one, and a replica that could be master.
fn fleet() -> Bench {
    let mut bench = Bench::new(&[6380]);
    for (name, port) in [("a", PEER), ("b", 26381)] {
        bench.hear(hello(name, port, 0, MASTER));
    }
    bench.run(SECOND * 3);
    assert_eq!(sentinels(&bench), [(id("a"), PEER), (id("b"), 26381)]);
    bench
}

#[test]
fn a_forged_hello_moves_no_master() {
    let mut bench = fleet();
    bench.input(forged(hello("a", PEER, 7, 6380)));
    bench.run(SECOND * 3);
    assert_eq!(bench.master(), endpoint(MASTER));
    assert!(!bench.saw(Event::ConfigUpdateFrom) && !bench.connected.is_empty());
    let told = bench.logs.iter().filter(|line| line.contains("does not say so: not believed")).count();
    assert_eq!(told, 1, "{:?}", bench.logs);
    bench.input(forged(hello("a", PEER, 8, 6380)));
    bench.run(SECOND * 3);
    let told = bench.logs.iter().filter(|line| line.contains("does not say so: not believed")).count();
    assert_eq!(told, 1, "once a minute");
    // What it says itself is believed at once.
    let server = bench.servers.get_mut(&6380).expect("it is there");
    (server.role, server.master) = (Some(Role::Master), None);
    bench.hear(hello("a", PEER, 7, 6380));
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn what_is_said_while_there_is_no_link_is_confirmed_when_there_is_one() {
    let mut bench = fleet();
    bench.kill(PEER);
    bench.input(forged(hello("a", PEER, 7, 6380)));
    bench.run(SECOND * 3);
    assert_eq!(bench.master(), endpoint(MASTER));
    bench.peers.insert(PEER, hello("a", PEER, 7, 6380));
    bench.run(SECOND * 3);
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn sentinels_that_nobody_reaches_do_not_count() {
    let mut bench = fleet();
    for number in 0..200_u16 {
        bench.input(forged(hello(&format!("fake{number}"), 30_000 + number, 0, MASTER)));
    }
    bench.run(SECOND * 5);
    assert_eq!(sentinels(&bench).len(), 2);
    assert!(!bench.events.iter().any(|(event, text)| *event == Event::NewSentinel && text.contains("fake")));
    // A majority of three is enough.
    let check = bench.sentinel.group(&group()).expect("it is watched").check_quorum();
    assert!(check.usable == 3 && check.majority_reachable);
}

#[test]
fn one_that_gives_another_identity_or_watches_another_master_does_not_count() {
    let mut bench = fleet();
    // It listens, and is somebody else.
    bench.peers.insert(26390, hello("c", 26390, 0, MASTER));
    bench.input(forged(hello("d", 26390, 0, MASTER)));
    bench.run(SECOND * 3);
    assert_eq!(sentinels(&bench).len(), 2);
    // Under its own name it counts.
    bench.input(forged(hello("c", 26390, 0, MASTER)));
    bench.run(SECOND * 3);
    assert_eq!(sentinels(&bench).len(), 3);
}

#[test]
fn a_sentinel_that_answers_is_neither_moved_nor_displaced() {
    let mut bench = fleet();
    bench.input(forged(hello("a", 31_000, 0, MASTER)));
    bench.input(forged(hello("stranger", PEER, 0, MASTER)));
    bench.run(SECOND * 3);
    assert_eq!(sentinels(&bench), [(id("a"), PEER), (id("b"), 26381)]);
    assert!(!bench.saw(Event::SentinelAddressSwitch) && !bench.saw(Event::SentinelInvalidAddr));
    // One that is gone has moved.
    bench.kill(PEER);
    bench.run(MS * 500);
    bench.hear(hello("a", 31_000, 0, MASTER));
    assert!(sentinels(&bench).contains(&(id("a"), 31_000)));
}

#[test]
fn a_sentinel_with_a_new_identity_takes_the_place_of_the_one_before() {
    let mut bench = fleet();
    bench.kill(PEER);
    bench.run(SECOND);
    bench.hear(hello("renewed", PEER, 0, MASTER));
    bench.run(SECOND * 3);
    assert_eq!(sentinels(&bench), [(id("b"), 26381), (id("renewed"), PEER)]);
}

#[test]
fn an_epoch_that_no_elections_can_reach_is_refused_and_logged_once() {
    let mut bench = fleet();
    let far = Epoch(1 << 62);
    for _ in 0..5 {
        let lie = Hello { current_epoch: far, ..hello("a", PEER, 0, MASTER) };
        bench.input(forged(lie));
        let vote = Request::IsMasterDown { master: endpoint(MASTER), epoch: far, candidate: Some(id("a")) };
        let answer = bench.ask(vote);
        assert!(matches!(answer, Response::Down { leader: None, .. }), "{answer:?}");
    }
    assert_eq!(bench.sentinel.current_epoch(), Epoch(0));
    assert_eq!(bench.logs.iter().filter(|line| line.contains("is refused")).count(), 1, "{:?}", bench.logs);
}

#[test]
fn a_sentinel_without_a_state_joins_a_fleet_that_has_come_far() {
    let mut bench = Bench::new(&[6380]);
    let far = 5 << 20;
    bench.hear(hello("a", PEER, far, MASTER));
    bench.run(SECOND);
    assert_eq!(bench.sentinel.current_epoch(), Epoch(0), "one sentinel is not enough");
    bench.hear(hello("b", 26381, far, MASTER));
    bench.run(SECOND * 5);
    assert_eq!(bench.sentinel.current_epoch(), Epoch(far));
    bench.hear(hello("a", PEER, far, MASTER));
    bench.run(SECOND);
    assert_eq!(bench.sentinel.config_epoch(&group()), Some(Epoch(far)));
}

#[test]
fn a_server_carries_hellos_of_its_own_group_only() {
    let mut bench = Bench::new(&[6380]);
    let monitor = Request::Monitor {
        group: consentinel_core::GroupName::new("other"),
        master: endpoint(7000),
        quorum: consentinel_core::Quorum(1),
    };
    bench.servers.insert(7000, Info { role: Some(Role::Master), ..info(7000) });
    assert_eq!(bench.ask(monitor), Response::Ok);
    bench.run(SECOND * 3);
    bench.peers.insert(PEER, hello("a", PEER, 0, MASTER));
    let of_other = Hello { group: consentinel_core::GroupName::new("other"), ..hello("a", PEER, 0, 7000) };
    // The links of the first group were opened first: one to each of its servers for commands, one for hellos.
    for link in 1..=4 {
        bench.input(Input::Hello { link: Some(LinkId(link)), hello: of_other.clone() });
    }
    bench.run(SECOND);
    let other = bench.sentinel.group(&consentinel_core::GroupName::new("other")).expect("it is watched");
    assert!(other.sentinels.is_empty());
    assert!(!bench.commands.iter().any(|(port, command)| *port == PEER && *command == Command::MyId));
}
