//! Draws a picture of a daemon from what can be seen of it.

use super::{
    Consul, ConsulState, Entry, Health, Master, Phase, Picture, Publication, Sentinel, Server, StateKind,
};
use crate::clock;
use crate::dns::DnsViewBuilder;
use crate::registrar::Gauge;
use consentinel_core::{
    Endpoint, FailoverPhase, GroupName, GroupView, Host, Info, NodeView, PeerView, PublicationView, Role,
    Sentinel as Core, Time,
};
use std::time::Duration;

/// What belongs into the picture and is not the core's.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// When the process started.
    pub started: Time,
    /// How Consul is reached; nothing when nothing is published.
    pub consul: Option<&'a Gauge>,
    /// What DNS answers.
    pub dns_views: &'a DnsViewBuilder,
}

/// A picture of the whole daemon.
pub(crate) fn draw(core: &Core, scene: Scene<'_>) -> Picture {
    let groups = core.view().groups;
    paint(core, scene, &groups)
}

/// A picture with some of the masters only. Names that nobody knows are passed over.
pub(crate) fn draw_some(core: &Core, scene: Scene<'_>, names: &[GroupName]) -> Picture {
    let groups: Vec<GroupView> = names.iter().filter_map(|name| core.group(name)).collect();
    paint(core, scene, &groups)
}

fn paint(core: &Core, scene: Scene<'_>, groups: &[GroupView]) -> Picture {
    let brush = Brush { core, scene, now: clock::now() };
    Picture {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        myid: core.myid().to_string(),
        address: core.address().map(|addr| addr.joined()).unwrap_or_default(),
        pid: std::process::id(),
        unix_ms: millis(clock::since_epoch()),
        uptime_ms: brush.age(scene.started),
        current_epoch: core.current_epoch().0,
        tilt_ms: core.tilt().map(|since| brush.age(since)),
        storage_error: core.storage_error().map(str::to_owned),
        observes: core.config().observe,
        consul: scene.consul.map(consul),
        dns: scene.dns_views.listening().to_vec(),
        masters: groups.iter().map(|group| brush.master(group)).collect(),
    }
}

/// What every part of the picture is painted with.
struct Brush<'a> {
    core: &'a Core,
    scene: Scene<'a>,
    now: Time,
}

impl Brush<'_> {
    fn age(&self, since: Time) -> u64 {
        millis(self.now - since)
    }

    fn shown(&self, addr: &Endpoint, host: Host) -> String {
        Endpoint::new(host, addr.port).joined()
    }

    fn node_address(&self, node: &NodeView) -> String {
        self.shown(&node.addr, node.shown_host(self.core.config().announce_hostnames))
    }

    fn master(&self, group: &GroupView) -> Master {
        let check = group.check_quorum();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Master {
            name: group.name.to_string(),
            address: group.address.joined(),
            epoch: group.config_epoch.0,
            quorum: group.config.quorum.0,
            usable_sentinels: count(check.usable),
            all_sentinels: count(group.sentinels.len() + 1),
            quorum_reachable: check.quorum_reachable,
            majority_reachable: check.majority_reachable,
            down_after_ms: millis(group.config.down_after),
            failover_timeout_ms: millis(group.config.failover_timeout),
            parallel_syncs: group.config.parallel_syncs,
            odown_ms: group.odown.map(|since| self.age(since)),
            server: self.server(&group.master, group),
            replicas: group.replicas.iter().map(|node| self.server(node, group)).collect(),
            sentinels: group.sentinels.iter().map(|peer| self.sentinel(peer)).collect(),
            failover: self.phase(group),
            last_attempt_ms: group.last_attempt.map(|at| self.age(at)),
            next_attempt_in_ms: millis(group.next_attempt - self.now),
            voted_for: group.voted_for.as_ref().map(ToString::to_string),
            voted_epoch: group.leader_epoch.0,
            publication: group.publication.as_ref().map(|view| self.publication(&group.name, view)),
            answer: self.scene.dns_views.answer(self.core, &group.name),
        }
    }

    fn server(&self, node: &NodeView, group: &GroupView) -> Server {
        let told = node.info.is_some();
        let nothing = Info::default();
        let info = node.info.as_ref().map_or(&nothing, |(_, info)| &**info);
        let health = node.verdict.as_ref().filter(|_| told || node.link.sdown.is_some());
        let (state_kind, state) = self.state(node, group, info);
        Server {
            address: self.node_address(node),
            run_id: node.run_id.as_ref().map(|id| id.as_str().to_owned()),
            role: info.role.map(Into::into),
            linked: node.link.up,
            subscribed: node.pubsub_up,
            last_ok_ms: self.age(node.link.last_ok),
            sdown_ms: node.link.sdown.map(|since| self.age(since)),
            follows: info.master.as_ref().map(Endpoint::joined),
            master_link_up: info.master_link_up,
            master_link_down_ms: millis(info.master_link_down),
            syncing: info.syncing,
            loading: info.loading,
            announced: info.announced,
            offset: match info.role {
                Some(Role::Replica) => info.repl_offset.0,
                _ => info.master_repl_offset.0,
            },
            lag_bytes: node.lag,
            priority: info.priority,
            version: info.text.version(),
            state,
            state_kind: Some(state_kind),
            health: health.map_or(Health::Unknown, |(health, _)| (*health).into()),
        }
    }

    /// How a server stands, in words for people.
    fn state(&self, node: &NodeView, group: &GroupView, info: &Info) -> (StateKind, String) {
        let is_master = node.addr == group.master.addr;
        let span = |since: Time| span_words(self.now - since);
        match (is_master.then_some(group.odown).flatten(), node.link.sdown) {
            (Some(since), _) => {
                return (StateKind::Down, format!("down for {}, as a quorum agrees", span(since)));
            }
            (None, Some(_)) if node.emptied.is_some() => {
                return (StateKind::Other, "came back without its data".to_owned());
            }
            (None, Some(since)) => return (StateKind::Down, format!("down for {}", span(since))),
            (None, None) => {}
        }
        if node.info.is_none() {
            return (StateKind::Other, "has not told anything of itself yet".to_owned());
        }
        if !node.link.up {
            return (StateKind::Silent, format!("silent for {}", span(node.link.last_ok)));
        }
        match (is_master, &node.verdict) {
            // The only replica that is to be used without a reservation is one that is linked.
            (false, Some((consentinel_core::Health::Passing, sentence))) => {
                (StateKind::Linked, sentence.clone())
            }
            (false, Some((_, sentence))) => (StateKind::Other, sentence.clone()),
            _ if info.loading => (StateKind::Other, "is reading its data".to_owned()),
            (true, _) if node.role == Role::Replica => {
                (StateKind::Other, "says that it is a replica".to_owned())
            }
            _ => (StateKind::Other, "master".to_owned()),
        }
    }

    fn sentinel(&self, peer: &PeerView) -> Sentinel {
        Sentinel {
            id: peer.id.to_string(),
            address: peer.addr.joined(),
            linked: peer.link.up,
            sdown_ms: peer.link.sdown.map(|since| self.age(since)),
            last_hello_ms: self.age(peer.last_hello),
            says_down: peer.says_down,
            voted_for: peer.voted_leader.as_ref().map(ToString::to_string),
            voted_epoch: peer.voted_leader_epoch.0,
        }
    }

    fn phase(&self, group: &GroupView) -> Option<Phase> {
        (group.failover != FailoverPhase::None).then(|| Phase {
            phase: group.failover.as_str().to_owned(),
            words: phase_words(group.failover).to_owned(),
            since_ms: self.age(group.failover_since),
            promoting: group.successor.as_ref().map(Endpoint::joined),
        })
    }

    fn foreign(&self, name: &GroupName) -> Vec<String> {
        let strangers = self.scene.consul.map(|gauge| gauge.strangers(name)).unwrap_or_default();
        strangers.iter().map(ToString::to_string).collect()
    }

    fn publication(&self, name: &GroupName, view: &PublicationView) -> Publication {
        let names = self.scene.consul.and_then(|gauge| gauge.names(name));
        let seen = view.seen.as_ref();
        let record = seen.and_then(|seen| seen.record.as_ref());
        let counters = &view.counters;
        Publication {
            state: view.state.into(),
            error: view.error.as_ref().map(ToString::to_string),
            tries: view.tries,
            service: names.as_ref().map(|names| names.service.clone()).unwrap_or_default(),
            node: names.map(|names| names.node.clone()).unwrap_or_default(),
            lock: seen.map(|seen| seen.lock.into()),
            record_epoch: record.map(|record| record.epoch.0),
            record_master: record.map(|record| record.master.joined()),
            record_publisher: record.map(|record| record.publisher.to_string()),
            seen_ms: view.seen_at.map(|at| self.age(at)),
            desired: view.desired.iter().map(entry).collect(),
            published: seen.map(|seen| seen.entries.iter().map(entry).collect()).unwrap_or_default(),
            damaged: seen.map(|seen| seen.damaged.clone()).unwrap_or_default(),
            foreign: self.foreign(name),
            claims: counters.claims,
            amendments: counters.amendments,
            repairs: counters.repairs,
            stale: counters.stale,
            failures: counters.failures.iter().sum(),
        }
    }
}

fn consul(gauge: &Gauge) -> Consul {
    let counted = gauge.counters();
    Consul {
        address: gauge.settings.address.to_string(),
        state: counted.trouble.as_ref().map_or(ConsulState::Ok, |trouble| trouble.kind.into()),
        trouble: counted.trouble.as_ref().map(ToString::to_string),
        latency_us: u64::try_from(counted.latency.as_micros()).unwrap_or(u64::MAX),
        dry_run: gauge.settings.dry_run,
    }
}

pub(super) fn entry(entry: &consentinel_core::Entry) -> Entry {
    Entry {
        role: entry.role.into(),
        address: entry.addr.joined(),
        health: entry.health.into(),
        sentence: entry.sentence.clone(),
        epoch: entry.epoch.0,
    }
}

pub(super) fn phase_words(phase: FailoverPhase) -> &'static str {
    match phase {
        FailoverPhase::None => "none",
        FailoverPhase::WaitStart => "waits for its turn to stand for election",
        FailoverPhase::Election => "asks for votes",
        FailoverPhase::SelectReplica => "was elected, and chooses a replica",
        FailoverPhase::CatchUp => "the master holds writes back until the chosen replica has them all",
        FailoverPhase::SendReplicaOfNoOne => "is about to tell the chosen replica to be the master",
        FailoverPhase::WaitPromotion => "waits for the chosen replica to say that it is the master",
        FailoverPhase::ReconfReplicas => "leads the other replicas to the new master",
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span of time for people: `350 ms`, `12 s`, `5 min`, `3 h`, `9 d`.
pub(crate) fn span_words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..=9 if span.subsec_millis() < 100 => format!("{seconds} s"),
        1..=9 => format!("{}.{} s", seconds, span.subsec_millis() / 100),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_exactly_as_somebody_wants_to_know() {
        for (millis, words) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (1250, "1.2 s"),
            (9999, "9.9 s"),
            (10_000, "10 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_199_000, "119 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(span_words(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn every_phase_of_a_failover_has_words() {
        use FailoverPhase::*;
        let phases = [
            None,
            WaitStart,
            Election,
            SelectReplica,
            CatchUp,
            SendReplicaOfNoOne,
            WaitPromotion,
            ReconfReplicas,
        ];
        let words: std::collections::BTreeSet<_> = phases.into_iter().map(phase_words).collect();
        assert_eq!(words.len(), phases.len());
    }
}
