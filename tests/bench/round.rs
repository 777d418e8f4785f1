//! One disaster, from a healthy cluster to a healthy cluster.

use consentinel_lab::{Cluster, Event, Program, Setup, Writer, eventually, poll_until};
use std::fmt;
use std::time::{Duration, Instant};

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disaster {
    /// kill -9, and a restart later.
    Killed,
    /// SIGSTOP, and SIGCONT later.
    Stopped,
}

/// What was measured in one round, from the disaster on unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Until one of the sentinels took the master for down.
    pub(crate) sdown: Duration,
    /// Until the first write was accepted by one of the replicas.
    pub(crate) write: Duration,
    /// Until every sentinel had said +switch-master.
    pub(crate) switch: Duration,
    /// How long the old master accepted writes after its return: from the first one on when it was restarted, from
    /// SIGCONT on when it was resumed.
    pub(crate) returned: Duration,
    /// Whether a second failover followed that nobody needed.
    pub(crate) twice: bool,
}

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const PING_PERIOD: Duration = Duration::from_secs(1);

/// Long enough for a needless second failover to show.
pub(crate) const CALM: Duration = Duration::from_secs(3);

/// Plays one round. The disaster comes somewhere between two pings of the original: `phase` says how far along.
pub(crate) fn play(program: &Program, disaster: Disaster, phase: f64) -> Measured {
    let setup = Setup::new(vec![program.clone(); 3]);
    let mut cluster = Cluster::start(&setup);
    let events = cluster.events();
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    eventually("the writers are refused", LONG, || {
        writers.iter().all(|writer| writer.outcome().last_refused.is_some()).then_some(())
    });

    std::thread::sleep(PING_PERIOD.mul_f64(phase)); // no wait for anything: it spreads the disasters
    let begin = Instant::now();
    match disaster {
        Disaster::Killed => cluster.redis[0].kill(),
        Disaster::Stopped => cluster.redis[0].pause(),
    }
    let write = eventually("a replica accepts a write", LONG, || {
        writers.iter().filter_map(|writer| writer.outcome().first_accepted).min()
    });
    let switch = events.iter().map(|events| events.expect("+switch-master", LONG).at).max();
    let down = |event: &Event| event.name == "+sdown" && event.payload.starts_with("master ");
    let sdown = events.iter().filter_map(|events| events.find(down)).map(|event| event.at).min();
    drop(writers);

    cluster.wait_for_new_master(0, LONG);
    let old = Writer::start(cluster.redis[0].port);
    let back = Instant::now();
    match disaster {
        Disaster::Killed => cluster.redis[0].spawn(),
        Disaster::Stopped => cluster.redis[0].resume(),
    }
    eventually("the old master is a replica", LONG, || old.outcome().is_over().then_some(()));
    let switches = |events: &consentinel_lab::Events| {
        events.names().iter().filter(|name| *name == "+switch-master").count()
    };
    let twice = || events.iter().any(|events| switches(events) > 1).then_some(());
    Measured {
        sdown: sdown.map_or(Duration::ZERO, |at| at - begin),
        write: write - begin,
        switch: switch.map_or(Duration::ZERO, |at| at - begin),
        twice: poll_until(CALM, twice).is_some(),
        // After that pause, since a replica may be made a master again.
        returned: match disaster {
            Disaster::Killed => old.outcome().writable_for(),
            Disaster::Stopped => old.outcome().last_accepted.map_or(Duration::ZERO, |last| last - back),
        },
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { sdown, write, switch, returned, twice } = self;
        let [sdown, write, switch, returned] = [sdown, write, switch, returned].map(Duration::as_millis);
        write!(f, "sdown {sdown} ms, first write {write} ms, switch {switch} ms, back for {returned} ms")?;
        if *twice { f.write_str(", and a second failover") } else { Ok(()) }
    }
}
