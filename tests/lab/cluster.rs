//! A master, its replicas, and the sentinels that watch them.

use crate::events::Events;
use crate::folder::Folder;
use crate::redis::{Redis, Serving};
use crate::resp::{Client, Fields, Value};
use crate::sentinel::{Extra, Program, Sentinel};
use crate::wait::{eventually, poll_until};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Barrier;
use std::time::Duration;

/// What the watched master is called.
pub const GROUP: &str = "mymaster";

/// The original looks at replicas with the INFO of every tenth second, and may need several looks.
const DISCOVERY: Duration = Duration::from_secs(90);

/// For the reply to an order.
const AN_ORDER: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The sentinels, one program each.
    pub sentinels: Vec<Program>,
    /// How many replicas.
    pub replicas: usize,
    /// The sentinels that must agree.
    pub quorum: u32,
    /// `down-after-milliseconds`
    pub down_after: Duration,
    /// `failover-timeout`
    pub failover_timeout: Duration,
    /// This sentinel needs nobody to agree that the master is down, and the others take four times as long to find it
    /// so: it is the one that leads.
    pub leader: Option<usize>,
    /// How all servers are started.
    pub serving: Serving,
    /// More lines for each server, the master's first; a server without has none.
    pub server_lines: Vec<Vec<String>>,
    /// What each sentinel is started with besides; a sentinel without one has nothing besides.
    pub extra: Vec<Extra>,
}

impl Setup {
    /// Two replicas, quorum 2, down-after one second, failover-timeout ten, and no delay before data are sent.
    pub fn new(sentinels: Vec<Program>) -> Setup {
        Setup {
            sentinels,
            replicas: 2,
            quorum: 2,
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(10),
            leader: None,
            serving: Serving::default(),
            server_lines: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Every sentinel is started with this besides.
    pub fn with(mut self, extra: &Extra) -> Setup {
        self.extra = vec![extra.clone(); self.sentinels.len()];
        self
    }

    /// The servers know each other by this name or address of this machine.
    pub fn on_host(mut self, host: &'static str) -> Setup {
        self.serving.host = host;
        self
    }

    fn sentinel_config(&self, number: usize, master: u16) -> String {
        let (failover_timeout, host) = (self.failover_timeout, self.serving.host);
        let (quorum, down_after) = match self.leader {
            Some(leader) if leader == number => (1, self.down_after),
            Some(_) => (self.quorum, self.down_after * 4),
            None => (self.quorum, self.down_after),
        };
        let names = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => "",
            // The sentinels must be reached from there, too.
            Ok(IpAddr::V6(_)) => "bind 127.0.0.1 ::1\n",
            Err(_) => "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n",
        };
        let secret = self.serving.password.as_ref();
        let secret = secret.map(|word| format!("sentinel auth-pass {GROUP} {word}\n")).unwrap_or_default();
        format!(
            "{names}sentinel monitor {GROUP} {host} {master} {quorum}\n\
             sentinel down-after-milliseconds {GROUP} {}\n\
             sentinel failover-timeout {GROUP} {}\n\
             sentinel parallel-syncs {GROUP} 1\n{secret}",
            down_after.as_millis(),
            failover_timeout.as_millis(),
        )
    }
}

/// All of it, running.
pub struct Cluster {
    /// The servers; the first is the master at the start.
    pub redis: Vec<Redis>,
    /// The sentinels.
    pub sentinels: Vec<Sentinel>,
    /// Dropped last, when nobody writes into it any more.
    pub folder: Folder,
}

impl Cluster {
    /// Starts everything, and returns when every sentinel knows everybody and takes nobody for down.
    pub fn start(setup: &Setup) -> Cluster {
        let folder = Folder::new();
        let server = |number: usize, follows| {
            let mut serving = setup.serving.clone();
            serving.lines.extend(setup.server_lines.get(number).cloned().unwrap_or_default());
            Redis::start_new(&folder, &serving, follows)
        };
        let master = server(0, None);
        let replicas: Vec<_> = (1..=setup.replicas).map(|number| server(number, Some(master.port))).collect();
        let start = |(number, program): (usize, &Program)| {
            let extra = setup.extra.get(number).cloned().unwrap_or_default();
            let config = setup.sentinel_config(number, master.port);
            Sentinel::start_new(&folder, program.clone(), &config, extra)
        };
        let sentinels = setup.sentinels.iter().enumerate().map(start).collect();
        let mut redis = vec![master];
        redis.extend(replicas);
        let cluster = Cluster { redis, sentinels, folder };
        cluster.wait_until_settled(0);
        cluster
    }

    /// Waits until the given server is the master in everybody's eyes, all servers follow it, and every sentinel sees
    /// all of them well.
    pub fn wait_until_settled(&self, master: usize) {
        let port = self.redis[master].port;
        let following = |redis: &Redis| redis.port == port || redis.follows() == Some(port);
        eventually("every server follows the master", DISCOVERY, || {
            self.redis.iter().all(following).then_some(())
        });
        for sentinel in &self.sentinels {
            let content = || self.complaint(sentinel, port).is_none().then_some(());
            if poll_until(DISCOVERY, content).is_none() {
                let complaint = self.complaint(sentinel, port);
                panic!(
                    "waited {DISCOVERY:?} in vain: the sentinel on {} is content; {complaint:?}",
                    sentinel.port
                );
            }
        }
    }

    /// What a sentinel still does not know, or takes for down.
    fn complaint(&self, sentinel: &Sentinel, master: u16) -> Option<String> {
        let expect =
            |holds: bool, what: &str, seen: &dyn Debug| (!holds).then(|| format!("{what}: {seen:?}"));
        let field = |entry: &Fields, name: &str, value: &str| entry.get(name).is_some_and(|is| is == value);
        let (named, view) = (sentinel.master_port(), sentinel.master());
        let (replicas, peers) = (sentinel.replicas(), sentinel.sentinels());
        let follows = |replica: &Fields| {
            field(replica, "flags", "slave")
                && field(replica, "master-link-status", "ok")
                && field(replica, "master-port", &master.to_string())
        };
        let (all_replicas, all_peers) = (self.redis.len() - 1, self.sentinels.len() - 1);
        expect(named == Some(master), "the address", &named)
            .or_else(|| expect(field(&view, "flags", "master"), "the master", &view))
            .or_else(|| expect(replicas.len() == all_replicas, "the replicas' number", &replicas.len()))
            .or_else(|| expect(replicas.iter().all(follows), "the replicas", &replicas))
            .or_else(|| expect(peers.len() == all_peers, "the sentinels' number", &peers.len()))
            .or_else(|| {
                expect(peers.iter().all(|peer| field(peer, "flags", "sentinel")), "the sentinels", &peers)
            })
    }

    /// Subscribes to every sentinel.
    pub fn events(&self) -> Vec<Events> {
        self.sentinels.iter().map(Sentinel::events).collect()
    }

    /// SENTINEL FAILOVER to every sentinel, as close to each other as threads can make it, and the replies.
    pub fn order_at_once(&self) -> Vec<String> {
        let barrier = Barrier::new(self.sentinels.len());
        std::thread::scope(|scope| {
            let order = |port: u16| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut client = Client::connect(port, AN_ORDER).expect("the sentinel listens");
                    barrier.wait();
                    match client.call(&["SENTINEL", "FAILOVER", GROUP]) {
                        Ok(Value::Simple(text) | Value::Error(text)) => text,
                        other => format!("{other:?}"),
                    }
                })
            };
            let threads: Vec<_> = self.sentinels.iter().map(|sentinel| order(sentinel.port)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        })
    }

    /// Waits until every sentinel names one master other than the given server, and says which server it is.
    pub fn wait_for_new_master(&self, old: usize, within: Duration) -> usize {
        let old_port = self.redis[old].port;
        let port = eventually("every sentinel names the same new master", within, || {
            let mut ports = self.sentinels.iter().map(Sentinel::master_port);
            let first = ports.next()??;
            (first != old_port && ports.all(|port| port == Some(first))).then_some(first)
        });
        self.redis.iter().position(|redis| redis.port == port).expect("the new master is one of the servers")
    }
}
