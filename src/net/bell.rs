//! How the driver wakes the task of a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Rung by the driver when it has something for the task of a connection, or has given the connection up.
#[derive(Default)]
pub(crate) struct Bell {
    waker: RefCell<Option<Waker>>,
    given_up: Cell<bool>,
}

impl Bell {
    /// The task that is polled now wants to be woken.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    /// There is something to do. The task runs later, never within this call.
    pub(crate) fn ring(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The connection is to end at once.
    pub(crate) fn give_up(&self) {
        self.given_up.set(true);
        self.ring();
    }

    /// Whether the connection is to end.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    /// Ready when the connection is to end.
    pub(crate) async fn given_up(&self) {
        poll_fn(|cx| {
            self.listen(cx);
            if self.is_given_up() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
}
