//! The embedded DNS: it answers the names that Consul would answer, from what this sentinel sees itself.
//!
//! It has a thread and a runtime of its own. The driver hands over the records of a group (`announcer`) over a channel that
//! never makes it wait. Questions (`query_handler`) are answered from what was handed over (`answer`), and never touch the
//! core.

mod announcer;
mod answer;
mod answer_types;
mod counters;
mod dns_view_builder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod group_records;
mod limit;
mod query_handler;
mod question;
mod settings;
mod sockets;
mod tcp_connections;
mod wire;

pub(crate) use announcer::Announcer;
pub(crate) use counters::Counted;
pub(crate) use dns_view_builder::{DnsAnswer, DnsViewBuilder};
pub(crate) use settings::{DnsSettings, WithoutMajority, datacenter, domain};
pub(crate) use sockets::Sockets;

use answer::Update;
use consentinel_core::Time;
use counters::Counters;
use query_handler::{Pulse, QueryHandler};
use std::io;
use std::sync::Arc;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tracing::error;

/// The thread that answers, from outside. It ends when this is dropped.
pub(crate) struct Dns {
    updates: mpsc::UnboundedSender<Update>,
    pulse: Arc<Pulse>,
}

impl Dns {
    fn start(sockets: Sockets, settings: &DnsSettings, counters: Arc<Counters>) -> io::Result<Dns> {
        let pulse = Arc::new(Pulse::default());
        let (updates, told) = mpsc::unbounded_channel();
        let handler = QueryHandler::new(settings, told, pulse.clone(), counters);
        // A local runtime cannot be handed to another thread: that one makes it, and says whether it could.
        let (begin, begun) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("dns".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = begin.send(result);
            let ended = runtime.map(|runtime| runtime.block_on(sockets.serve(handler)));
            if let Some(Err(error)) = ended {
                error!("DNS is not answered any more: {error}");
            }
        })?;
        begun.recv().map_err(io::Error::other)??;
        Ok(Dns { updates, pulse })
    }

    fn tell(&self, update: Update) {
        // It is gone only by a defect, of which the log knows.
        let _ = self.updates.send(update);
    }

    fn beat(&self, now: Time) {
        self.pulse.beat(now);
    }
}
