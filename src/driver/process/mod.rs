//! What surrounds the daemon: signals, the background, whoever supervises us, the file with our number.

mod background;
mod pidfile;
mod signals;
mod supervisor;

pub(super) use background::{Background, Origin};
pub(super) use pidfile::Pidfile;
pub(super) use signals::Signals;
pub(super) use supervisor::{notify, ready, supervise, watchdog};
