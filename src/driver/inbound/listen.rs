//! Listening sockets, and the task of each connection.

use super::{FromClient, Opened, Then, ToClient, Turn};
use crate::driver::store::Settings;
use bytes::{Buf, BytesMut};
use consentinel_core::ClientId;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Events that may wait for a subscriber; one that is slower is closed.
const MAX_EVENTS: usize = 4096;

/// How long the loop may take to answer before the connection is given up: the disk may be stuck.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Buffers larger than this are not kept while a connection is idle.
const IDLE_BUFFER: usize = 4096;

/// Opens the listening sockets and serves whoever connects. The error says which address it is about.
pub(in crate::driver) fn listen(
    settings: &Settings,
    clients: &mpsc::Sender<FromClient>,
) -> Result<(), io::Error> {
    let ids = Arc::new(AtomicU64::new(1));
    let wildcard = ["*".to_owned(), "-::*".to_owned()];
    let bind = if settings.bind.is_empty() { &wildcard[..] } else { &settings.bind[..] };
    let mut opened = 0;
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
            Ok(listener) => {
                opened += 1;
                tokio::spawn(accept(
                    listener,
                    ids.clone(),
                    clients.clone(),
                    settings.timeout,
                    settings.tcp_keepalive,
                ));
            }
            Err(error) if optional => warn!("not listening on {address}: {error}"),
            Err(error) => {
                let what = format!("cannot listen on {address} port {}: {error}", settings.port);
                return Err(io::Error::new(error.kind(), what));
            }
        }
    }
    if opened == 0 {
        return Err(io::Error::other("none of the addresses of 'bind' can be listened on"));
    }
    Ok(())
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
    ids: Arc<AtomicU64>,
    clients: mpsc::Sender<FromClient>,
    timeout: Duration,
    keepalive: Duration,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let id = ClientId(ids.fetch_add(1, Ordering::Relaxed));
                if let Err(error) = prepare(&stream, keepalive) {
                    warn!("a connection from {peer} cannot be set up: {error}");
                    continue;
                }
                tokio::spawn(serve(stream, peer, id, clients.clone(), timeout));
            }
            Err(error) => {
                // Most likely out of file descriptors: they come back when others leave.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn prepare(stream: &TcpStream, keepalive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !keepalive.is_zero() {
        let third = (keepalive / 3).max(Duration::from_secs(1));
        let options = TcpKeepalive::new().with_time(keepalive).with_interval(third).with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&options)?;
    }
    Ok(())
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    id: ClientId,
    clients: mpsc::Sender<FromClient>,
    timeout: Duration,
) {
    let (out, from_loop) = mpsc::channel(MAX_EVENTS);
    let (lifeline, cut) = oneshot::channel();
    let Ok(local) = stream.local_addr() else { return };
    let opened = Opened { id, peer, local, out, lifeline };
    if clients.send(FromClient::Opened(opened)).await.is_err() {
        return;
    }
    let mut connection = Connection { id, stream, clients, from_loop };
    tokio::select! {
        _ = connection.run(timeout) => {}
        _ = cut => {}
    }
    let _ = connection.clients.send(FromClient::Closed(id)).await;
}

struct Connection {
    id: ClientId,
    stream: TcpStream,
    clients: mpsc::Sender<FromClient>,
    from_loop: mpsc::Receiver<ToClient>,
}

impl Connection {
    /// Takes turns with the loop until one side has enough. Errors need no words: the client is gone.
    async fn run(&mut self, timeout: Duration) -> io::Result<()> {
        let mut turn = Turn { id: self.id, input: BytesMut::new(), output: BytesMut::new() };
        let mut then = Then::Read;
        loop {
            if then != Then::Again {
                let may_be_silent = timeout.is_zero() || then == Then::Listen;
                if may_be_silent {
                    self.read(&mut turn.input).await?;
                } else {
                    tokio::time::timeout(timeout, self.read(&mut turn.input)).await??;
                }
            }
            (turn, then) = self.ask(turn).await?;
            if then == Then::Close {
                return Ok(());
            }
        }
    }

    /// Reads something; passes events on meanwhile.
    async fn read(&mut self, input: &mut BytesMut) -> io::Result<()> {
        loop {
            input.reserve(IDLE_BUFFER);
            tokio::select! {
                // Unlike `try_read`, this does not ask the system again when it has just given all that it had.
                length = self.stream.read_buf(input) => match length? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => return Ok(()),
                },
                message = self.from_loop.recv() => match message {
                    Some(ToClient::Event(event)) => write(&self.stream, &event).await?,
                    // The loop speaks first to those that it refuses.
                    Some(ToClient::Answered { turn, .. }) => {
                        write(&self.stream, &turn.output).await?;
                        return Err(io::ErrorKind::ConnectionRefused.into());
                    }
                    None => return Err(io::ErrorKind::ConnectionAborted.into()),
                },
            }
        }
    }

    async fn ask(&mut self, turn: Turn) -> io::Result<(Turn, Then)> {
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
        self.clients.send(FromClient::Asks(turn)).await.map_err(gone)?;
        loop {
            match tokio::time::timeout(MAX_WAIT, self.from_loop.recv()).await? {
                Some(ToClient::Answered { mut turn, then }) => {
                    write(&self.stream, &turn.output).await?;
                    turn.output.clear();
                    shrink(&mut turn.output);
                    shrink(&mut turn.input);
                    return Ok((turn, then));
                }
                Some(ToClient::Event(event)) => write(&self.stream, &event).await?,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > IDLE_BUFFER {
        *buffer = BytesMut::new();
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while bytes.has_remaining() {
        match stream.try_write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
