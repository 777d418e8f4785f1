use super::*;
use consentinel_core::{
    Endpoint, Entry, Epoch, GroupName, Health, Offset, Quorum, Role, SentinelId, Suspicion,
};

fn at(port: u16) -> Endpoint {
    Endpoint::parse("10.0.0.1", &port.to_string()).expect("an address")
}

fn voter(id: &str, port: Option<u16>, opinion: Opinion) -> Voter {
    Voter { id: SentinelId::new(id), addr: port.map(at), opinion, unreachable: None }
}

/// A master that is well, with two replicas and three sentinels.
fn well() -> core::Explanation {
    let candidate = |port: u16, suitability| core::Candidate {
        addr: at(port),
        suitability,
        priority: 100,
        offset: Offset(4711),
    };
    core::Explanation {
        name: GroupName::new("shop"),
        master: at(6379),
        obstacles: vec![Obstacle::MasterAnswers],
        suspicion: None,
        sdown: None,
        odown: None,
        say_down: 0,
        quorum: Quorum(2),
        reachable: 3,
        votes_needed: 2,
        voters: vec![
            voter("me", None, Opinion::NotDown),
            voter("b", Some(26380), Opinion::NotDown),
            voter("c", Some(26381), Opinion::NotDown),
        ],
        candidates: vec![
            candidate(6380, Suitability::Chosen),
            candidate(6381, Suitability::Behind(Worse::Offset { behind: 12 })),
            candidate(6382, Suitability::Unfit(Unfit::PriorityZero)),
        ],
        failover: (FailoverPhase::None, Duration::ZERO),
        last_attempt: None,
        last_vote: None,
        epoch: Epoch(4),
        entries_after: Vec::new(),
    }
}

#[test]
fn a_master_that_is_well_gets_a_forecast() {
    let lines = explain(&well()).lines;
    let expected = [
        "shop at 10.0.0.1:6379 answers this sentinel: there is no reason for a failover.",
        "Nothing would stand in the way of a failover.",
        "3 of 3 sentinels can be asked for their vote; a leader needs 2, and the quorum is 2.",
        "10.0.0.1:6380 would be promoted (priority 100, offset 4711).",
        "  10.0.0.1:6381 would not: it has 12 bytes less of the data.",
        "  10.0.0.1:6382 cannot be promoted: its replica-priority is 0, which means never.",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn without_a_quorum_it_names_who_says_what() {
    let mut told = well();
    told.obstacles = vec![Obstacle::Quorum, Obstacle::Votes];
    told.sdown = Some(Duration::from_secs(75));
    told.suspicion = Some(Suspicion {
        doubt: Doubt::Silent,
        for_long: Duration::from_secs(76),
        enough_in: Duration::ZERO,
    });
    (told.say_down, told.reachable) = (1, 1);
    told.voters[0].opinion = Opinion::Down;
    told.voters[1].unreachable = Some(Duration::from_secs(300));
    told.voters[2].unreachable = Some(Duration::from_secs(7200));
    let explanation = explain(&told);
    let expected = [
        "shop at 10.0.0.1:6379 has been down for 75 s, but only for some sentinels: it has not answered.",
        "1 sentinel takes it for down; 2 must (the quorum).",
        "  Down, says: this one",
        "1 of 2 sentinels needed agree. There is nobody else who could be asked.",
    ];
    assert_eq!(explanation.lines[..4], expected);
    assert_eq!(
        explanation.lines[4],
        "A leader needs 2 votes, and only 1 sentinel's can be had: start these sentinels again, or repair the way to \
         them: 10.0.0.1:26380, 10.0.0.1:26381."
    );
    assert_eq!(explanation.obstacles, [words::Obstacle::Quorum, words::Obstacle::Votes]);
    told.voters[1].unreachable = None;
    let text = explain(&told).lines.join("\n");
    assert!(text.contains("  Not down, or nothing lately, says: 10.0.0.1:26380\n"), "{text}");
    assert!(text.contains("look at the network between this machine and 10.0.0.1:6379."), "{text}");
    assert_eq!(explanation.sentinels[2].unreachable_ms, Some(7_200_000));
}

#[test]
fn a_blocked_attempt_says_until_when_and_who_made_it() {
    let mut told = well();
    told.obstacles = vec![Obstacle::Blocked(Duration::from_secs(250)), Obstacle::NoCandidate];
    (told.sdown, told.odown) = (Some(Duration::from_secs(110)), Some(Duration::from_secs(109)));
    told.last_attempt = Some(Duration::from_secs(105));
    told.last_vote = Some((SentinelId::new("b"), Epoch(5)));
    told.candidates.clear();
    let explanation = explain(&told);
    let text = explanation.lines.join("\n");
    for part in [
        "has been down for 109 s, and enough sentinels agree; this sentinel does not fail over, for the reasons below.",
        "The last attempt was 105 s ago, by another one that has this one's vote; this sentinel may try again in 4 min.",
        "SENTINEL FAILOVER shop does not wait",
        "This sentinel knows of no replica: there is nobody to be promoted.",
        "This sentinel last voted for 10.0.0.1:26380, in epoch 5; the master is the one of epoch 4.",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    assert_eq!(explanation.next_attempt_in_ms, 250_000);
}

#[test]
fn every_obstacle_says_what_to_do() {
    for (obstacle, part) in [
        (Obstacle::Observes, "ask one of those that do"),
        (Obstacle::Tilt(Duration::from_secs(12)), "does nothing for 12 s more"),
        (Obstacle::Disk("no space left".into()), "neither votes nor leads: no space left. Make room"),
        (Obstacle::NoCandidate, "No replica may be promoted: the reasons are below."),
    ] {
        let mut told = well();
        told.obstacles = vec![Obstacle::MasterAnswers, obstacle];
        let text = explain(&told).lines.join("\n");
        assert!(text.contains(part), "{part}\nis not in\n{text}");
        assert!(!text.contains("Nothing would stand in the way"), "{text}");
    }
}

#[test]
fn one_that_is_under_way_tells_its_phase() {
    let mut told = well();
    told.obstacles.clear();
    told.failover = (FailoverPhase::WaitPromotion, Duration::from_millis(40));
    let explanation = explain(&told);
    assert!(
        explanation.lines[0]
            .starts_with("A failover of shop is under way, led by this sentinel: for 40 ms it")
    );
    assert_eq!(explanation.failover.map(|phase| phase.phase).as_deref(), Some("wait_promotion"));
}

#[test]
fn what_consul_would_get_is_listed() {
    let mut told = well();
    told.entries_after = vec![Entry {
        role: Role::Master,
        addr: at(6380),
        run_id: None,
        epoch: Epoch(5),
        health: Health::Passing,
        cause: None,
        sentence: "master by the failover of epoch 5".into(),
    }];
    let explanation = explain(&told);
    assert_eq!(
        explanation.lines.last().map(String::as_str),
        Some("  master 10.0.0.1:6380, passing: master by the failover of epoch 5")
    );
    assert_eq!(explanation.consul_after[0].epoch, 5);
}
