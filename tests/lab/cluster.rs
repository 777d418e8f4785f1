//! A master, its replicas, and the sentinels that watch them.

use crate::events::Events;
use crate::folder::Folder;
use crate::redis::Redis;
use crate::sentinel::{Program, Sentinel};
use crate::wait::eventually;
use std::time::Duration;

/// What the watched master is called.
pub const GROUP: &str = "mymaster";

/// The original looks at replicas with the INFO of every tenth second, and may need several looks.
const DISCOVERY: Duration = Duration::from_secs(60);

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
    /// `repl-diskless-sync-delay`: seconds that a master waits before it sends a replica its data.
    pub sync_delay: u32,
    /// This sentinel finds the master down in half the time and needs nobody to agree: so it is the one that leads.
    pub leader: Option<usize>,
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
            sync_delay: 0,
            leader: None,
        }
    }

    fn sentinel_config(&self, number: usize, master: u16) -> String {
        let Setup { failover_timeout, .. } = self;
        let (quorum, down_after) = match self.leader == Some(number) {
            true => (1, self.down_after / 2),
            false => (self.quorum, self.down_after),
        };
        format!(
            "sentinel monitor {GROUP} 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds {GROUP} {}\n\
             sentinel failover-timeout {GROUP} {}\n\
             sentinel parallel-syncs {GROUP} 1\n",
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
        let delay = setup.sync_delay;
        let master = Redis::master(&folder, delay);
        let replicas: Vec<_> =
            (0..setup.replicas).map(|_| Redis::replica_of(&folder, delay, master.port)).collect();
        let start = |(number, program): (usize, &Program)| {
            Sentinel::start_new(&folder, program.clone(), &setup.sentinel_config(number, master.port))
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
            eventually(&format!("the sentinel on {} sees everybody well", sentinel.port), DISCOVERY, || {
                self.is_content(sentinel, port).then_some(())
            });
        }
    }

    /// Whether a sentinel knows all of the servers and sentinels, and takes none for down.
    fn is_content(&self, sentinel: &Sentinel, master: u16) -> bool {
        let (replicas, peers) = (sentinel.replicas(), sentinel.sentinels());
        sentinel.master_port() == Some(master)
            && sentinel.master().get("flags").is_some_and(|flags| flags == "master")
            && replicas.len() == self.redis.len() - 1
            && replicas.iter().all(|replica| {
                replica.get("flags").is_some_and(|flags| flags == "slave")
                    && replica.get("master-link-status").is_some_and(|status| status == "ok")
                    && replica.get("master-port").is_some_and(|port| *port == master.to_string())
            })
            && peers.len() == self.sentinels.len() - 1
            && peers.iter().all(|peer| peer.get("flags").is_some_and(|flags| flags == "sentinel"))
    }

    /// Subscribes to every sentinel.
    pub fn events(&self) -> Vec<Events> {
        self.sentinels.iter().map(Sentinel::events).collect()
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
