//! Servers that are known by names, whose addresses change as those of containers do.

use crate::{PATIENCE, ours};
use consentinel_lab::{Cluster, Extra, Folder, GROUP, Names, Redis, Sentinel, Serving, eventually};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const HOSTS: [&str; 3] = ["alpha.lab", "beta.lab", "gamma.lab"];
/// What a failover may take beyond down-after.
const PROMPT: Duration = Duration::from_secs(5);

fn sentinel_name(number: usize) -> String {
    format!("sentinel-{number}.lab")
}

/// In a server's configuration, the addresses where it listens.
fn rebind(config: PathBuf, address: &str) {
    let text = std::fs::read_to_string(&config).expect("the folder is ours");
    let bind = format!("bind 127.0.0.1 {address}");
    let lines = text.lines().filter(|line| !line.starts_with("bind ")).chain([bind.as_str()]);
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(config, text).expect("the folder is ours");
}

struct Containers {
    cluster: Cluster,
    names: Names,
}

impl Containers {
    /// Each server at an address of its own, with a name that leads there.
    fn start(down_after: Duration) -> Containers {
        let folder = Folder::new();
        let names = Names::new(&folder);
        let mut redis: Vec<Redis> = Vec::new();
        for (number, host) in HOSTS.into_iter().enumerate() {
            let address = format!("127.0.0.{}", number + 2);
            names.set(host, &address);
            let follows = redis.first().map(|master| format!("replicaof {} {}", HOSTS[0], master.port));
            let lines = [format!("bind 127.0.0.1 {address}")].into_iter().chain(follows).collect();
            let serving = Serving { host, names: Some(names.clone()), lines, ..Serving::default() };
            redis.push(Redis::start_new(&folder, &serving, None));
        }
        let config = format!(
            "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
             sentinel monitor {GROUP} {} {} 2\nsentinel down-after-milliseconds {GROUP} {}\n\
             sentinel failover-timeout {GROUP} 5000\n",
            HOSTS[0],
            redis[0].port,
            down_after.as_millis(),
        );
        // The servers would wait for a name server that is silent, and do nothing else meanwhile.
        let extra = Extra { names: Some(names.with_silence()), ..Extra::default() };
        let start = |number| {
            let (name, address) = (sentinel_name(number), format!("127.0.0.{}", number + 32));
            names.set(&name, &address);
            let extra = extra.clone().line(&format!("sentinel announce-ip {name}"));
            Sentinel::start_new(&folder, ours(), &config, extra.line(&format!("bind 127.0.0.1 {address}")))
        };
        let sentinels = (0..3).map(start).collect();
        let cluster = Cluster { redis, sentinels, folder };
        cluster.wait_until_settled(0);
        Containers { cluster, names }
    }

    /// The server is started at another address, to which its name leads from now on.
    fn start_at(&mut self, number: usize, address: &str) {
        self.names.set(HOSTS[number], address);
        rebind(self.cluster.redis[number].config(), address);
        self.cluster.redis[number].start();
    }

    /// The master is killed, and `meanwhile` happens at once; says who succeeds it.
    fn fail_over(&mut self, master: usize, meanwhile: impl FnOnce(&Names)) -> usize {
        let events = self.cluster.events();
        self.cluster.redis[master].kill();
        let killed = Instant::now();
        meanwhile(&self.names);
        let new = self.cluster.wait_for_new_master(master, PATIENCE);
        assert!(killed.elapsed() < PROMPT, "the failover took {:?}", killed.elapsed());
        let ports = [master, new].map(|number| self.cluster.redis[number].port);
        let payload = format!("{GROUP} {} {} {} {}", HOSTS[master], ports[0], HOSTS[new], ports[1]);
        for events in &events {
            assert_eq!(events.expect("+switch-master", PATIENCE).payload, payload);
        }
        new
    }
}

#[test]
fn names_that_vanish_or_move_while_a_master_is_down_do_not_delay_its_succession() {
    let mut containers = Containers::start(Duration::from_secs(1));
    // A container that is gone has no name any more.
    let first = containers.fail_over(0, |names| names.remove(HOSTS[0]));
    containers.start_at(0, "127.0.0.12");
    containers.cluster.wait_until_settled(first);
    // Or its name leads to where nobody is, yet.
    let second = containers.fail_over(first, |names| names.set(HOSTS[first], "127.0.0.13"));
    containers.start_at(first, "127.0.0.13");
    containers.cluster.wait_until_settled(second);
    for sentinel in &containers.cluster.sentinels {
        let text = sentinel.config_text();
        assert!(text.contains(&format!("sentinel monitor {GROUP} {} ", HOSTS[second])), "{text}");
        let address = sentinel.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).expect("it answers");
        assert_eq!(address.items()[0].text(), Some(HOSTS[second]));
    }
}

#[test]
fn a_master_that_moves_quickly_is_found_at_its_new_address() {
    let mut containers = Containers::start(Duration::from_secs(10));
    let events = containers.cluster.events();
    containers.cluster.redis[0].kill();
    containers.start_at(0, "127.0.0.22");
    containers.cluster.wait_until_settled(0);
    let clients = || containers.cluster.redis[0].call(&["CLIENT", "LIST"]).expect("the master answers");
    eventually("all sentinels are connected to the new address", PATIENCE, || {
        let clients = clients();
        let text = clients.text()?;
        let here =
            text.lines().filter(|line| line.contains("laddr=127.0.0.22:") && line.contains("name=sentinel-"));
        (here.count() == 3).then_some(())
    });
    assert!(events.iter().all(|events| !events.has("+switch-master") && !events.has("+odown")));
}

#[test]
fn a_sentinel_that_returns_at_another_address_is_counted_again() {
    let mut containers = Containers::start(Duration::from_secs(1));
    let moved = &mut containers.cluster.sentinels[2];
    moved.kill();
    containers.names.set(&sentinel_name(2), "127.0.0.44");
    rebind(moved.config(), "127.0.0.44");
    moved.start();
    containers.cluster.wait_until_settled(0);
    for sentinel in &containers.cluster.sentinels {
        let hosts: Vec<_> = sentinel.sentinels().iter().map(|peer| peer["ip"].clone()).collect();
        assert!(hosts.iter().all(|host| host.starts_with("sentinel-")), "{hosts:?}");
        // All three must agree from now on.
        let reply = sentinel.call(&["SENTINEL", "SET", GROUP, "quorum", "3"]);
        assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"));
    }
    containers.fail_over(0, |_| {});
}
