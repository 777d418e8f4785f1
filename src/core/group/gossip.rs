//! Hellos: what we say of ourselves, and what we learn from others.

use super::confirm::MOST_PEERS;
use super::failover_state::Goal;
use super::{FailoverState, Group, is_newer};
use crate::context::Context;
use crate::ids::PeerId;
use crate::mutation::{Mutation, active};
use crate::{Endpoint, Epoch, Event, Hello, Host, Level, Remark, SentinelId, Time};
use std::net::IpAddr;
use std::time::Duration;

/// When this sentinel says hello to all.
pub(super) struct Hellos {
    next: Time,
    /// When the master's name was last looked up because somebody contradicted.
    looked_up: Option<Time>,
}

impl Hellos {
    pub(super) fn new(now: Time) -> Self {
        Hellos { next: now, looked_up: None }
    }

    /// When the next hello is due.
    pub(super) fn due(&self) -> Time {
        self.next
    }

    /// The next one is to come then at the latest.
    pub(super) fn hurry(&mut self, at: Time) {
        self.next = self.next.min(at);
    }
}

impl Group {
    /// Says hello through every server and to every peer. Only what is on disk is said.
    pub(super) fn say_hello(&mut self, cx: &mut Context) {
        self.drop_outdated_strangers(cx);
        let period = cx.config.timing.publish_period;
        self.hellos.next = self.beat.after(cx.now, period);
        if !cx.save_gate.has_identity() || cx.config.observe {
            return;
        }
        let held = self.nodes.ids().into_iter().find(|id| self.holds_writes(*id, cx.now));
        for id in self.nodes.ids().into_iter().filter(|id| Some(*id) != held).collect::<Vec<_>>() {
            let Some(local) = self.nodes.get(id).and_then(|node| node.command.local()) else { continue };
            let hello = self.hello(local, cx);
            if let Some(node) = self.nodes.get_mut(id) {
                node.publish(hello, cx);
            }
        }
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            self.say_hello_to(slot, cx);
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
            opinion.config_epoch = opinion.config_epoch.max(hello.config_epoch);
        }
        if let Some(peer) = cx.peers.get_mut(&slot) {
            peer.channel.retry_now(cx.now);
        }
        cx.advance_peer(slot);
        cx.adopt_epoch(hello.current_epoch, &self.name, &self.config);
        if is_newer(hello.config_epoch, self.config_epoch()) && hello.master.port != 0 {
            if active(Mutation::HelloUnconfirmed) {
                return self.believe(slot, &hello.master, hello.config_epoch, cx);
            }
            if let Some(opinion) = self.peers.get_mut(&slot) {
                opinion.claim = Some((hello.master.clone(), hello.config_epoch));
            }
            self.confirm(slot, cx);
        } else if self.contradicts(hello, cx)
            && self.failover.state() == FailoverState::Idle
            && self.may_reaffirm(cx)
            && self.is_sure_of_its_place(cx)
        {
            let text =
                format!("epoch {} has two masters: ours and that of {}", self.config_epoch(), hello.id);
            cx.log(Level::Warning, format!("{text}; an election is to settle it"));
            self.hold(Goal::Reaffirm, cx);
            self.advance(cx);
        } else if hello.config_epoch < self.announced.config().1 {
            self.correct(slot, cx);
        } else if self.awaits_demotion() {
            self.advance(cx);
        }
    }

    /// A peer has said something older than what we know: it is told at once, not with the next hello to all.
    fn correct(&mut self, slot: PeerId, cx: &mut Context) {
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        if opinion.corrected.is_none_or(|at| cx.now >= at + CORRECT_AGAIN) {
            opinion.corrected = Some(cx.now);
            self.say_hello_to(slot, cx);
        }
    }

    /// Says hello to one peer, if there is a link to it.
    pub(crate) fn say_hello_to(&self, slot: PeerId, cx: &mut Context) {
        if !cx.save_gate.has_identity() || cx.config.observe || !self.peers.contains_key(&slot) {
            return;
        }
        cx.with_peer(slot, |peer, cx| {
            if let Some(local) = peer.channel.local() {
                peer.say(self.hello(local, cx), cx);
            }
        });
    }

    /// What this sentinel says of itself: only what is on disk.
    fn hello(&self, local: IpAddr, cx: &Context) -> Hello {
        let hasty = active(Mutation::HelloBeforeSave);
        let (master, config_epoch) = match hasty {
            true => (&self.master().addr, self.config_epoch()),
            false => self.announced.config(),
        };
        Hello {
            addr: cx.own_endpoint(local),
            id: cx.myid.clone(),
            current_epoch: if hasty { cx.current_epoch } else { cx.save_gate.saved_epoch },
            group: self.name.clone(),
            master: cx.shown(master),
            config_epoch,
        }
    }

    /// Whether the speaker has another master of the same epoch. Operators' failovers without agreement can bring that
    /// about, and originals that take over an epoch in the middle of a failover of their own.
    fn contradicts(&self, hello: &Hello, cx: &Context) -> bool {
        let (ours, announced) = self.announced.config();
        let theirs = &hello.master;
        let known = cx.hosts.ip(&ours.host).is_some() && cx.hosts.ip(&theirs.host).is_some();
        let same_epoch = hello.config_epoch == self.config_epoch() && announced == self.config_epoch();
        let same_server =
            cx.hosts.same_place(ours, theirs) || self.is_master_at(ours, cx) && self.is_master_at(theirs, cx);
        known && same_epoch && self.config_epoch() > Epoch(0) && !same_server
    }

    /// A master that is known by its name may have moved: where it is now is looked up before anybody is contradicted.
    fn is_sure_of_its_place(&mut self, cx: &mut Context) -> bool {
        let Host::Name(name) = self.master().addr.host.clone() else { return true };
        match self.hellos.looked_up {
            Some(at) if cx.now < at + LOOK_UP_LASTS => cx.now >= at + LOOK_UP_TAKES,
            _ => {
                self.hellos.looked_up = Some(cx.now);
                cx.hosts.look_up(&name, &mut cx.out);
                false
            }
        }
    }

    /// Finds the speaker among the peers. A new one is asked first whether it is there.
    fn meet(&mut self, hello: &Hello, cx: &mut Context) -> Option<PeerId> {
        let known = cx.peer_named(&hello.id).filter(|slot| self.peers.contains_key(slot));
        let lately = |at: Time| cx.now < at + OLD_HELLOS_LAST;
        let displaced = known.and_then(|slot| cx.peers.get(&slot));
        let displaced = displaced.is_some_and(|peer| peer.replaced_by.is_some() && lately(peer.replaced_at));
        if displaced
            || cx.gone_peers.get(&hello.id).is_some_and(|at| lately(*at))
            || self.is_own_place(hello, cx)
        {
            // It was said before that sentinel was replaced, and comes late.
            return None;
        }
        if let Some(slot) = known {
            self.follow_peer(slot, hello, cx);
            return Some(slot);
        }
        if active(Mutation::HelloUnconfirmed) && hello.addr.port != 0 && self.peers.len() < MOST_PEERS {
            let slot = cx.join_peer(&hello.id, &hello.addr, self.id);
            self.welcome(slot, hello, cx);
            return Some(slot);
        }
        self.hear_stranger(hello, cx);
        None
    }

    /// A known sentinel says where it is now.
    fn follow_peer(&mut self, slot: PeerId, hello: &Hello, cx: &mut Context) {
        let moved = cx.peers.get(&slot).is_some_and(|peer| !cx.hosts.same_place(&peer.addr, &hello.addr));
        // One that answers where it is has not moved, whatever is published in its name; nor to the place of another one.
        let settled = |peer: &crate::peer::Peer| peer.is_settled() && !active(Mutation::HelloUnconfirmed);
        let stays = cx.peers.get(&slot).is_some_and(settled);
        let at = |peer: &&crate::peer::Peer| cx.hosts.same_place(&peer.addr, &hello.addr);
        let taken = self.peers.keys().filter_map(|slot| cx.peers.get(slot)).filter(at).any(settled);
        if !moved || hello.addr.port == 0 || stays || taken {
            return;
        }
        let to = cx.shown(&hello.addr);
        let moved = Remark::Moved(to, hello.id.clone());
        self.event(Event::SentinelAddressSwitch, self.describe_master(cx).with(moved), cx);
        self.displace(&hello.addr, &hello.id, cx);
        cx.with_peer(slot, |peer, cx| {
            peer.replaced_by = None;
            peer.move_to(hello.addr.clone(), cx);
        });
        cx.advance_peer(slot);
        cx.save_gate.soon(cx.now);
    }

    /// Another sentinel was thought to be at that address: it is not there any more.
    pub(super) fn displace(&mut self, addr: &Endpoint, by: &SentinelId, cx: &mut Context) {
        for slot in self.peers.keys().copied().collect::<Vec<_>>() {
            if cx.peers.get(&slot).is_some_and(|peer| peer.id != *by && cx.hosts.same_place(&peer.addr, addr))
            {
                self.event(Event::SentinelInvalidAddr, self.describe_peer(slot, cx), cx);
                cx.with_peer(slot, |peer, cx| {
                    let nowhere = Endpoint::new(peer.addr.host.clone(), 0);
                    peer.replaced_by = Some(by.clone());
                    peer.replaced_at = cx.now;
                    peer.move_to(nowhere, cx);
                });
                cx.save_gate.soon(cx.now);
            }
        }
    }
}

impl Group {
    /// A sentinel that was created anew at its address, with a new identity, takes the place of the one before as soon
    /// as it answers there: the old identity never comes back, and must not count for the majority.
    pub(super) fn drop_replaced_peers(&mut self, cx: &mut Context) {
        let replaced = |slot: &PeerId| {
            let by = cx.peers.get(slot)?.replaced_by.as_ref()?;
            let by = cx.peer_named(by).filter(|by| self.peers.contains_key(by))?;
            cx.peers.get(&by).filter(|peer| peer.answered).map(|peer| (*slot, peer.id.clone()))
        };
        for (slot, by) in self.peers.keys().filter_map(replaced).collect::<Vec<_>>() {
            let gone = cx.peers.get(&slot).map(|peer| peer.id.to_string()).unwrap_or_default();
            let text = format!("sentinel {gone} of {} was replaced by {by} at its address", self.name);
            cx.log(Level::Notice, text);
            if let Some(peer) = cx.peers.get(&slot) {
                cx.gone_peers.insert(peer.id.clone(), cx.now);
            }
            self.peers.remove(&slot);
            cx.leave_peer(slot, self.id);
            cx.dns_may_change(self.id);
            cx.save_gate.soon(cx.now);
        }
        cx.gone_peers.retain(|_, at| cx.now < *at + GONE_REMEMBERED);
    }

    /// Whether a hello speaks of the place where this sentinel is: its own earlier identity said it.
    fn is_own_place(&self, hello: &Hello, cx: &Context) -> bool {
        let servers = self.nodes.all().filter_map(|node| node.command.local());
        let mut ends = cx.peers.values().filter_map(|peer| peer.channel.local()).chain(servers);
        ends.any(|end| cx.hosts.same_place(&cx.own_endpoint(end), &hello.addr))
    }
}

/// A peer that does not take it in is not told more often than that.
const CORRECT_AGAIN: Duration = Duration::from_millis(100);
/// So long a hello may have waited on its way.
const OLD_HELLOS_LAST: Duration = Duration::from_secs(10);
/// How long an identity that was replaced is remembered: what it has published may have to be settled.
const GONE_REMEMBERED: Duration = Duration::from_secs(3600);
/// How long a look-up may take, and how long it is good for.
const LOOK_UP_TAKES: Duration = Duration::from_secs(1);
const LOOK_UP_LASTS: Duration = Duration::from_secs(10);
