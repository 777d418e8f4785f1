//! What unit tests have in common: a resolver that is told by the test who is master.

use crate::origin::Found;
use crate::{Builder, Epoch, Resolver, Source};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// For what takes no time at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MASTER: &str = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";

/// Nobody answers DNS there; who is master is told by [`named`].
pub(crate) async fn builder() -> Builder {
    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    Resolver::builder("redis.service.consul")
        .name_server(nobody.local_addr().expect("it is bound"))
        .timeout(Duration::from_millis(20))
}

/// Publishes a master, as if somebody had named it.
pub(crate) fn named(resolver: &Resolver, addr: SocketAddr, epoch: u64) {
    let ticket = resolver.inner.cell.ticket(Instant::now());
    let found = Found {
        addr,
        host: "7f000001.addr.dc1.consul".into(),
        epoch: Some(Epoch(epoch)),
        source: Source::Dns,
        ttl: Duration::from_secs(60),
        from: "a test".into(),
    };
    resolver.inner.settle(ticket, Ok(found)).expect("it is newer");
}
