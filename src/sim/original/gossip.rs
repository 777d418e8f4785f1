//! Hellos, in and out.

use super::instance::{Group, Part, Peer, Who};
use super::wire::{Purpose, Wire};
use super::world::World;
use consentinel_core::{Command, Endpoint, Epoch, Event, GroupName, Hello, Host, Level, SentinelId};

/// What a group's hello says, apart from who says it.
pub(super) struct HelloBasis {
    group: GroupName,
    master: Endpoint,
    config_epoch: Epoch,
}

impl HelloBasis {
    /// Says hello over a connection that stands.
    pub(super) fn publish(&self, wire: &mut Wire, who: &Who, world: &mut World) {
        let Some(local) = wire.command.as_ref().and_then(|conn| conn.local) else { return };
        let host = world.config.announce_ip.clone().unwrap_or(Host::Ip(local));
        let port = world.config.announce_port.unwrap_or(world.config.port);
        let hello = Hello {
            addr: Endpoint::new(host, port),
            id: world.myid.clone(),
            current_epoch: world.current_epoch,
            group: self.group.clone(),
            master: self.master.clone(),
            config_epoch: self.config_epoch,
        };
        wire.send(Command::Publish(hello), Purpose::Publish, who, world);
    }
}

impl Group {
    pub(super) fn hello_basis(&self) -> HelloBasis {
        HelloBasis {
            group: self.name.clone(),
            master: self.address().clone(),
            config_epoch: self.config_epoch,
        }
    }

    /// Makes the next tick say hello to everybody.
    pub(super) fn force_hello(&mut self, world: &World) {
        let period = world.publish_period() + 1;
        let nodes = self.replicas.values_mut().chain([&mut self.master]).map(|node| &mut node.last_publish);
        let peers = self.peers.values_mut().map(|peer| &mut peer.last_publish);
        for last in nodes.chain(peers).filter(|last| **last >= period) {
            *last -= period;
        }
    }

    pub(super) fn handle_hello(&mut self, hello: &Hello, world: &mut World) {
        let known = self.peers.get(&hello.id).is_some_and(|peer| peer.addr == hello.addr);
        if !known {
            self.meet(hello, world);
        }
        if hello.current_epoch > world.current_epoch {
            world.current_epoch = hello.current_epoch;
            world.dirty = true;
            world.event(Level::Warning, Event::NewEpoch, hello.current_epoch.to_string(), Some(&self.name));
        }
        if hello.config_epoch > self.config_epoch {
            self.config_epoch = hello.config_epoch;
            if !self.is_at(&hello.master) {
                self.tell(world, Level::Warning, Event::ConfigUpdateFrom, &Part::Peer(hello.id.clone()));
                self.tell_switch(&hello.master, world);
                self.change_address(hello.master.clone(), world);
            }
        }
        if let Some(peer) = self.peers.get_mut(&hello.id) {
            peer.last_hello = world.now;
        }
    }

    /// A sentinel that is new, or that has moved.
    fn meet(&mut self, hello: &Hello, world: &mut World) {
        let moved = self.peers.remove(&hello.id).is_some();
        if moved {
            let Hello { addr, id, .. } = hello;
            let more = format!(" ip {} port {} for {id}", addr.host, addr.port);
            self.tell_more(world, Level::Notice, Event::SentinelAddressSwitch, &Part::Master, &more);
        } else if let Some(other) = self.peer_at(&hello.addr) {
            self.tell(world, Level::Notice, Event::SentinelInvalidAddr, &Part::Peer(other.clone()));
            self.peers.remove(&other);
        }
        self.peers.insert(hello.id.clone(), Peer::new(hello.addr.clone(), world.now));
        self.connect_to_peer(hello, world);
        if !moved {
            self.tell(world, Level::Notice, Event::NewSentinel, &Part::Peer(hello.id.clone()));
        }
        world.dirty = true;
    }

    fn peer_at(&self, addr: &Endpoint) -> Option<SentinelId> {
        self.peers.iter().find(|(_, peer)| peer.addr == *addr).map(|(id, _)| id.clone())
    }

    fn connect_to_peer(&self, hello: &Hello, world: &mut World) {
        match world.peers.remove(&hello.id) {
            Some(mut wire) => {
                if wire.addr != hello.addr {
                    wire.reset(hello.addr.clone(), world);
                }
                world.peers.insert(hello.id.clone(), wire);
            }
            None => {
                world.peers.insert(hello.id.clone(), Wire::new(hello.addr.clone(), world.now));
            }
        }
    }
}
