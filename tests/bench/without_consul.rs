//! What a failover costs more when Consul does not answer: nothing, if all is well.

use crate::figures::{Figures, beyond, cell};
use crate::options::ours;
use crate::round::{LONG, PING_PERIOD};
use consentinel_lab::{Cluster, Consul, Extra, Folder, Prober, Setup, Writer, eventually};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// How it stands with Consul when the master is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Consuls {
    /// No daemon knows of any.
    None,
    /// It is well.
    Well,
    /// It has been stopped: connections to it are accepted, and nothing comes back.
    Silent,
    /// It has been killed: connections to it are refused.
    Gone,
}

impl Consuls {
    pub(crate) const ALL: [Consuls; 4] = [Consuls::None, Consuls::Well, Consuls::Silent, Consuls::Gone];
}

impl fmt::Display for Consuls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consuls::None => "without Consul",
            Consuls::Well => "Consul well",
            Consuls::Silent => "Consul silent",
            Consuls::Gone => "Consul gone",
        })
    }
}

/// Plays one round: how long from kill -9 until the first write was accepted by one of the replicas.
pub(crate) fn play(consuls: Consuls, phase: f64) -> Duration {
    let folder = Folder::new();
    let mut consul = Consul::dev(&folder);
    let mut setup = Setup::new(vec![ours(); 3]);
    if consuls != Consuls::None {
        setup = setup.with(&Extra::consul(&consul.address()));
    }
    let mut cluster = Cluster::start(&setup);
    if consuls != Consuls::None {
        let prober = Prober::start(consul.dns(), "redis.service.consul");
        let master = cluster.redis[0].port;
        eventually("DNS names the master", LONG, || prober.now().is_only(master).then_some(()));
    }
    let writers: Vec<_> = cluster.redis[1..].iter().map(|redis| Writer::start(redis.port)).collect();
    eventually("the writers are refused", LONG, || {
        writers.iter().all(|writer| writer.outcome().last_refused.is_some()).then_some(())
    });
    match consuls {
        Consuls::None | Consuls::Well => {}
        Consuls::Silent => consul.pause(),
        Consuls::Gone => consul.kill(),
    }
    std::thread::sleep(PING_PERIOD.mul_f64(phase)); // no wait for anything: it spreads the disasters
    let begin = Instant::now();
    cluster.redis[0].kill();
    let write = eventually("a replica accepts a write", LONG, || {
        writers.iter().filter_map(|writer| writer.outcome().first_accepted).min()
    });
    write - begin
}

/// All rounds so far.
#[derive(Default)]
pub(crate) struct WithoutConsulReport(BTreeMap<Consuls, Vec<Duration>>);

impl WithoutConsulReport {
    pub(crate) fn add(&mut self, consuls: Consuls, write: Duration) {
        self.0.entry(consuls).or_default().push(write);
    }
}

impl fmt::Display for WithoutConsulReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rounds) = self.0.values().map(Vec::len).max() else { return Ok(()) };
        writeln!(f, "\nkill -9 to the first write on the new master, {rounds} rounds each:\n")?;
        writeln!(f, "| | less down-after | whole time, ratio to that without Consul |")?;
        writeln!(f, "| --- | --- | --- |")?;
        let whole = |consuls| Figures::of(self.0.get(&consuls)?.iter().copied());
        for (consuls, times) in &self.0 {
            let less = Figures::of(times.iter().copied().map(beyond));
            let ratio = whole(Consuls::None).zip(whole(*consuls)).map(|(none, this)| none.ratio(&this));
            let ratio = ratio.map(|ratio| format!("{ratio:.3}"));
            writeln!(f, "| {consuls} | {} | {} |", cell(less), cell(ratio))?;
        }
        Ok(())
    }
}
