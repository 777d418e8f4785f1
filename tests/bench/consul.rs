//! One disaster, as somebody sees it who asks Consul's DNS for the master.

use crate::options::ours;
use crate::round::{CALM, LONG, PING_PERIOD};
use consentinel_lab::{
    Cluster, Consul, ConsulOptions, Extra, Folder, Prober, Program, Setup, Timeline, Writer, eventually,
    poll_until, shipped, shipped_path,
};
use serde_json::json;
use std::fmt;
use std::time::{Duration, Instant};

/// Who tells Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Publisher {
    /// Script checks every five seconds, beside real redis-sentinels.
    ScriptsEveryFive,
    /// The same every second.
    ScriptsEverySecond,
    /// Our daemons.
    Ours,
}

impl Publisher {
    pub(crate) const ALL: [Publisher; 3] =
        [Publisher::ScriptsEveryFive, Publisher::ScriptsEverySecond, Publisher::Ours];

    pub(crate) fn program(self) -> Program {
        if self == Publisher::Ours { ours() } else { Program::Original }
    }

    fn name(self) -> &'static str {
        if self == Publisher::Ours { "redis.service.consul" } else { "master.redis.service.consul" }
    }

    fn interval(self) -> Option<&'static str> {
        match self {
            Publisher::ScriptsEveryFive => Some("5s"),
            Publisher::ScriptsEverySecond => Some("1s"),
            Publisher::Ours => None,
        }
    }
}

impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval() {
            Some(interval) => write!(f, "scripts every {interval}"),
            None => f.write_str("consentinel"),
        }
    }
}

/// What was measured in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// From kill -9 until DNS named only the new master.
    pub(crate) named: Duration,
    /// The same, from the first write on the new master.
    pub(crate) promotion: Duration,
    /// For how long at most DNS named nobody.
    pub(crate) empty: Duration,
    /// For how long DNS named the old master after the first write on the new one.
    pub(crate) old: Duration,
    /// For how long after its restart DNS named the old master again.
    pub(crate) returned: Duration,
    /// Whether an answer named two masters.
    pub(crate) several: bool,
    /// Whether a second failover followed that nobody needed.
    pub(crate) twice: bool,
}

/// All that runs in a round.
struct Stage {
    cluster: Cluster,
    consul: Consul,
    _folder: Folder,
}

impl Stage {
    fn set(publisher: Publisher) -> Stage {
        let folder = Folder::new();
        let on_disk = ConsulOptions { on_disk: true, ..ConsulOptions::default() };
        let setup = Setup::new(vec![publisher.program(); 3]);
        let Some(interval) = publisher.interval() else {
            let consul = Consul::start_new(&folder, &on_disk);
            let cluster = Cluster::start(&setup.with(&Extra::consul(&consul.address())));
            return Stage { cluster, consul, _folder: folder };
        };
        let cluster = Cluster::start(&setup);
        let files = cluster.redis.iter().map(|redis| recipe(redis.port, interval)).collect();
        let more = json!({ "enable_local_script_checks": true });
        let consul = Consul::start_new(&folder, &ConsulOptions { files, more, ..on_disk });
        Stage { cluster, consul, _folder: folder }
    }
}

/// The shipped recipe for one server, as a file for the agent.
fn recipe(port: u16, interval: &str) -> (String, String) {
    let script = shipped_path("classic/redis-role.sh").display().to_string();
    let text = shipped("classic/redis.hcl")
        .replace("6379", &port.to_string())
        .replace("5s", interval)
        .replace("/etc/consul.d/redis-role.sh", &script);
    (format!("redis-{port}.hcl"), text)
}

/// Plays one round.
pub(crate) fn play(publisher: Publisher, phase: f64) -> Measured {
    let Stage { mut cluster, consul, _folder } = Stage::set(publisher);
    let (old, replicas) = (cluster.redis[0].port, [cluster.redis[1].port, cluster.redis[2].port]);
    let events = cluster.events();
    let prober = Prober::start(consul.dns(), publisher.name());
    eventually("DNS names the master", LONG, || prober.now().is_only(old).then_some(()));
    let writers: Vec<_> = replicas.map(Writer::start).into();
    eventually("the writers are refused", LONG, || {
        writers.iter().all(|writer| writer.outcome().last_refused.is_some()).then_some(())
    });

    std::thread::sleep(PING_PERIOD.mul_f64(phase)); // no wait for anything: it spreads the disasters
    prober.clear();
    let begin = Instant::now();
    cluster.redis[0].kill();
    let write = eventually("a replica accepts a write", LONG, || {
        writers.iter().filter_map(|writer| writer.outcome().first_accepted).min()
    });
    let named = eventually("DNS names only a new master", LONG, || {
        let timeline = prober.timeline();
        replicas.iter().filter_map(|port| timeline.first_only(*port, begin)).min()
    });
    drop(writers);
    let new = cluster.wait_for_new_master(0, LONG);
    stays_named(&prober, cluster.redis[new].port);
    let failover = prober.timeline();

    prober.clear();
    let back = Instant::now();
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
    stays_named(&prober, cluster.redis[new].port);
    let afterwards = prober.timeline();

    let switches =
        events.iter().map(|events| events.names().iter().filter(|name| *name == "+switch-master").count());
    let since = |timeline: &Timeline, from: Instant| {
        timeline.last_with(old, from).map_or(Duration::ZERO, |last| last.saturating_duration_since(from))
    };
    Measured {
        named: named - begin,
        promotion: named.saturating_duration_since(write),
        empty: failover.longest_empty(),
        old: since(&failover, write),
        returned: since(&afterwards, back),
        several: [failover, afterwards].iter().any(|timeline| timeline.several().0 > 0),
        twice: switches.max().unwrap_or(0) > 1,
    }
}

/// Waits until nobody else has been named for longer than any script takes.
fn stays_named(prober: &Prober, port: u16) {
    eventually("DNS is calm", LONG, || {
        let calm = Instant::now().checked_sub(CALM * 2)?;
        poll_until(LONG, || prober.now().is_only(port).then_some(()))?;
        let timeline = prober.timeline();
        let last = timeline.0.last().filter(|span| span.named.is_only(port))?;
        (last.first <= calm).then_some(())
    });
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { named, promotion, empty, old, returned, .. } = self;
        let [named, promotion, empty, old, returned] =
            [named, promotion, empty, old, returned].map(Duration::as_millis);
        write!(
            f,
            "DNS {named} ms, after the first write {promotion} ms, empty {empty} ms, old {old} ms, back for {returned} ms"
        )?;
        f.write_str(if self.several { ", two masters named" } else { "" })?;
        f.write_str(if self.twice { ", and a second failover" } else { "" })
    }
}
