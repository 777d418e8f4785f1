//! Listens: the sockets, the thread of the port, and its connections.

use super::events::EventFeed;
use super::handler::Handler;
use super::permits::{Permit, Permits};
use super::socket::Socket;
use super::status_query::StatusQuery;
use super::timer::Timer;
use crate::config::HttpSettings;
use crate::server::open;
use crate::status::Happening;
use crate::status::meters::Meters;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Connections at a time. Each takes a few kilobytes; a page takes two.
pub(super) const CONNECTIONS: usize = 128;

/// How long a request may take to arrive, and a connection to bring the next one.
const ARRIVAL: Duration = Duration::from_secs(10);

/// How long a client may take to take an answer in: a megabyte over a slow line.
const TAKING: Duration = Duration::from_secs(60);

/// The longest head of a request.
const LONGEST: usize = 16 << 10;
const HEADERS: usize = 64;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Connections that are told at a time that there are too many, and how long that may take.
pub(super) const FAREWELLS: usize = 32;
const FAREWELL: Duration = Duration::from_millis(500);

/// Sockets that are open, on which nobody is served yet.
pub(crate) struct Sockets {
    sockets: Vec<std::net::TcpListener>,
    hosts: Vec<String>,
}

/// Opens the sockets; none where none is asked for. The error says which address it is about.
pub(crate) fn bind(settings: &HttpSettings) -> io::Result<Option<Sockets>> {
    let listen = |address: &SocketAddr| {
        open(*address, BACKLOG).map_err(|error| {
            let what = format!("cannot serve HTTP on {address} (sentinel http-bind): {error}");
            io::Error::new(error.kind(), what)
        })
    };
    let sockets = settings.bind.iter().map(listen).collect::<io::Result<Vec<_>>>()?;
    Ok((!sockets.is_empty()).then(|| Sockets { sockets, hosts: settings.hosts.clone() }))
}

impl Sockets {
    /// Serves whoever connects, on a thread of its own. `run` is another one for each start of the daemon.
    pub(crate) fn serve(
        self,
        query: StatusQuery,
        news: mpsc::Receiver<Vec<Happening>>,
        meters: Arc<Meters>,
        run: String,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Sockets { sockets, hosts } = self;
        for socket in &sockets {
            info!("serving HTTP on {}", socket.local_addr()?);
        }
        std::thread::Builder::new().name("http".into()).spawn(move || {
            let serving = async {
                let feed = Rc::new(EventFeed::new(run));
                let handler = Rc::new(Handler::new(query, feed.clone(), meters, hosts, CONNECTIONS));
                for socket in sockets {
                    match TcpListener::from_std(socket) {
                        Ok(listener) => drop(tokio::task::spawn_local(accept(listener, handler.clone()))),
                        Err(error) => warn!("HTTP is not served: {error}"),
                    }
                }
                // The daemon ends with the loop, not with this.
                feed.listen(news).await;
            };
            runtime.block_on(tokio::task::LocalSet::new().run_until(serving));
        })?;
        Ok(())
    }
}

async fn accept(listener: TcpListener, handler: Rc<Handler>) {
    let farewells = Permits::new(FAREWELLS);
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match (handler.connections.take_for(from.ip()), farewells.take()) {
                (Some(permit), _) => drop(tokio::task::spawn_local(serve(stream, permit, handler.clone()))),
                (None, farewell) => {
                    handler.visits.turned_away();
                    // Too many even for that: they see a connection that ends.
                    if let Some(permit) = farewell {
                        tokio::task::spawn_local(turn_away(stream, permit));
                    }
                }
            },
            Err(error) => {
                // Most likely out of file descriptors: they come back when others leave.
                warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, permit: Permit, handler: Rc<Handler>) {
    let Ok(local) = stream.local_addr() else { return };
    // Events are small and want to leave at once.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, TAKING, permit);
    let service = service_fn(|request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(request, local).await) }
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(ARRIVAL)
        .max_buf_size(LONGEST)
        .max_headers(HEADERS)
        .serve_connection(socket, service);
    // What a client does wrong is its own affair: it was told, or is gone.
    let _ = connection.await;
}

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 47\r\nretry-after: 5\r\nconnection: close\r\n\r\ntoo many connections are open; try again soon\r\n";

/// Says why before it closes, and lets the client read it: what was sent and not read would undo that.
async fn turn_away(mut stream: TcpStream, _permit: Permit) {
    let farewell = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}
