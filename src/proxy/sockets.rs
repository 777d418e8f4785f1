//! The sockets on which clients are let in: opened, or taken over from the process before us.

use super::options::{Bind, Listen};
use consentinel_core::Role;
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// When a connection that has been quiet is probed for whether its other end is still there.
const QUIET: Duration = Duration::from_secs(60);

/// A socket that listens.
pub(super) struct Socket {
    /// Who is behind it.
    pub(super) role: Role,
    /// What it is called, for the log and for whoever takes it over.
    pub(super) label: String,
    pub(super) listener: Listener,
}

/// Of either kind.
pub(super) enum Listener {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The path of a socket, which goes with it, unless somebody else has it now.
pub(super) struct SocketFile {
    path: PathBuf,
    ours: AtomicBool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.ours.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens a socket, or takes it from those that were handed over.
pub(super) fn open(
    listen: &Listen,
    mode: u32,
    inherited: &mut HashMap<String, OwnedFd>,
) -> Result<Socket, String> {
    let label = listen.label();
    let handed = inherited.remove(&label);
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot listen on {}: {error}: another program listens there already\n", listen.bind)
        }
        _ => format!("cannot listen on {}: {error}\n", listen.bind),
    };
    let listener = match (&listen.bind, handed) {
        (Bind::Tcp(_), Some(fd)) => Listener::Tcp(fd.into()),
        (Bind::Tcp(address), None) => Listener::Tcp(crate::server::open(*address, BACKLOG).map_err(fail)?),
        (Bind::Unix(path), Some(fd)) => Listener::Unix(fd.into(), SocketFile::new(path)),
        (Bind::Unix(path), None) => open_unix(path, mode).map_err(fail)?,
    };
    Ok(Socket { role: listen.role, label, listener })
}

fn open_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        // One that was left behind by a crash answers nobody; nothing else is removed.
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile::new(path);
    // Before anybody can come in.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::Unix(socket.into(), file))
}

impl SocketFile {
    fn new(path: &Path) -> SocketFile {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        SocketFile { path, ours: AtomicBool::new(true) }
    }
}

impl Socket {
    /// Its descriptor, to hand over.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }

    /// Somebody else listens on it now: the file stays.
    pub(super) fn give_away(&self) {
        if let Listener::Unix(_, file) = &self.listener {
            file.ours.store(false, Ordering::Relaxed);
        }
    }
}

/// Sets a connection up, in whichever direction: nothing waits to be sent, and who has gone without a word is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let options = TcpKeepalive::new().with_time(QUIET).with_interval(QUIET / 4).with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&options)
}
