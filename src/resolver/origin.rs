//! What every origin of answers gives: DNS, Consul's HTTP API, the sentinels.

use crate::{Epoch, Source};
use std::net::SocketAddr;
use std::time::Duration;

/// A master that somebody named, before it is known whether it is news or history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its host as it was published.
    pub host: String,
    /// Of which failover it is the result.
    pub epoch: Option<Epoch>,
    /// What kind of origin.
    pub source: Source,
    /// For how long the answer may be kept.
    pub ttl: Duration,
    /// Who named it, for errors: `127.0.0.1:8600`.
    pub from: String,
}
