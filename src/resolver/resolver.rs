//! The resolver that an application holds: it looks the master up, and gives connections and watches.

use crate::builder::Settings;
use crate::cell::{Cell, Known, Own, Ticket};
use crate::flight::{Flight, Outcome};
use crate::order;
use crate::origin::Found;
use crate::service::Service;
use crate::watch::Watchers;
use crate::{Builder, LookupError, Master, Peer, Replica, Watch};
use futures_util::FutureExt;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Knows who is master of one name, and asks when it does not. A handle: clones share what is known and every look-up.
///
/// Tasks that ask very often had better have a clone each: then they are not in each other's way.
///
/// ```no_run
/// use consentinel_resolver::Resolver;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let master = resolver.master().await?;
/// println!("redis-cli -h {} -p {}", master.addr.ip(), master.addr.port());
/// # Ok(()) }
/// ```
pub struct Resolver {
    pub(crate) inner: Arc<Inner>,
    own: Own,
}

/// What the handles share.
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) service: Service,
    pub(crate) cell: Cell,
    flight: Flight,
    /// Wakes the watch's task when somebody doubts.
    pub(crate) doubted: Notify,
    /// Wakes the watches when something has been stored.
    pub(crate) stored: watch::Sender<()>,
    pub(crate) watchers: Watchers,
}

impl Resolver {
    /// Begins with a name: `redis.service.consul`, or a service's name alone.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis").datacenter("dc1").tag("mymaster").build()?;
    /// assert_eq!(resolver.name(), "mymaster.redis.service.dc1.consul");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    pub(crate) fn new(settings: Settings) -> Resolver {
        let service = Service::new(settings.name.clone(), &settings.name_servers, settings.timeout);
        let inner = Inner {
            settings,
            service,
            cell: Cell::default(),
            flight: Flight::default(),
            doubted: Notify::new(),
            stored: watch::Sender::new(()),
            watchers: Watchers::default(),
        };
        Resolver { inner: Arc::new(inner), own: Own::default() }
    }

    /// The name that is asked for.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// assert_eq!(Resolver::builder("redis").build()?.name(), "redis.service.consul");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.inner.settings.text
    }

    /// Who is master. At once, while that is known and not in doubt; else somebody is asked, once for all who wait.
    ///
    /// # Errors
    /// Nobody is master now ([`LookupError::Nobody`]), nobody answered and what was known is older than
    /// [`Builder::max_stale`], or there was nothing but answers that cannot be believed.
    ///
    /// # Cancel safety
    /// Whoever drops the future leaves the others undisturbed, and nothing running when there are no others.
    ///
    /// # Panics
    /// Outside of a tokio runtime, when somebody must be asked.
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
    /// let master = resolver.master().await?;
    /// if master.freshness.is_stale() {
    ///     println!("DNS is down; the last that was known is {}", master.addr);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn master(&self) -> Result<Arc<Master>, LookupError> {
        match self.inner.cell.usable(&self.own) {
            Some(master) => Ok(master),
            None => Inner::look(&self.inner).await,
        }
    }

    /// Who was master by the last answer, in doubt or not; nothing when that is longer ago than
    /// [`Builder::max_stale`]. Asks nobody, and never waits.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis.service.consul").build()?;
    /// assert!(resolver.current().is_none(), "nobody has asked yet");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn current(&self) -> Option<Arc<Master>> {
        match &self.inner.cell.state().known {
            Known::Master(master, since) => {
                (since.elapsed() < self.inner.settings.max_stale).then(|| master.clone())
            }
            _ => None,
        }
    }

    /// The replicas that may be read from, in the order in which they are to be tried (RFC 2782: by priority, and by lot
    /// among equals, by weight): drawn anew each time. Always asks.
    ///
    /// # Errors
    /// As [`master`](Self::master).
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
    /// for replica in resolver.replicas().await? {
    ///     println!("{} (weight {})", replica.addr, replica.weight);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn replicas(&self) -> Result<Vec<Replica>, LookupError> {
        let name = self.inner.other("replicas", "replica_name", &self.inner.settings.replica_name)?;
        let replicas = self.inner.service.all(name).await?.into_iter().map(|it| Replica {
            addr: it.addr,
            host: it.host,
            priority: it.priority,
            weight: it.weight,
        });
        Ok(order::by_lot(replicas.collect(), order::lot))
    }

    /// The sentinels. Always asks.
    ///
    /// # Errors
    /// As [`master`](Self::master).
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::LookupError> {
    /// println!("{} sentinels", resolver.sentinels().await?.len());
    /// # Ok(()) }
    /// ```
    pub async fn sentinels(&self) -> Result<Vec<Peer>, LookupError> {
        let name = self.inner.other("sentinels", "sentinel_name", &self.inner.settings.sentinel_name)?;
        let all = self.inner.service.all(name).await?;
        #[cfg(feature = "sentinel")]
        self.inner.settings.sentinels.hear(all.iter().map(|it| it.addr));
        Ok(all.into_iter().map(|it| Peer { addr: it.addr, host: it.host }).collect())
    }

    /// Who is master, and every change from now on. While a [`Watch`] lives, one task asks again and again, and
    /// [`master`](Self::master) answers from what it has found.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) {
    /// let mut watch = resolver.watch();
    /// println!("{:?}", watch.next().await);
    /// # }
    /// ```
    pub fn watch(&self) -> Watch {
        Watch::new(self.inner.clone())
    }

    /// Something speaks against what is known: READONLY, LOADING, a connection that broke. The next look is a real one,
    /// and the watch looks at once.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis.service.consul").build()?;
    /// resolver.invalidate();
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn invalidate(&self) {
        self.inner.cell.doubt();
        self.inner.doubted.notify_one();
    }

    /// An operator has reset the set-up, and counting begins anew: the next answer is believed, whatever its epoch.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis.service.consul").build()?;
    /// resolver.forget();
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn forget(&self) {
        self.inner.cell.forget();
        self.inner.doubted.notify_one();
    }
}

impl Clone for Resolver {
    fn clone(&self) -> Self {
        Resolver { inner: self.inner.clone(), own: Own::default() }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.inner.settings;
        let mut out = f.debug_struct("Resolver");
        out.field("name", &settings.text).field("name_servers", &settings.name_servers);
        out.field("current", &self.current()).finish_non_exhaustive()
    }
}

/// An epoch is remembered for at least so long after it was last confirmed, also where nothing stale is served.
const MEMORY: Duration = Duration::from_secs(60);

impl Inner {
    /// Asks, or waits with those who have asked already.
    pub(crate) async fn look(self: &Arc<Self>) -> Outcome {
        let wanted = self.cell.ticket(Instant::now());
        let begin = || {
            let ticket = self.cell.ticket(Instant::now());
            (ticket, self.clone().ask(ticket).boxed())
        };
        self.flight.outcome(wanted, begin).await
    }

    async fn ask(self: Arc<Self>, mut ticket: Ticket) -> Outcome {
        loop {
            let answer = self.origins(ticket).await;
            if !self.cell.is_reset_since(&ticket) {
                return self.settle(ticket, answer);
            }
            ticket = self.cell.ticket(Instant::now());
        }
    }

    /// DNS, and whom else there is to ask when DNS names nobody.
    async fn origins(&self, ticket: Ticket) -> Result<Found, LookupError> {
        #[cfg_attr(
            not(any(feature = "consul-http", feature = "sentinel")),
            expect(unused_mut, reason = "nobody else")
        )]
        let mut answer = self.service.master(ticket.floor).await;
        #[cfg(feature = "consul-http")]
        if let (Some(consul), Err(error)) = (&self.settings.consul, &answer)
            && !error.is_nobody()
        {
            answer = consul.ask().await.map_err(|other| error.and(other));
        }
        #[cfg(feature = "sentinel")]
        if let Err(error) = &answer
            && self.settings.sentinels.are_there()
        {
            let asked = self.settings.sentinels.ask(&self.settings.text, self.settings.timeout).await;
            answer = asked.map_err(|other| error.and(other));
        }
        answer
    }

    /// Publishes what became of a question that was asked when the ticket was drawn; wakes the watches.
    pub(crate) fn settle(&self, ticket: Ticket, answer: Result<Found, LookupError>) -> Outcome {
        let (now, settings) = (Instant::now(), &self.settings);
        let offered = answer.and_then(|found| {
            let lease = self.lease(found.ttl);
            self.cell.offer(ticket, &settings.text, &found, lease, settings.max_stale.max(MEMORY), now)
        });
        let outcome = match offered {
            Ok(master) => Ok(master),
            Err(error @ (LookupError::Nobody { .. } | LookupError::Ambiguous { .. })) => {
                self.cell.offer_nobody(ticket, error)
            }
            Err(error) => {
                let lease = self.lease(Duration::ZERO);
                self.cell.offer_nothing(ticket, error, settings.max_stale, lease, now)
            }
        };
        self.stored.send_replace(());
        outcome
    }

    /// For how long an answer is served: while it is watched, until the look after the next is overdue.
    fn lease(&self, ttl: Duration) -> Duration {
        let unwatched = self.settings.reuse.max(ttl);
        match self.watchers.are_there() {
            true => unwatched.max(self.settings.poll_slow.max(ttl) + self.settings.longest_look()),
            false => unwatched,
        }
    }

    fn other<'a>(
        &self,
        what: &'static str,
        setter: &'static str,
        name: &'a Option<String>,
    ) -> Result<&'a str, LookupError> {
        let unknown = || LookupError::NoName { name: self.settings.text.clone(), what, setter };
        name.as_deref().ok_or_else(unknown)
    }
}
