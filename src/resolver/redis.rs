//! redis-rs: connections that follow the master.

use crate::{ConnectError, Master, Resolver};
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use std::fmt::{self, Debug};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

mod link;
#[cfg(feature = "bb8")]
mod pool;
mod pubsub;
mod retry;

use link::{Following, Link, LinkSlot, OpenError};
#[cfg(feature = "bb8")]
pub use pool::Manager;
pub use pubsub::{FollowingPubSub, Gap, PubSubItem};
use retry::{Replies, Request, Verdict};

/// Between a refusal and the next try: a server that loads its data says no at once.
const PAUSE: Duration = Duration::from_millis(20);

/// An answer that takes so long raises a doubt, and again after as long: so often, then it is taken for a command that
/// blocks.
const DOUBT: Duration = Duration::from_millis(250);
const DOUBTS: usize = 8;

/// How a [`FollowingConnection`] behaves.
///
/// ```
/// use consentinel_resolver::FollowOptions;
/// use std::time::Duration;
///
/// let options = FollowOptions::new().response_timeout(Some(Duration::from_millis(500))).database(2);
/// ```
#[derive(Clone, Debug)]
pub struct FollowOptions {
    response_timeout: Option<Duration>,
    repeat_within: Duration,
    database: i64,
    resp3: bool,
}

impl Default for FollowOptions {
    fn default() -> FollowOptions {
        FollowOptions {
            response_timeout: Some(Duration::from_secs(2)),
            repeat_within: Duration::from_secs(10),
            database: 0,
            resp3: false,
        }
    }
}

impl FollowOptions {
    /// Two seconds for an answer, ten for a command with all its repetitions, database 0, RESP2.
    ///
    /// ```
    /// let options = consentinel_resolver::FollowOptions::new();
    /// ```
    pub fn new() -> FollowOptions {
        FollowOptions::default()
    }

    /// How long an answer is awaited. Then the command fails, and it is unknown whether it was executed, see
    /// [`outcome_is_unknown`]. `None`: for ever, which blocking commands need (`BLPOP`, `XREAD BLOCK`): give those a
    /// connection of their own, as all commands of one connection wait behind them.
    ///
    /// ```
    /// let for_blpop = consentinel_resolver::FollowOptions::new().response_timeout(None);
    /// ```
    #[must_use]
    pub fn response_timeout(mut self, timeout: Option<Duration>) -> FollowOptions {
        self.response_timeout = timeout;
        self
    }

    /// How long one command may wait for a master that takes it: longer than a failover, if the application shall
    /// notice nothing but a pause.
    ///
    /// ```
    /// use std::time::Duration;
    /// let impatient = consentinel_resolver::FollowOptions::new().repeat_within(Duration::from_millis(500));
    /// ```
    #[must_use]
    pub fn repeat_within(mut self, within: Duration) -> FollowOptions {
        self.repeat_within = within;
        self
    }

    /// The database: `SELECT`ed on every new connection.
    ///
    /// ```
    /// let options = consentinel_resolver::FollowOptions::new().database(3);
    /// ```
    #[must_use]
    pub fn database(mut self, database: i64) -> FollowOptions {
        self.database = database;
        self
    }

    /// Speaks RESP3, which has maps and sets of its own.
    ///
    /// ```
    /// let options = consentinel_resolver::FollowOptions::new().resp3(true);
    /// ```
    #[must_use]
    pub fn resp3(mut self, resp3: bool) -> FollowOptions {
        self.resp3 = resp3;
        self
    }
}

/// A connection that leads to the master, whoever that is.
///
/// It is one multiplexed connection that may be cloned and used by many tasks, with all of redis-rs's commands
/// (`redis::AsyncCommands`), as it implements redis-rs's [`ConnectionLike`]. What it does beside that:
///
/// - Every connection it makes is authenticated and asked for its ROLE before a command goes over it
///   ([`Resolver::connect`]).
/// - It watches the resolver: as soon as another master is named, the old connection is cut, so that a server that was
///   master has no chance to accept a write, and commands go to the new one.
/// - **Refused** commands (`READONLY`, `LOADING`, `MASTERDOWN`, …) were not executed: the master is looked up anew, and they
///   are sent again, for [`FollowOptions::repeat_within`].
/// - **Lost** commands, those that were on the way when the connection was lost, may have been executed. If they only
///   read, they are sent again (`GET`, `HGETALL`, `ZRANGE` and the like; not `SCAN`, whose cursor another server does not
///   know; not scripts but `EVAL_RO`). All others fail with an error for which [`outcome_is_unknown`] is true: only the
///   application knows whether it may repeat them.
/// - A pipeline or transaction is one thing: repeated if everything in it may be.
///
/// As with any multiplexed connection `WATCH`, `SUBSCRIBE`, `MONITOR` and blocking commands are out of place:
/// [`FollowingPubSub`] subscribes, and blocking commands belong onto a connection of their own without a response
/// timeout. When the last clone is dropped nothing of it is left.
///
/// ```no_run
/// use consentinel_resolver::{FollowOptions, FollowingConnection, Resolver};
/// use redis::AsyncCommands;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let mut connection = FollowingConnection::connect(&resolver, &FollowOptions::new()).await?;
/// let visits: i64 = connection.incr("visits", 1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FollowingConnection {
    following: Arc<Following>,
    slot: Arc<LinkSlot>,
}

impl FollowingConnection {
    /// Connects to the master, and follows it from then on.
    ///
    /// ```no_run
    /// # use consentinel_resolver::{ConnectError, FollowOptions, FollowingConnection, Resolver};
    /// # async fn example(resolver: Resolver) -> Result<(), redis::RedisError> {
    /// let connection = FollowingConnection::connect(&resolver, &FollowOptions::new()).await?;
    /// println!("the master is {:?}", connection.master());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Why no master could be connected to; its source is a [`ConnectError`].
    pub async fn connect(resolver: &Resolver, options: &FollowOptions) -> RedisResult<FollowingConnection> {
        FollowingConnection::with_own_link(Following::start(resolver, options)).await
    }

    /// One more connection of those who follow together.
    async fn with_own_link(following: Arc<Following>) -> RedisResult<FollowingConnection> {
        let connection = FollowingConnection { following, slot: Arc::default() };
        connection.slot.link(&connection.following.follower).await.map_err(not_connected)?;
        Ok(connection)
    }

    /// Where commands go now; nothing while there is no connection.
    ///
    /// ```no_run
    /// # fn example(connection: consentinel_resolver::FollowingConnection) {
    /// if let Some(master) = connection.master() {
    ///     println!("{} by epoch {:?}", master.addr, master.epoch);
    /// }
    /// # }
    /// ```
    pub fn master(&self) -> Option<Arc<Master>> {
        self.slot.usable().map(|link| link.master.clone())
    }

    /// Sends, and sends again what may be sent again.
    async fn request(&self, request: Request<'_>) -> RedisResult<Replies> {
        let Following { follower, .. } = &*self.following;
        let deadline = Instant::now() + follower.options.repeat_within;
        let (mut refused, mut lost) = (None, false);
        loop {
            let link = match timeout_at(deadline, self.slot.link(follower)).await {
                Ok(Ok(link)) => link,
                // What the server itself has said tells more than that time is up.
                failed => return refused.unwrap_or_else(|| Err(no_link(request, failed.ok(), follower))),
            };
            let mut connection = link.connection.clone();
            let sent = request.send(&mut connection);
            let Some(result) = self.answer(sent).await else {
                return Err(Unknown::silent(request, &link, follower.options.response_timeout).into());
            };
            match request.judge(&result) {
                Verdict::Done => return result,
                Verdict::Partly => {
                    self.leave(&link);
                    return result;
                }
                Verdict::Refused => {
                    self.leave(&link);
                    tracing::debug!(addr = %link.master.addr, command = request.name(), "refused");
                    refused = Some(result);
                    sleep(PAUSE).await;
                }
                Verdict::Lost => {
                    self.leave(&link);
                    if !request.only_reads() {
                        let why = result.err().map(|error| error.to_string()).unwrap_or_default();
                        return Err(Unknown::lost(request, &link, why).into());
                    }
                    // Once that is a failover; again and again it may be the command that kills.
                    if std::mem::replace(&mut lost, true) {
                        sleep(PAUSE).await;
                    }
                }
            }
            if Instant::now() >= deadline {
                return refused.unwrap_or_else(|| Err(no_link(request, None, follower)));
            }
        }
    }

    /// The answer, unless it takes too long. Who lets us wait is perhaps not the master any more: the watch, which cuts
    /// the link if that is so, is told to look.
    async fn answer(&self, sent: impl Future<Output = RedisResult<Replies>>) -> Option<RedisResult<Replies>> {
        let Following { follower, .. } = &*self.following;
        let deadline = follower.options.response_timeout.map(|most| Instant::now() + most);
        let mut sent = std::pin::pin!(sent);
        for _ in 0..DOUBTS {
            let doubt = Instant::now() + DOUBT;
            match timeout_at(deadline.map_or(doubt, |deadline| deadline.min(doubt)), &mut sent).await {
                Ok(result) => return Some(result),
                Err(_) => follower.resolver.invalidate(),
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return None;
            }
        }
        match deadline {
            Some(deadline) => timeout_at(deadline, sent).await.ok(),
            None => Some(sent.await),
        }
    }

    /// This server is not the master, or not any more: it is looked up anew.
    fn leave(&self, link: &Arc<Link>) {
        self.slot.retire(link);
        self.following.follower.resolver.invalidate();
    }
}

impl Debug for FollowingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowingConnection").field("master", &self.master()).finish_non_exhaustive()
    }
}

impl ConnectionLike for FollowingConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            match self.request(Request::One(cmd)).await? {
                Replies::One(value) => Ok(value),
                Replies::Many(values) => Ok(Value::Array(values)),
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            match self.request(Request::Many { pipeline, offset, count }).await? {
                Replies::Many(values) => Ok(values),
                Replies::One(value) => Ok(vec![value]),
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.following.follower.options.database
    }
}

/// Whether an error means that nobody knows whether the command was executed: the connection was lost, or the answer
/// has not come in time, after it was sent. Everything else was either executed or not, and the error says which.
///
/// ```no_run
/// use consentinel_resolver::{FollowingConnection, outcome_is_unknown};
/// use redis::AsyncCommands;
///
/// # async fn example(mut connection: FollowingConnection) -> redis::RedisResult<()> {
/// match connection.lpush::<_, _, i64>("orders", "one more").await {
///     Err(error) if outcome_is_unknown(&error) => eprintln!("look first whether it is there: {error}"),
///     other => println!("{} orders", other?),
/// }
/// # Ok(()) }
/// ```
pub fn outcome_is_unknown(error: &RedisError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Mark>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Lies beneath every [`Unknown`], where it is found again: redis-rs keeps the error itself under wraps.
#[derive(Debug, thiserror::Error)]
#[error("it was sent, and not answered")]
struct Mark;

/// Nobody knows whether it was executed.
#[derive(Debug, thiserror::Error)]
#[error("it is unknown whether {addr} has executed {command}, which was not repeated: {why}")]
struct Unknown {
    command: String,
    addr: SocketAddr,
    why: String,
    kind: io::ErrorKind,
    #[source]
    mark: Mark,
}

impl Unknown {
    fn silent(request: Request<'_>, link: &Link, most: Option<Duration>) -> Unknown {
        let most = most.unwrap_or_default();
        let (why, kind) = (format!("no answer within {most:?}"), io::ErrorKind::TimedOut);
        Unknown { command: request.name(), addr: link.master.addr, why, kind, mark: Mark }
    }

    fn lost(request: Request<'_>, link: &Link, why: String) -> Unknown {
        let why = if link.stands() { why } else { format!("the connection was lost or cut ({why})") };
        Unknown {
            command: request.name(),
            addr: link.master.addr,
            why,
            kind: io::ErrorKind::ConnectionAborted,
            mark: Mark,
        }
    }
}

impl From<Unknown> for RedisError {
    fn from(unknown: Unknown) -> RedisError {
        io::Error::new(unknown.kind, unknown).into()
    }
}

/// There is no master to send it to. It was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{command} was not sent: {error}")]
struct NotSent {
    command: String,
    #[source]
    error: OpenError,
}

fn no_link(
    request: Request<'_>,
    failed: Option<Result<Arc<Link>, OpenError>>,
    follower: &link::Follower,
) -> RedisError {
    match failed {
        Some(Err(error)) => not_connected(NotSent { command: request.name(), error }),
        _ => {
            let (name, within) = (follower.resolver.name(), follower.options.repeat_within);
            let detail = format!("{}: no master of {name} that takes it within {within:?}", request.name());
            RedisError::from((ErrorKind::Io, "the command was not executed", detail))
        }
    }
}

fn not_connected(error: impl std::error::Error + Send + Sync + 'static) -> RedisError {
    io::Error::new(io::ErrorKind::NotConnected, error).into()
}

impl From<ConnectError> for RedisError {
    fn from(error: ConnectError) -> RedisError {
        not_connected(error)
    }
}

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;
