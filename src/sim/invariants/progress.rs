//! A dead master is replaced in time, while the disasters last.
//!
//! The clock runs from the death of a master around which all was well, and only as long as a majority of the sentinels
//! is alive, writes, and is connected to each other and to a replica that may be promoted. What else may happen
//! meanwhile, a leader that dies, a disk that is slow, an order, each adds to the bound. Anything else ends the promise;
//! the failover is then only counted.

use super::Invariant;
use crate::failover_times::Fault;
use crate::host::SentinelHost;
use crate::network::NodeId;
use crate::report::Failure;
use crate::step::Crash;
use crate::world::{Role, World};
use consentinel_core::{FailoverPhase, Request, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// The failovers that must come, by group.
pub(super) type Progress = BTreeMap<u16, Waiting>;

/// A failover that must come.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    old: NodeId,
    since: Time,
    /// When its last words may have arrived.
    heard: Time,
    /// An operator ordered it; the master is well.
    ordered: bool,
    /// How long the master may go on loading.
    reboot: Option<Duration>,
    /// Sentinels that died, so that their ports refuse.
    deaths: u32,
    /// Sentinels that were stopped or cut off, or whose machines vanished.
    stops: u32,
    orders: u32,
    resets: u32,
    disk: Duration,
    /// Whether the disk of a sentinel was full or hung.
    failing_disk: bool,
    /// Whether too few were left for the quorum of those who had seen the master before it died.
    uninformed: bool,
    /// Something happened that the bound does not know.
    disturbed: bool,
}

/// How often the world is looked at while a failover must come, and while none must.
const FINE: Duration = Duration::from_millis(50);
const COARSE: Duration = Duration::from_secs(1);

/// What a failover takes beyond down-after: up to a second until the next ping, where down-after is ten and more, a quarter of
/// one for a replica that does not answer, and some room.
const BASE: Duration = Duration::from_millis(1350);
/// What each sentinel that died, each that fell silent, each order adds.
const PER_DEATH: Duration = Duration::from_secs(1);
const PER_STOP: Duration = Duration::from_secs(1);
const PER_ORDER: Duration = Duration::from_secs(1);
/// Who has won an election and cannot write is waited for until that election is over.
const PER_FAILING_DISK: Duration = Duration::from_secs(11);
/// So many writes to the slowest disk.
const WRITES: u32 = 5;
/// So many messages one after the other, and what it takes to send some of them again.
const MESSAGES: u32 = 20;
const SENT_AGAIN: Duration = Duration::from_secs(3);
/// How long it may take to hear that a master was restarted.
const REBOOT_SEEN: Duration = Duration::from_secs(2);

impl World {
    /// Lets time pass, and looks how failovers go on.
    pub(crate) fn watched_until(&mut self, end: Time) -> Result<(), Failure> {
        loop {
            self.watch_failovers();
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.now >= end {
                return Ok(());
            }
            let doomed = self.check_dooms();
            let step = if self.witness.progress.is_empty() && !doomed { COARSE } else { FINE };
            let next = (self.now + step).min(end);
            self.run_until(next)?;
        }
    }

    /// Something has just been done to the world.
    pub(crate) fn watch_deed(&mut self) {
        if !self.witness.progress.is_empty() {
            self.watch_failovers();
        }
    }

    fn watch_failovers(&mut self) {
        self.check_holds();
        for group in self.witness.progress.keys().copied().collect::<Vec<_>>() {
            self.watch_failover(group);
        }
    }

    /// All disasters are over.
    pub(crate) fn forget_failovers(&mut self) {
        self.witness.progress.clear();
    }

    fn begin_waiting(&mut self, group: u16, old: NodeId, ordered: bool, reboot: Option<Duration>) {
        let waiting = Waiting {
            old,
            since: self.now,
            heard: self.now,
            ordered,
            reboot,
            deaths: 0,
            stops: 0,
            orders: 0,
            resets: 0,
            disk: Duration::ZERO,
            failing_disk: false,
            uninformed: false,
            disturbed: false,
        };
        self.witness.progress.insert(group, waiting);
    }

    /// A server is about to die.
    pub(crate) fn watch_death(&mut self, redis: u16) {
        let server = &self.redises[usize::from(redis)];
        let (group, node) = (server.group, server.node);
        let calm = !self.witness.progress.contains_key(&group) && self.calm_master(group) == Some(node);
        match self.witness.progress.get_mut(&group) {
            None if calm => self.begin_waiting(group, node, false, None),
            None => {}
            Some(waiting) if waiting.ordered && waiting.old == node => {
                // It is replaced after all, but not because of the order alone.
                *waiting = Waiting { ordered: false, since: self.now, heard: self.now, ..waiting.clone() };
                waiting.orders += 1;
            }
            Some(waiting) => waiting.disturbed |= waiting.old != node || waiting.reboot.is_some(),
        }
    }

    /// A server was started and reads its data.
    pub(crate) fn watch_reboot(&mut self, redis: u16) {
        let server = &self.redises[usize::from(redis)];
        let (group, node, load) = (server.group, server.node, server.settings.load_time);
        let period = self.groups[usize::from(group)].config.master_reboot_down_after;
        let Some(waiting) = self.witness.progress.get(&group) else { return };
        if waiting.old != node || waiting.disturbed || !server.loading || !server.is_master() {
            return;
        }
        if period > Duration::ZERO && load > period + REBOOT_SEEN {
            self.begin_waiting(group, node, false, Some(period));
        } else {
            self.witness.progress.remove(&group);
        }
    }

    /// A sentinel ends.
    pub(crate) fn watch_sentinel_death(&mut self, how: Crash) {
        for waiting in self.witness.progress.values_mut() {
            waiting.deaths += u32::from(how != Crash::Vanish);
            waiting.stops += u32::from(how == Crash::Vanish);
        }
    }

    /// A process is stopped, or paths are closed.
    pub(crate) fn watch_silence(&mut self, node: Option<NodeId>) {
        let role = node.map(|node| self.processes[node.index()].role);
        for (group, waiting) in &mut self.witness.progress {
            match role {
                None | Some(Role::Sentinel(_)) => waiting.stops += 1,
                Some(Role::Redis(redis)) => {
                    waiting.disturbed |= self.redises[usize::from(redis)].group == *group;
                }
                Some(_) => {}
            }
        }
    }

    /// What these have said arrives now, if it was held back: for who hears it a dead master has lived until now.
    pub(crate) fn watch_late_words(&mut self, from: &[NodeId]) {
        let now = self.now;
        for waiting in self.witness.progress.values_mut().filter(|waiting| from.contains(&waiting.old)) {
            waiting.heard = now;
        }
    }

    /// Something happens that no bound knows of.
    pub(crate) fn watch_disturbance(&mut self) {
        self.witness.progress.values_mut().for_each(|waiting| waiting.disturbed = true);
    }

    /// An operator orders something.
    pub(crate) fn watch_order(&mut self, request: &Request) {
        for waiting in self.witness.progress.values_mut() {
            match request {
                Request::Reset { .. } => waiting.resets += 1,
                _ => waiting.orders += 1,
            }
        }
        let Request::Failover { group } = request else { return };
        let Some(group) = self.group_index(group) else { return };
        if self.witness.progress.contains_key(&group) {
            return;
        }
        if let Some(master) = self.calm_master(group) {
            self.begin_waiting(group, master, true, None);
        }
    }

    /// A sentinel has saved: what it tells its clients may have changed.
    pub(crate) fn watch_saved(&mut self) {
        for group in self.witness.progress.keys().copied().collect::<Vec<_>>() {
            self.finish_waiting(group);
        }
    }

    /// Whether a majority names a new master that takes writes; then the failover is counted.
    fn finish_waiting(&mut self, group: u16) -> bool {
        let Some(waiting) = self.witness.progress.get(&group) else { return true };
        let Some(new) = self.named_by_a_majority(group).filter(|new| *new != waiting.old) else {
            return false;
        };
        let process = &self.processes[new.index()];
        let Role::Redis(redis) = process.role else { return false };
        let server = &self.redises[usize::from(redis)];
        if !process.running() || process.paused || server.loading || !server.is_master() {
            return false;
        }
        let took = self.now - waiting.since;
        let down_after = self.groups[usize::from(group)].config.down_after;
        let time = if waiting.ordered { took } else { took.saturating_sub(down_after) };
        self.stats.times_by_fault.add(waiting.fault(), time);
        self.witness.progress.remove(&group);
        true
    }

    /// The server that a majority of the sentinels that run tells its clients is the master.
    pub(crate) fn named_by_a_majority(&self, group: u16) -> Option<NodeId> {
        let name = &self.groups[usize::from(group)].name;
        let counted: Vec<&SentinelHost> = self.sentinels.iter().filter(|host| !host.observes).collect();
        let mut named: BTreeMap<NodeId, usize> = BTreeMap::new();
        for host in &counted {
            let process = &self.processes[host.node.index()];
            let view = host.brain.group(name).filter(|_| process.running() && !process.paused);
            if let Some(node) = view.and_then(|view| self.addresses.node(&view.address)) {
                *named.entry(node).or_default() += 1;
            }
        }
        named.into_iter().find(|(_, count)| count * 2 > counted.len()).map(|(node, _)| node)
    }

    fn watch_failover(&mut self, group: u16) {
        if self.finish_waiting(group) {
            return;
        }
        let Some(mut waiting) = self.witness.progress.remove(&group) else { return };
        let process = &self.processes[waiting.old.index()];
        let Role::Redis(old) = process.role else { return };
        let server = &self.redises[usize::from(old)];
        let alive = process.running() && !process.paused;
        if !waiting.ordered && alive && !server.loading {
            return;
        }
        let took = self.now - waiting.since;
        if waiting.ordered {
            // An order may be given up.
            let name = &self.groups[usize::from(group)].name;
            let views = self.sentinels.iter().filter_map(|host| host.brain.group(name));
            if took > BASE * 2 && views.into_iter().all(|view| view.failover == FailoverPhase::None) {
                return;
            }
        }
        match self.quorate(group, waiting.old, waiting.since) {
            Some(quorate) => {
                waiting.deaths = waiting.deaths.max(quorate.dead);
                waiting.stops = waiting.stops.max(quorate.absent);
                waiting.disk = waiting.disk.max(quorate.disk);
                waiting.failing_disk |= quorate.failing_disk;
                // That a master was restarted is not known to a sentinel that was started later.
                waiting.disturbed |= !quorate.informed && waiting.reboot.is_some();
                waiting.uninformed |= !quorate.informed;
            }
            None => waiting.disturbed = true,
        }
        let bound = self.bound(group, &waiting);
        if !waiting.disturbed && !waiting.ordered && took > bound {
            let what = format!(
                "{:?} after the death of {}, its master, {} has no other that a majority names; the bound is {bound:?} \
                 with {} sentinels dead, {} silent, disks of {:?}, {} orders, {} resets",
                took,
                self.addresses.name(waiting.old),
                self.groups[usize::from(group)].name,
                waiting.deaths,
                waiting.stops,
                waiting.disk,
                waiting.orders,
                waiting.resets,
            );
            self.violated(Invariant::FailoverInTime, what);
        }
        self.witness.progress.insert(group, waiting);
    }

    fn bound(&self, group: u16, waiting: &Waiting) -> Duration {
        let down_after = self.groups[usize::from(group)].config.down_after;
        let (latency, sends_again) = self.net.longest_latency();
        let weather = latency * MESSAGES + if sends_again { SENT_AGAIN } else { Duration::ZERO };
        let detection = match waiting.reboot {
            Some(period) => period + REBOOT_SEEN,
            None => down_after,
        };
        detection
            + (waiting.heard - waiting.since)
            + BASE
            + PER_DEATH * waiting.deaths
            + (down_after + PER_STOP) * waiting.stops
            + PER_ORDER * waiting.orders
            // What was silent begins to be silent when it is watched anew.
            + down_after * (waiting.resets + u32::from(waiting.uninformed))
            + PER_FAILING_DISK * u32::from(waiting.failing_disk)
            // Each order is an election more, with votes that wait for the disks.
            + waiting.disk * (WRITES + waiting.orders)
            + weather
    }

    /// The master of a group in which all is well.
    fn calm_master(&self, group: u16) -> Option<NodeId> {
        let master = self.named_by_a_majority(group)?;
        let process = &self.processes[master.index()];
        let Role::Redis(redis) = process.role else { return None };
        let server = &self.redises[usize::from(redis)];
        let well = process.running() && !process.paused && server.is_master() && !server.loading;
        let linked = |redis: &u16| self.redises[usize::from(*redis)].is_linked();
        if !well || !self.groups[usize::from(group)].redises.iter().any(linked) {
            return None;
        }
        self.quorate(group, master, self.now)?;
        let name = &self.groups[usize::from(group)].name;
        let calm = |host: &SentinelHost| {
            let view = host.brain.group(name)?;
            let at_rest =
                view.failover == FailoverPhase::None && view.next_attempt <= host.clock_at(self.now);
            let sees =
                view.master.link.up && view.master.link.sdown.is_none() && view.master.emptied.is_none();
            let told = view.master.info.is_some() && self.addresses.node(&view.address) == Some(master);
            Some(at_rest && sees && told)
        };
        let able = self.sentinels.iter().filter(|host| self.is_able(host));
        able.map(calm).all(|calm| calm == Some(true)).then_some(master)
    }
}

impl Waiting {
    /// Under which fault the failover is counted.
    fn fault(&self) -> Fault {
        if self.disturbed || self.failing_disk || self.reboot.is_some() {
            Fault::Other
        } else if self.ordered {
            if self.deaths + self.stops + self.resets > 0 { Fault::Other } else { Fault::Ordered }
        } else if let Some(disk) = Fault::of_disk(self.disk) {
            disk
        } else if self.stops > 0 {
            Fault::LeaderSilent
        } else if self.deaths > 0 {
            Fault::LeaderKilled
        } else if self.orders + self.resets > 0 {
            Fault::Other
        } else {
            Fault::Plain
        }
    }
}
