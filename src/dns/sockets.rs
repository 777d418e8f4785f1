//! The sockets, and those who serve them: one task each, and one for each connection.

use super::counters::add;
use super::query_handler::{QueryHandler, Way};
use super::tcp_connections::{self, TcpConnection, TcpConnections};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::error;

/// Longer than any question.
const LONGEST_QUESTION: usize = 4096;

/// How long a connection may be of no use: until a question is there as a whole, and until its answer is taken.
const IDLE: Duration = Duration::from_secs(10);

/// After an error of a socket, lest the next one follows at once.
const PAUSE: Duration = Duration::from_millis(100);

const BACKLOG: i32 = 128;

/// Sockets that are open, and on which nobody answers yet.
pub(crate) struct Sockets {
    open: Vec<(std::net::UdpSocket, std::net::TcpListener)>,
}

impl Sockets {
    /// Opens all of them. The error says which address it is about, and what to do.
    pub(crate) fn open(addresses: &[SocketAddr]) -> io::Result<Sockets> {
        let pair = |address: &SocketAddr| {
            bind(*address, Type::DGRAM, Protocol::UDP)
                .and_then(|udp| Ok((udp.into(), listen(*address)?.into())))
                .map_err(|error| {
                    let hint = match error.kind() {
                        io::ErrorKind::AddrInUse => {
                            ": a Consul agent, or another daemon? Write: sentinel dns-bind <ip:port>"
                        }
                        io::ErrorKind::PermissionDenied => ": ports below 1024 need CAP_NET_BIND_SERVICE",
                        _ => "",
                    };
                    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{hint}"))
                })
        };
        Ok(Sockets { open: addresses.iter().map(pair).collect::<io::Result<_>>()? })
    }

    /// How many files it may come to have open.
    pub(crate) fn most_files(addresses: &[SocketAddr]) -> usize {
        addresses.len() * (2 + tcp_connections::MOST)
    }

    /// Answers, until nobody tells the desk anything any more.
    pub(super) async fn serve(self, handler: QueryHandler) -> io::Result<()> {
        let handler = Rc::new(RefCell::new(handler));
        let mut tasks = JoinSet::new();
        for (udp, tcp) in self.open {
            let here = Some(udp.local_addr()?.ip()).filter(|ip| !ip.is_unspecified());
            let (udp, tcp) = (Rc::new(UdpSocket::from_std(udp)?), Rc::new(TcpListener::from_std(tcp)?));
            let (for_udp, for_tcp) = (handler.clone(), handler.clone());
            keep_up(&mut tasks, move || answer_all(udp.clone(), here, for_udp.clone()));
            keep_up(&mut tasks, move || welcome(tcp.clone(), for_tcp.clone()));
        }
        poll_fn(|cx| handler.borrow_mut().poll_updates(cx)).await;
        Ok(())
    }
}

fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = bind(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Starts a task, and another one in its place should it ever end: by a defect of ours, as nothing else ends it.
fn keep_up<F: Future<Output = ()> + 'static>(tasks: &mut JoinSet<()>, work: impl Fn() -> F + 'static) {
    tasks.spawn_local(async move {
        loop {
            if let Err(defect) = tokio::task::spawn_local(work()).await {
                error!("DNS: a defect, after which it goes on: {defect}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

async fn answer_all(socket: Rc<UdpSocket>, here: Option<IpAddr>, handler: Rc<RefCell<QueryHandler>>) {
    let mut buffer = [0; LONGEST_QUESTION];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Nobody has that port: it is forged.
        if client.port() == 0 {
            continue;
        }
        let answer = handler.borrow_mut().answer(&buffer[..length], Way::Udp(client.ip()), here);
        if let Some(answer) = answer {
            // When it does not go out at once it is lost, like any message on the way.
            let _ = socket.try_send_to(&answer, client);
        }
    }
}

async fn welcome(listener: Rc<TcpListener>, handler: Rc<RefCell<QueryHandler>>) {
    let connections = Rc::new(RefCell::new(TcpConnections::default()));
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (connection, crowded_out) = connections.borrow_mut().admit(client.ip());
        add(&handler.borrow().counters().connections);
        if crowded_out {
            add(&handler.borrow().counters().crowded_out);
        }
        let (connections, handler) = (connections.clone(), handler.clone());
        tokio::task::spawn_local(async move {
            tokio::select! {
                // The asker has gone, or has been of no use for too long.
                _ = converse(stream, &handler, &connections, &connection) => {}
                () = connection.asked_to_leave() => {}
            }
            connections.borrow_mut().forget(&connection);
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    handler: &RefCell<QueryHandler>,
    connections: &RefCell<TcpConnections>,
    connection: &TcpConnection,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let here = stream.local_addr().ok().map(|address| address.ip());
    let mut buffer = [0; LONGEST_QUESTION];
    loop {
        let length = timeout(IDLE, read_question(&mut stream, &mut buffer)).await??;
        let answer = handler.borrow_mut().answer(&buffer[..length], Way::Tcp, here);
        let Some(answer) = answer else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let whole = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&whole)).await??;
        connections.borrow_mut().was_of_use(connection);
        // However much it has sent at once, others come in between.
        tokio::task::yield_now().await;
    }
}

/// Its length; one that is too long is an error.
async fn read_question(stream: &mut TcpStream, buffer: &mut [u8; LONGEST_QUESTION]) -> io::Result<usize> {
    let length = usize::from(stream.read_u16().await?);
    let place = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(place).await
}
