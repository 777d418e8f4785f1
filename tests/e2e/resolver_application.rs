//! An application under load that uses the resolver's connections, and remembers what it was promised.

use consentinel_resolver::{
    FollowOptions, FollowingConnection, FollowingPubSub, Manager, PubSubItem, Resolver, outcome_is_unknown,
};
use redis::{RedisResult, cmd, pipe};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Between two writes of one writer.
const PERIOD: Duration = Duration::from_millis(2);
const CHANNEL: &str = "ticks";

/// What came of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged, and so many replicas had it then, if that was asked for.
    Promised(i64),
    /// Nobody knows.
    Unknown(String),
    /// It was not executed.
    Failed(String),
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) kind: &'static str,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

/// Tasks that write, through one connection, through a pool, and with WAIT; one that publishes and one that listens.
pub(crate) struct Application {
    pub(crate) resolver: Resolver,
    runtime: Runtime,
    writes: Arc<Mutex<Vec<Write>>>,
    heard: Arc<Mutex<Vec<(Instant, PubSubItem)>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Application {
    pub(crate) fn start(build: impl FnOnce() -> Resolver) -> Application {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let resolver = runtime.block_on(async { build() });
        let (writes, heard) = (Arc::default(), Arc::default());
        let mut application = Application { resolver, runtime, writes, heard, tasks: Vec::new() };
        application.begin();
        application
    }

    fn begin(&mut self) {
        let options = FollowOptions::new();
        let connect = async || FollowingConnection::connect(&self.resolver, &options).await;
        let shared = self.runtime.block_on(connect()).expect("there is a master");
        let waiting = self.runtime.block_on(connect()).expect("there is a master");
        let pool = self.runtime.block_on(async {
            let manager = Manager::new(&self.resolver, &options);
            bb8::Pool::builder().max_size(4).build(manager).await.expect("there is a master")
        });
        let mut listener =
            self.runtime.block_on(FollowingPubSub::connect(&self.resolver)).expect("there is a master");
        self.runtime.block_on(listener.subscribe(CHANNEL)).expect("it may be subscribed to");
        for writer in 0..4 {
            let connection = shared.clone();
            self.write(format!("shared:{writer}"), "shared", move |key| {
                let mut connection = connection.clone();
                async move { set(&key).query_async(&mut connection).await.map(|()| 0) }
            });
        }
        for writer in 0..2 {
            let pool = pool.clone();
            self.write(format!("pool:{writer}"), "pool", move |key| {
                let pool = pool.clone();
                async move {
                    let mut connection = pool.get().await.map_err(|error| match error {
                        bb8::RunError::User(error) => error,
                        bb8::RunError::TimedOut => std::io::Error::other("the pool has none").into(),
                    })?;
                    set(&key).query_async(&mut *connection).await.map(|()| 0)
                }
            });
        }
        self.write("wait".into(), "wait", move |key| {
            let mut connection = waiting.clone();
            async move {
                let mut both = pipe();
                both.add_command(set(&key)).ignore().cmd("WAIT").arg(2).arg(50);
                let (replicas,): (i64,) = both.query_async(&mut connection).await?;
                Ok(replicas)
            }
        });
        self.publish(shared);
        let heard = self.heard.clone();
        self.tasks.push(self.runtime.spawn(async move {
            loop {
                let item = listener.next().await;
                heard.lock().expect("nobody panics while holding it").push((Instant::now(), item));
            }
        }));
    }

    fn write<F>(&mut self, prefix: String, kind: &'static str, write: impl Fn(String) -> F + Send + 'static)
    where
        F: Future<Output = RedisResult<i64>> + Send,
    {
        let writes = self.writes.clone();
        self.tasks.push(self.runtime.spawn(async move {
            for number in 0_u64.. {
                let (key, began) = (format!("{prefix}:{number}"), Instant::now());
                let outcome = match write(key.clone()).await {
                    Ok(replicas) => Outcome::Promised(replicas),
                    Err(error) if outcome_is_unknown(&error) => Outcome::Unknown(error.to_string()),
                    Err(error) => Outcome::Failed(error.to_string()),
                };
                let write = Write { key, kind, began, ended: Instant::now(), outcome };
                writes.lock().expect("nobody panics while holding it").push(write);
                tokio::time::sleep(PERIOD).await; // between two writes
            }
        }));
    }

    fn publish(&mut self, mut connection: FollowingConnection) {
        self.tasks.push(self.runtime.spawn(async move {
            for number in 0_u64.. {
                let publish: RedisResult<i64> =
                    cmd("PUBLISH").arg(CHANNEL).arg(number).query_async(&mut connection).await;
                drop(publish); // one tick more or less
                tokio::time::sleep(PERIOD * 5).await; // between two ticks
            }
        }));
    }

    /// What became of the writes so far, by when they ended.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut writes = self.writes.lock().expect("the writers do not panic").clone();
        writes.sort_by_key(|write| write.ended);
        writes
    }

    /// How many writes began after an instant and were promised, of the kind that has the fewest.
    pub(crate) fn promised_since(&self, from: Instant) -> usize {
        let writes = self.writes();
        let count = |kind| {
            let fits = |write: &&Write| {
                write.kind == kind && write.began >= from && matches!(write.outcome, Outcome::Promised(_))
            };
            writes.iter().filter(fits).count()
        };
        ["shared", "pool", "wait"].into_iter().map(count).min().unwrap_or_default()
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Vec<(Instant, PubSubItem)> {
        self.heard.lock().expect("the listener does not panic").clone()
    }

    /// Ends it all, and says what became of the writes.
    pub(crate) fn stop(self) -> Vec<Write> {
        for task in &self.tasks {
            task.abort();
        }
        let writes = self.writes();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        writes
    }
}

fn set(key: &str) -> redis::Cmd {
    let mut command = cmd("SET");
    command.arg(key).arg("x");
    command
}

/// The longest time from one promise to the next, by the kind of writer.
pub(crate) fn pause(writes: &[Write], kind: &str) -> Duration {
    let promised = |write: &&Write| write.kind == kind && matches!(write.outcome, Outcome::Promised(_));
    let times: Vec<_> = writes.iter().filter(promised).map(|write| write.ended).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// The keys of some writes.
pub(crate) fn keys<'a>(
    writes: &'a [Write],
    fits: impl Fn(&Write) -> bool + 'a,
) -> impl Iterator<Item = &'a Write> {
    writes.iter().filter(move |write| fits(write))
}

/// All keys that a server has.
pub(crate) fn all_on(redis: &consentinel_lab::Redis) -> BTreeSet<String> {
    let keys = redis.call(&["KEYS", "*"]).expect("the server answers");
    keys.items().iter().filter_map(|key| key.text().map(str::to_owned)).collect()
}
