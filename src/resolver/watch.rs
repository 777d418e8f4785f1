//! Every change, as a stream; and the task that looks for changes while somebody listens.

use crate::backoff::Backoff;
use crate::cell::Known;
use crate::resolver::Inner;
use crate::{Change, Master};
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Yields who is master: first what is known now, as soon as anything is, then every change. Whoever is slow sees the
/// newest, not all that was in between: nothing piles up.
///
/// A change is another address, host or epoch, a master that has become [stale](crate::Freshness) or fresh again, or nobody.
/// The stream never ends.
///
/// ```no_run
/// use consentinel_resolver::{Change, Resolver};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let mut watch = resolver.watch();
/// loop {
///     match watch.next().await {
///         Change::Master(master) => println!("master: {}", master.addr),
///         Change::Unknown(why) => println!("nobody: {why}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
pub struct Watch {
    inner: Arc<Inner>,
    stored: watch::Receiver<()>,
    /// Waits for the next store, where the stream is polled.
    waiting: Option<Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send>>>,
    last: Option<Change>,
}

impl Watch {
    pub(crate) fn new(inner: Arc<Inner>) -> Watch {
        let runtime = Handle::current();
        inner.watchers.enter();
        inner.watchers.look(&inner, &runtime);
        let stored = inner.stored.subscribe();
        Watch { inner, stored, waiting: None, last: None }
    }

    /// The next change.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    ///
    /// ```no_run
    /// # async fn example(mut watch: consentinel_resolver::Watch) {
    /// println!("{:?}", watch.next().await);
    /// # }
    /// ```
    pub async fn next(&mut self) -> Change {
        std::future::poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Change> {
        let mut runtime = Handle::try_current().ok();
        loop {
            if self.waiting.is_none() {
                // Marked as seen before the look, so that what comes after it wakes us.
                self.stored.mark_unchanged();
                if let Some(runtime) = runtime.take() {
                    self.inner.watchers.look(&self.inner, &runtime);
                }
                if let Some(change) = self.news() {
                    return Poll::Ready(change);
                }
                let mut stored = self.stored.clone();
                self.waiting = Some(Box::pin(async move {
                    // The sender lives as long as we do.
                    let _ = stored.changed().await;
                    stored
                }));
            }
            if let Some(waiting) = &mut self.waiting {
                match waiting.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(stored) => (self.stored, self.waiting) = (stored, None),
                }
            }
        }
    }

    fn news(&mut self) -> Option<Change> {
        let change = match &self.inner.cell.state().known {
            Known::Nothing => return None,
            Known::Master(master, _) => Change::Master(master.clone()),
            Known::Unknown(error) => Change::Unknown(error.clone()),
        };
        if self.last.as_ref().is_some_and(|last| last.is_like(&change)) {
            return None;
        }
        self.last = Some(change.clone());
        Some(change)
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.get_mut().poll_change(context).map(Some)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inner.watchers.leave();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("name", &self.inner.settings.text).finish_non_exhaustive()
    }
}

impl Change {
    /// Whether the other is no news after this one.
    fn is_like(&self, other: &Change) -> bool {
        match (self, other) {
            (Change::Master(one), Change::Master(two)) => {
                one.is_same(two) && one.freshness.is_stale() == two.freshness.is_stale()
            }
            (Change::Unknown(one), Change::Unknown(two)) => one.is_like(two),
            _ => false,
        }
    }
}

/// How many listen, and the task that looks for them.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    count: usize,
    /// Which of the tasks that there ever were is the one that looks.
    looking: Option<u64>,
    last: u64,
    task: Option<AbortHandle>,
}

impl Watchers {
    pub(crate) fn are_there(&self) -> bool {
        self.lock().count > 0
    }

    fn enter(&self) {
        self.lock().count += 1;
    }

    fn leave(&self) {
        let mut listeners = self.lock();
        listeners.count -= 1;
        let task = if listeners.count == 0 { listeners.stop() } else { None };
        drop(listeners);
        task.inspect(AbortHandle::abort);
    }

    /// Starts the task, unless it runs.
    fn look(&self, inner: &Arc<Inner>, runtime: &Handle) {
        let mut listeners = self.lock();
        if listeners.looking.is_some() {
            return;
        }
        listeners.last += 1;
        let number = listeners.last;
        listeners.looking = Some(number);
        drop(listeners); // a runtime that is about to end drops the task at once, and its guard wants the lock
        let task = runtime.spawn(follow(FollowGuard { inner: inner.clone(), number })).abort_handle();
        let mut listeners = self.lock();
        if listeners.looking == Some(number) {
            listeners.task = Some(task);
        } else {
            drop(listeners);
            task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners {
    fn stop(&mut self) -> Option<AbortHandle> {
        self.looking = None;
        self.task.take()
    }
}

/// What the task holds. When it ends before its time, as it does with its runtime, a watch that is polled elsewhere
/// starts another one.
struct FollowGuard {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for FollowGuard {
    fn drop(&mut self) {
        let mut listeners = self.inner.watchers.lock();
        if listeners.looking == Some(self.number) {
            listeners.stop();
        }
        drop(listeners);
        self.inner.stored.send_replace(());
    }
}

/// Looks for changes in all ways there are.
async fn follow(guard: FollowGuard) {
    let inner = &guard.inner;
    #[cfg(feature = "consul-http")]
    if let Some(consul) = &inner.settings.consul {
        // Neither ever ends.
        tokio::join!(consul.follow(inner), poll(inner));
        return;
    }
    poll(inner).await;
}

/// Looks again and again: often while something is in doubt, seldom while nothing happens.
async fn poll(inner: &Arc<Inner>) {
    let mut pace = Pace::new(inner.settings.poll_fast, inner.settings.poll_slow, Instant::now());
    loop {
        let outcome = inner.look().await;
        let pause = pace.pause(outcome.ok(), inner.cell.state().ttl, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.doubted.notified() => pace.doubt(Instant::now()),
        }
    }
}

/// For how long a doubt, or that nobody is known, is a reason to hurry. A failover takes no longer, or very much longer.
const RESTLESS: Duration = Duration::from_secs(10);

/// How long to wait between two looks.
#[derive(Debug)]
struct Pace {
    pauses: Backoff,
    restless: Option<Instant>,
    last: Option<Arc<Master>>,
}

impl Pace {
    fn new(fast: Duration, slow: Duration, now: Instant) -> Pace {
        Pace { pauses: Backoff::new(fast, slow), restless: Some(now + RESTLESS), last: None }
    }

    /// The pause after a look: the shortest after a change and while there is a reason to hurry, else twice the last one.
    /// An answer that may be kept longer is not asked for again before.
    fn pause(&mut self, outcome: Option<Arc<Master>>, ttl: Duration, now: Instant) -> Duration {
        let known = outcome.filter(|master| !master.freshness.is_stale());
        let is_news = match (&known, &self.last) {
            (Some(master), Some(last)) => !master.is_same(last),
            (None, None) => false,
            _ => true,
        };
        if is_news {
            self.pauses.reset();
            self.restless = known.is_none().then(|| now + RESTLESS);
            self.last = known;
        } else if self.restless.is_some_and(|until| now < until) {
            self.pauses.reset();
        } else {
            self.restless = None;
            self.pauses.grow();
        }
        let may_keep = self.last.is_some() && self.restless.is_none();
        let pause = self.pauses.current();
        if may_keep { pause.max(ttl) } else { pause }
    }

    fn doubt(&mut self, now: Instant) {
        self.pauses.reset();
        self.restless = Some(now + RESTLESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, Freshness, Source};

    const FAST: Duration = Duration::from_millis(25);
    const SLOW: Duration = Duration::from_millis(500);

    fn master(epoch: u64) -> Option<Arc<Master>> {
        Some(Arc::new(Master {
            addr: ([127, 0, 0, 1], 7000).into(),
            host: "h".into(),
            epoch: Some(Epoch(epoch)),
            source: Source::Dns,
            freshness: Freshness::Fresh,
        }))
    }

    fn pauses(pace: &mut Pace, outcome: &Option<Arc<Master>>, now: Instant, count: usize) -> Vec<u128> {
        let pause = |_| pace.pause(outcome.clone(), Duration::ZERO, now).as_millis();
        (0..count).map(pause).collect()
    }

    #[test]
    fn it_is_fast_after_a_change_and_slows_down() {
        let now = Instant::now();
        let mut pace = Pace::new(FAST, SLOW, now);
        assert_eq!(pauses(&mut pace, &master(1), now, 7), [25, 50, 100, 200, 400, 500, 500]);
        assert_eq!(pauses(&mut pace, &master(2), now, 2), [25, 50]);
    }

    #[test]
    fn it_hurries_while_in_doubt_but_not_for_ever() {
        let now = Instant::now();
        let mut pace = Pace::new(FAST, SLOW, now);
        pauses(&mut pace, &master(1), now, 9);
        pace.doubt(now);
        assert_eq!(pauses(&mut pace, &master(1), now, 3), [25, 25, 25]);
        assert_eq!(pauses(&mut pace, &master(1), now + RESTLESS, 3), [50, 100, 200]);
        assert_eq!(pauses(&mut pace, &None, now, 3), [25, 25, 25], "nobody is known");
        assert_eq!(pauses(&mut pace, &None, now + RESTLESS, 6), [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn a_ttl_is_honoured_unless_there_is_a_doubt() {
        let (now, ttl) = (Instant::now(), Duration::from_secs(60));
        let mut pace = Pace::new(FAST, SLOW, now);
        assert_eq!(pace.pause(master(1), ttl, now), ttl);
        pace.doubt(now);
        assert_eq!(pace.pause(master(1), ttl, now), FAST);
        assert_eq!(pace.pause(None, ttl, now), FAST);
    }
}
