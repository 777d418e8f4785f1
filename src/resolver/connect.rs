//! A connection to the master that is the master: looked up, authenticated, and asked for its role before anybody
//! writes to it.

mod connection;
mod error;

pub use connection::Connection;
pub use error::{ConnectError, Refusal};

use crate::backoff::Backoff;
use crate::resp::{self, Malformed, Reply, Wire};
use crate::role::ToldRole;
use crate::secret::Secret;
use crate::{Builder, Change, LookupError, Master, Resolver, Watch};
use connection::Stream;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Whoever has not answered by then is perhaps the wrong one: from then on it is watched whether there is another.
const DOUBT: Duration = Duration::from_millis(50);

/// How a connection is made: the part of the builder that is about it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    username: Option<String>,
    password: Option<Secret>,
    /// For one try.
    timeout: Duration,
    /// For all of them.
    within: Duration,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::TlsOptions>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            username: None,
            password: None,
            timeout: Duration::from_secs(1),
            within: Duration::from_secs(10),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Builder {
    /// The user that [`Resolver::connect`] authenticates as. Without one it is Redis's `default`.
    ///
    /// The user needs `+role` and `+ping`, and what the application does.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let builder = Resolver::builder("redis.service.consul").username("shop").password("secret");
    /// # assert!(!format!("{builder:?}").contains("secret"));
    /// ```
    pub fn username(mut self, username: impl Into<String>) -> Builder {
        self.connect.username = Some(username.into());
        self
    }

    /// The password that [`Resolver::connect`] authenticates with. It appears in no error and no `Debug`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let builder = Resolver::builder("redis.service.consul").password("secret");
    /// # assert!(!format!("{builder:?}").contains("secret"));
    /// ```
    pub fn password(mut self, password: impl Into<String>) -> Builder {
        self.connect.password = Some(Secret::new(password));
        self
    }

    /// How long one try of [`Resolver::connect`] may take, from the first packet to the role. One second, unless said
    /// otherwise.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// let builder = Resolver::builder("redis.service.consul").connect_timeout(Duration::from_millis(300));
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect.timeout = timeout;
        self
    }

    /// How long [`Resolver::connect`] goes on trying, look-ups included, while there is no master that answers. Ten
    /// seconds, unless said otherwise: longer than a failover takes.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// let builder = Resolver::builder("redis.service.consul").connect_within(Duration::from_secs(3));
    /// ```
    pub fn connect_within(mut self, within: Duration) -> Builder {
        self.connect.within = within;
        self
    }
}

impl Resolver {
    /// A connection to the master, which has been asked whether it is one.
    ///
    /// Whoever says that it is a replica, or does not answer, is not taken: it is looked up again, and tried again,
    /// until [`Builder::connect_within`] is over. If another master is named while one does not answer, the other is
    /// tried at once. A wrong password is an error at once. Dropping the future leaves nothing behind.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let resolver = consentinel_resolver::Resolver::builder("redis.service.consul").password("secret").build()?;
    /// let connection = resolver.connect().await?;
    /// println!("connected to {}", connection.master().addr);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says what was tried, and what came back.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let settings = &self.inner.settings.connect;
        let deadline = Instant::now() + settings.within;
        let mut watch = None;
        let (mut tries, mut last, mut pauses) = (0, None, Backoff::new(PAUSES.0, PAUSES.1));
        loop {
            let error = match timeout_at(deadline, self.master()).await {
                Ok(Ok(master)) => {
                    tries += 1;
                    match self.attempt(&master, deadline, &mut watch).await {
                        Ok(stream) => return Ok(Connection { stream, master }),
                        Err(None) => continue,
                        Err(Some(refusal)) if refusal.is_final() => {
                            let (name, addr) = (self.name().to_owned(), master.addr);
                            return Err(ConnectError::Refused { name, addr, refusal });
                        }
                        // It was given less time than the others, whose words tell more.
                        Err(Some(Refusal::Silent(_))) if last.is_some() && Instant::now() >= deadline => None,
                        Err(Some(refusal)) => {
                            tracing::debug!(name = self.name(), addr = %master.addr, %refusal, "not the master");
                            self.invalidate();
                            last = Some((master.addr, refusal));
                            None
                        }
                    }
                }
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            if Instant::now() + pauses.current() >= deadline {
                let (name, within) = (self.name().to_owned(), settings.within);
                return Err(match (error, last) {
                    (None, Some((addr, refusal))) => {
                        ConnectError::GaveUp { name, within, tries, addr, refusal }
                    }
                    (Some(error), _) => ConnectError::Lookup { name, within, error },
                    (None, None) => ConnectError::Lookup { name, within, error: unanswered(self.name()) },
                });
            }
            tokio::select! {
                () = sleep(pauses.pause()) => {}
                () = changed(watch.get_or_insert_with(|| self.watch())) => {}
            }
        }
    }

    /// One try. `Err(None)`: there is another master by now.
    async fn attempt(
        &self,
        master: &Arc<Master>,
        deadline: Instant,
        watch: &mut Option<Watch>,
    ) -> Result<Stream, Option<Refusal>> {
        let settings = &self.inner.settings.connect;
        let deadline = deadline.min(Instant::now() + settings.timeout);
        let doubt = Instant::now() + DOUBT;
        let another = async {
            sleep_until(doubt).await;
            let watch = watch.get_or_insert_with(|| self.watch());
            while self.current().is_none_or(|current| current.addr == master.addr) {
                watch.next().await;
            }
        };
        tokio::select! {
            opened = timeout_at(deadline, settings.open(master)) => match opened {
                Ok(opened) => opened.map_err(Some),
                Err(_) => Err(Some(Refusal::Silent(settings.timeout))),
            },
            () = another => Err(None),
        }
    }
}

/// Nobody has said anything at all in the time that there was.
fn unanswered(name: &str) -> LookupError {
    LookupError::Unanswered { name: name.to_owned(), tried: Arc::new([]) }
}

/// Returns when there is something new about the master.
async fn changed(watch: &mut Watch) {
    while !matches!(watch.next().await, Change::Master(master) if !master.freshness.is_stale()) {}
}

impl Settings {
    /// Connects, authenticates, and asks for the role.
    async fn open(&self, master: &Master) -> Result<Stream, Refusal> {
        let stream = TcpStream::connect(master.addr).await.map_err(unreachable)?;
        // Commands are small, and wait for their answers.
        stream.set_nodelay(true).map_err(unreachable)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let stream = tls.handshake(stream, master).await.map_err(|error| self.broken(&error))?;
            return Ok(Stream::Tls(Box::new(self.introduce(stream).await?)));
        }
        Ok(Stream::Plain(self.introduce(stream).await?))
    }

    /// Authenticates over a stream, and gives it back if the other side is a master.
    pub(crate) async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<S, Refusal> {
        let mut wire = Wire::new(stream, resp::MAX_ANSWER);
        let auth: Option<Vec<&str>> = self.password.as_ref().map(|password| {
            ["AUTH"].into_iter().chain(self.username.as_deref()).chain([password.reveal()]).collect()
        });
        // PING is what says LOADING and MASTERDOWN: ROLE answers in any case.
        let role: [&[&str]; 2] = [&["ROLE"], &["PING"]];
        let commands: Vec<&[&str]> = auth.iter().map(Vec::as_slice).chain(role).collect();
        let mut replies = wire.ask(&commands).await.map_err(|error| self.broken(&error))?;
        let ping = replies.pop().expect("as many answers as questions");
        let role = replies.pop().expect("as many answers as questions");
        if let Some(reply) = replies.pop() {
            self.judge_auth(&reply)?;
        }
        self.judge_role(&role)?;
        self.judge_ping(&ping)?;
        Ok(wire.into_inner())
    }

    fn judge_auth(&self, reply: &Reply) -> Result<(), Refusal> {
        match reply {
            Reply::Simple(text) if text == b"OK" => Ok(()),
            Reply::Error(_) => Err(self.refused(reply)),
            _ => Err(Refusal::Malformed(format!("to AUTH it says {}", self.quote(reply)))),
        }
    }

    fn judge_role(&self, reply: &Reply) -> Result<(), Refusal> {
        if let Reply::Error(_) = reply {
            return Err(self.refused(reply));
        }
        match reply.items().first().and_then(Reply::text).and_then(ToldRole::parse) {
            Some(ToldRole::Master) => Ok(()),
            Some(ToldRole::Replica) => {
                let part = |at: usize| reply.items().get(at).map(|item| self.quote(item)).unwrap_or_default();
                Err(Refusal::NotMaster(format!("replica of {}:{}", part(1), part(2))))
            }
            Some(ToldRole::Sentinel) => Err(Refusal::NotMaster("sentinel".into())),
            None => Err(Refusal::Malformed(format!("to ROLE it says {}", self.quote(reply)))),
        }
    }

    fn judge_ping(&self, reply: &Reply) -> Result<(), Refusal> {
        match reply {
            Reply::Simple(text) if text == b"PONG" => Ok(()),
            // Then it is up to the application what it may.
            Reply::Error(_) if reply.error_code() == Some("NOPERM") => Ok(()),
            Reply::Error(_) => Err(self.refused(reply)),
            _ => Err(Refusal::Malformed(format!("to PING it says {}", self.quote(reply)))),
        }
    }

    /// What an error means: that it cannot yet, or that it will not.
    fn refused(&self, reply: &Reply) -> Refusal {
        let text = self.quote(reply);
        match reply.error_code() {
            Some("NOAUTH") if self.password.is_none() => {
                Refusal::Denied(format!("{text} (Builder::password sets one)"))
            }
            Some("WRONGPASS" | "NOAUTH" | "NOPERM" | "ERR") => Refusal::Denied(text),
            _ => Refusal::NotReady(text),
        }
    }

    /// What the other side has said, without our password: servers repeat commands that they do not know.
    fn quote(&self, said: &dyn Display) -> String {
        let text = said.to_string();
        resp::one_line(&match &self.password {
            Some(password) if !password.reveal().is_empty() => text.replace(password.reveal(), "…"),
            _ => text,
        })
    }

    /// What an error on a connection means that stood once.
    fn broken(&self, error: &io::Error) -> Refusal {
        let (inner, text) = (error.get_ref(), self.quote(error));
        if inner.is_some_and(|inner| inner.is::<Malformed>()) {
            return Refusal::Malformed(text);
        }
        #[cfg(feature = "tls")]
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Refusal::Tls(text);
        }
        Refusal::Unreachable(text)
    }
}

fn unreachable(error: io::Error) -> Refusal {
    Refusal::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests;
