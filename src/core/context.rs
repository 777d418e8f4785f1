//! What all groups share: the time of this step, the way out, the links, the disk.

use crate::channel::Owner;
use crate::host_cache::HostCache;
use crate::ids::{GroupId, PeerId};
use crate::mutation::{Mutation, active};
use crate::peer::Peer;
use crate::rng::hash;
use crate::save_gate::SaveGate;
use crate::scripts::Scripts;
use crate::time::Beat;
use crate::timers::Timers;
use crate::{
    Action, CallId, Config, Detail, Endpoint, Epoch, Event, GroupConfig, GroupName, Host, Level, LinkId,
    Notice, Rng, SentinelId, Time, mix,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub(crate) struct Context {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    /// For what must not depend on Consul, nor the other way round: the publishing has chances of its own.
    pub(crate) chance: Rng,
    pub(crate) config: Config,
    pub(crate) myid: SentinelId,
    pub(crate) current_epoch: Epoch,
    pub(crate) tilt: Option<Time>,
    pub(crate) out: VecDeque<Action>,
    pub(crate) timers: Timers,
    pub(crate) links: BTreeMap<LinkId, Owner>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    /// Sentinels that were replaced at their address a moment ago.
    pub(crate) gone_peers: BTreeMap<SentinelId, Time>,
    pub(crate) hosts: HostCache,
    pub(crate) save_gate: SaveGate,
    pub(crate) scripts: Scripts,
    /// Groups of which DNS may have to say something else after this step.
    pub(crate) dns_changed: BTreeSet<GroupId>,
    pub(crate) crash_after_election: bool,
    pub(crate) crash_after_promotion: bool,
    /// Since when this identity has existed, if it was made at this start.
    pub(crate) born: Option<Time>,
    /// When an epoch was last refused in the log.
    told_absurd: Option<Time>,
    last_link: u64,
    last_call: u64,
    last_peer: u32,
}

impl Context {
    pub(crate) fn new(config: Config, myid: SentinelId, save_gate: SaveGate, rng: Rng, now: Time) -> Self {
        Context {
            now,
            chance: Rng::new(rng.clone().bits() ^ PUBLISHING),
            rng,
            config,
            myid,
            current_epoch: save_gate.saved_epoch,
            tilt: None,
            out: VecDeque::new(),
            timers: Timers::default(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            gone_peers: BTreeMap::new(),
            hosts: HostCache::default(),
            save_gate,
            scripts: Scripts::default(),
            dns_changed: BTreeSet::new(),
            crash_after_election: false,
            crash_after_promotion: false,
            born: None,
            told_absurd: None,
            last_link: 0,
            last_call: 0,
            last_peer: 0,
        }
    }

    /// The beat of this sentinel.
    pub(crate) fn beat(&self) -> Beat {
        Beat::new(mix(hash(self.myid.as_str())))
    }

    pub(crate) fn new_link(&mut self, owner: Owner) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.links.insert(link, owner);
        link
    }

    /// Closes a link; whatever still comes from it has no owner and is ignored.
    pub(crate) fn drop_link(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.out.push_back(Action::Disconnect(link));
        }
    }

    /// Something happened on which it depends what DNS may say of a group.
    pub(crate) fn dns_may_change(&mut self, group: GroupId) {
        if self.config.registry.dns {
            self.dns_changed.insert(group);
        }
    }

    pub(crate) fn new_call(&mut self) -> CallId {
        self.last_call += 1;
        CallId(self.last_call)
    }

    /// The peer of that identity, if any group knows it.
    pub(crate) fn peer_named(&self, id: &SentinelId) -> Option<PeerId> {
        self.peers.iter().find(|(_, peer)| peer.id == *id).map(|(slot, _)| *slot)
    }

    /// Joins a group to a peer; groups that watch with the same peer share one link to it.
    pub(crate) fn join_peer(&mut self, id: &SentinelId, addr: &Endpoint, group: GroupId) -> PeerId {
        let slot = self.peer_named(id).unwrap_or_else(|| {
            self.last_peer += 1;
            PeerId(self.last_peer)
        });
        let now = self.now;
        let beat = self.beat();
        let peer =
            self.peers.entry(slot).or_insert_with(|| Peer::new(slot, id.clone(), addr.clone(), beat, now));
        peer.groups.insert(group);
        self.advance_peer(slot);
        slot
    }

    /// A group no longer counts on a peer.
    pub(crate) fn leave_peer(&mut self, slot: PeerId, group: GroupId) {
        let Some(peer) = self.peers.get_mut(&slot) else { return };
        peer.groups.remove(&group);
        if peer.groups.is_empty() {
            let mut peer = self.peers.remove(&slot).expect("it was found above");
            peer.channel.close(self);
            self.timers.set(crate::timers::Key::Peer(slot), None);
        }
    }

    /// Lets a peer do what is due. True when the groups should look at it again.
    pub(crate) fn advance_peer(&mut self, slot: PeerId) -> bool {
        self.with_peer(slot, |peer, cx| peer.advance(cx)).unwrap_or(false)
    }

    /// Works on a peer and on the rest of the context at once.
    pub(crate) fn with_peer<T>(
        &mut self,
        slot: PeerId,
        work: impl FnOnce(&mut Peer, &mut Context) -> T,
    ) -> Option<T> {
        let mut peer = self.peers.remove(&slot)?;
        let result = work(&mut peer, self);
        self.peers.insert(slot, peer);
        Some(result)
    }

    /// Whether that epoch is so far above ours that no sentinel can have come there by elections. An attacker that could make us take
    /// it over would leave no epoch for an election.
    pub(crate) fn is_far(&self, epoch: Epoch) -> bool {
        epoch.0.saturating_sub(self.current_epoch.0) > MOST_AHEAD && !active(Mutation::AnyEpochTaken)
    }

    /// The same, and says so in the log, once an hour.
    pub(crate) fn is_absurd(&mut self, epoch: Epoch) -> bool {
        let absurd = self.is_far(epoch);
        if absurd && self.told_absurd.is_none_or(|at| self.now >= at + ABSURD_AGAIN) {
            self.told_absurd = Some(self.now);
            let ours = self.current_epoch;
            let text = format!(
                "epoch {epoch} is refused: it is more than {MOST_AHEAD} above ours ({ours}), which no elections can have \
                 brought about; it stands in a hello, in a request for a vote or in Consul"
            );
            self.log(Level::Warning, text);
        }
        absurd
    }

    /// Takes over a higher epoch that another sentinel told us.
    pub(crate) fn adopt_epoch(&mut self, epoch: Epoch, group: &GroupName, config: &GroupConfig) {
        if !self.is_absurd(epoch) {
            self.take_epoch(epoch, group, config);
        }
    }

    /// Takes over an epoch, however far above ours it is: a majority has confirmed it.
    pub(crate) fn take_epoch(&mut self, epoch: Epoch, group: &GroupName, config: &GroupConfig) {
        if epoch > self.current_epoch && epoch <= Epoch::MAX {
            self.current_epoch = epoch;
            self.save_gate.urgently();
            self.event(Event::NewEpoch, Detail::Epoch(epoch), Some((group, config)));
        }
    }

    /// Tells everybody, and the notification script where the event is a warning.
    pub(crate) fn event(&mut self, event: Event, detail: Detail, about: Option<(&GroupName, &GroupConfig)>) {
        let level = event.level();
        if let Some((_, GroupConfig { notification_script: Some(script), .. })) = about
            && level == Level::Warning
        {
            self.scripts.queue(script, vec![event.as_str().to_owned(), detail.to_string()], self.now);
            self.timers.set(crate::timers::Key::Scripts, Some(self.now));
        }
        let group = about.map(|(name, _)| name.clone());
        self.out.push_back(Action::Notify(Notice::Event { level, event, detail, group }));
    }

    pub(crate) fn log(&mut self, level: Level, text: String) {
        self.out.push_back(Action::Notify(Notice::Log { level, text }));
    }

    /// An endpoint as clients and peers are to see it.
    pub(crate) fn shown(&self, endpoint: &Endpoint) -> Endpoint {
        match self.hosts.ip(&endpoint.host) {
            Some(ip) if !self.config.announce_hostnames => Endpoint::new(Host::Ip(ip), endpoint.port),
            _ => endpoint.clone(),
        }
    }

    /// An endpoint by its address, as peers that do not resolve names want it.
    pub(crate) fn shown_ip(&self, endpoint: &Endpoint) -> Endpoint {
        let host = self.hosts.ip(&endpoint.host).map_or_else(|| endpoint.host.clone(), Host::Ip);
        Endpoint::new(host, endpoint.port)
    }

    /// Where others reach us, by what the operator announces or by the socket's own address.
    pub(crate) fn own_endpoint(&self, local: IpAddr) -> Endpoint {
        let host = self.config.announce_ip.clone().unwrap_or(Host::Ip(local));
        Endpoint::new(host, self.config.announce_port.unwrap_or(self.config.port))
    }

    /// Whether an endpoint may be used at all: names only where they are resolved.
    pub(crate) fn accepts(&self, endpoint: &Endpoint) -> bool {
        endpoint.host.ip().is_some() || self.config.resolve_hostnames
    }
}

/// An epoch may be so far above ours: an election each second for twelve days.
const MOST_AHEAD: u64 = 1 << 20;
const ABSURD_AGAIN: std::time::Duration = std::time::Duration::from_secs(3600);

const PUBLISHING: u64 = 0x636f_6e73_756c;

/// What a server has answered, as far as it belongs into a line of the log.
pub(crate) fn for_log(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
