//! The listening sockets.

use super::End;
use super::Owner;
use super::holder::Holder;
use super::serve::{refuse, serve, take_in};
use crate::config::Settings;
use crate::net::stream::Stream;
use crate::net::tls::{Tls, explain};
use consentinel_core::ClientId;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tracing::{debug, warn};

/// Sockets that are open, on which nobody is served yet.
pub(crate) struct Listeners {
    sockets: Vec<Listener>,
    reception: Reception,
}

enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// What all connections are received with.
#[derive(Clone)]
struct Reception {
    tls: Tls,
    timeout: Duration,
    keepalive: Duration,
    ids: Rc<Cell<u64>>,
}

/// Opens the listening sockets. The error says which address it is about.
pub(crate) fn bind(settings: &Settings, tls: &Tls) -> Result<Listeners, io::Error> {
    let mut sockets = Vec::new();
    if settings.port != 0 {
        sockets.extend(bind_all(settings, settings.port)?.into_iter().map(Listener::Tcp));
    }
    if settings.tls.port != 0 {
        sockets.extend(bind_all(settings, settings.tls.port)?.into_iter().map(Listener::Tls));
    }
    if let Some(path) = &settings.unixsocket {
        let (listener, file) = bind_unix(path, settings.unixsocketperm).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
        })?;
        sockets.push(Listener::Unix(listener, file));
    }
    if sockets.is_empty() {
        return Err(io::Error::other("configured to listen nowhere: no port, no tls-port, no unixsocket"));
    }
    let reception = Reception {
        tls: tls.clone(),
        timeout: settings.timeout,
        keepalive: settings.tcp_keepalive,
        ids: Rc::default(),
    };
    Ok(Listeners { sockets, reception })
}

fn bind_all(settings: &Settings, port: u16) -> io::Result<Vec<TcpListener>> {
    let wildcard = ["*".to_owned(), "-::*".to_owned()];
    let bind = if settings.bind.is_empty() { &wildcard[..] } else { &settings.bind[..] };
    // An empty address stands for none.
    let bind: Vec<_> = bind.iter().filter(|text| !text.is_empty()).collect();
    let mut open = Vec::new();
    for text in &bind {
        let (address, optional) = text.strip_prefix('-').map_or((text.as_str(), false), |rest| (rest, true));
        let ip = match address {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => address.parse().map_err(|_| {
                io::Error::other(format!("bind: '{address}' is no IP address; write addresses, '*' or '::*'"))
            })?,
        };
        match bind_tcp(SocketAddr::new(ip, port), settings.tcp_backlog) {
            Ok(listener) => open.push(listener),
            Err(error) if optional => warn!("not listening on {address}: {error}"),
            Err(error) => {
                let holder = match error.kind() {
                    io::ErrorKind::AddrInUse => Holder::of(SocketAddr::new(ip, port)),
                    _ => None,
                };
                let holder = holder.map(|holder| format!("; {}", holder.advice())).unwrap_or_default();
                let what = format!("cannot listen on {address} port {port}: {error}{holder}");
                return Err(io::Error::new(error.kind(), what));
            }
        }
    }
    if open.is_empty() && !bind.is_empty() {
        return Err(io::Error::other("none of the addresses of 'bind' can be listened on"));
    }
    Ok(open)
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    TcpListener::from_std(open(address, backlog)?)
}

/// Opens a listening socket, for whatever runtime.
pub(crate) fn open(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// The path of a socket, which goes with it.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_unix(path: &Path, rights: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    // One that was left behind by a crash; nothing else is removed.
    if std::fs::symlink_metadata(path).is_ok_and(|found| is_socket(&found)) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    if let Some(rights) = rights {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(rights))?;
    }
    Ok((listener, file))
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_socket()
}

impl Listeners {
    /// Serves whoever connects.
    pub(crate) fn serve(self, owner: &impl Owner) {
        for listener in self.sockets {
            tokio::task::spawn_local(accept(listener, self.reception.clone(), owner.clone()));
        }
    }
}

async fn accept(listener: Listener, reception: Reception, owner: impl Owner) {
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                reception.receive(stream, peer, |stream, ends| {
                    let (owner, reception) = (owner.clone(), reception.clone());
                    tokio::task::spawn_local(reception.serve(Stream::Tcp(stream), ends, owner));
                });
            }),
            Listener::Tls(listener) => listener.accept().await.map(|(stream, peer)| {
                reception.receive(stream, peer, |stream, ends| {
                    tokio::task::spawn_local(reception.clone().shake_hands(stream, ends, owner.clone()));
                });
            }),
            Listener::Unix(listener, file) => listener.accept().await.map(|(stream, _)| {
                let end = End::Unix(file.0.to_string_lossy().into());
                let (owner, reception) = (owner.clone(), reception.clone());
                tokio::task::spawn_local(reception.serve(Stream::Unix(stream), (end.clone(), end), owner));
            }),
        };
        if let Err(error) = accepted {
            // Most likely out of file descriptors: they come back when others leave.
            warn!("cannot accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else {
            // One client too many is sent away before the next is let in: those who wait for that have a file open, too.
            tokio::task::yield_now().await;
        }
    }
}

impl Reception {
    fn receive(&self, stream: TcpStream, peer: SocketAddr, go_on: impl FnOnce(TcpStream, (End, End))) {
        match prepare(&stream, self.keepalive) {
            Ok(local) => go_on(stream, (End::Ip(peer), End::Ip(local))),
            Err(error) => warn!("a connection from {peer} cannot be set up: {error}"),
        }
    }

    /// A hand that is not shaken in time, or not as it should be, is let go. Whoever shakes hands is a client already.
    async fn shake_hands(self, stream: TcpStream, ends: (End, End), owner: impl Owner) {
        let (id, peer) = (self.next_id(), ends.0.clone());
        // One who is refused is not told why: without a handshake he could not read it.
        let Ok(outbox) = take_in(stream.as_raw_fd(), ends, id, &owner) else { return };
        let shaken = tokio::select! {
            biased;
            () = outbox.given_up() => return,
            shaken = self.tls.accept(stream) => shaken,
        };
        match shaken {
            Ok(stream) => serve(Stream::Inward(Box::new(stream)), outbox, id, owner, self.timeout).await,
            Err(error) => {
                owner.closed(id);
                let why = explain(&error).unwrap_or_else(|| error.to_string());
                debug!("no TLS with the client at {peer}: {why}");
            }
        }
    }

    async fn serve(self, stream: Stream, ends: (End, End), owner: impl Owner) {
        let id = self.next_id();
        match take_in(stream.descriptor(), ends, id, &owner) {
            Ok(outbox) => serve(stream, outbox, id, owner, self.timeout).await,
            Err(text) => refuse(stream, text).await,
        }
    }

    fn next_id(&self) -> ClientId {
        self.ids.set(self.ids.get() + 1);
        ClientId(self.ids.get())
    }
}

/// Sets a connection up, and tells our end of it.
fn prepare(stream: &TcpStream, keepalive: Duration) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    if !keepalive.is_zero() {
        let third = (keepalive / 3).max(Duration::from_secs(1));
        let options = TcpKeepalive::new().with_time(keepalive).with_interval(third).with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&options)?;
    }
    stream.local_addr()
}
