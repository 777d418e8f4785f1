//! What the tasks of connections need of the one that owns the core.

use super::{Opened, Then, Turn};
use crate::net::stream::Buffers;
use consentinel_core::ClientId;

/// The owner of the core, for the tasks of connections. All run on one thread: a task calls it when it has read something,
/// and never keeps it while it waits.
pub(crate) trait Owner: Clone + 'static {
    /// A client has connected, and counts from now on. The error is for the client to read.
    fn opened(&self, opened: Opened) -> Result<(), &'static str>;

    /// A client can be written to. The error is for the client to read.
    fn ready(&self, id: ClientId) -> Result<(), &'static str>;

    /// A client has gone.
    fn closed(&self, id: ClientId);

    /// Serves a client. `None` when the core must think first: the outbox gets the answer then.
    fn turn(&self, turn: Turn) -> Option<(Turn, Then)>;

    /// Lets all others come in between that have anything to do.
    fn others_first(&self) -> impl Future<Output = ()>;

    /// Buffers for reading and writing.
    fn buffers(&self) -> &Buffers;
}
