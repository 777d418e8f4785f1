//! Connections of redis-rs to the master, and the one watch that cuts them when the master has moved.

use super::FollowOptions;
use crate::{Change, ConnectError, Master, Resolver, Watch};
use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// redis-rs's own first words over a connection that has just answered: SELECT, HELLO.
const SETUP: Duration = Duration::from_secs(1);

/// So often in a row a server may say that it is the master and then not take redis-rs's first words.
const TRIES: usize = 5;

/// After words that were not answered.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection to a server that said that it is the master.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) master: Arc<Master>,
    /// What reads and writes the socket; the connection is only the way to it.
    driver: JoinHandle<()>,
    cut: AtomicBool,
}

impl Link {
    /// Whether something that is sent now may arrive.
    pub(super) fn stands(&self) -> bool {
        !self.cut.load(Ordering::Acquire) && !self.driver.is_finished()
    }

    /// Closes it under those who still wait for answers: what such a server says now is worth nothing any more.
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.driver.abort();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is no link.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{addr}, the master, says to our first words (SELECT, HELLO): {error}")]
    Setup { addr: std::net::SocketAddr, error: RedisError },
}

/// Those who hold it follow the master.
pub(super) struct Following {
    pub(super) follower: Arc<Follower>,
    watching: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Makes links, and knows those that it has made.
pub(super) struct Follower {
    pub(super) resolver: Resolver,
    pub(super) options: FollowOptions,
    links: Mutex<Vec<Weak<Link>>>,
}

impl Following {
    /// Begins to watch. In a tokio runtime.
    pub(super) fn start(resolver: &Resolver, options: &FollowOptions) -> Arc<Following> {
        let follower = Arc::new(Follower {
            resolver: resolver.clone(),
            options: options.clone(),
            links: Mutex::new(Vec::new()),
        });
        let watching = tokio::spawn(follow(follower.clone(), resolver.watch()));
        Arc::new(Following { follower, watching })
    }
}

async fn follow(follower: Arc<Follower>, mut watch: Watch) {
    loop {
        // When nobody is named, nobody else is master: perhaps it is only DNS that is down.
        if let Change::Master(_) = watch.next().await {
            follower.cut_others();
        }
    }
}

impl Follower {
    /// A new link to the master, once that has said that it is.
    pub(super) async fn open(&self) -> Result<Arc<Link>, OpenError> {
        let mut tries = 0;
        loop {
            let connection = self.resolver.connect().await?;
            let master = connection.master().clone();
            let info = self.options.connection_info();
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let made =
                timeout(SETUP, MultiplexedConnection::new_with_config(&info, connection, config)).await;
            let silent = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            let (connection, driver) = match made.unwrap_or_else(silent) {
                Ok(made) => made,
                Err(error) => {
                    tries += 1;
                    if !error.is_io_error() || tries == TRIES {
                        return Err(OpenError::Setup { addr: master.addr, error });
                    }
                    self.resolver.invalidate();
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let driver = tokio::spawn(driver);
            let link = Arc::new(Link { connection, master, driver, cut: AtomicBool::new(false) });
            self.links().push(Arc::downgrade(&link));
            // The master may have moved before the link was known to whom cuts.
            self.cut_others();
            if link.stands() {
                return Ok(link);
            }
        }
    }

    /// Cuts all links to others than the master, and forgets those that nobody holds.
    fn cut_others(&self) {
        let Some(current) = self.resolver.current() else { return };
        self.links().retain(|link| {
            let Some(link) = link.upgrade() else { return false };
            if link.master.addr != current.addr {
                tracing::info!(from = %link.master.addr, to = %current.addr, "the master has moved");
                link.cut();
            }
            link.stands()
        });
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FollowOptions {
    fn connection_info(&self) -> RedisConnectionInfo {
        let protocol = if self.resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
        // User and password have been said before.
        RedisConnectionInfo::default().set_db(self.database).set_protocol(protocol)
    }
}

/// The place of one link, which is filled anew when the link is gone.
#[derive(Default)]
pub(super) struct LinkSlot {
    link: ArcSwapOption<Link>,
    opening: tokio::sync::Mutex<()>,
}

impl LinkSlot {
    /// The link, if it stands.
    pub(super) fn usable(&self) -> Option<Arc<Link>> {
        self.link.load_full().filter(|link| link.stands())
    }

    /// The link, or a new one, which one opens for all who wait.
    pub(super) async fn link(&self, follower: &Follower) -> Result<Arc<Link>, OpenError> {
        if let Some(link) = self.usable() {
            return Ok(link);
        }
        let _one = self.opening.lock().await;
        if let Some(link) = self.usable() {
            return Ok(link);
        }
        let link = follower.open().await?;
        self.link.store(Some(link.clone()));
        Ok(link)
    }

    /// Nothing more is sent over this link; who waits for an answer still gets it.
    pub(super) fn retire(&self, link: &Arc<Link>) {
        self.link.rcu(|kept| kept.clone().filter(|kept| !Arc::ptr_eq(kept, link)));
    }
}
