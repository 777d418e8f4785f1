//! What is accepted while running, the next start accepts.

use crate::ours;
use consentinel_lab::{Extra, Folder, Sentinel, Value};

/// Numbers that are always the same for one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Rounds, with a start after each.
const ROUNDS: usize = 12;
/// Changes that are tried in each.
const CHANGES: usize = 60;

const NAMES: [&str; 14] = [
    "redis",
    "Redis",
    "cache",
    "cache-replica",
    "a;b",
    "a.b",
    "a/b",
    "..",
    "a..b",
    "redis-sentinel",
    "-",
    "it's",
    "\"q\"",
    "x\\y",
];
const HOSTS: [&str; 5] = ["127.0.0.1", "::1", "localhost", "no.such.host.invalid", "0.0.0.0"];
const VALUES: [&str; 14] = [
    "",
    "0",
    "1",
    "-1",
    "2147483647",
    "9223372036854775807",
    "yes",
    "no",
    "a b",
    "#",
    "\"",
    "\\",
    "\u{1}\u{e9}",
    "/bin/true",
];
const OPTIONS: [&str; 10] = [
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "quorum",
    "auth-pass",
    "auth-user",
    "master-reboot-down-after-period",
    "notification-script",
    "client-reconfig-script",
    "rename-command",
];
const SETTINGS: [&str; 7] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

fn change(chance: &mut Chance) -> Vec<&'static str> {
    match chance.below(8) {
        0..=2 => vec![
            "SENTINEL",
            "MONITOR",
            chance.one(&NAMES),
            chance.one(&HOSTS),
            "1",
            chance.one(&["1", "2", "0"]),
        ],
        3 => vec!["SENTINEL", "REMOVE", chance.one(&NAMES)],
        4..=5 => {
            let (name, option) = (chance.one(&NAMES), chance.one(&OPTIONS));
            let mut words = vec!["SENTINEL", "SET", name, option, chance.one(&VALUES)];
            if option == "rename-command" {
                words.push(chance.one(&VALUES));
            }
            words
        }
        _ => vec!["SENTINEL", "CONFIG", "SET", chance.one(&SETTINGS), chance.one(&VALUES)],
    }
}

fn whatever_was_accepted_is_accepted_at_the_next_start(args: &[&str], seed: u64) {
    let (folder, mut chance) = (Folder::new(), Chance(seed));
    let mut sentinel = Sentinel::start_new(&folder, ours(), "", Extra::default().args(args));
    let mut accepted = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..CHANGES {
            let words = change(&mut chance);
            let reply = sentinel.call(&words).expect("it answers");
            if reply.text() == Some("OK") {
                accepted.push(words);
            }
        }
        // The lab says what the start said, should it fail.
        println!("seed {seed}: {accepted:?}");
        sentinel.kill();
        sentinel.start();
        assert!(matches!(sentinel.call(&["PING"]), Some(Value::Simple(_))), "seed {seed}: {accepted:?}");
    }
    assert!(accepted.len() > ROUNDS, "hardly anything was accepted: {accepted:?}");
}

#[test]
fn whatever_was_accepted_without_consul_is_accepted_at_the_next_start() {
    whatever_was_accepted_is_accepted_at_the_next_start(&[], 1);
}

#[test]
fn whatever_was_accepted_with_dns_is_accepted_at_the_next_start() {
    let port = consentinel_lab::free_port().to_string();
    let address = format!("127.0.0.1:{port}");
    whatever_was_accepted_is_accepted_at_the_next_start(&["--dns", &address], 2);
}

/// Two masters under one service name, one under none that Consul knows, a name that is not looked up any more.
#[test]
fn what_the_next_start_refuses_is_refused_at_once() {
    let folder = Folder::new();
    let consul = format!("http://127.0.0.1:{}", consentinel_lab::free_port());
    let config = "sentinel resolve-hostnames yes\nsentinel monitor one localhost 1 1\n";
    let extra = Extra::consul(&consul).line("sentinel consul-service one redis-one");
    let mut sentinel = Sentinel::start_new(&folder, ours(), config, extra);
    let refused = |words: &[&str], why: &str| {
        let reply = sentinel.call(words).expect("it answers");
        assert!(
            reply.error().is_some_and(|text| text.starts_with("ERR ") && text.contains(why)),
            "{words:?}: {reply:?}"
        );
    };
    let monitored = |name: &str| {
        let reply = sentinel.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", "2", "1"]).expect("it answers");
        assert_eq!(reply.text(), Some("OK"), "{reply:?}");
    };
    monitored("two");
    refused(&["SENTINEL", "MONITOR", "three", "127.0.0.1", "3", "1"], "both be published as service 'redis'");
    refused(&["SENTINEL", "MONITOR", "a;b", "127.0.0.1", "2", "1"], "other signs than letters");
    refused(&["SENTINEL", "CONFIG", "SET", "resolve-hostnames", "no"], "'one' is watched by a host name");
    sentinel.kill();
    sentinel.start();
    assert!(sentinel.call(&["SENTINEL", "MASTER", "two"]).is_some_and(|reply| reply.error().is_none()));
}
