//! Subscriptions that go on after a failover.

use super::not_connected;
use crate::{Change, ConnectError, Master, Resolver, Watch};
use futures_core::Stream;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Msg, RedisConnectionInfo, RedisError, RedisResult};
use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// For redis-rs's first words, and for the answers to our subscriptions.
const SETUP: Duration = Duration::from_secs(2);

/// After subscriptions that were not answered.
const PAUSE: Duration = Duration::from_millis(50);

/// What a [`FollowingPubSub`] has to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PubSubItem {
    /// Somebody has published something.
    Message(Msg),
    /// The subscriptions stand again, after a time in which they did not: what was published meanwhile is lost.
    Gap(Gap),
    /// There is still no connection. It is tried on and on: whoever has enough of it drops the subscriptions.
    Trouble(ConnectError),
}

/// A time without subscriptions.
///
/// ```no_run
/// # fn example(gap: consentinel_resolver::Gap) {
/// println!("{:?} without messages: {} was followed by {}", gap.lasted, gap.before.addr, gap.now.addr);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The server that messages came from before.
    pub before: Arc<Master>,
    /// The one that they come from now: another one, or the same.
    pub now: Arc<Master>,
    /// For how long it was known that nobody listened. When a server falls silent without a word, it is known only when
    /// another one is named.
    pub lasted: Duration,
}

/// Subscriptions to channels and patterns, which are made again, after a failover, at the new master.
///
/// Messages that were published in between are lost, as Redis keeps none: the stream says so by
/// [`PubSubItem::Gap`]. It never ends. Something happens only while it is polled, there is no task behind it but
/// the resolver's watch.
///
/// ```no_run
/// use consentinel_resolver::{FollowingPubSub, PubSubItem, Resolver};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let mut news = FollowingPubSub::connect(&resolver).await?;
/// news.subscribe("news").await?;
/// loop {
///     match news.next().await {
///         PubSubItem::Message(message) => println!("{}", message.get_payload::<String>()?),
///         PubSubItem::Gap(gap) => println!("something may be missing: {:?} without messages", gap.lasted),
///         other => eprintln!("{other:?}"),
///     }
/// }
/// # }
/// ```
pub struct FollowingPubSub {
    resolver: Resolver,
    watch: Watch,
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
    /// The server that the messages came from last.
    before: Arc<Master>,
    state: State,
}

enum State {
    Up(Up),
    Down { since: Instant, reconnecting: Pin<Box<dyn Future<Output = Result<Up, ConnectError>> + Send>> },
}

struct Up {
    sink: PubSubSink,
    stream: PubSubStream,
    master: Arc<Master>,
}

impl FollowingPubSub {
    /// Connects to the master, without subscriptions yet.
    ///
    /// ```no_run
    /// # use consentinel_resolver::{ConnectError, FollowingPubSub, Resolver};
    /// # async fn example(resolver: Resolver) -> Result<(), ConnectError> {
    /// let news = FollowingPubSub::connect(&resolver).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Why no master could be connected to.
    pub async fn connect(resolver: &Resolver) -> Result<FollowingPubSub, ConnectError> {
        let watch = resolver.watch();
        let up = open(resolver.clone(), BTreeSet::new(), BTreeSet::new()).await?;
        Ok(FollowingPubSub {
            resolver: resolver.clone(),
            watch,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            before: up.master.clone(),
            state: State::Up(up),
        })
    }

    /// Subscribes to a channel, now and after every failover. Returns when the master has confirmed it, or at once while
    /// there is no connection: it is then subscribed to with the others.
    ///
    /// ```no_run
    /// # async fn example(mut news: consentinel_resolver::FollowingPubSub) -> redis::RedisResult<()> {
    /// news.subscribe("news").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// What the server has against it; then it is not subscribed to.
    pub async fn subscribe(&mut self, channel: impl Into<String>) -> RedisResult<()> {
        let channel = channel.into();
        self.channels.insert(channel.clone());
        let result = match &mut self.state {
            State::Up(up) => in_time(up.sink.subscribe(&channel)).await,
            State::Down { .. } => Ok(()),
        };
        self.settle(result, |this| this.channels.remove(&channel))
    }

    /// The same by a pattern, as `PSUBSCRIBE` has it.
    ///
    /// ```no_run
    /// # async fn example(mut news: consentinel_resolver::FollowingPubSub) -> redis::RedisResult<()> {
    /// news.psubscribe("news.*").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// What the server has against it; then it is not subscribed to.
    pub async fn psubscribe(&mut self, pattern: impl Into<String>) -> RedisResult<()> {
        let pattern = pattern.into();
        self.patterns.insert(pattern.clone());
        let result = match &mut self.state {
            State::Up(up) => in_time(up.sink.psubscribe(&pattern)).await,
            State::Down { .. } => Ok(()),
        };
        self.settle(result, |this| this.patterns.remove(&pattern))
    }

    /// Ends the subscription to a channel.
    ///
    /// ```no_run
    /// # async fn example(mut news: consentinel_resolver::FollowingPubSub) -> redis::RedisResult<()> {
    /// news.unsubscribe("news").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// What the server has against it.
    pub async fn unsubscribe(&mut self, channel: &str) -> RedisResult<()> {
        self.channels.remove(channel);
        let result = match &mut self.state {
            State::Up(up) => in_time(up.sink.unsubscribe(channel)).await,
            State::Down { .. } => Ok(()),
        };
        self.settle(result, |_| false)
    }

    /// Ends the subscription to a pattern.
    ///
    /// ```no_run
    /// # async fn example(mut news: consentinel_resolver::FollowingPubSub) -> redis::RedisResult<()> {
    /// news.punsubscribe("news.*").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// What the server has against it.
    pub async fn punsubscribe(&mut self, pattern: &str) -> RedisResult<()> {
        self.patterns.remove(pattern);
        let result = match &mut self.state {
            State::Up(up) => in_time(up.sink.punsubscribe(pattern)).await,
            State::Down { .. } => Ok(()),
        };
        self.settle(result, |_| false)
    }

    /// The next thing to be told. May be dropped and called again without losing anything.
    ///
    /// ```no_run
    /// # async fn example(mut news: consentinel_resolver::FollowingPubSub) {
    /// let item = news.next().await;
    /// # }
    /// ```
    pub async fn next(&mut self) -> PubSubItem {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Where messages come from now; nothing while there is no connection.
    ///
    /// ```no_run
    /// # fn example(news: consentinel_resolver::FollowingPubSub) {
    /// println!("{:?}", news.master());
    /// # }
    /// ```
    pub fn master(&self) -> Option<&Arc<Master>> {
        match &self.state {
            State::Up(up) => Some(&up.master),
            State::Down { .. } => None,
        }
    }

    /// A lost connection is no error: everything is subscribed to again. An answer is.
    fn settle(&mut self, result: RedisResult<()>, undo: impl FnOnce(&mut Self) -> bool) -> RedisResult<()> {
        match result {
            Err(error) if error.is_io_error() => {
                self.resolver.invalidate();
                self.go_down();
                Ok(())
            }
            Err(error) => {
                undo(self);
                Err(error)
            }
            Ok(()) => {
                // What is being made did not know of it yet.
                if let State::Down { since, .. } = self.state {
                    self.state = State::Down { since, reconnecting: self.reopen() };
                }
                Ok(())
            }
        }
    }

    fn go_down(&mut self) {
        self.state = State::Down { since: Instant::now(), reconnecting: self.reopen() };
    }

    fn reopen(&self) -> Pin<Box<dyn Future<Output = Result<Up, ConnectError>> + Send>> {
        Box::pin(open(self.resolver.clone(), self.channels.clone(), self.patterns.clone()))
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<PubSubItem> {
        loop {
            self.poll_moved(cx);
            match &mut self.state {
                State::Up(up) => match Pin::new(&mut up.stream).poll_next(cx) {
                    Poll::Ready(Some(message)) => return Poll::Ready(PubSubItem::Message(message)),
                    Poll::Ready(None) => {
                        self.resolver.invalidate();
                        self.go_down();
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Down { since, reconnecting } => match reconnecting.as_mut().poll(cx) {
                    Poll::Ready(Ok(up)) => {
                        let now = up.master.clone();
                        let before = std::mem::replace(&mut self.before, now.clone());
                        let lasted = since.elapsed();
                        self.state = State::Up(up);
                        return Poll::Ready(PubSubItem::Gap(Gap { before, now, lasted }));
                    }
                    Poll::Ready(Err(error)) => {
                        *reconnecting = Box::pin(open(
                            self.resolver.clone(),
                            self.channels.clone(),
                            self.patterns.clone(),
                        ));
                        return Poll::Ready(PubSubItem::Trouble(error));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Lets go of a server that is not the master any more.
    fn poll_moved(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(change)) = Pin::new(&mut self.watch).poll_next(cx) {
            if let (Change::Master(master), State::Up(up)) = (change, &self.state)
                && up.master.addr != master.addr
                // Of an old change that was not fetched in time there is a newer one behind.
                && self.resolver.current().is_none_or(|current| current.addr != up.master.addr)
            {
                self.go_down();
            }
        }
    }
}

impl Stream for FollowingPubSub {
    type Item = PubSubItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PubSubItem>> {
        self.get_mut().poll_item(cx).map(Some)
    }
}

impl Debug for FollowingPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowingPubSub")
            .field("master", &self.master())
            .field("channels", &self.channels)
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

/// A connection with all subscriptions.
async fn open(
    resolver: Resolver,
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
) -> Result<Up, ConnectError> {
    loop {
        let connection = resolver.connect().await?;
        let master = connection.master().clone();
        let subscribed = in_time(async {
            let (mut sink, stream) = PubSub::new(&RedisConnectionInfo::default(), connection).await?.split();
            if !channels.is_empty() {
                sink.subscribe(channels.iter().collect::<Vec<_>>()).await?;
            }
            if !patterns.is_empty() {
                sink.psubscribe(patterns.iter().collect::<Vec<_>>()).await?;
            }
            Ok((sink, stream))
        });
        match subscribed.await {
            Ok((sink, stream)) => return Ok(Up { sink, stream, master }),
            Err(error) => {
                tracing::warn!(name = resolver.name(), addr = %master.addr, %error, "cannot subscribe");
                resolver.invalidate();
                sleep(PAUSE).await;
            }
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let silent = |_| -> RedisError { not_connected(std::io::Error::from(std::io::ErrorKind::TimedOut)) };
    timeout(SETUP, answer).await.map_err(silent)?
}
