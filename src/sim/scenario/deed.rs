//! The deeds of a story.

use super::{Planned, duration};
use crate::consul::{Behaviour, ConsulDeed, Drift};
use crate::disk::DiskMode;
use crate::network::{NodeId, Path};
use crate::step::{Ambush, Crash, Finds, IT, Step, Trigger};
use crate::world::{Role, World};
use consentinel_core::{Event, GroupChange, GroupName, Quorum, Request, Time};
use std::time::Duration;

/// What a line plans; nothing when it is no deed.
pub(super) fn planned(line: &str, world: &World) -> Result<Planned, String> {
    let reader = Reader { world };
    if let Some(rest) = line.strip_prefix("at ") {
        let (time, deed) = rest.split_once(' ').ok_or("after the time a deed is expected")?;
        let at = Time::ZERO + duration(time)?;
        let step = match deed.strip_prefix("when ") {
            Some(rest) => reader.ambush(rest)?,
            None => reader.deed(deed)?,
        };
        return Ok(Some((at, step)));
    }
    match line.strip_prefix("when ") {
        Some(rest) => Ok(Some((Time::ZERO, reader.ambush(rest)?))),
        None => Ok(None),
    }
}

struct Reader<'a> {
    world: &'a World,
}

impl Reader<'_> {
    fn node(&self, name: &str) -> Result<NodeId, String> {
        if name == "it" {
            return Ok(IT);
        }
        self.world.addresses.by_name(name).ok_or_else(|| format!("nobody is called {name}"))
    }

    fn nodes(&self, names: &[&str]) -> Result<Vec<NodeId>, String> {
        names.iter().map(|name| self.node(name)).collect()
    }

    /// Two lists with a word between them. `the others` are all that are not in the first.
    fn sides(&self, words: &[&str], between: &[&str]) -> Result<(Vec<NodeId>, Vec<NodeId>), String> {
        let at = words.windows(between.len()).position(|window| window == between);
        let at =
            at.ok_or_else(|| format!("'{}' is expected between two lists of names", between.join(" ")))?;
        let (left, right) = (&words[..at], &words[at + between.len()..]);
        let left = self.nodes(left)?;
        let right = match right {
            ["the", "others"] => {
                let all = (0..self.world.processes.len()).map(|index| NodeId(index as u16));
                all.filter(|node| !left.contains(node)).collect()
            }
            names => self.nodes(names)?,
        };
        Ok((left, right))
    }

    /// `s1 +elected-leader, after 5ms: crash it`
    fn ambush(&self, text: &str) -> Result<Step, String> {
        let (moment, deed) =
            text.split_once(": ").ok_or("': ' is expected between the moment and the deed")?;
        let (moment, after) = match moment.split_once(", after ") {
            Some((moment, time)) => (moment, duration(time)?),
            None => (moment, Duration::ZERO),
        };
        let (who, word) = moment.split_once(' ').ok_or("who does what?")?;
        let by = if who == "somebody" { None } else { Some(self.node(who)?) };
        let on = match word {
            "saves" => Trigger::Saves,
            "has saved" => Trigger::Saved,
            "votes" => Trigger::Votes,
            "promotes" => Trigger::Promotes,
            "publishes" => Trigger::Publishes,
            event => {
                let known = Event::ALL.iter().find(|known| known.as_str() == event);
                Trigger::Says(*known.ok_or_else(|| format!("'{event}' is no moment to wait for"))?)
            }
        };
        Ok(Step::Ambush(Ambush { by, on, after, then: Box::new(self.deed(deed)?) }))
    }

    fn deed(&self, deed: &str) -> Result<Step, String> {
        if let Some(order) = deed.strip_prefix("operator on ") {
            return self.order(order);
        }
        let words: Vec<&str> = deed.split_whitespace().collect();
        if let Some(deed) = self.consul(&words)? {
            return Ok(deed);
        }
        let step = match words.as_slice() {
            ["crash", who] => Step::Crash { node: self.node(who)?, how: Crash::Kill },
            ["vanish", who] => Step::Crash { node: self.node(who)?, how: Crash::Vanish },
            ["stop", who] => Step::Crash { node: self.node(who)?, how: Crash::Stop },
            ["restart", who] => Step::Restart { node: self.node(who)?, finds: Finds::History },
            ["restart", who, "empty"] => Step::Restart { node: self.node(who)?, finds: Finds::Nothing },
            ["bounce", who, "for", time] => {
                Step::Bounce { node: self.node(who)?, after: duration(time)?, finds: Finds::History }
            }
            ["pause", who] => Step::Pause { node: self.node(who)? },
            ["pause", who, "for", time] => Step::PauseFor { node: self.node(who)?, time: duration(time)? },
            ["resume", who] => Step::Resume { node: self.node(who)? },
            ["partition", rest @ ..] => self.path(rest, &["from"], true, Path::Cut)?,
            ["cut", rest @ ..] => self.path(rest, &["from", "reaching"], false, Path::Cut)?,
            ["hold", "the", "disk", "of", who] => self.disk(who, DiskMode::Held)?,
            ["fill", "the", "disk", "of", who] => self.disk(who, DiskMode::Failing)?,
            ["free", "the", "disk", "of", who] => self.disk(who, DiskMode::Fine)?,
            ["slow", "the", "disk", "of", who, "to", time] => {
                self.disk(who, DiskMode::Slow(duration(time)?))?
            }
            ["lose", "the", "write", "of", who] => Step::Torn { node: self.node(who)?, kept: false },
            ["keep", "the", "write", "of", who] => Step::Torn { node: self.node(who)?, kept: true },
            ["hold", rest @ ..] => self.path(rest, &["from"], true, Path::Held)?,
            ["refuse", rest @ ..] => self.path(rest, &["from"], true, Path::Refused)?,
            ["repair"] => Step::Repair,
            ["turn", "the", "clock", "of", who, "by", time] => {
                let (sign, time) = match time.strip_prefix('-') {
                    Some(time) => (-1, time),
                    None => (1, *time),
                };
                Step::Jump { node: self.node(who)?, by: sign * duration(time)?.as_micros() as i64 }
            }
            ["announce", who, "at", "its", which @ ("first" | "second"), "address"] => {
                Step::Announce { node: self.node(who)?, second: *which == "second" }
            }
            ["renew", who] => Step::Renew { node: self.node(who)? },
            ["move", who] => Step::Move { node: self.node(who)? },
            ["priority", who, priority] => {
                let priority = priority.parse().map_err(|_| format!("'{priority}' is no priority"))?;
                Step::Priority { node: self.node(who)?, priority }
            }
            ["redis-cli", who, "failover"] => Step::OwnFailover { node: self.node(who)? },
            ["redis-cli", who, "replicaof", "no", "one"] => {
                Step::ReplicaOf { node: self.node(who)?, master: None }
            }
            ["redis-cli", who, "replicaof", master] => {
                let master = self.world.addresses.current(self.node(master)?);
                Step::ReplicaOf { node: self.node(who)?, master: Some(master) }
            }
            _ => return Err(format!("'{deed}' is nothing that anybody can do")),
        };
        Ok(step)
    }

    /// What is done to Consul, if it is that.
    fn consul(&self, words: &[&str]) -> Result<Option<Step>, String> {
        let behave = |behaviour| Some(ConsulDeed::Behave(behaviour));
        let wipe = |keys, catalog| Some(ConsulDeed::Wipe { keys, catalog, anew: keys && catalog });
        let drift = |what, of: Option<&str>| {
            let of = of.map(|name| self.node(name)).transpose()?;
            Ok::<_, String>(Some(ConsulDeed::Drift { what, of }))
        };
        let deed = match words {
            ["consul", "heals"] => behave(Behaviour::Well),
            ["consul", "down"] => behave(Behaviour::Down),
            ["consul", "leaderless"] => behave(Behaviour::Leaderless),
            ["consul", "silent"] => behave(Behaviour::Silent),
            ["consul", "denies"] => behave(Behaviour::Denying { reads: false }),
            ["consul", "babbles"] => behave(Behaviour::Nonsense),
            ["consul", "takes", time] => Some(ConsulDeed::Slow(duration(time)?)),
            ["consul", "restarts", "for", time] => Some(ConsulDeed::Restart(duration(time)?)),
            ["consul", "reads", "its", "log", "for", time] => Some(ConsulDeed::Replay(duration(time)?)),
            ["wipe", "consul", "kv"] => wipe(true, false),
            ["wipe", "consul", "catalog"] => wipe(false, true),
            ["wipe", "consul"] => wipe(true, true),
            ["remove", "entry", who] => drift(Drift::Remove, Some(who))?,
            ["turn", "entry", who] => drift(Drift::Turn, Some(who))?,
            ["spoil", "entry", who] => drift(Drift::Spoil, Some(who))?,
            ["copy", "entry", who] => drift(Drift::Stranger, Some(who))?,
            ["publish", who, "as", "master"] => drift(Drift::SecondMaster, Some(who))?,
            ["remove", "consul", "node"] => drift(Drift::RemoveNode, None)?,
            ["alter", "consul", "node"] => drift(Drift::AlterNode, None)?,
            ["spoil", "consul", "record"] => drift(Drift::SpoilRecord, None)?,
            ["take", "consul", "record"] => drift(Drift::TakeRecord, None)?,
            ["return", "consul", "record"] => drift(Drift::ReturnRecord, None)?,
            ["end", "session", who] => Some(ConsulDeed::EndSession { of: Some(self.node(who)?) }),
            ["cut", sentinels @ .., "consul"] => return self.to_consul(sentinels, Path::Cut).map(Some),
            ["join", sentinels @ .., "consul"] => return self.to_consul(sentinels, Path::Open).map(Some),
            _ => None,
        };
        Ok(deed.map(Step::Consul))
    }

    fn to_consul(&self, sentinels: &[&str], path: Path) -> Result<Step, String> {
        let (from, to) = (self.nodes(sentinels)?, vec![self.node("consul")?]);
        Ok(Step::SetPath { from, to, both_ways: true, path })
    }

    fn path(&self, words: &[&str], between: &[&str], both_ways: bool, path: Path) -> Result<Step, String> {
        let (from, to) = self.sides(words, between)?;
        Ok(Step::SetPath { from, to, both_ways, path })
    }

    fn disk(&self, who: &str, mode: DiskMode) -> Result<Step, String> {
        Ok(Step::Disk { node: self.node(who)?, mode })
    }

    /// `s1: failover mymaster`
    fn order(&self, order: &str) -> Result<Step, String> {
        let (who, order) = order.split_once(": ").ok_or("'operator on s1: …' is expected")?;
        let words: Vec<&str> = order.split_whitespace().collect();
        let group = |name: &str| GroupName::new(name);
        let address = |name: &str| self.node(name).map(|node| self.world.addresses.current(node));
        let request = match words.as_slice() {
            ["failover", name] => Request::Failover { group: group(name) },
            ["reset", pattern] => Request::Reset { pattern: (*pattern).to_owned() },
            ["remove", name] => Request::Remove { group: group(name) },
            ["flushconfig"] => Request::FlushConfig,
            ["monitor", name, master, quorum] => {
                let quorum = quorum.parse().map_err(|_| format!("'{quorum}' is no quorum"))?;
                Request::Monitor { group: group(name), master: address(master)?, quorum: Quorum(quorum) }
            }
            ["set", name, "down-after", time] => {
                Request::Set { group: group(name), changes: vec![GroupChange::DownAfter(duration(time)?)] }
            }
            ["set", name, "quorum", quorum] => {
                let quorum = quorum.parse().map_err(|_| format!("'{quorum}' is no quorum"))?;
                Request::Set { group: group(name), changes: vec![GroupChange::Quorum(Quorum(quorum))] }
            }
            ["forget", name, member] => {
                let node = self.node(member)?;
                match self.world.processes[node.index()].role {
                    Role::Sentinel(sentinel) => Request::ForgetSentinel {
                        group: group(name),
                        sentinel: self.world.sentinels[usize::from(sentinel)].id.clone(),
                    },
                    _ => Request::ForgetReplica { group: group(name), replica: address(member)? },
                }
            }
            _ => return Err(format!("'{order}' is nothing that an operator can order")),
        };
        Ok(Step::Request { node: self.node(who)?, request })
    }
}
