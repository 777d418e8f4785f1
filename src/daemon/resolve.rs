//! Looks host names up.

use consentinel_core::Input;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks names up, a few at a time: each lookup occupies a thread, and a name server that is silent keeps it.
pub(super) struct Resolver {
    inputs: mpsc::Sender<Input>,
    slots: Arc<Semaphore>,
}

impl Resolver {
    /// Answers go to `inputs`.
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Resolver { inputs, slots: Arc::new(Semaphore::new(8)) }
    }

    /// Starts to look a name up; `Input::Resolved` answers.
    pub(super) fn resolve(&self, name: Arc<str>) {
        let (inputs, slots) = (self.inputs.clone(), self.slots.clone());
        let host = name.clone();
        // A task of its own keeps the slot until the lookup has really ended.
        let lookup = tokio::spawn(async move {
            let _slot = slots.acquire_owned().await;
            let found = tokio::net::lookup_host((&*host, 0)).await;
            found.ok().and_then(|addresses| preferred(addresses.collect()))
        });
        tokio::spawn(async move {
            let ip = tokio::time::timeout(PATIENCE, lookup).await.ok().and_then(Result::ok).flatten();
            let _ = inputs.send(Input::Resolved { name, ip }).await;
        });
    }
}

/// IPv4 before IPv6, as the original has it; the smallest, so that every sentinel picks the same.
fn preferred(addresses: Vec<SocketAddr>) -> Option<IpAddr> {
    let ips = addresses.into_iter().map(|address| address.ip().to_canonical());
    ips.min_by_key(|ip| (ip.is_ipv6(), *ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_comes_before_six() {
        let addresses =
            ["[::1]:0", "127.0.0.2:0", "127.0.0.1:0"].map(|text| text.parse().expect("an address"));
        assert_eq!(preferred(addresses.to_vec()), Some("127.0.0.1".parse().expect("an address")));
        assert_eq!(preferred(Vec::new()), None);
    }
}
