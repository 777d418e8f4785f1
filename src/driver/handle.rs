//! How the tasks of connections call the driver.

use super::Driver;
use super::inbound::{Opened, Then, Turn};
use super::links::Line;
use super::stream::Buffers;
use consentinel_core::{ClientId, Input, LinkId};
use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use tokio::sync::{Notify, Semaphore};

/// The driver, for the tasks of connections. Everything runs on one thread: a task calls the driver when it has read
/// something, and has let go of it before it waits for anything. The driver never calls a task: it rings.
#[derive(Clone)]
pub(super) struct Handle(Rc<Shared>);

/// The driver's own way to hand itself to a new task.
pub(super) struct Myself(Weak<Shared>);

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
    pub(super) fn new(make: impl FnOnce(Myself) -> Driver) -> Self {
        Handle(Rc::new_cyclic(|myself| Shared {
            driver: RefCell::new(make(Myself(myself.clone()))),
            buffers: Buffers::default(),
            changed: Notify::new(),
            next: Semaphore::new(1),
        }))
    }

    /// The driver, for the length of a statement.
    pub(super) fn driver(&self) -> RefMut<'_, Driver> {
        self.0.driver.borrow_mut()
    }

    /// Something happened that the core must know.
    pub(super) fn input(&self, input: Input) {
        self.with(|driver| driver.input(input));
    }

    /// A client has connected, and counts from now on. The error is for it to read.
    pub(super) fn opened(&self, opened: Opened) -> Result<(), &'static str> {
        self.with(|driver| driver.server.handle_opened(opened))
    }

    /// A client can hear us. The error is for it to read.
    pub(super) fn ready(&self, id: ClientId) -> Result<(), &'static str> {
        self.with(|driver| driver.server.handle_ready(id))
    }

    /// A client has gone.
    pub(super) fn closed(&self, id: ClientId) {
        self.with(|driver| driver.server.handle_closed(id));
    }

    /// Serves a client. Nothing when the core must think first: the outbox gets the answer then.
    pub(super) fn turn(&self, turn: Turn) -> Option<(Turn, Then)> {
        self.with(|driver| driver.turn(turn))
    }

    /// Lets all come in between who have anything to do. Of those who wait here one goes on at a time, however many ask
    /// for more than their share.
    pub(super) async fn others_first(&self) {
        let _turn = self.0.next.acquire().await;
        tokio::task::yield_now().await;
    }

    /// A server has said whether it speaks RESP3.
    pub(super) fn on_hello(&self, link: LinkId, speaks: bool) {
        self.with(|driver| {
            driver.links.on_hello(link, speaks, self.clone());
            driver.drain();
            driver.settle();
        });
    }

    /// A server that must not be asked again whether it speaks RESP3.
    pub(super) fn shun(&self, to: SocketAddr) {
        self.driver().links.shun(to);
    }

    /// Something has come on a connection.
    pub(super) fn heard(&self, line: &Line) {
        self.driver().links.heard(line);
    }

    /// Something is wrong with the TLS of an address.
    pub(super) fn complain(&self, to: SocketAddr, text: String) {
        self.driver().links.complain(to, text);
    }

    /// Nothing is wrong with it any more.
    pub(super) fn praise(&self, to: SocketAddr) {
        self.driver().links.praise(to);
    }

    /// Buffers for whoever reads or writes at the moment.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }

    /// Ready when the loop must look at its alarm again.
    pub(super) async fn changed(&self) {
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

impl Myself {
    /// A handle for a new task.
    pub(super) fn handle(&self) -> Handle {
        Handle(self.0.upgrade().expect("the driver lives as long as anybody calls it"))
    }
}
