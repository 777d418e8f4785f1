//! What the driver has for a client that its connection has not taken yet.

use super::{Then, Turn};
use crate::clock;
use crate::net::bell::Bell;
use bytes::BytesMut;
use consentinel_core::Time;
use std::cell::{Cell, RefCell};
use std::task::Context;
use std::time::Duration;

/// Who lets so much wait is closed, as the original does with subscribers.
const HARD_LIMIT: usize = 32 << 20;

/// Who lets so much wait for `SOFT_TIME`, too.
const SOFT_LIMIT: usize = 8 << 20;
const SOFT_TIME: Duration = Duration::from_secs(60);

/// Between the driver, which fills it, and the task of a connection, which empties it.
#[derive(Default)]
pub(crate) struct Outbox {
    bell: Bell,
    events: RefCell<BytesMut>,
    answered: Cell<Option<(Turn, Then)>>,
    /// Since when more than the soft limit waits.
    behind: Cell<Option<Time>>,
    held: Cell<Held>,
}

/// What a connection holds, as CLIENT LIST shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of its descriptor.
    pub(super) descriptor: i32,
    /// Bytes that were read and are no whole command yet.
    pub(super) input: usize,
    /// Bytes of answers that are not written yet.
    pub(super) output: usize,
    /// Bytes of events that are not written yet.
    pub(super) events: usize,
}

impl Held {
    /// Bytes of memory, about.
    pub(super) fn memory(self) -> usize {
        CONNECTION + self.input + self.output + self.events
    }
}

/// What an idle connection takes, as measured.
const CONNECTION: usize = 2048;

impl Outbox {
    /// Adds an event. False when the client is too far behind to be kept.
    pub(super) fn event(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut events = self.events.borrow_mut();
        write(&mut events);
        self.bell.ring();
        if events.len() <= SOFT_LIMIT {
            self.behind.set(None);
            return true;
        }
        let now = clock::now();
        let since = self.behind.get().unwrap_or(now);
        self.behind.set(Some(since));
        events.len() <= HARD_LIMIT && now - since <= SOFT_TIME
    }

    /// What the connection holds now.
    pub(super) fn held(&self) -> Held {
        Held { events: self.events.borrow().len(), ..self.held.get() }
    }

    /// The connection has this descriptor.
    pub(super) fn set_descriptor(&self, descriptor: i32) {
        self.held.set(Held { descriptor, ..self.held.get() });
    }

    /// The connection holds so many bytes.
    pub(super) fn set_held(&self, input: usize, output: usize) {
        self.held.set(Held { input, output, ..self.held.get() });
    }

    /// Gives a turn back for which the core had to think.
    pub(super) fn answer(&self, turn: Turn, then: Then) {
        self.answered.set(Some((turn, then)));
        self.bell.ring();
    }

    /// Ends the connection, with whatever was not written yet.
    pub(super) fn give_up(&self) {
        self.bell.give_up();
    }

    /// The turn, when the core has thought.
    pub(super) fn take_answer(&self) -> Option<(Turn, Then)> {
        self.answered.take()
    }

    /// The events that are not written yet.
    pub(super) fn events(&self) -> std::cell::RefMut<'_, BytesMut> {
        self.events.borrow_mut()
    }

    /// The task that is polled now wants to be woken when there is something.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.bell.listen(cx);
    }

    /// Ready when the connection is to end.
    pub(super) async fn given_up(&self) {
        self.bell.given_up().await;
    }

    /// Whether the connection is to end.
    pub(super) fn is_given_up(&self) -> bool {
        self.bell.is_given_up()
    }
}
