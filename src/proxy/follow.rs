//! Follows the master and the replicas by their names, and tells the workers.

use super::Changes;
use super::route_watch::{Destination, Replica};
use consentinel_resolver::{Change, Resolver};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// Between two looks for replicas, while nothing is in doubt, and while something is.
const CALM: Duration = Duration::from_secs(1);
const DOUBT: Duration = Duration::from_millis(200);

/// Tells who is the master, for good.
pub(super) async fn master(
    resolver: Resolver,
    tell: watch::Sender<Destination>,
    changes: Changes,
    again: Arc<Notify>,
) {
    let mut watch = resolver.watch();
    let mut last: Option<SocketAddr> = None;
    loop {
        let destination = match watch.next().await {
            Change::Master(master) => {
                let epoch = master.epoch.map(|epoch| epoch.0);
                if master.freshness.is_stale() {
                    warn!(
                        "nobody confirms any more that the master is {}: clients are still led there",
                        master.addr
                    );
                } else {
                    say(last, master.addr, epoch);
                }
                last = Some(master.addr);
                Destination::Master { addr: master.addr, epoch }
            }
            Change::Unknown(why) => {
                warn!("nobody is known as the master, connections to it are cut: {why}");
                last = None;
                Destination::Nobody(why.to_string().into())
            }
            // What the resolver may come to tell one day says nothing about where to lead.
            _ => continue,
        };
        let changed = !matches!((&*tell.borrow(), &destination), (Destination::Master { addr: one, .. }, Destination::Master { addr: two, .. }) if one == two);
        if changed {
            changes.fetch_add(1, Ordering::Relaxed);
            // Whoever is the master now was a replica.
            again.notify_one();
        }
        tell.send_replace(destination);
    }
}

fn say(last: Option<SocketAddr>, addr: SocketAddr, epoch: Option<u64>) {
    let epoch = epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    match last {
        Some(last) if last == addr => info!("the master is still {addr}{epoch}"),
        Some(last) => warn!("the master is {addr}{epoch}: connections to {last} are cut"),
        None => info!("the master is {addr}{epoch}"),
    }
}

/// Tells who the replicas are, for good.
pub(super) async fn replicas(resolver: Resolver, tell: watch::Sender<Arc<[Replica]>>, again: Arc<Notify>) {
    let mut trouble = None;
    loop {
        let pause = match resolver.replicas().await {
            Ok(found) => {
                trouble = None;
                let mut found: Vec<_> = found
                    .iter()
                    .map(|it| Replica { addr: it.addr, priority: it.priority, weight: it.weight })
                    .collect();
                // They come in another order each time.
                found.sort_by_key(|replica| replica.addr);
                set(&tell, found);
                CALM
            }
            Err(error) => {
                let nobody = error.is_nobody();
                let text = error.to_string();
                if trouble.as_ref() != Some(&text) {
                    warn!("no replicas are known: {text}");
                    trouble = Some(text);
                }
                // While nobody answers the last ones are as good as any.
                if nobody {
                    set(&tell, Vec::new());
                }
                DOUBT
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = again.notified() => {}
        }
    }
}

fn addresses(replicas: &[Replica]) -> Vec<String> {
    replicas.iter().map(|replica| replica.addr.to_string()).collect()
}

fn set(tell: &watch::Sender<Arc<[Replica]>>, found: Vec<Replica>) {
    tell.send_if_modified(|known| {
        let changed = **known != found[..];
        if changed {
            let (new, old) = (addresses(&found), addresses(known));
            // Of weights that change all the time nobody wants to read.
            match new.is_empty() {
                _ if new == old => {}
                true => info!("there is no replica"),
                false => info!("the replicas are {}", new.join(", ")),
            }
            *known = found.into();
        }
        changed
    });
}
