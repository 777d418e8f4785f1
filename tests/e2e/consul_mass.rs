//! Many masters beside one agent with its default limits, and an agent that has no room for us.

use crate::{PATIENCE, ours};
use consentinel_lab::{
    Consul, ConsulOptions, Extra, Fleet, Folder, Kind, Sentinel, Value, connections_to, eventually,
    sentinels_of,
};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// More than a daemon could watch in the agent by a connection for each of them. How soon a hundred and a thousand are in DNS
/// is measured with an optimised build, by `just bench --table mass`: here they would only keep the processor from the tests beside.
const MASTERS: usize = 40;
const DAEMONS: usize = 3;
/// What a daemon promises.
const MOST_CONNECTIONS: usize = 8;
const LONG: Duration = Duration::from_secs(60);

/// Daemons that know each other, and watch all of these masters.
fn watch(folder: &Folder, consul: &Consul, fleets: &[Fleet]) -> Vec<Sentinel> {
    let extra = Extra::consul(&consul.address()).line("sentinel consul service-template redis-{master}");
    sentinels_of(fleets, DAEMONS, Duration::from_secs(1), (folder, &ours(), &extra))
}

/// Whether DNS names another server than this one as the master, and only that.
fn is_switched(consul: &Consul, number: usize, old: u16) -> bool {
    let servers =
        consul.ask(&format!("redis-m{number}.service.consul"), Kind::Srv).map(|answer| answer.servers());
    servers.is_ok_and(|servers| servers.len() == 1 && servers.iter().all(|(_, port)| *port != old))
}

/// How long it takes until DNS names other masters than those of these fleets, which die now.
fn all_switched(consul: &Consul, fleets: &[Fleet], numbers: std::ops::Range<usize>) -> Duration {
    let begin = Instant::now();
    numbers.clone().for_each(|number| fleets[number].kill(0));
    let mut left: Vec<usize> = numbers.collect();
    eventually("DNS names the new masters", LONG, || {
        left.retain(|number| !is_switched(consul, *number, fleets[*number].ports[0]));
        left.is_empty().then_some(())
    });
    begin.elapsed()
}

/// From the first daemon that has switched a master to the first that has published the new one, as their logs say.
fn publication_lag(logs: &[String], number: usize) -> Option<Duration> {
    let switched = format!("+switch-master m{number} ");
    let (begin, end) = (format!("Consul: m{number} is "), ": published");
    let lines = || logs.iter().flat_map(|log| log.lines());
    let switch = lines().filter(|line| line.contains(&switched)).filter_map(time_of_day).min()?;
    let published =
        lines().filter(|line| line.contains(&begin) && line.ends_with(end)).filter_map(time_of_day);
    Some(published.filter(|at| *at >= switch).min()?.saturating_sub(switch))
}

/// The time at the head of a log line: `123:X 30 Nov 2026 11:38:11.380 * ...`.
fn time_of_day(line: &str) -> Option<Duration> {
    let (hours, rest) = line.split(' ').nth(4)?.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let seconds: f64 = seconds.parse().ok()?;
    let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    Some(Duration::from_secs(minutes * 60) + Duration::from_secs_f64(seconds))
}

fn info(sentinel: &Sentinel, field: &str) -> String {
    let text = sentinel.call(&["INFO", "consul"]);
    let text = text.as_ref().and_then(Value::text).unwrap_or_default().to_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    value.unwrap_or_default()
}

#[test]
fn forty_masters_that_die_at_once_are_in_dns_soon_after_they_are_replaced() {
    let folder = Folder::new();
    let consul = Consul::start_new(&folder, &ConsulOptions { on_disk: true, ..Default::default() });
    let fleets: Vec<Fleet> = (0..MASTERS).map(|_| Fleet::start(1)).collect();
    let mut sentinels = watch(&folder, &consul, &fleets);
    let named = |number: usize| {
        let servers = consul.ask(&format!("redis-m{number}.service.consul"), Kind::Srv);
        servers.is_ok_and(|answer| answer.servers().iter().any(|(_, port)| *port == fleets[number].ports[0]))
    };
    let mut left: Vec<usize> = (0..MASTERS).collect();
    eventually("all masters are published", LONG, || {
        left.retain(|number| !named(*number));
        left.is_empty().then_some(())
    });
    let replicas = || {
        let count = |number| consul.entries(&format!("redis-m{number}-replica")).len();
        (0..MASTERS).all(|number| count(number) == 1)
    };
    eventually("and their replicas", LONG, || replicas().then_some(()));
    let most = |sentinels: &[Sentinel]| {
        let held = sentinels.iter().map(|sentinel| connections_to(sentinel.pid(), consul.http().port()));
        held.max().unwrap_or(0)
    };
    assert!((2..=MOST_CONNECTIONS).contains(&most(&sentinels)), "{} connections", most(&sentinels));

    let one = all_switched(&consul, &fleets, 0..1);
    let all = all_switched(&consul, &fleets, 1..MASTERS);
    let logs: Vec<String> = sentinels.iter().map(Sentinel::log).collect();
    let lag =
        (1..MASTERS).filter_map(|number| publication_lag(&logs, number)).max().expect("some were switched");
    println!(
        "one master: DNS after {one:.1?}; {} at once: the last after {all:.1?}, {lag:.1?} at most after its switch",
        MASTERS - 1
    );
    assert!(most(&sentinels) <= MOST_CONNECTIONS, "{} connections", most(&sentinels));
    // How long forty elections take beside other work on this machine is not Consul's affair. Where watches were polled and
    // connections ran out it was a minute, or never.
    assert!(lag <= Duration::from_secs(15), "published {lag:?} after the switch");

    // A daemon that starts again reads a handful of times, and writes neither entries nor records.
    let entries = |consul: &Consul| {
        let nodes = consul.get("/v1/internal/ui/nodes").and_then(|nodes| nodes.as_array().cloned());
        let is_ours = |node: &serde_json::Value| {
            node["Node"].as_str().is_some_and(|name| name.starts_with("consentinel-"))
        };
        nodes.unwrap_or_default().into_iter().filter(is_ours).collect::<Vec<_>>()
    };
    let mut before = entries(&consul);
    eventually("nothing is written any more", LONG, || {
        let quiet = consentinel_lab::poll_until(Duration::from_secs(3), || {
            (entries(&consul) != before).then_some(())
        });
        before = entries(&consul);
        quiet.is_none().then_some(())
    });
    sentinels[0].kill();
    sentinels[0].start();
    eventually("it has seen everything", LONG, || {
        let text = sentinels[0].call(&["INFO", "consul"]);
        let text = text.as_ref().and_then(Value::text).unwrap_or_default().to_owned();
        (text.matches(",state=published,").count() == MASTERS).then_some(())
    });
    let requests: usize = info(&sentinels[0], "consul_requests").parse().expect("a number");
    // A handful on a quiet machine; on a busy one the others change the health of servers meanwhile.
    assert!(requests < 2 * MASTERS, "{requests} requests");
    assert_eq!(info(&sentinels[0], "consul_failures_limited"), "0");
    let services = |nodes: Vec<serde_json::Value>| -> Vec<_> {
        nodes.into_iter().map(|node| (node["Meta"].clone(), node["Services"].clone())).collect()
    };
    assert_eq!(services(entries(&consul)), services(before));
}

#[test]
fn an_agent_without_room_for_us_is_told_once_and_used_again_when_it_has_some() {
    const LIMIT: usize = 20;
    let folder = Folder::new();
    let more = serde_json::json!({ "limits": { "http_max_conns_per_client": LIMIT } });
    let consul = Consul::start_new(&folder, &ConsulOptions { more, ..Default::default() });
    let fleet = Fleet::start(1);
    let held: Vec<TcpStream> =
        (0..LIMIT).map(|_| TcpStream::connect(consul.http()).expect("the agent listens")).collect();
    let config = format!("sentinel monitor m0 127.0.0.1 {} 1\n", fleet.ports[0]);
    let sentinel = Sentinel::start_new(&folder, ours(), &config, Extra::consul(&consul.address()));
    eventually("it is told that there is no room", PATIENCE, || {
        (info(&sentinel, "consul_state") == "limited").then_some(())
    });
    let says = |what: &str| sentinel.log().matches(what).count();
    eventually("the log says what helps", PATIENCE, || {
        (says("raise limits.http_max_conns_per_client") > 0).then_some(())
    });
    eventually("the log says that publishing waits", PATIENCE, || {
        (says("What is published waits until it serves us again") > 0).then_some(())
    });
    drop(held);
    eventually("it is published all the same", PATIENCE, || {
        (consul.ports_of("redis") == [fleet.ports[0]].into()).then_some(())
    });
    assert_eq!(says("What is published waits until it serves us again"), 1, "{}", sentinel.log());
    assert_eq!(info(&sentinel, "consul_state"), "ok");
}
