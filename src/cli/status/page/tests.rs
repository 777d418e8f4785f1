use super::*;
use crate::status::{Consul, Entry, Mark, Phase};

fn server(port: u16, lag: Option<u64>, state: &str, health: &str) -> Server {
    Server {
        address: format!("10.0.0.1:{port}"),
        offset: 4711,
        priority: 100,
        lag_bytes: lag,
        state: state.into(),
        state_kind: Some(kind(state)),
        health: health.into(),
        announced: true,
        linked: true,
        ..Server::default()
    }
}

/// What a daemon tells of that sentence.
fn kind(state: &str) -> StateKind {
    match state {
        "replica, linked, priority 100" => StateKind::Linked,
        "down for 20 ms, as a quorum agrees" => StateKind::Down,
        _ => StateKind::Other,
    }
}

fn sentinel(id: &str, port: u16) -> Sentinel {
    Sentinel { id: id.into(), address: format!("10.0.0.1:{port}"), linked: true, ..Sentinel::default() }
}

fn entry(role: &str, port: u16) -> Entry {
    Entry {
        role: role.into(),
        address: format!("10.0.0.1:{port}"),
        health: "passing".into(),
        sentence: format!("is the {role}"),
        epoch: 4,
    }
}

fn master() -> Master {
    Master {
        name: "shop".into(),
        address: "10.0.0.1:6379".into(),
        epoch: 4,
        quorum: 2,
        usable_sentinels: 3,
        all_sentinels: 3,
        quorum_reachable: true,
        majority_reachable: true,
        down_after_ms: 1000,
        server: server(6379, None, "master", "passing"),
        replicas: vec![
            server(6380, Some(0), "replica, linked, priority 100", "passing"),
            server(6381, Some(123_456), "has no link to the master", "warning"),
        ],
        sentinels: vec![sentinel("b", 26380), sentinel("c", 26381)],
        ..Master::default()
    }
}

fn gathered(master: Master) -> Gathered {
    let theirs = Picture { masters: vec![master.clone()], ..Picture::default() };
    let other = |id: &str, port: u16| Other {
        id: id.into(),
        address: format!("10.0.0.1:{port}"),
        picture: Some(theirs.clone()),
        error: None,
    };
    let mut gathered = Gathered {
        at: "127.0.0.1:26379".into(),
        kind: Kind::Consentinel,
        picture: Picture {
            version: "0.1.0".into(),
            myid: "0123456789abcdef".into(),
            address: "10.0.0.1:26379".into(),
            uptime_ms: 65_000,
            current_epoch: 4,
            masters: vec![master],
            ..Picture::default()
        },
        history: Vec::new(),
        others: vec![other("b", 26380), other("c", 26381)],
        problems: Vec::new(),
    };
    gathered.problems = problems::find(&gathered);
    gathered
}

fn page(gathered: &Gathered) -> String {
    let mut sheet = Sheet::new(80, false);
    draw(gathered, false, &mut sheet);
    sheet.finish()
}

#[test]
fn a_well_master_is_shown_with_all_that_belongs_to_it() {
    let expected = "\
consentinel 0.1.0 at 127.0.0.1:26379, up 65 s, epoch 4, id 01234567

All is well.

shop  10.0.0.1:6379  epoch 4  master
  3 of 3 sentinels answer, 2 must agree that it is down, after 1 s of silence

  SERVER         ROLE        LAG  OFFSET  PRIO  STATE
  10.0.0.1:6379  master        -    4711     -  master
  10.0.0.1:6380  replica       0    4711   100  linked
  10.0.0.1:6381  replica  123 kB    4711   100  has no link to the master

  SENTINEL          MASTER         EPOCH  SEES
  10.0.0.1:26379 *  10.0.0.1:6379      4  all 2 others
  10.0.0.1:26380    10.0.0.1:6379      4  all 2 others
  10.0.0.1:26381    10.0.0.1:6379      4  all 2 others
";
    let page = page(&gathered(master()));
    assert_eq!(page, expected);
    assert!(page.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_sentinel_that_sees_it_otherwise_stands_out() {
    let mut gathered = gathered(master());
    let theirs = gathered.others[0].picture.as_mut().expect("it was asked");
    theirs.masters[0].address = "10.0.0.1:6380".into();
    theirs.masters[0].epoch = 5;
    theirs.masters[0].sentinels[1].sdown_ms = Some(3000);
    gathered.others[1].picture = None;
    gathered.others[1].error = Some("the sentinel at 10.0.0.1:26381 does not answer".into());
    gathered.picture.masters[0].sentinels[1].sdown_ms = Some(2500);
    gathered.problems = problems::find(&gathered);
    let page = page(&gathered);
    for part in [
        "! shop: the sentinel 10.0.0.1:26381 has been down for 2.5 s\n",
        "! shop: for the sentinel 10.0.0.1:26380 the master is 10.0.0.1:6380, by epoch 5\n",
        "  10.0.0.1:26379 *  10.0.0.1:6379      4  1 of 2 others, not 10.0.0.1:26381\n",
        "  10.0.0.1:26380    10.0.0.1:6380      5  1 of 2 others, not 10.0.0.1:26381\n",
        "  10.0.0.1:26381    down for 2.5 s\n",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
}

#[test]
fn a_failover_under_way_shows_its_phase_and_whom_it_promotes() {
    let mut master = master();
    master.odown_ms = Some(20);
    master.server =
        Server { sdown_ms: Some(22), ..server(6379, None, "down for 20 ms, as a quorum agrees", "critical") };
    master.failover = Some(Phase {
        phase: "wait_promotion".into(),
        words: "waits for the chosen replica to say that it is the master".into(),
        since_ms: 3,
        promoting: Some("10.0.0.1:6380".into()),
    });
    let gathered = gathered(master);
    assert_eq!(gathered.problems[0], "shop: the master 10.0.0.1:6379 is down for 20 ms, as a quorum agrees");
    let page = page(&gathered);
    assert!(page.contains("failover, for 3 ms: waits for the chosen replica"), "{page}");
    assert!(page.contains("promoting") && page.contains("10.0.0.1:6379 is down"), "{page}");
}

#[test]
fn what_consul_holds_is_marked_where_it_should_be_other() {
    let mut master = master();
    let mut other = entry("replica", 6380);
    other.health = "critical".into();
    master.publication = Some(Publication {
        state: "published".into(),
        service: "redis".into(),
        record_epoch: Some(4),
        lock: Some("ours".into()),
        seen_ms: Some(400),
        desired: vec![entry("master", 6379), entry("replica", 6380), entry("replica", 6381)],
        published: vec![entry("master", 6379), other, entry("replica", 9)],
        ..Publication::default()
    });
    let mut gathered = gathered(master);
    gathered.picture.consul =
        Some(Consul { address: "http://c:8500".into(), state: "ok".into(), ..Consul::default() });
    let page = page(&gathered);
    let expected = "
  CONSUL  redis at http://c:8500: published (record of epoch 4, lock ours, seen
    400 ms ago)
  =  master   10.0.0.1:6379  passing   is the master
  !  replica  10.0.0.1:6380  critical  is the replica; should be passing: is the
                                       replica
  -  replica  10.0.0.1:6381  passing   missing; should be passing: is the
                                       replica
  +  replica  10.0.0.1:9     passing   should not be there
";
    assert!(page.contains(expected), "{page}");
    assert_eq!(
        gathered.problems,
        [
            "shop: Consul lacks the replica 10.0.0.1:6381",
            "shop: Consul has a replica 10.0.0.1:9 that should not be there"
        ]
    );
}

#[test]
fn a_failover_is_told_with_its_phases() {
    let mut gathered = gathered(master());
    let mark = |phase: &str, at_ms: f64| Mark { phase: phase.into(), at_ms, words: String::new() };
    gathered.history = vec![Failover {
        master: "shop".into(),
        epoch: Some(4),
        began_unix_ms: 1_763_761_826_000,
        from: "10.0.0.1:6380".into(),
        to: Some("10.0.0.1:6379".into()),
        outcome: "done".into(),
        led: true,
        phases: vec![
            mark("silent", 0.0),
            mark("sdown", 1000.4),
            mark("reconfigured", 1100.0),
            mark("reconfigured", 1120.25),
        ],
        ..Failover::default()
    }];
    let page = page(&gathered);
    assert!(page.contains(":26  10.0.0.1:6380 -> 10.0.0.1:6379  done (epoch 4, led here)\n"), "{page}");
    assert!(page.contains("    ms:  silent 0, sdown 1000.4, reconfigured x2 1120.2\n"), "{page}");
}

#[test]
fn many_masters_get_one_line_each() {
    let mut gathered = gathered(master());
    let named = |number: usize| Master { name: format!("shop-{number}"), ..master() };
    gathered.picture.masters = (0..8).map(named).collect();
    let page = page(&gathered);
    let expected = "shop-7  10.0.0.1:6379      4  2/2       3/3        -       master\n";
    assert!(page.ends_with(expected), "{page}");
    assert!(!page.contains("SERVER"), "{page}");
    let mut sheet = Sheet::new(80, false);
    draw(&gathered, true, &mut sheet);
    assert!(sheet.finish().contains("SERVER"), "those that are named are shown in full");
}

#[test]
fn a_real_sentinel_is_called_what_it_is() {
    let mut gathered = gathered(master());
    gathered.kind = Kind::RedisSentinel;
    let page = page(&gathered);
    assert!(page.starts_with("redis-sentinel 0.1.0 at 127.0.0.1:26379"), "{page}");
    assert!(page.contains("This is no consentinel"), "{page}");
}
