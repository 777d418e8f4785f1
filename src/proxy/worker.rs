//! The worker threads: they let clients in and carry their bytes, each with a runtime of its own.
//!
//! All of them listen on the same sockets. Whoever lets a client in gives it to the thread that has the fewest.

use super::counters::{Counters, Entered, Refusal, count};
use super::dial::Dialer;
use super::pump::{CHUNK, Shared};
use super::route_watch::{Phase, RouteWatch};
use super::session;
use super::sockets::{Listener, Socket};
use super::thread_routes::ThreadRoutes;
use crate::net::stream::Stream;
use consentinel_core::Role;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tracing::warn;

/// What all threads share.
pub(super) struct Common {
    pub(super) dialer: Dialer,
    pub(super) limits: Limits,
    /// Of each thread.
    pub(super) counters: Vec<Arc<Counters>>,
    /// Until nobody is let in any more.
    pub(super) sockets: Mutex<Vec<Socket>>,
}

/// What there is of everything at most, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) held: usize,
    pub(super) hold: Duration,
    pub(super) check_role: CheckRole,
    /// Whether the master serves those who want a replica when there is none.
    pub(super) fall_back: bool,
}

/// When servers are asked for their role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum CheckRole {
    /// At every connection.
    Always,
    /// Before the first connection to a server that is newly named.
    New,
    /// Never.
    Never,
}

/// A client on its way to the thread that serves it.
enum Client {
    Tcp(std::net::TcpStream, Entered),
    Unix(std::os::unix::net::UnixStream, Entered),
}

/// What a worker has of its own.
struct Worker {
    number: usize,
    routes: Rc<ThreadRoutes>,
    others: Vec<mpsc::UnboundedSender<Client>>,
    farewells: Rc<Cell<usize>>,
}

impl Common {
    /// The sockets on which clients are let in.
    pub(super) fn sockets(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.sockets.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Connections that are open, in all threads.
    pub(super) fn open(&self) -> usize {
        self.counters.iter().map(|counters| counters.open()).sum()
    }

    /// Connections that are held, in all threads.
    pub(super) fn held(&self) -> usize {
        self.counters.iter().map(|counters| counters.held.load(Ordering::Relaxed)).sum()
    }
}

/// Starts the threads.
pub(super) fn start(common: &Arc<Common>, watch: &RouteWatch) -> io::Result<()> {
    let threads = common.counters.len();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::unbounded_channel()).unzip();
    for (number, clients) in receivers.into_iter().enumerate() {
        let (common, watch, others) = (common.clone(), watch.clone(), senders.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    // Whoever asked waits for that.
                    let _ = tell.send(Ok(()));
                    runtime.block_on(work(number, common, watch, others, clients));
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        told.recv().map_err(io::Error::other)??;
    }
    Ok(())
}

async fn work(
    number: usize,
    common: Arc<Common>,
    watch: RouteWatch,
    others: Vec<mpsc::UnboundedSender<Client>>,
    mut clients: mpsc::UnboundedReceiver<Client>,
) {
    let buffer: Shared = Rc::new(RefCell::new(vec![0; CHUNK].into_boxed_slice()));
    let counters = common.counters[number].clone();
    let routes = Rc::new(ThreadRoutes::new(common.clone(), watch.clone(), counters, buffer));
    tokio::task::spawn_local(routes.clone().follow());
    let worker = Rc::new(Worker { number, routes, others, farewells: Rc::default() });
    for socket in common.sockets().iter() {
        if let Err(error) = listen(socket, &worker, &watch) {
            warn!("nobody is let in on {}: {error}", socket.label);
        }
    }
    while let Some(client) = clients.recv().await {
        let taken = match client {
            Client::Tcp(stream, entered) => TcpStream::from_std(stream).map(|it| (Stream::Tcp(it), entered)),
            Client::Unix(stream, entered) => {
                UnixStream::from_std(stream).map(|it| (Stream::Unix(it), entered))
            }
        };
        match taken {
            Ok((stream, entered)) => worker.serve(stream, entered),
            Err(error) => warn!("a connection cannot be set up: {error}"),
        }
    }
}

/// Lets clients in on a socket.
fn listen(socket: &Socket, worker: &Rc<Worker>, watch: &RouteWatch) -> io::Result<()> {
    let (role, worker, mut phase) = (socket.role, worker.clone(), watch.phase.clone());
    match &socket.listener {
        Listener::Tcp(listener) => {
            let listener = TcpListener::from_std(listener.try_clone()?)?;
            tokio::task::spawn_local(async move {
                let accept = async {
                    loop {
                        let accepted = listener.accept().await;
                        worker.take(accepted.map(|(stream, _)| Stream::Tcp(stream)), role).await;
                    }
                };
                tokio::select! { () = accept => {}, () = drains(&mut phase) => {} }
            });
        }
        Listener::Unix(listener, _) => {
            let listener = UnixListener::from_std(listener.try_clone()?)?;
            tokio::task::spawn_local(async move {
                let accept = async {
                    loop {
                        let accepted = listener.accept().await;
                        worker.take(accepted.map(|(stream, _)| Stream::Unix(stream)), role).await;
                    }
                };
                tokio::select! { () = accept => {}, () = drains(&mut phase) => {} }
            });
        }
    }
    Ok(())
}

async fn drains(phase: &mut tokio::sync::watch::Receiver<Phase>) {
    // Whoever tells is gone: so are we, soon.
    let _ = phase.wait_for(|phase| *phase == Phase::Drain).await;
}

impl Worker {
    async fn take(&self, accepted: io::Result<Stream>, role: Role) {
        match accepted {
            Ok(stream) => {
                if let Stream::Tcp(stream) = &stream
                    && let Err(error) = super::sockets::prepare(stream)
                {
                    // It has gone already.
                    tracing::debug!("a connection cannot be set up: {error}");
                    return;
                }
                self.place(stream, role);
            }
            Err(error) => {
                // Most likely out of file descriptors: they come back when others leave.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Gives a client to the thread with the fewest.
    fn place(&self, stream: Stream, role: Role) {
        let Common { counters, limits, .. } = &*self.routes.common;
        if self.routes.common.open() >= limits.connections {
            count(&self.routes.counters.refused[Refusal::TooMany as usize]);
            let text = format!("too many connections are open: {}", limits.connections);
            session::turn_away(stream, &text, &self.farewells);
            return;
        }
        let fewest = (0..counters.len()).min_by_key(|at| counters[*at].open()).unwrap_or(self.number);
        // The way to another thread costs more than a connection that is soon over.
        if counters[fewest].open() + 1 >= counters[self.number].open() {
            return self.serve(stream, Entered::new(&self.routes.counters, role));
        }
        // From now on it counts there, so that the next one is not sent there, too.
        let entered = Entered::new(&counters[fewest], role);
        let client = match stream {
            Stream::Tcp(stream) => stream.into_std().map(|stream| Client::Tcp(stream, entered)),
            Stream::Unix(stream) => stream.into_std().map(|stream| Client::Unix(stream, entered)),
            // Clients do not come over TLS.
            other => return self.serve(other, entered),
        };
        match client {
            // The other thread lives as long as the process.
            Ok(client) => drop(self.others[fewest].send(client)),
            Err(error) => warn!("a connection cannot be given to another thread: {error}"),
        }
    }

    fn serve(&self, stream: Stream, entered: Entered) {
        let (routes, farewells) = (self.routes.clone(), self.farewells.clone());
        tokio::task::spawn_local(session::run(stream, entered, routes, farewells));
    }
}
