//! The HTTP port: status page, state, history, events, health and metrics. Nothing can be changed through it.
//!
//! It has a thread and a runtime of its own, so that no client, however many or slow, is felt by the loop that fails
//! over. What it shows it asks the loop for (`status_query.rs`): the loop draws one picture for all who look at about the
//! same time (`status_cache.rs`), a few masters at a go, and spends a twentieth of its time on that at most. Begin
//! reading at `handler.rs`: it says what is answered to what.

mod answer;
mod events;
mod handler;
mod health;
mod hosts;
mod listen;
mod metrics;
mod page;
mod permits;
mod socket;
mod status_cache;
mod status_query;
mod timer;

pub(crate) use listen::{Sockets, bind};
pub(crate) use status_query::{Ask, Drawn, QueryReceiver};

/// The pieces of the port, for another port: the proxy has one.
pub(crate) mod pieces {
    pub(crate) use super::answer::{Answer, METRICS, TEXT, good, refusal};
    pub(crate) use super::hosts::{Unfit, check};
    pub(crate) use super::metrics::Text;
    pub(crate) use super::permits::Permits;
    pub(crate) use super::socket::Socket;
    pub(crate) use super::timer::Timer;
}

use crate::config::HttpSettings;
use crate::status::Happening;
use crate::status::meters::Meters;
use consentinel_core::Rng;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Handfuls of happenings that may be on their way to the port.
const NEWS: usize = 16;

/// Files that the port may have open: connections, sockets, and what its runtime needs.
pub(crate) fn descriptors(settings: &HttpSettings) -> usize {
    match settings.bind.len() {
        0 => 0,
        sockets => listen::CONNECTIONS + listen::FAREWELLS + sockets + 8,
    }
}

/// Opens the port. What it asks comes out of the first value, and the second takes what happens.
pub(crate) fn open(
    sockets: Sockets,
    meters: Arc<Meters>,
) -> io::Result<(QueryReceiver, mpsc::Sender<Vec<Happening>>)> {
    let (query, receiver) = status_query::channel();
    let (sender, news) = mpsc::channel(NEWS);
    let mut run = Rng::new(crate::clock::seed()).hex40();
    run.truncate(8);
    sockets.serve(query, news, meters, run)?;
    Ok((receiver, sender))
}
