//! What is said in a sentinel's name must be said by the sentinel itself, over a connection that we opened to it.
//!
//! Anybody who can publish on a Redis server can publish a hello. So a hello is a hint where to ask: a sentinel that is new
//! counts when the one at the announced address gives the announced identity and watches this master; a newer configuration
//! is believed when the sentinel that is said to have it tells the same address and the same epoch. Until then a new sentinel
//! is a *stranger*, and a newer configuration a *claim*.

use super::opinion::Opinion;
use super::{Group, is_newer};
use crate::channel::Purpose;
use crate::context::{Context, for_log};
use crate::ids::PeerId;
use crate::peer::MOST_PENDING;
use crate::{Command, Endpoint, Epoch, Event, Hello, Level, Reply, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Sentinels that were named, and have not confirmed it yet.
#[derive(Default)]
pub(super) struct Strangers {
    all: BTreeMap<PeerId, Stranger>,
    /// When it was last logged that one was turned away.
    told: Option<Time>,
}

struct Stranger {
    hello: Hello,
    heard: Time,
}

impl Strangers {
    /// The ones that have not been heard of for a while, or the one that is longest ago where there are too many.
    fn outdated(&self, now: Time) -> Vec<PeerId> {
        let old = self.all.iter().filter(|(_, stranger)| now >= stranger.heard + STRANGERS_LAST);
        let mut outdated: Vec<_> = old.map(|(slot, _)| *slot).collect();
        if outdated.is_empty() && self.all.len() >= MOST_STRANGERS {
            outdated
                .extend(self.all.iter().min_by_key(|(_, stranger)| stranger.heard).map(|(slot, _)| *slot));
        }
        outdated
    }
}

impl Group {
    /// A sentinel that does not count yet is said to be there: it is asked.
    pub(super) fn hear_stranger(&mut self, hello: &Hello, cx: &mut Context) {
        if hello.addr.port == 0 || self.peers.len() >= MOST_PEERS {
            return;
        }
        let known = cx.peer_named(&hello.id).filter(|slot| self.strangers.all.contains_key(slot));
        if known.is_none() {
            self.drop_outdated_strangers(cx);
        }
        let slot = known.unwrap_or_else(|| cx.join_peer(&hello.id, &hello.addr, self.id));
        let stranger = Stranger { hello: hello.clone(), heard: cx.now };
        self.strangers.all.insert(slot, stranger);
        let elsewhere = cx
            .peers
            .get(&slot)
            .is_some_and(|peer| !peer.is_settled() && !cx.hosts.same_place(&peer.addr, &hello.addr));
        if elsewhere {
            cx.with_peer(slot, |peer, cx| peer.move_to(hello.addr.clone(), cx));
        }
        cx.advance_peer(slot);
        self.confirm(slot, cx);
    }

    pub(super) fn drop_outdated_strangers(&mut self, cx: &mut Context) {
        for slot in self.strangers.outdated(cx.now) {
            self.drop_stranger(slot, cx);
        }
    }

    /// None of them is asked any more.
    pub(super) fn forget_strangers(&mut self, cx: &mut Context) {
        for slot in std::mem::take(&mut self.strangers.all).into_keys() {
            cx.leave_peer(slot, self.id);
        }
    }

    fn drop_stranger(&mut self, slot: PeerId, cx: &mut Context) {
        if self.strangers.all.remove(&slot).is_some() {
            cx.leave_peer(slot, self.id);
        }
    }

    /// The one at a sentinel's address has said who it is, or that it cannot.
    pub(crate) fn on_identified(&mut self, slot: PeerId, cx: &mut Context) {
        match cx.peers.get(&slot) {
            Some(peer) if peer.is_another() => self.drop_stranger(slot, cx),
            Some(_) => self.confirm(slot, cx),
            None => {}
        }
    }

    /// Asks a sentinel who the master is and since when, once it is known that it is there.
    pub(super) fn confirm(&self, slot: PeerId, cx: &mut Context) {
        let (group, name) = (self.id, self.name.clone());
        cx.with_peer(slot, |peer, cx| {
            if peer.is_identified() && peer.channel.pending() < MOST_PENDING {
                peer.channel.call(Command::MasterAddress(name), Purpose::ConfirmAddress { group }, cx);
            }
        });
    }

    /// A sentinel has told where the master is for it.
    pub(crate) fn on_address(&mut self, slot: PeerId, reply: Reply, cx: &mut Context) {
        if let Some(Stranger { hello, .. }) = self.strangers.all.get(&slot) {
            let hello = hello.clone();
            match reply {
                Reply::Address(Some(_)) => self.admit(slot, &hello, cx),
                // Its operator does not let us ask. That it is a sentinel is certain: others do not know the command.
                Reply::Error(text) if text.starts_with("NOPERM") => self.admit(slot, &hello, cx),
                Reply::Error(text) => self.turn_away(slot, &hello, &text, cx),
                _ => self.drop_stranger(slot, cx),
            }
            return;
        }
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        match reply {
            Reply::Address(address) => {
                opinion.confirms = address;
                let (group, name) = (self.id, self.name.clone());
                cx.with_peer(slot, |peer, cx| {
                    peer.channel.call(Command::MasterEpoch(name), Purpose::ConfirmEpoch { group }, cx)
                });
            }
            Reply::Error(text) if text.starts_with("NOPERM") => self.believe_unasked(slot, &text, cx),
            _ => {}
        }
    }

    /// It answers, and not as a sentinel does that knows us.
    fn turn_away(&mut self, slot: PeerId, hello: &Hello, why: &str, cx: &mut Context) {
        self.drop_stranger(slot, cx);
        if self.strangers.told.is_some_and(|at| cx.now < at + DENIED_AGAIN) {
            return;
        }
        self.strangers.told = Some(cx.now);
        let Hello { id, addr, .. } = hello;
        let (at, why) = (addr.joined(), for_log(why));
        let text = format!(
            "sentinel {id} is said to be at {at} and to watch {}, but what answers there does not confirm it ({why}): it does \
             not count. If it is one of yours, look at its requirepass and at sentinel-pass here",
            self.name
        );
        cx.log(Level::Warning, text);
    }

    /// The rest of its answer: by which epoch.
    pub(crate) fn on_epoch(&mut self, slot: PeerId, reply: Reply, cx: &mut Context) {
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        let (epoch, address) = match (reply, opinion.confirms.take()) {
            (Reply::Epoch(epoch), Some(address)) => (epoch, address),
            (Reply::Error(text), _) if text.starts_with("NOPERM") => {
                return self.believe_unasked(slot, &text, cx);
            }
            _ => return,
        };
        opinion.confirmed = opinion.confirmed.max(epoch);
        let claim = opinion.claim.take_if(|claim| claim.1 <= epoch);
        self.take_confirmed_epoch(cx);
        let is_confirmed =
            |(master, of): &(Endpoint, Epoch)| *of == epoch && cx.hosts.same_place(master, &address);
        match claim {
            Some(claim) if is_confirmed(&claim) => self.believe(slot, &claim.0, claim.1, cx),
            Some(claim) if claim.1 == epoch => self.tell_unconfirmed(slot, &claim, cx),
            // It has come further meanwhile: its next hello says how far.
            Some(_) => {}
            None => {
                let open = self.peers.get(&slot).and_then(|opinion| opinion.claim.clone());
                if let Some(claim) = open {
                    self.tell_unconfirmed(slot, &claim, cx);
                }
            }
        }
    }

    /// A sentinel that may not be asked, by its operator's rules, is believed as the original believes it.
    fn believe_unasked(&mut self, slot: PeerId, why: &str, cx: &mut Context) {
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        let Some((master, epoch)) = opinion.claim.take() else { return };
        let id = cx.peers.get(&slot).map(|peer| peer.id.to_string()).unwrap_or_default();
        let why = for_log(why);
        let text = format!(
            "sentinel {id} cannot confirm what was published in its name ({why}): it is believed. Allow it to be asked: \
             +sentinel|myid +sentinel|get-master-addr-by-name +sentinel|master"
        );
        cx.log(Level::Warning, text);
        self.believe(slot, &master, epoch, cx);
    }

    /// A sentinel that we have asked has a newer configuration.
    pub(super) fn believe(&mut self, slot: PeerId, master: &Endpoint, epoch: Epoch, cx: &mut Context) {
        if !is_newer(epoch, self.config_epoch()) || cx.is_absurd(epoch) {
            return;
        }
        cx.adopt_epoch(epoch, &self.name, &self.config);
        if !self.is_master_at(master, cx) {
            self.event(Event::ConfigUpdateFrom, self.describe_peer(slot, cx), cx);
        }
        self.adopt_config(master, epoch, cx);
        self.advance(cx);
    }

    fn tell_unconfirmed(&mut self, slot: PeerId, (master, epoch): &(Endpoint, Epoch), cx: &mut Context) {
        let Some(opinion) = self.peers.get_mut(&slot) else { return };
        opinion.claim = None;
        if opinion.denied.is_some_and(|at| cx.now < at + DENIED_AGAIN) {
            return;
        }
        opinion.denied = Some(cx.now);
        let id = cx.peers.get(&slot).map(|peer| peer.id.to_string()).unwrap_or_default();
        let text = format!(
            "a hello in the name of sentinel {id} says that {} is the master of {} by epoch {epoch}; the sentinel itself \
             does not say so: not believed. Somebody may be forging hellos",
            master.joined(),
            self.name
        );
        cx.log(Level::Warning, text);
    }

    /// It has given its identity and watches this master: from here on it counts.
    fn admit(&mut self, slot: PeerId, hello: &Hello, cx: &mut Context) {
        self.strangers.all.remove(&slot);
        self.welcome(slot, hello, cx);
        // It may not know us yet either.
        self.say_hello_to(slot, cx);
        self.on_hello(hello, cx);
        self.advance(cx);
    }

    /// A sentinel is one of this group's.
    pub(super) fn welcome(&mut self, slot: PeerId, hello: &Hello, cx: &mut Context) {
        let Some(addr) = cx.peers.get(&slot).map(|peer| peer.addr.clone()) else { return };
        self.displace(&addr, &hello.id, cx);
        self.peers.insert(slot, Opinion::new(cx.now));
        if cx.born.is_some_and(|born| cx.now < born + self.election_timeout(cx))
            && !cx.is_absurd(hello.current_epoch)
        {
            // A sentinel that lost its file does not know how it voted in an election that may still be under way.
            self.ballot.spend_up_to(hello.current_epoch);
        }
        self.event(Event::NewSentinel, self.describe_peer(slot, cx), cx);
        cx.save_gate.soon(cx.now);
    }

    /// An epoch that is far above ours is taken over when a majority has told a configuration of it over our own connections: a
    /// sentinel without a state may join others that have come far.
    fn take_confirmed_epoch(&self, cx: &mut Context) {
        let mut epochs: Vec<Epoch> = self.peers.values().map(|opinion| opinion.confirmed).collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(epoch) = epochs.get(self.majority() - 1) {
            cx.take_epoch(*epoch, &self.name, &self.config);
        }
    }
}

/// More sentinels than anybody runs.
pub(super) const MOST_PEERS: usize = 64;
/// So many are asked at a time who they are.
const MOST_STRANGERS: usize = 64;
/// For how long one is asked that is not heard of any more.
const STRANGERS_LAST: Duration = Duration::from_secs(30);
/// How often it is told that a hello is not confirmed.
const DENIED_AGAIN: Duration = Duration::from_secs(60);
