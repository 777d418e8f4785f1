//! A neighbour that can publish on the Redis servers, and connect to the sentinels, but listens nowhere: it forges hellos.

use crate::addresses::endpoint;
use crate::generate::pick;
use crate::network::NodeId;
use crate::step::Step;
use crate::world::World;
use consentinel_core::{Epoch, Hello, Input, Rng, SentinelId, Time, mix};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

/// What a forged hello pretends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// A sentinel that exists has led a failover to another server.
    OtherMaster,
    /// It has come to an epoch after which there is no other.
    LastEpoch,
    /// There is a sentinel of which nobody has heard, where nobody is.
    NobodyThere,
    /// A sentinel that exists is somewhere else.
    Moved,
    /// Another sentinel is where one that exists is.
    TakenPlace,
}

impl World {
    /// Plans the forgeries of a round. Originals believe what they hear: where one is in the world nothing is forged.
    pub(crate) fn plan_forgeries(&mut self, from: Time, length: Duration) {
        if !self.sentinels.iter().all(|sentinel| sentinel.is_core()) {
            return;
        }
        let mut rng = Rng::new(mix(self.seed ^ FORGER ^ from.as_micros()));
        for _ in 0..pick(&mut rng, &[(6, 0), (2, 1), (1, 4), (1, 30)]) {
            let what = pick(
                &mut rng,
                &[
                    (4, Forgery::OtherMaster),
                    (2, Forgery::LastEpoch),
                    (2, Forgery::NobodyThere),
                    (2, Forgery::Moved),
                    (2, Forgery::TakenPlace),
                ],
            );
            let at = from + rng.span(length);
            self.plan(at, Step::Forge { what, chance: rng.bits() });
        }
    }

    /// Publishes a forged hello, on a server or straight to a sentinel.
    pub(crate) fn forge(&mut self, what: Forgery, chance: u64) {
        let mut rng = Rng::new(chance);
        let of = |rng: &mut Rng, count: usize| rng.below(count as u64) as usize;
        let (via, server) = (of(&mut rng, self.redises.len()), of(&mut rng, self.redises.len()));
        let sentinel = of(&mut rng, self.sentinels.len());
        let group = self.redises[via].group;
        let name = self.groups[usize::from(group)].name.clone();
        let (id, node) = (self.sentinels[sentinel].id.clone(), self.sentinels[sentinel].node);
        let Some(view) = self.sentinels[sentinel].brain.group(&name) else { return };
        let nowhere = endpoint(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1 + (chance % 200) as u8)), 26379);
        let place = self.addresses.current(node);
        let current_epoch = self.sentinels[sentinel].brain.view().current_epoch;
        let mut hello = Hello {
            addr: place,
            id,
            current_epoch,
            group: name,
            master: view.address,
            config_epoch: view.announced_epoch,
        };
        let stranger = SentinelId::new(&rng.hex40());
        match what {
            Forgery::OtherMaster => {
                hello.master = self.addresses.current(self.redises[server].node);
                hello.config_epoch = Epoch(hello.config_epoch.0 + 1 + rng.below(3));
                hello.current_epoch = hello.current_epoch.max(hello.config_epoch);
            }
            Forgery::LastEpoch => hello.current_epoch = Epoch::MAX,
            Forgery::NobodyThere => (hello.id, hello.addr) = (stranger, nowhere),
            Forgery::Moved => hello.addr = nowhere,
            Forgery::TakenPlace => hello.id = stranger,
        }
        let node = self.redises[via].node;
        self.tell(node, || format!("carries a forged hello ({what:?})"));
        if rng.per_mille(700) {
            if self.is_awake(node) {
                self.publish(via as u16, &Rc::new(hello));
            }
            return;
        }
        let victim = of(&mut rng, self.sentinels.len());
        if self.is_awake(self.sentinels[victim].node) {
            self.feed(victim as u16, Input::Hello { link: None, hello });
        }
    }

    fn is_awake(&self, node: NodeId) -> bool {
        let process = &self.processes[node.index()];
        process.running() && !process.paused
    }
}

const FORGER: u64 = 0xf0_49e4;
