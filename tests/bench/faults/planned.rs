//! SENTINEL FAILOVER under clients that follow the sentinels.

use super::applications::{Applications, Guide, OnRefusal, list_of};
use super::sheet::{Figure, Sheet};
use super::survivors::LONG;
use crate::options::Options;
use consentinel_lab::{Client, Cluster, GROUP, Program, Redis, Setup, SlowDisks, Value, View, Views};
use consentinel_lab::{eventually, poll_until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const DELAYS: [u64; 3] = [0, 100, 500];
const DOWN_AFTER: Duration = Duration::from_secs(5);
const CLIENTS: usize = 10;
/// Between two writes of one client.
const PERIOD: Duration = Duration::from_millis(2);
const A_SWITCH: Duration = Duration::from_secs(30);

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet =
        Sheet::new("SENTINEL FAILOVER under ten clients that follow the sentinels, down-after 5 s");
    for delay in DELAYS {
        let start = |program| (program, Stage::start(program, Duration::from_millis(delay)));
        let mut stages: Vec<_> = options.programs.iter().map(start).collect();
        for _ in 0..options.rounds {
            for (program, stage) in &mut stages {
                stage.play(&mut |what, figure| {
                    sheet.add(&format!("fsync {delay} ms: {what}"), program, figure)
                });
            }
        }
    }
    sheet
}

struct Stage {
    cluster: Cluster,
    master: usize,
    _disks: SlowDisks,
}

impl Stage {
    fn start(program: &Program, delay: Duration) -> Stage {
        let disks = SlowDisks::new(3);
        let mut setup = Setup::new(vec![program.clone(); 3]);
        setup.down_after = DOWN_AFTER;
        setup.extra = disks.extras();
        let cluster = Cluster::start(&setup);
        disks.set_all(delay);
        Stage { cluster, master: 0, _disks: disks }
    }

    /// Plays one round.
    fn play(&mut self, add: &mut impl FnMut(&str, Figure)) {
        let Stage { cluster, master, .. } = self;
        for number in 0..CLIENTS {
            let _ = cluster.redis[*master].call(&["DEL", &list_of(number)]);
        }
        let ports: Vec<_> = cluster.sentinels.iter().map(|sentinel| sentinel.port).collect();
        let views: Vec<_> = ports.iter().map(|port| Views::start(*port)).collect();
        let mut clients = Applications::start(CLIENTS, &any_sentinel(&ports), OnRefusal::AskAgain, PERIOD);
        eventually("everybody writes", LONG, || {
            clients.seen().iter().all(|seen| seen.accepted.len() > 100).then_some(())
        });
        let mut client = Client::connect(ports[0], A_SWITCH).expect("it listens");
        let reply = client.call(&["SENTINEL", "FAILOVER", GROUP]);
        let old = cluster.redis[*master].port;
        let new = poll_until(A_SWITCH, || {
            let (port, _) = views[0].named()?;
            views
                .iter()
                .all(|views| views.named().is_some_and(|(it, _)| it == port && it != old))
                .then_some(port)
        });
        let Some(new) = new else {
            add("given up", Figure::Text(format!("{reply:?}")));
            return;
        };
        let next =
            cluster.redis.iter().position(|redis| redis.port == new).expect("it is one of the servers");
        cluster.wait_until_settled(next);
        clients.stop();
        let seen = clients.seen();
        let misled: Vec<_> = seen.iter().map(|seen| seen.misled).collect();
        add("READONLY to clients that asked", misled.iter().sum::<usize>().into());
        add("the most to one client", misled.into_iter().max().unwrap_or_default().into());
        add("READONLY to a held write", seen.iter().map(|seen| seen.demoted).sum::<usize>().into());
        let first_cut = seen.iter().filter_map(|seen| seen.first_cut).min();
        for (_, since) in views.iter().filter_map(Views::named) {
            let late = first_cut.map(|cut| since.saturating_duration_since(cut));
            add("a sentinel names it after the first cut by", late.unwrap_or_default().into());
        }
        for seen in &seen {
            add("pause of a client", seen.pause().into());
        }
        let lost = seen
            .iter()
            .enumerate()
            .map(|(number, seen)| lost(&cluster.redis[next], number, seen.accepted.len()));
        add("acknowledged and lost", lost.sum::<usize>().into());
        for (flags, time) in foreign_flags(&views, new) {
            add(&format!("the new master shows {flags} for"), time.into());
        }
        let torn = |view: &View| view.named != view.port;
        let torn =
            views.iter().flat_map(Views::all).filter(|(_, view)| view.as_ref().is_some_and(torn)).count();
        add("MASTER and GET-MASTER-ADDR-BY-NAME differ", torn.into());
        *master = next;
    }
}

/// Asks another sentinel each time.
fn any_sentinel(ports: &[u16]) -> Guide {
    let (ports, turn) = (ports.to_vec(), AtomicUsize::new(0));
    Arc::new(move |number| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let port = ports[(number + turn) % ports.len()];
        let mut client = Client::connect(port, LONG).ok()?;
        let address = client.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).ok()?;
        address.items().get(1)?.text()?.parse().ok()
    })
}

/// How many of the acknowledged numbers are not in a client's list.
fn lost(redis: &Redis, number: usize, acknowledged: usize) -> usize {
    let list = redis.call(&["LRANGE", &list_of(number), "0", "-1"]).expect("the master answers");
    let kept: BTreeSet<usize> =
        list.items().iter().filter_map(Value::text).filter_map(|text| text.parse().ok()).collect();
    (0..acknowledged).filter(|number| !kept.contains(number)).count()
}

/// Flags of the new master that are not `master` alone, and the longest time that one sentinel showed them.
fn foreign_flags(views: &[Views], new: u16) -> BTreeMap<String, Duration> {
    let mut longest = BTreeMap::<String, Duration>::new();
    for views in views {
        let sights = views.all();
        let mut shown = BTreeMap::<String, Duration>::new();
        for (at, sight) in sights.iter().enumerate() {
            let Some(view) = sight.1.as_ref().filter(|view| view.port == Some(new)) else { continue };
            let end = sights.get(at + 1).map_or_else(Instant::now, |(next, _)| *next);
            if view.flags != "master" {
                *shown.entry(view.flags.clone()).or_default() += end - sight.0;
            }
        }
        for (flags, time) in shown {
            let longest = longest.entry(flags).or_default();
            *longest = time.max(*longest);
        }
    }
    longest
}
