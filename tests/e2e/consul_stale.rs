//! Consul's DNS answers from whatever server is asked: how far behind, and for how long when it is cut off.

use super::consul_stage::SERVICE;
use crate::PATIENCE;
use consentinel_lab::{Consul, ConsulOptions, ConsulServers, Folder, Kind, Prober, eventually, shipped};
use serde_json::json;
use std::time::{Duration, Instant};

const FLIPS: u16 = 100;
/// More than a follower is ever behind when nothing is wrong.
const A_MOMENT: Duration = Duration::from_secs(1);

fn flip(consul: &Consul, port: u16) {
    let service = |port: u16| json!({ "ID": format!("redis-{port}"), "Service": "redis", "Address": "127.0.0.1", "Port": port });
    let node = json!({ "Node": "consentinel-mymaster", "Address": "127.0.0.1", "Meta": { "epoch": port.to_string() } });
    let operations = json!([
        { "Node": { "Verb": "set", "Node": node } },
        { "Service": { "Verb": "delete", "Node": "consentinel-mymaster", "Service": service(port - 1) } },
        { "Service": { "Verb": "set", "Node": "consentinel-mymaster", "Service": service(port) } },
    ]);
    consul.put("/v1/txn", &operations);
}

/// How long after the answer to a flip each of the servers' DNS knows of it: the leader's, and a follower's.
fn delays(servers: &ConsulServers) -> [Vec<Duration>; 2] {
    let leader = servers.wait_until_led();
    let follower = &servers.0[(leader + 1) % 3];
    let leader = &servers.0[leader];
    let probers = [Prober::start(leader.dns(), SERVICE), Prober::start(follower.dns(), SERVICE)];
    let mut delays = [vec![], vec![]];
    for port in 7000..7000 + FLIPS {
        flip(leader, port);
        let answered = Instant::now();
        for (prober, delays) in probers.iter().zip(&mut delays) {
            let named = eventually("DNS names the new one", PATIENCE, || {
                prober.timeline().first_only(port, answered)
            });
            delays.push(named - answered);
        }
    }
    for prober in &probers {
        assert_eq!(prober.timeline().complaint(), None);
    }
    delays.map(|mut delays| {
        delays.sort();
        delays
    })
}

#[test]
fn a_follower_is_behind_for_a_moment_and_never_goes_back() {
    let folder = Folder::new();
    for allow_stale in [true, false] {
        let more = json!({ "dns_config": { "allow_stale": allow_stale } });
        let servers = ConsulServers::start_with(&folder, &ConsulOptions { more, ..Default::default() });
        for (whose, delays) in ["the leader's", "a follower's"].into_iter().zip(delays(&servers)) {
            let (median, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
            println!(
                "allow_stale {allow_stale}: {whose} DNS knows after {median:.1?}, at most {longest:.1?}"
            );
            assert!(longest < A_MOMENT, "{whose} DNS was behind for {longest:?}");
        }
    }
}

#[test]
fn a_follower_that_is_cut_off_names_nobody() {
    cut_off("allow_stale = false", Role::Follower, false);
}

/// Consul's leader takes itself for the leader until its lease has run out: half a second, times `raft_multiplier`, which
/// is five by default.
#[test]
fn a_leader_that_is_cut_off_names_the_old_master_until_its_lease_has_run_out() {
    let named_for = cut_off("allow_stale = false", Role::Leader, true);
    assert!(named_for < Duration::from_secs(10), "{named_for:?}");
}

#[test]
fn a_server_that_is_cut_off_names_the_old_master_as_long_as_it_is_told() {
    cut_off("max_stale = \"2s\"", Role::Follower, true);
}

enum Role {
    Leader,
    Follower,
}

/// Three servers, of which two die: how long the third names the master that it was told of.
fn cut_off(how: &str, role: Role, names_for_a_while: bool) -> Duration {
    let folder = Folder::new();
    let text = shipped("agent/dns.hcl");
    assert!(text.contains("allow_stale = false"));
    let files = vec![("dns.hcl".to_owned(), text.replace("allow_stale = false", how))];
    let mut servers = ConsulServers::start_with(&folder, &ConsulOptions { files, ..Default::default() });
    flip(&servers.0[0], 7000);
    let leader = servers.wait_until_led();
    let last = match role {
        Role::Leader => servers.0.remove(leader),
        Role::Follower => servers.0.remove((leader + 1) % 3),
    };
    let named = || last.ask(SERVICE, Kind::Srv).is_ok_and(|message| message.servers().len() == 1);
    eventually("it is told", PATIENCE, || named().then_some(()));
    servers.0.iter_mut().for_each(Consul::kill);
    let begin = Instant::now();
    let mut answered = 0;
    // A question that waits for a leader is not answered in time.
    let named_for = eventually("it names nobody", PATIENCE, || match named() {
        true => {
            answered += 1;
            None
        }
        false => Some(begin.elapsed()),
    });
    println!("{how}: cut off, it named the old master {answered} times in {named_for:.1?}");
    assert!(names_for_a_while == (answered > 0), "named {answered} times");
    named_for
}
