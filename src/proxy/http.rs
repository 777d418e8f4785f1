//! The proxy's HTTP port: `/metrics` and `/health`.

use super::counters::{Counters, Refusal};
use super::route_watch::{Destination, Phase, RouteWatch};
use super::worker::Common;
use crate::http::pieces::{self, Answer, METRICS, Permits, Socket, TEXT, Text, Timer, Unfit};
use consentinel_core::Role;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, header};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::warn;

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 32;

/// How long a request may take to arrive, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest head of a request.
const LONGEST: usize = 16 << 10;

/// What is shown.
pub(super) struct Handler {
    pub(super) common: Arc<Common>,
    pub(super) watch: RouteWatch,
    /// What is looked up.
    pub(super) name: String,
    /// How often the master was another one, or nobody.
    pub(super) changes: super::Changes,
}

/// Serves it.
pub(super) async fn serve(listener: TcpListener, handler: Rc<Handler>) {
    let permits = Permits::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Where there are too many they see a connection that ends.
                let (Some(permit), Ok(local)) = (permits.take_for(from.ip()), stream.local_addr()) else {
                    continue;
                };
                let socket = Socket::new(stream, PATIENCE, permit);
                tokio::task::spawn_local(converse(socket, local, handler.clone()));
            }
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(socket: Socket, local: SocketAddr, handler: Rc<Handler>) {
    let service = service_fn(|request| {
        let answer = handler.answer(&request, local);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST)
        .serve_connection(socket, service);
    // What a client does wrong is its own affair.
    let _ = connection.await;
}

impl Handler {
    fn answer(&self, request: &Request<Incoming>, local: SocketAddr) -> Answer {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        match host.map_or(Ok(()), |host| pieces::check(host, local, &[])) {
            Ok(()) => {}
            Err(Unfit::Malformed) => {
                return pieces::refusal(StatusCode::BAD_REQUEST, "the request must name a host");
            }
            Err(Unfit::Foreign) => {
                return pieces::refusal(
                    StatusCode::MISDIRECTED_REQUEST,
                    "ask for the address or for localhost",
                );
            }
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return pieces::refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood");
        }
        match request.uri().path() {
            "/metrics" => pieces::good(METRICS, self.metrics()),
            "/health" => self.health(),
            "/" => pieces::good(TEXT, "/health\n/metrics\n"),
            _ => pieces::refusal(StatusCode::NOT_FOUND, "there are /health and /metrics"),
        }
    }

    fn health(&self) -> Answer {
        match &*self.watch.master.borrow() {
            _ if *self.watch.phase.borrow() == Phase::Drain => {
                pieces::refusal(StatusCode::SERVICE_UNAVAILABLE, "it is about to end")
            }
            Destination::Master { addr, epoch: Some(epoch) } => {
                pieces::good(TEXT, format!("the master of {} is {addr}, epoch {epoch}\n", self.name))
            }
            Destination::Master { addr, epoch: None } => {
                pieces::good(TEXT, format!("the master of {} is {addr}\n", self.name))
            }
            Destination::Nobody(why) => {
                pieces::refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("no master: {why}"))
            }
        }
    }

    fn metrics(&self) -> bytes::Bytes {
        let mut text = Text::default();
        let all = &self.common.counters;
        let sum = |of: &dyn Fn(&Counters) -> &AtomicU64| -> u64 {
            all.iter().map(|counters| of(counters).load(Ordering::Relaxed)).sum()
        };
        let (known, epoch) = match &*self.watch.master.borrow() {
            Destination::Master { epoch, .. } => (true, *epoch),
            Destination::Nobody(_) => (false, None),
        };
        text.gauge("consentinel_proxy_master_known", "Whether there is a master to lead to.").put(&[], known);
        if let Some(epoch) = epoch {
            text.gauge("consentinel_proxy_master_epoch", "The epoch of its publication.").put(&[], epoch);
        }
        text.gauge("consentinel_proxy_replicas", "Replicas to lead to.")
            .put(&[], self.watch.replicas.borrow().len());
        let changes = self.changes.load(Ordering::Relaxed);
        text.counter("consentinel_proxy_master_changes_total", "How often it was another one, or nobody.")
            .put(&[], changes);
        let mut open = text.gauge("consentinel_proxy_connections", "Connections that are open.");
        for role in [Role::Master, Role::Replica] {
            let count: usize = all.iter().map(|it| it.open[role as usize].load(Ordering::Relaxed)).sum();
            open.put(&[("to", role.name())], count);
        }
        text.gauge("consentinel_proxy_connections_max", "How many may be open.")
            .put(&[], self.common.limits.connections);
        text.gauge("consentinel_proxy_connections_held", "Those that wait for a server.")
            .put(&[], self.common.held());
        let mut accepted =
            text.counter("consentinel_proxy_connections_total", "Connections that were let in.");
        for role in [Role::Master, Role::Replica] {
            accepted.put(&[("to", role.name())], sum(&|it| &it.accepted[role as usize]));
        }
        let mut refused = text.counter("consentinel_proxy_refused_total", "Connections that were refused.");
        for refusal in [Refusal::NoServer, Refusal::TooManyHeld, Refusal::TooMany] {
            let at = refusal as usize;
            refused.put(&[("reason", Refusal::NAMES[at])], sum(&|it| &it.refused[at]));
        }
        let mut cut = text.counter("consentinel_proxy_cut_total", "Connections that were cut.");
        for (at, reason) in ["moved", "nobody"].into_iter().enumerate() {
            cut.put(&[("reason", reason)], sum(&|it| &it.cut[at]));
        }
        text.counter("consentinel_proxy_server_failures_total", "Tries to reach a server that failed.")
            .put(&[], sum(&|it| &it.failed));
        text.counter("consentinel_proxy_unverified_total", "Servers that did not tell their role.")
            .put(&[], sum(&|it| &it.unverified));
        let mut bytes = text.counter("consentinel_proxy_bytes_total", "Bytes that were carried.");
        bytes.put(&[("from", "clients")], sum(&|it| &it.bytes_up));
        bytes.put(&[("from", "servers")], sum(&|it| &it.bytes_down));
        let mut lead = text.histogram(
            "consentinel_proxy_lead_seconds",
            "From an accepted connection to the one to its server.",
        );
        for (number, counters) in all.iter().enumerate() {
            lead.put_counts(&[("thread", &number.to_string())], &counters.lead.counts());
        }
        text.into_bytes()
    }
}

/// Opens the port; what it is called when it is handed over.
pub(super) fn label(address: SocketAddr) -> String {
    format!("http {address}")
}

/// For a runtime.
pub(super) fn listener(socket: &std::net::TcpListener) -> std::io::Result<TcpListener> {
    TcpListener::from_std(socket.try_clone()?)
}
