//! `/metrics`: what is measured, as Prometheus reads it. docs/metrics has a dashboard and alerts on it.

mod consul;
mod daemon;
mod dns;
mod masters;
mod text;

use super::handler::Handler;
use super::status_query::Drawn;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
pub(crate) use text::Text;

/// What the port counts of itself.
#[derive(Debug, Default)]
pub(super) struct Visits {
    by_status: RefCell<BTreeMap<u16, u64>>,
    turned_away: Cell<u64>,
}

impl Visits {
    /// A request was answered.
    pub(super) fn answered(&self, status: u16) {
        *self.by_status.borrow_mut().entry(status).or_default() += 1;
    }

    /// A connection was refused: there are too many.
    pub(super) fn turned_away(&self) {
        self.turned_away.set(self.turned_away.get() + 1);
    }
}

/// The whole page.
pub(super) fn page(drawn: &Drawn, handler: &Handler) -> Bytes {
    let Drawn { picture, tally, .. } = drawn;
    let mut text = Text::default();
    daemon::write(&mut text, drawn, &handler.meters);
    daemon::write_port(&mut text, handler);
    masters::write(&mut text, &picture.masters, &tally.failovers);
    if let Some(counted) = &tally.consul {
        consul::write(&mut text, counted);
        consul::write_publications(&mut text, &picture.masters);
    }
    if let Some(counted) = &tally.dns {
        dns::write(&mut text, counted);
    }
    text.into_bytes()
}
