//! Where one worker leads its clients: to the master or to a replica, as it was told last.

use super::counters::Counters;
use super::pump::Shared;
use super::route::{Cut, Route};
use super::route_watch::{Destination, Replica, RouteWatch};
use super::worker::Common;
use consentinel_core::{Rng, Role, mix};
use consentinel_resolver::shared::choose;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

/// Between two doubts of one thread.
const DOUBTS: Duration = Duration::from_millis(100);

/// What all connections of a worker share.
pub(super) struct ThreadRoutes {
    pub(super) common: Arc<Common>,
    pub(super) counters: Arc<Counters>,
    pub(super) buffer: Shared,
    watch: RouteWatch,
    /// The way to the master, or why there is none.
    master: RefCell<Result<Rc<Route>, Arc<str>>>,
    replicas: RefCell<Vec<(Replica, Rc<Route>)>>,
    changed: Notify,
    chance: RefCell<Rng>,
    doubted: Cell<Option<Instant>>,
}

impl ThreadRoutes {
    /// With what is known now.
    pub(super) fn new(
        common: Arc<Common>,
        watch: RouteWatch,
        counters: Arc<Counters>,
        buffer: Shared,
    ) -> ThreadRoutes {
        let routes = ThreadRoutes {
            common,
            counters,
            buffer,
            watch,
            master: RefCell::new(Err("nobody has answered yet".into())),
            replicas: RefCell::default(),
            changed: Notify::new(),
            chance: RefCell::new(Rng::new(mix(crate::clock::seed()))),
            doubted: Cell::new(None),
        };
        let (destination, replicas) =
            (routes.watch.master.borrow().clone(), routes.watch.replicas.borrow().clone());
        routes.see_master(destination);
        routes.see_replicas(&replicas);
        routes
    }

    /// Follows what is told, for good.
    pub(super) async fn follow(self: Rc<Self>) {
        let RouteWatch { mut master, mut replicas, .. } = self.watch.clone();
        loop {
            tokio::select! {
                Ok(()) = master.changed() => {
                    let destination = seen(&mut master);
                    self.see_master(destination);
                }
                Ok(()) = replicas.changed() => {
                    let replicas = seen(&mut replicas);
                    self.see_replicas(&replicas);
                }
                else => return,
            }
        }
    }

    fn see_master(&self, destination: Destination) {
        let mut master = self.master.borrow_mut();
        let (next, why) = match destination {
            Destination::Master { addr, .. } if master.as_ref().is_ok_and(|route| route.addr == addr) => {
                return;
            }
            Destination::Master { addr, .. } => (Ok(Rc::new(Route::new(addr))), Cut::Moved),
            Destination::Nobody(text) => (Err(text), Cut::Nobody),
        };
        let before = std::mem::replace(&mut *master, next);
        drop(master);
        if let Ok(route) = before {
            route.cut(why);
        }
        self.changed.notify_waiters();
    }

    /// Whoever is no replica any more is not read from any more.
    fn see_replicas(&self, replicas: &[Replica]) {
        let mut known = self.replicas.borrow_mut();
        let mut before = std::mem::take(&mut *known);
        for replica in replicas {
            let at = before.iter().position(|(known, _)| known.addr == replica.addr);
            let route = at.map_or_else(|| Rc::new(Route::new(replica.addr)), |at| before.swap_remove(at).1);
            known.push((*replica, route));
        }
        drop(known);
        before.iter().for_each(|(_, route)| route.cut(Cut::Moved));
        self.changed.notify_waiters();
    }

    /// Goes off when anything of that has changed since this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Where to lead a client, and what that server must be; none of those that have been tried. Or why nowhere.
    pub(super) fn way(&self, wanted: Role, tried: &[SocketAddr]) -> Result<(Rc<Route>, Role), Arc<str>> {
        match wanted {
            Role::Master => {
                self.catch_up();
                self.master.borrow().clone().map(|route| (route, Role::Master))
            }
            Role::Replica => match self.draw(tried) {
                Some(route) => Ok((route, Role::Replica)),
                None if self.common.limits.fall_back => self.way(Role::Master, tried),
                None => Err("there is none".into()),
            },
        }
    }

    /// Sees the master that `follow` has not seen yet: a client that comes right after a failover, or after the first
    /// answer, is not sent away for that.
    fn catch_up(&self) {
        let destination = self.watch.master.borrow().clone();
        if matches!(destination, Destination::Master { .. }) {
            self.see_master(destination);
        }
    }

    /// One of the replicas, as RFC 2782 has it: of the lowest priority, by weight.
    fn draw(&self, tried: &[SocketAddr]) -> Option<Rc<Route>> {
        let replicas = self.replicas.borrow();
        let left = replicas.iter().filter(|(replica, _)| !tried.contains(&replica.addr));
        let servers = left.clone().map(|(replica, _)| (replica.priority, replica.weight));
        let drawn = choose(servers, |below| self.chance.borrow_mut().below(u64::from(below)) as u32)?;
        left.map(|(_, route)| route.clone()).nth(drawn)
    }

    /// Says that what is known may be wrong; not again and again.
    pub(super) fn doubt(&self) {
        let now = Instant::now();
        if self.doubted.get().is_none_or(|last| now - last >= DOUBTS) {
            self.doubted.set(Some(now));
            (self.watch.doubt)();
        }
    }
}

fn seen<T: Clone>(receiver: &mut watch::Receiver<T>) -> T {
    receiver.borrow_and_update().clone()
}
