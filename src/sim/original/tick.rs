//! What is done to every instance at every tick.

use super::instance::{Failover, Group, Judgement, Part, Who};
use super::wire::{Millis, Purpose};
use super::world::{World, span};
use consentinel_core::{Command, Endpoint, Event, Level, Role, SentinelId};
use std::collections::BTreeMap;

/// Once INFO is urgent, it is asked for this often.
const INFO_WHEN_DOWN: Millis = 1000;

/// Answers of peers that are older than this many ask periods are forgotten.
const STALE_ANSWER: Millis = 5;

impl Group {
    /// One round over the master, its replicas and its sentinels.
    pub(super) fn tick(&mut self, shared: &BTreeMap<SentinelId, usize>, world: &mut World) {
        self.tick_node(&Part::Master, world);
        if !world.is_tilted() {
            self.check_objectively_down(world);
            if self.start_failover_if_needed(world) {
                self.ask_peers(true, world);
            }
            self.step_failover(world);
            self.ask_peers(false, world);
        }
        for addr in self.replicas.keys().cloned().collect::<Vec<_>>() {
            self.tick_node(&Part::Replica(addr), world);
        }
        for id in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.tick_peer(&id, shared.get(&id).copied().unwrap_or(1), world);
        }
        if let Failover::UpdateConfig(to) = self.failover.clone() {
            self.switch_to_promoted(to, world);
        }
    }

    fn tick_node(&mut self, part: &Part, world: &mut World) {
        let who = self.who(part.clone());
        let urgent = self.odown.is_down || self.failover.is_under_way();
        let (ping_period, hello) = (self.ping_period(world), self.hello_basis());
        let Some(node) = self.node_mut(part) else { return };
        node.wire.reconnect(&who, world);
        if !node.wire.disconnected && !node.wire.is_full(1) {
            let is_replica = matches!(part, Part::Replica(_));
            let hurry = is_replica && (urgent || node.link_down_for() != 0);
            let period = if hurry { INFO_WHEN_DOWN } else { world.info_period() };
            if world.now - node.info_refresh > period {
                node.wire.send(Command::Info, Purpose::Info, &who, world);
            }
            ping_if_due(&mut node.wire, ping_period, &who, world);
            if world.now - node.last_publish > world.publish_period() {
                hello.publish(&mut node.wire, &who, world);
            }
        }
        if !world.is_tilted() {
            self.judge_node(part, world);
        }
    }

    fn tick_peer(&mut self, id: &SentinelId, shared_by: usize, world: &mut World) {
        let who = self.who(Part::Peer(id.clone()));
        let Some(mut wire) = world.peers.remove(id) else { return };
        wire.reconnect(&who, world);
        if !wire.disconnected && !wire.is_full(shared_by) {
            ping_if_due(&mut wire, self.ping_period(world), &who, world);
            let last = self.peers.get(id).map_or(world.now, |peer| peer.last_publish);
            if world.now - last > world.publish_period() {
                self.hello_basis().publish(&mut wire, &who, world);
            }
        }
        let down_after = span(self.config.down_after);
        let tilted = world.is_tilted();
        if !tilted {
            wire.close_if_silent(down_after, world);
        }
        let is_down = wire.silence(world.now) > down_after;
        world.peers.insert(id.clone(), wire);
        let change =
            self.peers.get_mut(id).filter(|_| !tilted).and_then(|peer| peer.down.set(is_down, world));
        if let Some(event) = change {
            self.tell(world, Level::Warning, event, &Part::Peer(id.clone()));
        }
    }

    fn ping_period(&self, world: &World) -> Millis {
        world.ping_period().min(span(self.config.down_after))
    }

    fn judge_node(&mut self, part: &Part, world: &mut World) {
        let down_after = span(self.config.down_after);
        let reboot_limit = span(self.config.master_reboot_down_after);
        let now = world.now;
        let Some(node) = self.node_mut(part) else { return };
        node.wire.close_if_silent(down_after, world);
        let turned = matches!(part, Part::Master)
            && node.role == Role::Replica
            && now - node.role_since > down_after + 2 * world.info_period();
        let rebooting = node.rebooting_since.is_some_and(|since| now - since > reboot_limit);
        let is_down = node.wire.silence(now) > down_after || turned || rebooting;
        let change = node.down.set(is_down, world);
        if !is_down {
            node.script_killed = false;
        }
        if let Some(event) = change {
            self.tell(world, Level::Warning, event, part);
        }
    }

    fn check_objectively_down(&mut self, world: &mut World) {
        let agreeing = 1 + self.peers.values().filter(|peer| peer.says_down).count();
        let quorum = self.config.quorum.0 as usize;
        let is_down = self.master.down.is_down && agreeing >= quorum;
        match self.odown.set(is_down, world) {
            Some(Event::Sdown) => {
                let more = format!(" #quorum {agreeing}/{quorum}");
                self.tell_more(world, Level::Warning, Event::Odown, &Part::Master, &more);
            }
            Some(_) => self.tell(world, Level::Warning, Event::OdownOver, &Part::Master),
            None => {}
        }
    }

    /// Asks the peers whether they see the master down too and, while a failover runs, for their votes.
    fn ask_peers(&mut self, forced: bool, world: &mut World) {
        let (now, ask_period) = (world.now, world.ask_period());
        let candidate = self.failover.is_under_way().then(|| world.myid.clone());
        for id in self.peers.keys().cloned().collect::<Vec<_>>() {
            let who = self.who(Part::Peer(id.clone()));
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if now - peer.last_answer > STALE_ANSWER * ask_period {
                (peer.says_down, peer.leader) = (false, None);
            }
            let is_recent = now - peer.last_answer < ask_period;
            if !self.master.down.is_down || (is_recent && !forced) {
                continue;
            }
            let question = Command::IsMasterDown {
                master: self.master.wire.addr.clone(),
                epoch: world.current_epoch,
                candidate: candidate.clone(),
            };
            let Some(mut wire) = world.peers.remove(&id) else { continue };
            if !wire.disconnected {
                wire.send(question, Purpose::IsDown, &who, world);
            }
            world.peers.insert(id, wire);
        }
    }

    /// Whether the master is as it should be, as far as this sentinel can tell.
    pub(super) fn is_master_sane(&self, world: &World) -> bool {
        self.master.role == Role::Master
            && !self.master.down.is_down
            && !self.odown.is_down
            && world.now - self.master.info_refresh < world.info_period() * 2
    }

    /// Where the master is, for those who look it up by address.
    pub(super) fn is_at(&self, addr: &Endpoint) -> bool {
        self.master.wire.addr == *addr
    }
}

impl Judgement {
    /// Sets it, and says which event tells of the change.
    fn set(&mut self, is_down: bool, world: &World) -> Option<Event> {
        if self.is_down == is_down {
            return None;
        }
        self.is_down = is_down;
        if is_down {
            self.since = world.now;
        }
        Some(if is_down { Event::Sdown } else { Event::SdownOver })
    }

    /// Whether it was not found down lately.
    pub(super) fn is_clear_for(&self, period: Millis, now: Millis) -> bool {
        self.since == 0 || now - self.since > period
    }
}

fn ping_if_due(wire: &mut super::wire::Wire, period: Millis, who: &Who, world: &mut World) {
    if world.now - wire.last_pong > period && world.now - wire.last_ping > period / 2 {
        wire.ping(who, world);
    }
}
