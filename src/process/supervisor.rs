//! The supervisor that has started us and wants to know how we are: systemd, or upstart.

use crate::config::{Settings, Supervised};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;
use tracing::{info, warn};

/// The socket of systemd, once we know that it is there.
static SYSTEMD: OnceLock<Channel> = OnceLock::new();

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
}

impl Channel {
    /// `/run/systemd/notify`, or `@name` for a name without a file.
    fn open(name: &str) -> io::Result<Channel> {
        let socket = UnixDatagram::unbound()?;
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        socket.connect_addr(&address)?;
        // It must not keep the loop waiting.
        socket.set_nonblocking(true)?;
        Ok(Channel { socket })
    }

    fn tell(&self, text: &str) {
        // What it does not want to hear now it need not know.
        let _ = self.socket.send(text.as_bytes());
    }
}

/// What the environment has under a name.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who is to supervise us.
fn find(settings: &Settings) -> Supervised {
    match settings.supervised {
        Supervised::Auto if set("UPSTART_JOB").is_some() => Supervised::Upstart,
        Supervised::Auto if set("NOTIFY_SOCKET").is_some() => Supervised::Systemd,
        Supervised::Auto => Supervised::No,
        other => other,
    }
}

/// Whether somebody does, as far as settings and environment tell.
pub(super) fn is_there(settings: &Settings) -> bool {
    match find(settings) {
        Supervised::Upstart => set("UPSTART_JOB").is_some(),
        Supervised::Systemd => set("NOTIFY_SOCKET").is_some(),
        Supervised::No | Supervised::Auto => false,
    }
}

/// Finds out who supervises us, if the settings say that somebody may: the answer takes the place of the wish.
pub(crate) fn supervise(settings: &mut Settings) {
    let wanted = find(settings);
    settings.supervised = match wanted {
        Supervised::Systemd => match set("NOTIFY_SOCKET").map(|name| Channel::open(&name)) {
            Some(Ok(channel)) => {
                let _ = SYSTEMD.set(channel);
                info!("supervised by systemd");
                Supervised::Systemd
            }
            Some(Err(error)) => {
                warn!("systemd supervision requested, but NOTIFY_SOCKET cannot be used: {error}");
                Supervised::No
            }
            None => {
                warn!("systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found!");
                Supervised::No
            }
        },
        Supervised::Upstart if set("UPSTART_JOB").is_none() => {
            warn!("upstart supervision requested, but UPSTART_JOB not found!");
            Supervised::No
        }
        other => other,
    };
}

/// Says that we are ready.
pub(crate) fn ready(settings: &Settings) {
    match settings.supervised {
        Supervised::Systemd => {
            notify(&format!("READY=1\nMAINPID={}\nSTATUS=Ready to accept connections\n", std::process::id()));
        }
        Supervised::Upstart => {
            info!("supervised by upstart, will stop to signal readiness.");
            crate::log::flush();
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
        }
        Supervised::No | Supervised::Auto => {}
    }
}

/// Tells systemd something, if it listens.
pub(crate) fn notify(text: &str) {
    if let Some(channel) = SYSTEMD.get() {
        channel.tell(text);
    }
}

/// Shows systemd that the loop still turns, as often as it asks for. To be called on the loop.
pub(crate) fn watchdog() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let Some(period) = number("WATCHDOG_USEC").filter(|period| *period > 0 && for_us) else { return };
    if SYSTEMD.get().is_none() {
        return;
    }
    let half = Duration::from_micros(period / 2).max(Duration::from_millis(1));
    tokio::task::spawn_local(async move {
        let mut ticks = tokio::time::interval(half);
        loop {
            ticks.tick().await;
            notify("WATCHDOG=1");
        }
    });
}
