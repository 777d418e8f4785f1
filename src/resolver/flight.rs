//! Many callers, one look-up. It runs as long as one of them waits, and ends with the last of them.

use crate::cell::Ticket;
use crate::{LookupError, Master};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use std::sync::{Arc, Mutex, PoisonError};

/// How a look-up ended.
pub(crate) type Outcome = Result<Arc<Master>, LookupError>;

type Look = Shared<BoxFuture<'static, Outcome>>;

/// The look-up that is under way, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Flight(Mutex<Option<(Ticket, WeakShared<BoxFuture<'static, Outcome>>)>>);

impl Flight {
    /// The outcome of a look-up that began no earlier than the caller's ticket was drawn. Whoever waits drives it; it
    /// is no task. One runs at a time: a caller for whom the running one began too early waits for its end first.
    pub(crate) async fn outcome(
        &self,
        wanted: Ticket,
        begin: impl Fn() -> (Ticket, BoxFuture<'static, Outcome>),
    ) -> Outcome {
        loop {
            let (ticket, look) = self.board(&begin);
            let outcome = look.await;
            if ticket.serves(&wanted) {
                return outcome;
            }
        }
    }

    fn board(&self, begin: impl Fn() -> (Ticket, BoxFuture<'static, Outcome>)) -> (Ticket, Look) {
        // Held for a few instructions, never while anybody waits.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((ticket, weak)) = &*slot
            && let Some(look) = weak.upgrade()
            && look.peek().is_none()
        {
            return (*ticket, look);
        }
        let (ticket, look) = begin();
        let look = look.shared();
        *slot = look.downgrade().map(|weak| (ticket, weak));
        (ticket, look)
    }
}
