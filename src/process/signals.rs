//! The signals that the daemon obeys.

use crate::log;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The signals that we obey.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
    on_hangup: Vec<Box<dyn FnMut()>>,
}

impl Signals {
    /// Begins to listen to them.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            on_hangup: Vec::new(),
        })
    }

    /// Does this, too, at every SIGHUP: reads anew what may have changed on disk.
    pub(crate) fn on_hangup(&mut self, act: impl FnMut() + 'static) {
        self.on_hangup.push(Box::new(act));
    }

    /// The name of the signal that wants us to end. The others are obeyed meanwhile.
    pub(crate) async fn recv(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.user.recv() => log::reopen(),
                _ = self.hangup.recv() => {
                    log::reopen();
                    self.on_hangup.iter_mut().for_each(|act| act());
                }
            }
        }
    }

    /// From now on, whoever asks once more has no patience.
    pub(crate) fn insist(mut self) {
        tokio::spawn(async move {
            self.interrupt.recv().await;
            warn!("You insist... exiting now.");
            log::flush();
            std::process::exit(1);
        });
    }
}
