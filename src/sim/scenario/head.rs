//! The world of a story.

use super::{ScenarioError, duration};
use crate::blueprint::{Blueprint, GroupPlan, RedisPlan, SentinelPlan};
use crate::brain::Kind;
use crate::consul::ConsulPlan;
use crate::network::Weather;
use consentinel_core::{Config, GroupConfig, GroupName, Quorum, Time};
use std::time::Duration;

/// What the lines that are no deeds say.
pub(super) struct Head {
    pub(super) blueprint: Blueprint,
    pub(super) seed: u64,
    pub(super) until: Time,
}

impl Head {
    pub(super) fn parse(lines: &[(usize, &str)]) -> Result<Head, ScenarioError> {
        let mut draft = Draft::default();
        for (number, line) in lines {
            draft.read(line).map_err(|what| ScenarioError { line: *number, what })?;
        }
        draft.finish().map_err(|what| ScenarioError { line: 0, what })
    }
}

struct Draft {
    sentinels: Vec<SentinelPlan>,
    quorum: u32,
    groups: Vec<GroupPlan>,
    host_names: bool,
    acquainted: bool,
    client: bool,
    waiting: bool,
    latency: Duration,
    consul: Option<ConsulPlan>,
    seed: u64,
    until: Duration,
}

impl Default for Draft {
    fn default() -> Self {
        Draft {
            sentinels: Vec::new(),
            quorum: 1,
            groups: Vec::new(),
            host_names: false,
            acquainted: true,
            client: false,
            waiting: false,
            latency: Duration::from_micros(100),
            consul: None,
            seed: 1,
            until: Duration::from_secs(30),
        }
    }
}

impl Draft {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["at" | "when", ..] => {}
            ["sentinels", ..] => self.sentinels(line)?,
            ["originals", names @ ..] => self.originals(names)?,
            ["observers", names @ ..] => self.observers(names)?,
            ["consul"] => self.consul(1),
            ["consul,", "3", "servers"] => self.consul(3),
            ["until", time] => self.until = duration(time)?,
            ["seed", seed] => self.seed = seed.parse().map_err(|_| format!("'{seed}' is no seed"))?,
            ["host", "names"] => self.host_names = true,
            ["strangers"] => self.acquainted = false,
            ["a", "client", "writes"] => self.client = true,
            ["a", "client", "waits", "for", "a", "replica"] => self.waiting = true,
            ["messages", "take", time] => self.latency = duration(time)?,
            ["disks", "take", time] => {
                let micros = duration(time)?.as_micros() as u64;
                self.sentinels.iter_mut().for_each(|plan| plan.disk_pace = (micros, 1));
            }
            ["loading", "takes", time] => {
                let time = duration(time)?;
                self.each_server(|server| server.load_time = time);
            }
            ["every", "copy", "is", "whole"] => self.each_server(|server| server.backlog = 0),
            ["copying", "takes", time] => {
                let time = duration(time)?;
                self.each_server(|server| server.sync_time = time);
            }
            ["priority", name, priority] => {
                let priority = priority.parse().map_err(|_| format!("'{priority}' is no priority"))?;
                self.server(name)?.priority = priority;
            }
            [name, "follows", master] => {
                let place =
                    |group: &GroupPlan| group.redises.iter().position(|server| server.name == *master);
                let master =
                    self.groups.iter().find_map(place).ok_or_else(|| format!("nobody is {master}"))?;
                self.server(name)?.follows = Some(master);
            }
            [group, ..] if group.ends_with(':') => self.group(line)?,
            _ => return Err(format!("'{line}' is nothing that a story can say")),
        }
        Ok(())
    }

    fn each_server(&mut self, change: impl Fn(&mut RedisPlan)) {
        self.groups.iter_mut().flat_map(|group| &mut group.redises).for_each(change);
    }

    fn server(&mut self, name: &str) -> Result<&mut RedisPlan, String> {
        let mut servers = self.groups.iter_mut().flat_map(|group| &mut group.redises);
        servers.find(|server| server.name == name).ok_or_else(|| format!("no server is called {name}"))
    }

    /// `sentinels s1 s2 s3, quorum 2`
    fn sentinels(&mut self, line: &str) -> Result<(), String> {
        let (names, quorum) =
            line.split_once(", quorum ").ok_or("after the sentinels the quorum is expected: ', quorum 2'")?;
        self.quorum = quorum.parse().map_err(|_| format!("'{quorum}' is no quorum"))?;
        let plan = |name: &str| SentinelPlan {
            name: name.to_owned(),
            kind: Kind::Core,
            observes: false,
            disk_pace: (1000, 200),
            clock: 0,
        };
        self.sentinels = names.split_whitespace().skip(1).map(plan).collect();
        Ok(())
    }

    fn originals(&mut self, names: &[&str]) -> Result<(), String> {
        for name in names {
            let plan = self.sentinels.iter_mut().find(|plan| plan.name == *name);
            plan.ok_or_else(|| format!("no sentinel is called {name}"))?.kind = Kind::Original;
        }
        Ok(())
    }

    fn observers(&mut self, names: &[&str]) -> Result<(), String> {
        for name in names {
            let plan = self.sentinels.iter_mut().find(|plan| plan.name == *name);
            plan.ok_or_else(|| format!("no sentinel is called {name}"))?.observes = true;
        }
        Ok(())
    }

    fn consul(&mut self, servers: u8) {
        let plan = ConsulPlan { servers, latency: (300, 100), commit: 500, always_silent: false, seed: 1 };
        self.consul = Some(plan);
    }

    /// `mymaster: r1 with replicas r2 r3, down-after 1s, failover-timeout 10s`
    fn group(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.split(", ");
        let members = parts.next().unwrap_or_default();
        let (name, members) = members.split_once(": ").ok_or("'name: master with replicas …' is expected")?;
        let mut config = GroupConfig::new(Quorum(self.quorum));
        config.down_after = Duration::from_secs(5);
        config.failover_timeout = Duration::from_secs(20);
        for setting in parts {
            match setting.split_once(' ') {
                Some(("down-after", time)) => config.down_after = duration(time)?,
                Some(("failover-timeout", time)) => config.failover_timeout = duration(time)?,
                Some(("reboot-down-after", time)) => config.master_reboot_down_after = duration(time)?,
                Some(("parallel-syncs", count)) => {
                    config.parallel_syncs = count.parse().map_err(|_| format!("'{count}' is no number"))?;
                }
                _ => return Err(format!("'{setting}' is no setting of a group")),
            }
        }
        let words =
            members.split_whitespace().filter(|word| !matches!(*word, "with" | "replica" | "replicas"));
        let server = |(place, name): (usize, &str)| RedisPlan {
            name: name.to_owned(),
            follows: (place > 0).then_some(0),
            priority: 100,
            load_time: Duration::from_millis(100),
            sync_time: Duration::from_millis(200),
            backlog: 1 << 20,
        };
        let redises = words.enumerate().map(server).collect();
        self.groups.push(GroupPlan { name: GroupName::new(name), config, redises, clients: 0 });
        Ok(())
    }

    fn finish(mut self) -> Result<Head, String> {
        if self.sentinels.is_empty() || self.groups.is_empty() {
            return Err("a story needs sentinels and a group".into());
        }
        self.groups.iter_mut().for_each(|group| group.clients = usize::from(self.client));
        let nodes = Blueprint::count(self.sentinels.len(), &self.groups);
        let mut weather = Weather::lan(nodes);
        weather.base = vec![vec![self.latency.as_micros() as u64]];
        let blueprint = Blueprint {
            sentinels: self.sentinels,
            groups: self.groups,
            config: Config {
                resolve_hostnames: self.host_names,
                announce_hostnames: self.host_names,
                ..Config::default()
            },
            host_names: self.host_names,
            acquainted: self.acquainted,
            weather,
            compound: None,
            waiting: self.waiting,
            consul: self.consul.map(|plan| ConsulPlan { seed: self.seed, ..plan }),
        };
        Ok(Head { blueprint, seed: self.seed, until: Time::ZERO + self.until })
    }
}
