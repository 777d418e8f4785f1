//! SENTINEL FAILOVER under clients that know of it late: they reconnect to the old master, which is a replica by then.

use super::applications::{Applications, Guide, OnRefusal, Seen};
use super::haproxies::HaProxy;
use super::pools::{Habit, Pool};
use super::sheet::Sheet;
use super::survivors::LONG;
use crate::options::Options;
use consentinel_lab::{Cluster, Dns, Extra, Folder, GROUP, Kind, Program, Sentinel, Setup, Views};
use consentinel_lab::{eventually, free_port};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLIENTS: usize = 30;
/// Of these there are threads in one pool.
const IN_A_POOL: usize = 10;
/// Between two writes of one client.
const PERIOD: Duration = Duration::from_millis(50);
const LAGS: [u64; 2] = [300, 1000];
/// For so long the process of a pool stands still at the switch.
const STANDSTILLS: [u64; 2] = [300, 2000];
const A_NAME: &str = "redis.service.consul";
/// For an answer of DNS.
const AN_ANSWER: Duration = Duration::from_secs(1);
/// This long after the switch the clients are looked at.
const AFTER: Duration = Duration::from_secs(22);
/// A client that has written since is not stuck.
const LATELY: Duration = Duration::from_secs(1);

pub(crate) fn play(options: &Options) -> Sheet {
    let mut sheet =
        Sheet::new("SENTINEL FAILOVER under clients that know of it late, 30 of each kind, after 22 s");
    let mut stages: Vec<_> = options.programs.iter().map(|it| (it, Stage::start(it))).collect();
    for _ in 0..options.rounds {
        for (program, stage) in &mut stages {
            stage.play(program, &mut sheet);
        }
    }
    sheet
}

struct Stage {
    cluster: Cluster,
    master: usize,
    proxies: Vec<HaProxy>,
    dns: Vec<SocketAddr>,
    _folder: Folder,
}

/// Clients of one kind.
enum Clients {
    Single(Applications),
    /// Pools, and for how long their processes stand still.
    Pools(Vec<Pool>, Option<Duration>),
}

impl Clients {
    fn seen(&self) -> Vec<Seen> {
        match self {
            Clients::Single(clients) => clients.seen(),
            Clients::Pools(pools, _) => pools.iter().flat_map(Pool::seen).collect(),
        }
    }

    /// How many are refused still. A thread of a pool takes another connection each time: one that is refused is one
    /// too many.
    fn stuck(&self) -> usize {
        let lately = |at: &Instant| at.elapsed() < LATELY;
        let stuck = |seen: &&Seen| match self {
            Clients::Single(_) => seen.is_stuck(LATELY),
            Clients::Pools(..) => {
                seen.last_refused.as_ref().is_some_and(lately) || !seen.accepted.last().is_some_and(lately)
            }
        };
        self.seen().iter().filter(stuck).count()
    }
}

impl Stage {
    fn start(program: &Program) -> Stage {
        let mut setup = Setup::new(vec![program.clone(); 3]);
        let mut dns = Vec::new();
        if let Program::Ours(_) = program {
            dns.extend((0..3).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))));
            setup.extra = dns.iter().map(|at| Extra::default().args(&["--dns", &at.to_string()])).collect();
        }
        let cluster = Cluster::start(&setup);
        let folder = Folder::new();
        let ports: Vec<_> = cluster.redis.iter().map(|redis| redis.port).collect();
        let proxies = HaProxy::all(&folder, &ports, &dns);
        Stage { cluster, master: 0, proxies, dns, _folder: folder }
    }

    /// Plays one round, with clients of all kinds at once.
    fn play(&mut self, program: &Program, sheet: &mut Sheet) {
        let port = self.cluster.redis[self.master].port;
        for proxy in &self.proxies {
            eventually(&format!("haproxy, {}, leads to the master alone", proxy.name), LONG, || {
                proxy.leads_only_to(port).then_some(())
            });
        }
        let kinds = self.start_clients();
        eventually("everybody writes", LONG, || {
            let writes = |seen: &Seen| seen.accepted.len() > 20;
            kinds.iter().all(|(_, it)| it.seen().iter().all(writes)).then_some(())
        });
        let cluster = &self.cluster;
        eventually("the failover is ordered", LONG, || {
            let reply = cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", GROUP])?;
            (reply.text() == Some("OK")).then_some(())
        });
        for (_, clients) in &kinds {
            if let Clients::Pools(pools, Some(span)) = clients {
                pools.iter().for_each(|pool| pool.stand_still(*span));
            }
        }
        let next = cluster.wait_for_new_master(self.master, LONG);
        let begin = Instant::now();
        std::thread::sleep(AFTER); // the time after which nobody may be stuck
        for (kind, clients) in &kinds {
            let last = clients.seen().iter().filter_map(|seen| seen.last_refused).max();
            let last = last.map_or(Duration::ZERO, |at| at.saturating_duration_since(begin));
            sheet.add(&format!("{kind}: stuck"), program, clients.stuck());
            sheet.add(&format!("{kind}: last READONLY after the switch"), program, last);
        }
        drop(kinds);
        cluster.wait_until_settled(next);
        self.master = next;
    }

    fn start_clients(&self) -> Vec<(String, Clients)> {
        let views = Arc::new(Views::start(self.cluster.sentinels[0].port));
        let single =
            |guide: &Guide| Clients::Single(Applications::start(CLIENTS, guide, OnRefusal::Stay, PERIOD));
        let mut kinds = Vec::new();
        for lag in LAGS {
            kinds.push((format!("{lag} ms late"), single(&late(&views, Duration::from_millis(lag)))));
        }
        if !self.dns.is_empty() {
            kinds.push(("DNS".to_owned(), single(&by_name(&self.dns))));
        }
        kinds.push(("pools that follow".to_owned(), self.pools(Habit::Follows, None)));
        for span in STANDSTILLS {
            let span = Duration::from_millis(span);
            let kind = format!("pools with one address, still for {} ms", span.as_millis());
            kinds.push((kind, self.pools(Habit::SharedAddress, Some(span))));
        }
        for proxy in &self.proxies {
            let port = proxy.port;
            let guide: Guide = Arc::new(move |_| Some(port));
            kinds.push((format!("haproxy, {}", proxy.name), single(&guide)));
        }
        kinds
    }

    fn pools(&self, habit: Habit, still: Option<Duration>) -> Clients {
        let ports: Vec<_> = self.cluster.sentinels.iter().map(|sentinel| sentinel.port).collect();
        let start = |_| {
            let events = self.cluster.sentinels.iter().map(Sentinel::events).collect();
            Pool::start(IN_A_POOL, habit, &ports, events, PERIOD)
        };
        Clients::Pools((0..CLIENTS / IN_A_POOL).map(start).collect(), still)
    }
}

/// Leads to what the sentinel named so long ago.
fn late(views: &Arc<Views>, lag: Duration) -> Guide {
    let views = views.clone();
    Arc::new(move |_| {
        let then = Instant::now().checked_sub(lag)?;
        let sights = views.all();
        let known = |(at, view): &&consentinel_lab::Sight| *at <= then && view.is_some();
        let sight = sights.iter().rev().find(known).or(sights.first())?;
        sight.1.as_ref()?.named
    })
}

/// Asks one of the daemons for the name.
fn by_name(dns: &[SocketAddr]) -> Guide {
    let dns = dns.to_vec();
    Arc::new(move |number| {
        let message = Dns::new(dns[number % dns.len()], AN_ANSWER).ask(A_NAME, Kind::Srv).ok()?;
        message.servers().first().map(|(_, port)| *port)
    })
}
