//! What a sentinel says when it is asked why there is no failover.

use crate::bench::{Bench, MASTER, MS, endpoint, group, info};
use consentinel_core::{
    Candidate, Doubt, Explanation, Info, Input, Obstacle, Offset, Opinion, Quorum, Reply, Rng, Role, RunId,
    SaveError, SentinelId, Suitability, Unfit, Worse,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn explain(bench: &Bench) -> Explanation {
    bench.sentinel.explain(&group()).expect("it is watched")
}

fn suitabilities(bench: &Bench) -> BTreeMap<u16, Suitability> {
    let candidates = explain(bench).candidates.into_iter();
    candidates.map(|Candidate { addr, suitability, .. }| (addr.port, suitability)).collect()
}

type Change<'a> = &'a dyn Fn(&mut Info);

/// A master with replicas that differ from the usual one in one thing each.
fn with(changes: &[(u16, Change<'_>)]) -> Bench {
    let ports: Vec<u16> = changes.iter().map(|(port, _)| *port).collect();
    let mut bench = Bench::new(&ports);
    bench.run(Duration::from_secs(5));
    for (port, change) in changes {
        change(bench.servers.get_mut(port).expect("it was just made"));
    }
    bench.run(Duration::from_secs(15));
    bench
}

fn with_peers(ports: &[u16], quorum: u32) -> Bench {
    let mut bench = Bench::with(&[6380], |durable| {
        let group = durable.groups.get_mut(&group()).expect("it is there");
        group.config.quorum = Quorum(quorum);
        let peer = |port: &u16| (SentinelId::new(&format!("peer{port}")), endpoint(*port));
        group.sentinels = ports.iter().map(peer).collect();
    });
    bench.run(Duration::from_secs(5));
    bench
}

#[test]
fn a_master_that_is_well_is_the_only_obstacle() {
    let bench = with(&[(6380, &|_| {})]);
    let explanation = explain(&bench);
    assert_eq!(explanation.obstacles, [Obstacle::MasterAnswers]);
    assert_eq!((explanation.suspicion, explanation.sdown, explanation.odown), (None, None, None));
    assert_eq!((explanation.reachable, explanation.votes_needed, explanation.say_down), (1, 1, 0));
    assert_eq!(suitabilities(&bench), BTreeMap::from([(6380, Suitability::Chosen)]));
}

#[test]
fn every_reason_against_a_replica_is_told() {
    let mut bench = with(&[
        (6380, &|info| info.repl_offset = Offset(100)),
        (6381, &|info| info.priority = 0),
        (6382, &|info| info.loading = true),
        (6383, &|info| {
            (info.master_link_up, info.master_link_down) = (false, Duration::from_secs(11));
        }),
        (6384, &|info| info.repl_offset = Offset(60)),
        (6385, &|info| (info.priority, info.repl_offset) = (101, Offset(100))),
        (6386, &|info| (info.syncing, info.repl_offset) = (true, Offset(100))),
        (6387, &|info| info.repl_offset = Offset(100)),
        (6388, &|_| {}),
        (6389, &|info| info.master_repl_offset = Offset(99)),
    ]);
    // It answers, and does not let itself be turned.
    bench.stubborn.insert(6389, Reply::Pong);
    bench.servers.get_mut(&6389).expect("it is there").role = Some(Role::Master);
    bench.run(Duration::from_secs(15));
    bench.kill(6388);
    bench.run(Duration::from_millis(500));
    let told = suitabilities(&bench);
    let (span, limit) = (Duration::from_secs(11), Duration::from_secs(10));
    let expected = BTreeMap::from([
        (6380, Suitability::Chosen),
        (6381, Suitability::Unfit(Unfit::PriorityZero)),
        (6382, Suitability::Unfit(Unfit::Loading)),
        (6383, Suitability::Unfit(Unfit::Unlinked { span, limit })),
        (6384, Suitability::Behind(Worse::Offset { behind: 40 })),
        (6385, Suitability::Behind(Worse::Priority { this: 101, chosen: 100 })),
        (6386, Suitability::Behind(Worse::Syncing)),
        (6387, Suitability::Behind(Worse::RunId)),
        (6388, Suitability::Unfit(Unfit::NoLink)),
        (6389, Suitability::Behind(Worse::IsMaster)),
    ]);
    assert_eq!(told, expected);
    assert_eq!(explain(&bench).candidates[0].addr, endpoint(6380), "the chosen one stands first");
    bench.run(Duration::from_secs(3));
    assert!(matches!(suitabilities(&bench)[&6388], Suitability::Unfit(Unfit::Down(_))));
    // Somebody who promoted it and vanished is believed, as long as nobody has more.
    bench.servers.get_mut(&6389).expect("it is there").master_repl_offset = Offset(100);
    bench.run(Duration::from_secs(15));
    assert_eq!(suitabilities(&bench)[&6389], Suitability::Chosen);
    assert_eq!(suitabilities(&bench)[&6380], Suitability::Behind(Worse::NotMasterYet));
}

#[test]
fn a_replica_with_another_history_stands_behind() {
    let ours = RunId::new("ours");
    let bench = {
        let mut bench = Bench::new(&[6380, 6381]);
        let of = |id: &RunId| Some(id.clone());
        bench.servers.get_mut(&MASTER).expect("there").replid = of(&ours);
        bench.servers.get_mut(&6380).expect("there").replid = of(&ours);
        let other = bench.servers.get_mut(&6381).expect("there");
        (other.replid, other.repl_offset) = (Some(RunId::new("theirs")), Offset(999));
        bench.run(Duration::from_secs(25));
        bench
    };
    assert_eq!(suitabilities(&bench)[&6381], Suitability::Behind(Worse::OtherHistory));
}

#[test]
fn the_one_that_is_named_is_the_one_that_is_promoted() {
    let ports = [6380, 6381, 6382, 6383];
    let mut promoted = 0;
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut pick =
            |choices: u64| rng.span(Duration::from_micros(choices * 1000)).as_millis() as u64 % choices;
        let mut bench = Bench::new(&ports);
        for port in ports {
            let server = bench.servers.get_mut(&port).expect("it is there");
            server.priority = [0, 90, 100, 100][pick(4) as usize];
            server.repl_offset = Offset(pick(3) * 10);
            server.loading = pick(5) == 0;
            server.syncing = pick(5) == 0;
            server.master_link_down = Duration::from_secs(pick(3) / 2 * 16);
        }
        bench.run(Duration::from_secs(25));
        let chosen =
            suitabilities(&bench).into_iter().find(|(_, suitability)| *suitability == Suitability::Chosen);
        bench.kill(MASTER);
        bench.run(Duration::from_secs(2));
        let expected = chosen.map_or(MASTER, |(port, _)| port);
        // Where all replicas are without a link, more is forgiven as soon as the master is down: one may be chosen then.
        if chosen.is_some() {
            assert_eq!(bench.master(), endpoint(expected), "seed {seed}");
            promoted += 1;
        }
    }
    assert!(promoted > 100, "only {promoted} of 200 had a candidate");
}

#[test]
fn silence_is_a_suspicion_until_it_has_lasted_long_enough() {
    let mut bench = with_peers(&[26380, 26381], 2);
    bench.kill(MASTER);
    bench.run(MS * 400);
    let suspicion = explain(&bench).suspicion.expect("it is silent");
    assert_eq!(suspicion.doubt, Doubt::Silent);
    // It is silent from the first ping that it does not answer.
    assert!((MS * 300..=MS * 400).contains(&suspicion.for_long), "{suspicion:?}");
    assert_eq!(suspicion.for_long + suspicion.enough_in, MS * 1000);
    assert!(explain(&bench).obstacles.contains(&Obstacle::MasterAnswers));
    bench.run(suspicion.enough_in + MS * 10);
    let explanation = explain(&bench);
    assert_eq!(explanation.suspicion.map(|suspicion| suspicion.enough_in), Some(Duration::ZERO));
    assert!(explanation.sdown.is_some_and(|since| since <= MS * 100), "{explanation:?}");
}

#[test]
fn who_is_missing_for_quorum_and_majority_is_told_by_name() {
    let mut bench = with_peers(&[26380, 26381], 2);
    bench.servers.insert(26380, info(26380));
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(2));
    let explanation = explain(&bench);
    // One peer answers, but does not say that the master is down; the other one is not there.
    assert_eq!(explanation.obstacles, [Obstacle::Quorum]);
    assert_eq!((explanation.say_down, explanation.quorum), (1, Quorum(2)));
    assert_eq!((explanation.reachable, explanation.votes_needed), (2, 2));
    let opinions: Vec<_> = explanation.voters.iter().map(|voter| voter.opinion).collect();
    assert_eq!(opinions, [Opinion::Down, Opinion::NotDown, Opinion::NotDown]);
    let missing: Vec<_> = explanation.voters.iter().filter(|voter| voter.unreachable.is_some()).collect();
    assert_eq!(missing.iter().map(|voter| voter.id.as_str()).collect::<Vec<_>>(), ["peer26381"]);
    bench.kill(26380);
    bench.run(Duration::from_secs(2));
    assert_eq!(explain(&bench).obstacles, [Obstacle::Quorum, Obstacle::Votes]);
}

#[test]
fn a_failed_attempt_blocks_the_next_one_for_a_while() {
    let mut bench = with(&[(6380, &|info| info.priority = 0)]);
    bench.kill(MASTER);
    bench.run(Duration::from_secs(2));
    let explanation = explain(&bench);
    let Some(Obstacle::Blocked(span)) = explanation.obstacles.first() else {
        panic!("an attempt was made: {explanation:?}")
    };
    assert!(*span > Duration::from_secs(300) && *span < Duration::from_secs(360), "{span:?}");
    assert_eq!(explanation.obstacles[1..], [Obstacle::NoCandidate]);
    assert!(explanation.last_attempt.is_some() && explanation.last_vote.is_some());
    // What blocks is the time, and nothing else.
    bench.servers.get_mut(&6380).expect("it is there").priority = 1;
    bench.run(Duration::from_secs(20));
    assert!(matches!(explain(&bench).obstacles[..], [Obstacle::Blocked(_)]));
    bench.run(Duration::from_secs(360));
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn a_disk_that_fails_is_named() {
    let mut bench = with(&[(6380, &|_| {})]);
    bench.disk = Err(SaveError("no space left".to_owned()));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(3));
    assert!(explain(&bench).obstacles.contains(&Obstacle::Disk("no space left".to_owned())));
}

#[test]
fn a_distrusted_clock_is_named_with_its_end() {
    let mut bench = with(&[(6380, &|_| {})]);
    bench.now += Duration::from_secs(4);
    bench.input(Input::Wake);
    bench.run(Duration::from_secs(10));
    let obstacle = explain(&bench).obstacles[0].clone();
    assert!(matches!(obstacle, Obstacle::Tilt(left) if left.as_secs_f64().round() == 20.0), "{obstacle:?}");
}

#[test]
fn one_that_only_looks_on_says_so() {
    let mut bench = Bench::with(&[6380], |durable| durable.config.observe = true);
    bench.run(Duration::from_secs(15));
    let explanation = explain(&bench);
    assert_eq!(explanation.obstacles[0], Obstacle::Observes);
    assert_eq!((explanation.voters[0].opinion, explanation.reachable), (Opinion::None, 0));
}

#[test]
fn what_consul_would_get_is_what_it_gets() {
    let mut bench = Bench::with(&[6380, 6381], |durable| durable.config.registry.on = true);
    bench.run(Duration::from_secs(15));
    bench.kill(MASTER);
    bench.run(MS * 999);
    bench.registry.writes();
    let promised = explain(&bench).entries_after;
    bench.run(MS * 100);
    let written = bench.registry.writes();
    let claim = written.first().expect("the failover was published");
    let (first, others) = promised.split_first().expect("there is a master");
    assert_eq!(claim.set.first(), Some(first));
    let addresses = |entries: &[consentinel_core::Entry]| -> Vec<_> {
        entries.iter().map(|entry| (entry.role, entry.addr.clone())).collect()
    };
    assert_eq!(addresses(&claim.set[1..]), addresses(others));
}

#[test]
fn asking_changes_nothing() {
    let story = |asks: bool| {
        let mut bench = with_peers(&[26380], 1);
        bench.kill(MASTER);
        for _ in 0..300 {
            bench.run(MS * 10);
            if asks {
                explain(&bench);
            }
        }
        bench.events
    };
    assert_eq!(story(true), story(false));
}
