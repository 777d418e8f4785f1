//! Syslog: a datagram a line to `/dev/log`, as the C library's `syslog` sends it (RFC 3164).

use crate::clock;
use crate::config;
use consentinel_core::Level;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where syslog listens.
pub(super) const SOCKET: &str = "/dev/log";

/// Longer messages are cut: what follows may not arrive at all.
const MOST_BYTES: usize = 2048;

/// A connection to syslog; it comes back when syslog does.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    ident: String,
    facility: u8,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Speaks to the syslog that listens there.
    pub(super) fn open(settings: &config::Syslog, path: impl AsRef<Path>) -> Syslog {
        let facility =
            match settings.facility.strip_prefix("local").and_then(|number| number.parse::<u8>().ok()) {
                Some(number) => 16 + number.min(7),
                None => 1,
            };
        Syslog { path: path.as_ref().to_owned(), ident: settings.ident.clone(), facility, socket: None }
    }

    /// Sends a message. What cannot be sent is lost, as with the C library.
    pub(super) fn send(&mut self, level: Level, message: &str) {
        let severity = match level {
            Level::Debug => 7,
            Level::Verbose => 6,
            Level::Notice => 5,
            Level::Warning => 4,
        };
        let priority = u32::from(self.facility) * 8 + severity;
        let mut text =
            format!("<{priority}>{} {}[{}]: ", clock::syslog_stamp(), self.ident, std::process::id());
        text.extend(message.chars().map(|c| if c.is_control() { ' ' } else { c }));
        let end = (0..=MOST_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.path);
            }
            match self.socket.as_ref().map(|socket| socket.send(text.as_bytes())) {
                Some(Ok(_)) | None => return,
                // It was started anew: once more.
                Some(Err(_)) => self.socket = None,
            }
        }
    }
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}
