//! A hundred failovers in a row, and somebody who asks DNS all the time.

use super::consul_stage::{Stage, epoch};
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{
    ConsulOptions, Event, Events, Extra, GROUP, Named, Sentinel, Timeline, Value, eventually,
};
use std::collections::BTreeSet;
use std::time::Duration;

const FAILOVERS: usize = 100;
/// Every one of so many is a kill, the others are by order.
const KILLS: usize = 4;
/// From the switch on, DNS may name the old master, or nobody, no longer than this, on a machine that is busy.
const A_MOMENT: Duration = Duration::from_secs(1);

#[test]
fn in_a_hundred_failovers_dns_never_names_two_masters_nor_an_old_one_again() {
    let mut setup = three_daemons();
    setup.down_after = Duration::from_millis(500);
    let mut stage = Stage::set_with(&ConsulOptions::default(), setup, &Extra::default());
    let events = stage.cluster.events();
    let first = epoch(&stage.consul);
    let prober = stage.prober();
    let mut masters = vec![0];
    eventually("DNS names the master", PATIENCE, || {
        prober.now().is_only(stage.cluster.redis[0].port).then_some(())
    });
    let mut delays = Vec::new();
    for number in 1..=FAILOVERS {
        let master = masters[masters.len() - 1];
        events.iter().for_each(|events| events.clear());
        let killed = number % KILLS == 0;
        match killed {
            true => stage.cluster.redis[master].kill(),
            false => order(&stage, number),
        }
        let new = if killed {
            stage.cluster.wait_for_new_master(master, PATIENCE)
        } else {
            moved(&stage, &events, master, number)
        };
        let port = stage.cluster.redis[new].port;
        let suffix = format!(" {port}");
        let switched = |event: &Event| event.name == "+switch-master" && event.payload.ends_with(&suffix);
        let switch = eventually("somebody says so", PATIENCE, || {
            events.iter().filter_map(|events| events.find(switched)).map(|event| event.at).min()
        });
        let named = eventually("DNS names it", PATIENCE, || prober.timeline().first_only(port, switch));
        delays.push(named - switch);
        if killed {
            stage.cluster.redis[master].start();
        }
        masters.push(new);
        stage.cluster.wait_until_settled(new);
    }

    let timeline = prober.timeline();
    assert_eq!(timeline.complaint(), None);
    let expected: Vec<_> = masters.iter().map(|master| stage.cluster.redis[*master].port).collect();
    assert_eq!(named_in_turn(&timeline), expected);
    assert!(epoch(&stage.consul) >= first + FAILOVERS as u64);
    report(&timeline, delays);
}

/// SENTINEL FAILOVER, by one daemon after the other; as soon as it is possible.
fn order(stage: &Stage, number: usize) {
    let sentinel = &stage.cluster.sentinels[number % stage.cluster.sentinels.len()];
    eventually("a failover by order begins", PATIENCE, || {
        let reply = sentinel.call(&["SENTINEL", "FAILOVER", GROUP]);
        (reply.as_ref().and_then(Value::text) == Some("OK")).then_some(())
    });
}

/// Waits until all name another master. An order is given up, and nothing is lost, where the master is silent for too long in
/// the middle of it: on a machine that is busy it may be. Then it is given again.
fn moved(stage: &Stage, events: &[Events], master: usize, number: usize) -> usize {
    let (cluster, old) = (&stage.cluster, stage.cluster.redis[master].port);
    eventually("every sentinel names the same new master", PATIENCE, || {
        let given_up = |event: &Event| event.name.starts_with("-failover-abort");
        if events.iter().any(|events| events.find(given_up).is_some()) {
            events.iter().for_each(|events| events.clear());
            order(stage, number);
        }
        let ports: Option<BTreeSet<u16>> = cluster.sentinels.iter().map(Sentinel::master_port).collect();
        let ports: Vec<u16> = ports?.into_iter().collect();
        let [port] = ports[..] else { return None };
        cluster.redis.iter().position(|redis| redis.port == port && port != old)
    })
}

/// The ports that were named, one after the other.
fn named_in_turn(timeline: &Timeline) -> Vec<u16> {
    let mut ports = Vec::new();
    for span in &timeline.0 {
        if let Named::Servers(servers, _) = &span.named {
            ports.extend(servers.iter().map(|(_, port)| *port));
        }
    }
    ports.dedup();
    ports
}

fn report(timeline: &Timeline, mut delays: Vec<Duration>) {
    delays.sort();
    let (median, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    let mut empty = timeline.empty();
    empty.sort();
    let (_, answers) = timeline.several();
    println!(
        "{FAILOVERS} failovers, {answers} answers. The old master was named after the switch for {median:.1?} \
         (median), {longest:.1?} at most. Nobody was named {} times, for {:.1?} at most.",
        empty.len(),
        timeline.longest_empty(),
    );
    assert!(longest < A_MOMENT && timeline.longest_empty() < A_MOMENT);
}
