//! What daemons answer right after they return, and right after a switch.

use super::planned_failover;
use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, GROUP, SlowDisks, Views, eventually};
use std::time::{Duration, Instant};

/// A tenth of it is enough; a debug build on a busy machine takes longer.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Between two looks at a daemon, on a busy machine: half of what its disk takes.
const A_GLANCE: Duration = Duration::from_millis(150);

#[test]
fn a_daemon_that_was_down_during_a_failover_names_the_new_master_at_once() {
    let mut cluster = Cluster::start(&three_daemons());
    let mut old = 0;
    for round in 0..5 {
        cluster.sentinels[2].terminate();
        let mut absent = cluster.sentinels.pop().expect("there are three");
        let new = planned_failover(&cluster, old);
        let port = cluster.redis[new].port;
        eventually("the old master follows", PATIENCE, || {
            (cluster.redis[old].follows() == Some(port)).then_some(())
        });
        let views = Views::start(absent.port);
        absent.start();
        let since = eventually("it names the new master", PATIENCE, || {
            let (named, since) = views.named()?;
            (named == port).then_some(since)
        });
        let wrong = since - views.first_answer().expect("it has answered");
        println!("round {round}: the old master was named for {wrong:?}");
        assert!(wrong <= A_MOMENT, "it named the old master for {wrong:?}");
        cluster.sentinels.push(absent);
        cluster.wait_until_settled(new);
        old = new;
    }
}

#[test]
fn after_a_planned_failover_the_new_master_has_no_flag_that_makes_clients_wait() {
    let cluster = Cluster::start(&three_daemons());
    let mut master = 0;
    for round in 0..3 {
        let events = cluster.events();
        let views: Vec<_> = cluster.sentinels.iter().map(|sentinel| Views::start(sentinel.port)).collect();
        eventually("all views are open", PATIENCE, || {
            views.iter().all(|views| views.first_answer().is_some()).then_some(())
        });
        master = planned_failover(&cluster, master);
        cluster.wait_until_settled(master);
        let port = cluster.redis[master].port;
        for (number, views) in views.iter().enumerate() {
            let sights = views.all();
            let of_new =
                sights.iter().filter_map(|(_, view)| view.as_ref()).filter(|it| it.port == Some(port));
            let mut flags: Vec<_> = of_new.clone().map(|view| view.flags.as_str()).collect();
            flags.dedup();
            assert_eq!(flags, ["master"], "round {round}, sentinel {number}: {sights:?}");
            let agrees =
                |(_, view): &&consentinel_lab::Sight| view.as_ref().is_some_and(|it| it.named != it.port);
            let torn = sights.iter().find(agrees);
            assert!(torn.is_none(), "MASTER and GET-MASTER-ADDR-BY-NAME differ: {torn:?}");
            let replicas: Vec<_> = of_new.flat_map(|view| &view.replicas).collect();
            let gone = replicas.iter().find(|flags| flags.contains("disconnected"));
            assert!(gone.is_none() && !replicas.is_empty(), "round {round}, sentinel {number}: {replicas:?}");
        }
        // Whose role changed is described by what it was.
        for (number, events) in events.iter().enumerate() {
            let promoted = format!("slave 127.0.0.1:{port} 127.0.0.1 {port} @ {GROUP}");
            let said =
                events.find(|event| event.name == "-role-change" && event.payload.starts_with(&promoted));
            let said = said.map(|event| event.payload);
            let is_right = said.as_ref().is_some_and(|text| text.ends_with("new reported role is master"));
            assert!(is_right, "round {round}, sentinel {number}: {:?}", events.all());
            let wrong = events.find(|it| it.name == "+role-change" && it.payload.starts_with("master "));
            assert!(wrong.is_none(), "round {round}, sentinel {number}: {wrong:?}");
        }
    }
}

/// A client that is cut asks any daemon, and must not be sent back to the old master. Slow disks make it visible: a
/// daemon names the new master when that is on its disk.
#[test]
fn in_a_planned_failover_clients_are_cut_when_every_daemon_names_the_new_master() {
    let disks = SlowDisks::new(3);
    let mut setup = three_daemons();
    setup.down_after = Duration::from_secs(5);
    setup.extra = disks.extras();
    let cluster = Cluster::start(&setup);
    disks.set_all(A_GLANCE * 2);
    let views: Vec<_> = cluster.sentinels.iter().map(|sentinel| Views::start(sentinel.port)).collect();
    let mut client = cluster.redis[0].client().expect("it listens");
    client.wait_forever().expect("a socket can be told to wait");
    let cut = std::thread::spawn(move || {
        while client.read().is_ok() {}
        Instant::now()
    });
    let new = planned_failover(&cluster, 0);
    let cut = cut.join().expect("it does not panic");
    for (number, views) in views.iter().enumerate() {
        let since = eventually("the look at a daemon that names the new master is over", PATIENCE, || {
            let (port, since) = views.named()?;
            (port == cluster.redis[new].port).then_some(since)
        });
        let late = since.saturating_duration_since(cut);
        if number == 0 {
            let flags: Vec<_> = views.all().into_iter().filter_map(|(_, view)| Some(view?.flags)).collect();
            let ordered = flags.iter().any(|it| it.contains("failover_in_progress,force_failover"));
            assert!(ordered, "the flags of the master of whose failover it was ordered: {flags:?}");
        }
        assert!(late <= A_GLANCE, "sentinel {number} named the new master {late:?} after a client was cut");
    }
}
