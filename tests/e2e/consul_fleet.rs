//! A master with more replicas than fit into one of Consul's transactions.

use super::consul_stage::{SERVICE, is_passing};
use crate::{PATIENCE, ours};
use consentinel_lab::{Consul, Data, Extra, Fleet, Folder, GROUP, Kind, Prober, Sentinel, Value, eventually};
use std::collections::BTreeSet;

/// Each needs two operations, and 64 are allowed.
const REPLICAS: usize = 40;

fn start(folder: &Folder, consul: &Consul, fleet: &Fleet, extra: Extra) -> Sentinel {
    let config = format!(
        "sentinel monitor {GROUP} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {GROUP} 1000\n\
         sentinel failover-timeout {GROUP} 10000\nsentinel parallel-syncs {GROUP} 10\n",
        fleet.ports[0]
    );
    let Extra { args, .. } = Extra::consul(&consul.address());
    Sentinel::start_new(folder, ours(), &config, Extra { args, ..extra })
}

/// The ports of the entries that pass.
fn passing(consul: &Consul, service: &str) -> BTreeSet<u16> {
    let entries = consul.entries(service).into_iter().filter(is_passing);
    entries.filter_map(|entry| u16::try_from(entry["Service"]["Port"].as_u64()?).ok()).collect()
}

#[test]
fn more_replicas_than_a_transaction_holds_are_published_and_fail_over() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let fleet = Fleet::start(REPLICAS);
    let prober = Prober::start(consul.dns(), SERVICE);
    let sentinel = start(&folder, &consul, &fleet, Extra::default());
    let all: BTreeSet<_> = fleet.ports.iter().copied().collect();
    let is_whole = |master: usize, replicas: &BTreeSet<u16>| {
        eventually("all of them are published", PATIENCE, || {
            let masters = passing(&consul, "redis");
            (masters == BTreeSet::from([fleet.ports[master]])
                && passing(&consul, "redis-replica") == *replicas)
                .then_some(())
        });
    };
    let others = |masters: &[usize]| {
        let masters: BTreeSet<_> = masters.iter().map(|master| fleet.ports[*master]).collect();
        all.difference(&masters).copied().collect::<BTreeSet<_>>()
    };
    is_whole(0, &others(&[0]));
    consul.wipe();
    is_whole(0, &others(&[0]));

    fleet.kill(0);
    let port = eventually("there is a new master", PATIENCE, || {
        sentinel.master_port().filter(|port| *port != fleet.ports[0])
    });
    let new = fleet.ports.iter().position(|it| *it == port).expect("one of them");
    assert!(fleet.is_master(new));
    is_whole(new, &others(&[0, new]));
    assert_eq!(prober.timeline().complaint(), None);
    assert!(prober.now().is_only(port));
}

#[test]
fn a_replica_that_lags_is_asked_less_before_it_is_not_asked_at_all() {
    let folder = Folder::new();
    let consul = Consul::dev(&folder);
    let fleet = Fleet::start(2);
    let extra = Extra::default().line("sentinel consul max-lag 1000").line("sentinel consul weights 8 3");
    let sentinel = start(&folder, &consul, &fleet, extra);
    let often = sentinel.call(&["SENTINEL", "DEBUG", "info-period", "200"]);
    assert_eq!(often.as_ref().and_then(Value::text), Some("OK"), "{often:?}");
    let weight = |replica: usize| {
        let message = consul.ask("redis-replica.service.consul", Kind::Srv).ok()?;
        message.answers.iter().find_map(|record| match record.data {
            Data::Srv { weight, port, .. } if port == fleet.ports[replica] => Some(weight),
            _ => None,
        })
    };
    let weights = |expected: [Option<u16>; 2]| {
        eventually(&format!("the weights are {expected:?}"), PATIENCE, || {
            ([weight(1), weight(2)] == expected).then_some(())
        });
    };
    weights([Some(8), Some(8)]);
    fleet.lag(1, 5000);
    weights([Some(3), Some(8)]);
    fleet.lag(1, 0);
    weights([Some(8), Some(8)]);
    fleet.kill(2);
    weights([Some(8), None]);
}
