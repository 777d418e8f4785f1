//! Hellos: what we say of ourselves, and what we learn from others.

use super::failover::Goal;
use super::{Failover, Group, Opinion};
use crate::context::Context;
use crate::ids::PeerId;
use crate::mutation::{Mutation, active};
use crate::{Endpoint, Epoch, Event, Hello, Host, Level};
use std::time::Duration;

impl Group {
    /// Says hello through every server and to every peer. Only what is on disk is said.
    pub(super) fn say_hello(&mut self, cx: &mut Context) {
        let period = cx.config.timing.publish_period;
        self.next_hello = self.beat.after(cx.now, period);
        if !cx.storage.has_identity() || cx.config.observe {
            return;
        }
        let in_memory = (self.master().addr.clone(), self.config_epoch);
        let hasty = active(Mutation::HelloBeforeSave);
        let (master, config_epoch) = if hasty { &in_memory } else { &self.announced.config };
        let (master, config_epoch) = (cx.shown(master), *config_epoch);
        let hello = |local, cx: &Context| Hello {
            addr: cx.own_endpoint(local),
            id: cx.myid.clone(),
            current_epoch: if hasty { cx.current_epoch } else { cx.storage.saved_epoch },
            group: self.name.clone(),
            master: master.clone(),
            config_epoch,
        };
        let held = self.nodes.keys().copied().find(|id| self.holds_writes(*id, cx.now));
        for (_, node) in self.nodes.iter_mut().filter(|(id, _)| Some(**id) != held) {
            if let Some(local) = node.command.local() {
                node.publish(hello(local, cx), cx);
            }
        }
        for slot in self.peers.keys() {
            cx.with_peer(*slot, |peer, cx| {
                if let Some(local) = peer.channel.local() {
                    peer.say(hello(local, cx), cx);
                }
            });
        }
    }

    /// A sentinel spoke of this group.
    pub(crate) fn on_hello(&mut self, hello: &Hello, cx: &mut Context) {
        if !cx.accepts(&hello.addr) || !cx.accepts(&hello.master) {
            return;
        }
        let slot = match self.meet(hello, cx) {
            Some(slot) => slot,
            None => return,
        };
        if let Some(opinion) = self.peers.get_mut(&slot) {
            opinion.last_hello = cx.now;
        }
        if let Some(peer) = cx.peers.get_mut(&slot) {
            peer.heard = true;
        }
        cx.adopt_epoch(hello.current_epoch, &self.name, &self.config);
        let newer = hello.config_epoch > self.config_epoch && !active(Mutation::NewerConfigIgnored)
            || hello.config_epoch < self.config_epoch && active(Mutation::OlderConfigAccepted)
            || hello.config_epoch == self.config_epoch && active(Mutation::EqualConfigAccepted);
        if newer && hello.master.port != 0 {
            if !cx.names.same_place(&self.master().addr, &hello.master) {
                self.event(Event::ConfigUpdateFrom, self.describe_peer(slot, cx), cx);
            }
            self.adopt_config(&hello.master, hello.config_epoch, cx);
            self.advance(cx);
        } else if self.contradicts(hello, cx)
            && self.failover == Failover::Idle
            && self.may_reaffirm(cx)
            && self.is_sure_of_its_place(cx)
        {
            let text = format!("epoch {} has two masters: ours and that of {}", self.config_epoch, hello.id);
            cx.log(Level::Warning, format!("{text}; an election is to settle it"));
            self.hold(Goal::Reaffirm, cx);
            self.advance(cx);
        }
    }

    /// Whether the speaker has another master of the same epoch. Operators' failovers without agreement can bring that
    /// about, and originals that take over an epoch in the middle of a failover of their own.
    fn contradicts(&self, hello: &Hello, cx: &Context) -> bool {
        let (ours, theirs) = (&self.announced.config.0, &hello.master);
        let known = cx.names.ip(&ours.host).is_some() && cx.names.ip(&theirs.host).is_some();
        let same_epoch =
            hello.config_epoch == self.config_epoch && self.announced.config.1 == self.config_epoch;
        known && same_epoch && self.config_epoch > Epoch(0) && !cx.names.same_place(ours, theirs)
    }

    /// A master that is known by its name may have moved: where it is now is looked up before anybody is contradicted.
    fn is_sure_of_its_place(&mut self, cx: &mut Context) -> bool {
        let Host::Name(name) = self.master().addr.host.clone() else { return true };
        match self.looked_up {
            Some(at) if cx.now < at + LOOK_UP_LASTS => cx.now >= at + LOOK_UP_TAKES,
            _ => {
                self.looked_up = Some(cx.now);
                cx.names.look_up(&name, &mut cx.out);
                false
            }
        }
    }

    /// Finds the speaker among the peers, or welcomes a new one.
    fn meet(&mut self, hello: &Hello, cx: &mut Context) -> Option<PeerId> {
        let known = cx.peer_named(&hello.id).filter(|slot| self.peers.contains_key(slot));
        if let Some(slot) = known {
            self.follow_peer(slot, hello, cx);
            return Some(slot);
        }
        if hello.addr.port == 0 {
            return None;
        }
        if self.peers.len() >= MOST_PEERS {
            cx.log(
                Level::Warning,
                format!("sentinel {} is one too many for {}: ignored", hello.id, self.name),
            );
            return None;
        }
        self.displace(&hello.addr, cx);
        let slot = cx.join_peer(&hello.id, &hello.addr, self.id);
        self.peers.insert(slot, Opinion::new(cx.now));
        self.event(Event::NewSentinel, self.describe_peer(slot, cx), cx);
        self.follow_peer(slot, hello, cx);
        cx.storage.soon(cx.now);
        Some(slot)
    }

    /// A known sentinel says where it is now.
    fn follow_peer(&mut self, slot: PeerId, hello: &Hello, cx: &mut Context) {
        let moved = cx.peers.get(&slot).is_some_and(|peer| !cx.names.same_place(&peer.addr, &hello.addr));
        if !moved || hello.addr.port == 0 {
            return;
        }
        let to = cx.shown(&hello.addr);
        let payload =
            format!("{} ip {} port {} for {}", self.describe_master(cx), to.host, to.port, hello.id);
        self.event(Event::SentinelAddressSwitch, payload, cx);
        self.displace(&hello.addr, cx);
        cx.with_peer(slot, |peer, cx| peer.move_to(hello.addr.clone(), cx));
        cx.advance_peer(slot);
        cx.storage.soon(cx.now);
    }

    /// Another sentinel was thought to be at that address: it is not there any more.
    fn displace(&mut self, addr: &Endpoint, cx: &mut Context) {
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            if cx.peers.get(&slot).is_some_and(|peer| cx.names.same_place(&peer.addr, addr)) {
                self.event(Event::SentinelInvalidAddr, self.describe_peer(slot, cx), cx);
                cx.with_peer(slot, |peer, cx| {
                    let nowhere = Endpoint::new(peer.addr.host.clone(), 0);
                    peer.move_to(nowhere, cx);
                });
                cx.storage.soon(cx.now);
            }
        }
    }
}

/// More sentinels than anybody runs: a bound for what a forger could make us remember.
const MOST_PEERS: usize = 64;
/// How long a look-up may take, and how long it is good for.
const LOOK_UP_TAKES: Duration = Duration::from_secs(1);
const LOOK_UP_LASTS: Duration = Duration::from_secs(10);
