use super::*;
use crate::status::{Sentinel, Server as SeenServer};

pub(in crate::demo) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A scene in which everything is well: 1 is the master, 2 and 3 follow; the daemons are 11, 12 and 13.
pub(in crate::demo) fn calm(began: Instant) -> Scene {
    let cast = Cast {
        servers: [1, 2, 3],
        daemons: [11, 12, 13],
        dns_of: "Consul",
        dig: "dig +short @127.0.0.1 -p 7 redis.service.consul SRV".into(),
        page: None,
        down_after: ms(500),
    };
    let mut scene = Scene::new(cast, began);
    follow(&mut scene, began, 1);
    answer(&mut scene, began, 1);
    scene
}

pub(in crate::demo) fn see(scene: &mut Scene, at: Instant, seen: Seen) {
    scene.handle(Sight { at, seen });
}

pub(in crate::demo) fn answer(scene: &mut Scene, at: Instant, port: u16) {
    see(scene, at, Seen::Dns(Answer::Records(vec![(port, format!("1 1 {port} 7f000001.addr.dc1.consul."))])));
}

pub(in crate::demo) fn event(scene: &mut Scene, at: Instant, daemon: usize, name: &str, payload: &str) {
    see(scene, at, Seen::Event { daemon, name: name.into(), payload: payload.into() });
}

/// Everybody that runs follows that server, and every daemon says so.
pub(in crate::demo) fn follow(scene: &mut Scene, at: Instant, master: u16) {
    let others = scene.cast.servers.into_iter().filter(|port| *port != master);
    let replicas: Vec<_> = others.map(|port| (port, 900)).collect();
    for daemon in 0..COUNT {
        let others = scene.cast.daemons.into_iter().filter(|port| *port != scene.cast.daemons[daemon]);
        let sentinel =
            |port| Sentinel { address: format!("127.0.0.1:{port}"), linked: true, ..Sentinel::default() };
        let server =
            |port| SeenServer { address: format!("127.0.0.1:{port}"), linked: true, ..SeenServer::default() };
        let seen = Master {
            name: GROUP.into(),
            address: format!("127.0.0.1:{master}"),
            server: server(master),
            replicas: replicas.iter().map(|(port, _)| server(*port)).collect(),
            sentinels: others.map(sentinel).collect(),
            ..Master::default()
        };
        let picture = Picture { masters: vec![seen], ..Picture::default() };
        see(scene, at, Seen::Daemon(daemon, Some(Box::new(picture))));
    }
    for number in 0..COUNT {
        let server = &scene.servers[number];
        let said = match server.hand {
            Hand::Killed | Hand::Stopped => None,
            Hand::Up if server.port == master => Some(Replication {
                is_master: true,
                offset: 1000,
                replicas: replicas.clone(),
                ..Replication::default()
            }),
            Hand::Up => Some(Replication {
                offset: 900,
                follows: Some(master),
                linked: true,
                ..Replication::default()
            }),
        };
        see(scene, at, Seen::Server(number, said));
    }
}

/// The master 1 is killed at that moment, and 2 takes its place.
pub(in crate::demo) fn failover(scene: &mut Scene, at: Instant) {
    see(scene, at - ms(4), Seen::Wrote { port: 1, number: 1, confirmed: true });
    scene.servers[0].hand = Hand::Killed;
    scene.servers[0].said = None;
    scene.on_cause(at, Cause::Killed, 1);
    event(scene, at + ms(503), 1, "+sdown", "master mymaster 127.0.0.1 1");
    event(scene, at + ms(506), 1, "+odown", "master mymaster 127.0.0.1 1 #quorum 2/2");
    event(scene, at + ms(520), 0, "+elected-leader", "master mymaster 127.0.0.1 1");
    event(scene, at + ms(521), 0, "+selected-slave", "slave 127.0.0.1:2 127.0.0.1 2 @ mymaster 127.0.0.1 1");
    event(scene, at + ms(525), 0, "+promoted-slave", "slave 127.0.0.1:2 127.0.0.1 2 @ mymaster 127.0.0.1 1");
    for (daemon, after) in [(0, 530), (1, 533), (2, 541)] {
        event(scene, at + ms(after), daemon, "+switch-master", "mymaster 127.0.0.1 1 127.0.0.1 2");
    }
    answer(scene, at + ms(536), 2);
    see(scene, at + ms(540), Seen::Wrote { port: 2, number: 3, confirmed: true });
    follow(scene, at + ms(560), 2);
}

#[test]
fn a_failover_is_told_phase_by_phase() {
    let began = Instant::now();
    let mut scene = calm(began);
    assert_eq!(scene.master(), Some(1));
    failover(&mut scene, began + ms(2000));
    let last = scene.failovers.last().expect("there was one");
    assert!(last.is_over(), "{:?}", last.missing());
    assert_eq!(last.pause, Some(ms(544)));
    assert_eq!(last.waiting_and_ours(), Some((503, 37)));
    assert_eq!(last.all_switched(), Some(ms(541)));
    assert_eq!(scene.master(), Some(2));
    let told: Vec<_> = scene.story.iter().map(|line| line.text.as_str()).collect();
    assert!(told.contains(&"  520 ms  elected      A has two votes of three"), "{told:?}");
}

#[test]
fn what_daemons_have_told_counts_more_than_how_they_were_seen() {
    let began = Instant::now();
    let mut scene = calm(began);
    scene.on_cause(began, Cause::Ordered, 1);
    event(&mut scene, began + ms(30), 0, "+switch-master", "mymaster 127.0.0.1 1 127.0.0.1 3");
    assert_eq!(scene.master(), Some(3));
    follow(&mut scene, began + ms(31), 1);
    assert_eq!(scene.master(), Some(3), "those pictures were drawn before");
}

#[test]
fn an_answer_of_before_is_not_taken_for_the_new_one() {
    let began = Instant::now();
    let mut scene = calm(began);
    scene.on_cause(began, Cause::Killed, 1);
    answer(&mut scene, began + ms(1), 1);
    see(&mut scene, began + ms(2), Seen::Wrote { port: 1, number: 9, confirmed: true });
    see(&mut scene, began + ms(3), Seen::Dns(Answer::Nothing("NXDOMAIN".into())));
    let last = scene.failovers.last().expect("it was caused");
    assert!(last.at(Phase::Answered).is_none() && last.at(Phase::Written).is_none());
}

#[test]
fn a_master_that_is_back_in_time_stays_the_master() {
    let began = Instant::now();
    let mut scene = calm(began);
    scene.on_cause(began, Cause::Stopped, 1);
    scene.on_return(began + ms(200), 1);
    assert!(scene.failovers[0].called_off && scene.under_way().is_none());
}

#[test]
fn a_failover_that_nobody_here_caused_is_shown_as_well() {
    let began = Instant::now();
    let mut scene = calm(began);
    event(&mut scene, began + ms(1), 2, "+try-failover", "master mymaster 127.0.0.1 1");
    assert_eq!(scene.under_way().map(|failover| failover.cause), Some(Cause::Unknown));
    event(&mut scene, began + ms(9), 2, "+switch-master", "mymaster 127.0.0.1 1 127.0.0.1 3");
    assert_eq!(scene.failovers.len(), 1);
    assert_eq!(scene.failovers[0].new, Some(3));
}

#[test]
fn who_comes_back_is_watched_until_he_follows() {
    let began = Instant::now();
    let mut scene = calm(began);
    failover(&mut scene, began);
    scene.servers[0].hand = Hand::Up;
    scene.on_return(began + ms(3000), 1);
    let writable = Replication { is_master: true, ..Replication::default() };
    see(&mut scene, began + ms(3010), Seen::Server(0, Some(writable)));
    assert!(scene.is_busy());
    event(
        &mut scene,
        began + ms(3012),
        2,
        "+convert-to-slave",
        "slave 127.0.0.1:1 127.0.0.1 1 @ mymaster 127.0.0.1 2",
    );
    follow(&mut scene, began + ms(3100), 2);
    let back = scene.back.clone().expect("it came back");
    assert_eq!((back.told, back.linked), (Some(ms(12)), Some(ms(100))));
    assert!(!scene.is_busy());
}
