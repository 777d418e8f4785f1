//! What surrounds the daemon: signals, the background, the supervisor, the file with our number.

mod background;
pub(crate) mod files;
mod pidfile;
mod signals;
mod supervisor;

pub(super) use background::{Background, Origin};
pub(super) use pidfile::Pidfile;
pub(super) use signals::Signals;
pub(crate) use supervisor::{notify, ready, supervise, watchdog};

/// Keeps to ourselves what whoever started us has left open: scripts would inherit it. All that we open ourselves is
/// closed for them already.
pub(crate) fn keep_descriptors() {
    close_fds::set_fds_cloexec(3, &[]);
}
