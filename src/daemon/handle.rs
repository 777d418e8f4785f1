//! How the tasks of connections call the driver.

use crate::daemon::Driver;
use crate::daemon::links::LinkState;
use crate::net::stream::Buffers;
use crate::server::{Opened, Owner, Then, Turn};
use consentinel_core::{ClientId, Input, LinkId};
use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use tokio::sync::{Notify, Semaphore};

/// The driver, for the tasks of connections. Everything runs on one thread: a task calls the driver when it has read
/// something, and has let go of it before it waits for anything. The driver never calls a task: it rings.
#[derive(Clone)]
pub(crate) struct Handle(Rc<Shared>);

/// The driver's own way to hand itself to a new task.
pub(crate) struct Myself(Weak<Shared>);

struct Shared {
    driver: RefCell<Driver>,
    buffers: Buffers,
    /// The loop must look at its alarm again.
    changed: Notify,
    /// Who goes on when nobody else has anything to do.
    next: Semaphore,
}

impl Handle {
    /// Puts a driver where all can reach it.
    pub(crate) fn new(make: impl FnOnce(Myself) -> Driver) -> Self {
        Handle(Rc::new_cyclic(|myself| Shared {
            driver: RefCell::new(make(Myself(myself.clone()))),
            buffers: Buffers::default(),
            changed: Notify::new(),
            next: Semaphore::new(1),
        }))
    }

    /// The driver, for the length of a statement.
    pub(crate) fn driver(&self) -> RefMut<'_, Driver> {
        self.0.driver.borrow_mut()
    }

    /// Something happened that the core must know.
    pub(crate) fn input(&self, input: Input) {
        self.with(|driver| driver.input(input));
    }

    /// A server has said whether it speaks RESP3.
    pub(crate) fn on_hello(&self, link: LinkId, speaks: bool) {
        self.with(|driver| {
            driver.links.on_hello(link, speaks, self.clone());
            driver.drain();
            driver.settle();
        });
    }

    /// A server that must not be asked again whether it speaks RESP3.
    pub(crate) fn shun(&self, to: SocketAddr) {
        self.driver().links.shun(to);
    }

    /// Something has come on a connection.
    pub(crate) fn heard(&self, state: &LinkState) {
        self.driver().links.heard(state);
    }

    /// Something is wrong with the TLS of an address.
    pub(crate) fn complain(&self, to: SocketAddr, text: String) {
        self.driver().links.complain(to, text);
    }

    /// Nothing is wrong with it any more.
    pub(crate) fn praise(&self, to: SocketAddr) {
        self.driver().links.praise(to);
    }

    /// A server or peer has answered more than is read.
    pub(crate) fn doubt(&self, to: SocketAddr, what: &str) {
        self.driver().links.doubts.doubt(to, what);
    }

    /// Whether it did so the last time.
    pub(crate) fn is_doubted(&self, to: SocketAddr) -> bool {
        self.driver().links.doubts.is_doubted(to)
    }

    /// It has answered within the limits.
    pub(crate) fn believe(&self, to: SocketAddr) {
        self.driver().links.doubts.believe(to);
    }

    /// Ready when the loop must look at its alarm again.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn with<T>(&self, work: impl FnOnce(&mut Driver) -> T) -> T {
        let mut driver = self.driver();
        let result = work(&mut driver);
        driver.links.ring_few();
        if driver.wants_attention() {
            self.0.changed.notify_one();
        }
        result
    }
}

impl Owner for Handle {
    fn opened(&self, opened: Opened) -> Result<(), &'static str> {
        self.with(|driver| driver.server.handle_opened(opened))
    }

    fn ready(&self, id: ClientId) -> Result<(), &'static str> {
        self.with(|driver| driver.server.handle_ready(id))
    }

    fn closed(&self, id: ClientId) {
        self.with(|driver| driver.server.handle_closed(id));
    }

    fn turn(&self, turn: Turn) -> Option<(Turn, Then)> {
        self.with(|driver| driver.turn(turn))
    }

    /// Of those that wait here one goes on at a time, however many ask for more than their share.
    async fn others_first(&self) {
        let _turn = self.0.next.acquire().await;
        tokio::task::yield_now().await;
    }

    fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }
}

impl Myself {
    /// A handle for a new task.
    pub(crate) fn handle(&self) -> Handle {
        Handle(self.0.upgrade().expect("the driver lives as long as anybody calls it"))
    }
}
