//! The listening sockets.

use super::serve::serve;
use crate::driver::handle::Handle;
use crate::driver::store::Settings;
use crate::driver::stream::Stream;
use consentinel_core::ClientId;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

/// Sockets that are open, on which nobody is served yet.
pub(in crate::driver) struct Listeners {
    tcp: Vec<TcpListener>,
    timeout: Duration,
    keepalive: Duration,
}

/// Opens the listening sockets. The error says which address it is about.
pub(in crate::driver) fn bind(settings: &Settings) -> Result<Listeners, io::Error> {
    let wildcard = ["*".to_owned(), "-::*".to_owned()];
    let bind = if settings.bind.is_empty() { &wildcard[..] } else { &settings.bind[..] };
    let mut tcp = Vec::new();
    for text in bind {
        let (address, optional) = text.strip_prefix('-').map_or((text.as_str(), false), |rest| (rest, true));
        let ip = match address {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => address.parse().map_err(|_| {
                io::Error::other(format!("bind: '{address}' is no IP address; write addresses, '*' or '::*'"))
            })?,
        };
        match open(SocketAddr::new(ip, settings.port)) {
            Ok(listener) => tcp.push(listener),
            Err(error) if optional => warn!("not listening on {address}: {error}"),
            Err(error) => {
                let what = format!("cannot listen on {address} port {}: {error}", settings.port);
                return Err(io::Error::new(error.kind(), what));
            }
        }
    }
    if tcp.is_empty() {
        return Err(io::Error::other("none of the addresses of 'bind' can be listened on"));
    }
    Ok(Listeners { tcp, timeout: settings.timeout, keepalive: settings.tcp_keepalive })
}

impl Listeners {
    /// Serves whoever connects.
    pub(in crate::driver) fn serve(self, driver: &Handle) {
        let ids = Rc::new(Cell::new(0));
        for listener in self.tcp {
            let (ids, driver) = (ids.clone(), driver.clone());
            tokio::task::spawn_local(accept(listener, ids, driver, self.timeout, self.keepalive));
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(511)?;
    TcpListener::from_std(socket.into())
}

async fn accept(
    listener: TcpListener,
    ids: Rc<Cell<u64>>,
    driver: Handle,
    timeout: Duration,
    keepalive: Duration,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                ids.set(ids.get() + 1);
                let id = ClientId(ids.get());
                match prepare(&stream, keepalive) {
                    Ok(local) => {
                        let stream = Stream::Tcp(stream);
                        tokio::task::spawn_local(serve(stream, (peer, local), id, driver.clone(), timeout));
                    }
                    Err(error) => warn!("a connection from {peer} cannot be set up: {error}"),
                }
            }
            Err(error) => {
                // Most likely out of file descriptors: they come back when others leave.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
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
