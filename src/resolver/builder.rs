//! How a resolver is set up.

use crate::name::{Name, Parts, check};
use crate::{BuildError, Resolver, dns};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where Consul's agent answers DNS unless it is told otherwise.
const CONSUL_DNS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8600);

/// Sets up a [`Resolver`]. Everything has a default but the name.
///
/// ```
/// use consentinel_resolver::Resolver;
/// use std::time::Duration;
///
/// let resolver = Resolver::builder("redis.service.consul")
///     .name_server("127.0.0.1:8600".parse()?)
///     .datacenter("dc1")
///     .timeout(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build()"]
pub struct Builder {
    name: String,
    parts: Parts,
    name_servers: Vec<SocketAddr>,
    system: bool,
    timeout: Duration,
    max_stale: Duration,
    reuse: Duration,
    poll_fast: Duration,
    poll_slow: Duration,
    replica_name: Option<String>,
    sentinel_name: Option<String>,
    pub(crate) connect: crate::connect::Settings,
    #[cfg(feature = "consul-http")]
    pub(crate) consul: crate::consul_http::Options,
    #[cfg(feature = "sentinel")]
    pub(crate) sentinels: crate::sentinel::Sentinels,
}

/// What a resolver goes by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub name: Name,
    /// The name, written out.
    pub text: String,
    pub name_servers: Vec<SocketAddr>,
    pub timeout: Duration,
    pub max_stale: Duration,
    pub reuse: Duration,
    pub poll_fast: Duration,
    pub poll_slow: Duration,
    pub replica_name: Option<String>,
    pub sentinel_name: Option<String>,
    pub connect: crate::connect::Settings,
    #[cfg(feature = "consul-http")]
    pub consul: Option<crate::consul_http::Consul>,
    #[cfg(feature = "sentinel")]
    pub sentinels: crate::sentinel::Sentinels,
}

impl Settings {
    /// How long a look may take when the first name servers are silent and the last one answers.
    pub(crate) fn longest_look(&self) -> Duration {
        self.timeout * (self.name_servers.len() as u32 + 1)
    }
}

impl Builder {
    pub(crate) fn new(name: String) -> Builder {
        Builder {
            name,
            parts: Parts::default(),
            name_servers: Vec::new(),
            system: false,
            timeout: Duration::from_secs(1),
            max_stale: Duration::from_secs(60),
            reuse: Duration::from_secs(1),
            poll_fast: Duration::from_millis(25),
            poll_slow: Duration::from_millis(500),
            replica_name: None,
            sentinel_name: None,
            connect: crate::connect::Settings::default(),
            #[cfg(feature = "consul-http")]
            consul: crate::consul_http::Options::default(),
            #[cfg(feature = "sentinel")]
            sentinels: crate::sentinel::Sentinels::default(),
        }
    }

    /// A name server. With several the next one is asked when one does not answer, cannot say, or is behind: in this
    /// order, but for those that were silent just now, which come last for ten seconds. Default: `127.0.0.1:8600`, Consul's agent.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").name_server("127.0.0.1:8600".parse()?).name_server("127.0.0.2:8600".parse()?).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_servers.push(address);
        self
    }

    /// The system's name servers, of `/etc/resolv.conf` as it is when [`build`](Self::build) is called; they are asked after
    /// those that were named.
    ///
    /// ```no_run
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis.service.consul").system_name_servers().build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn system_name_servers(mut self) -> Self {
        self.system = true;
        self
    }

    /// Consul's domain, where it is not `consul`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis").domain("dns.example").build()?;
    /// assert_eq!(resolver.name(), "redis.service.dns.example");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.parts.domain = Some(domain.into());
        self
    }

    /// The datacenter, where it is not that of the agent that is asked.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis.service.consul").datacenter("dc2").build()?;
    /// assert_eq!(resolver.name(), "redis.service.dc2.consul");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.parts.datacenter = Some(datacenter.into());
        self
    }

    /// A tag that the master must have.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let resolver = Resolver::builder("redis.service.consul").tag("mymaster").build()?;
    /// assert_eq!(resolver.name(), "mymaster.redis.service.consul");
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.parts.tag = Some(tag.into());
        self
    }

    /// How long one question to one server may take. Default: a second.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// Resolver::builder("redis").timeout(Duration::from_millis(200)).build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For how long the last answer is served while nobody gives a new one. Default: a minute.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// Resolver::builder("redis").max_stale(Duration::ZERO).build()?; // rather an error than an old answer
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.max_stale = max_stale;
        self
    }

    /// For how long an answer is served without asking again while nobody watches, though it may be kept for less.
    /// Default: a second.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// Resolver::builder("redis").reuse(Duration::ZERO).build()?; // every look is a real one
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn reuse(mut self, reuse: Duration) -> Self {
        self.reuse = reuse;
        self
    }

    /// How often a watch looks while something is in doubt. Default: every 25 ms.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// Resolver::builder("redis").poll_fast(Duration::from_millis(10)).build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn poll_fast(mut self, pause: Duration) -> Self {
        self.poll_fast = pause;
        self
    }

    /// How often a watch looks while nothing happens. Default: every half second.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// # use std::time::Duration;
    /// Resolver::builder("redis").poll_slow(Duration::from_secs(5)).build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn poll_slow(mut self, pause: Duration) -> Self {
        self.poll_slow = pause;
        self
    }

    /// Under which name the replicas are. Default: `redis-replica.service.consul` for `redis.service.consul`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").replica_name("redis-ro.service.consul").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn replica_name(mut self, name: impl Into<String>) -> Self {
        self.replica_name = Some(name.into());
        self
    }

    /// Under which name the sentinels are. Default: `redis-sentinel.service.consul`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis").sentinel_name("sentinels.service.consul").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn sentinel_name(mut self, name: impl Into<String>) -> Self {
        self.sentinel_name = Some(name.into());
        self
    }

    /// The resolver. Asks nobody yet.
    ///
    /// # Errors
    /// A name or a setting that makes no sense, or contradicts another one; a list of the system's name servers that cannot
    /// be read.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let error = Resolver::builder("redis.service.dc1.consul").datacenter("dc2").build().expect_err("which one?");
    /// assert!(error.to_string().contains(r#"it names the datacenter "dc1" already"#));
    /// ```
    pub fn build(self) -> Result<Resolver, BuildError> {
        Ok(Resolver::new(self.settings()?))
    }

    fn settings(self) -> Result<Settings, BuildError> {
        let name = Name::parse(&self.name, &self.parts)?;
        let named = |given: &Option<String>, usual: Option<String>| match given {
            Some(name) => check(name).map(Some),
            None => Ok(usual),
        };
        let replica_name = named(&self.replica_name, name.replicas())?;
        let sentinel_name = named(&self.sentinel_name, name.sentinels())?;
        let mut name_servers = self.name_servers;
        if self.system {
            name_servers.extend(dns::system_servers()?);
        }
        if name_servers.is_empty() {
            name_servers.push(CONSUL_DNS);
        }
        if let Some(address) = name_servers.iter().find(|address| address.port() == 0) {
            return Err(setting("name_server", format!("{address} has no port")));
        }
        for (what, value) in
            [("timeout", self.timeout), ("poll_fast", self.poll_fast), ("poll_slow", self.poll_slow)]
        {
            if value.is_zero() {
                return Err(setting(what, "it must be longer than nothing".into()));
            }
        }
        if self.poll_fast > self.poll_slow {
            let reason = format!("{:?} is longer than poll_slow, {:?}", self.poll_fast, self.poll_slow);
            return Err(setting("poll_fast", reason));
        }
        Ok(Settings {
            text: name.text(),
            #[cfg(feature = "consul-http")]
            consul: self.consul.build(&name)?,
            name,
            name_servers,
            timeout: self.timeout,
            max_stale: self.max_stale,
            reuse: self.reuse,
            poll_fast: self.poll_fast,
            poll_slow: self.poll_slow,
            replica_name,
            sentinel_name,
            connect: self.connect,
            #[cfg(feature = "sentinel")]
            sentinels: self.sentinels,
        })
    }
}

fn setting(setting: &str, reason: String) -> BuildError {
    BuildError::Setting { setting: setting.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> Builder {
        Resolver::builder("redis.service.consul")
    }

    #[test]
    fn consuls_agent_is_asked_unless_others_are_named() {
        let servers = |builder: Builder| builder.settings().expect("nothing is wrong with it").name_servers;
        assert_eq!(servers(builder()), [CONSUL_DNS]);
        let others: [SocketAddr; 2] = [([127, 0, 0, 2], 53).into(), ([127, 0, 0, 1], 53).into()];
        assert_eq!(servers(builder().name_server(others[0]).name_server(others[1])), others);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_by_their_names() {
        let (nothing, hour) = (Duration::ZERO, Duration::from_secs(3600));
        for (wrong, named) in [
            (builder().timeout(nothing), "timeout"),
            (builder().poll_fast(nothing), "poll_fast"),
            (builder().poll_slow(nothing), "poll_slow"),
            (builder().poll_fast(hour), "poll_fast"),
            (builder().name_server(([127, 0, 0, 1], 0).into()), "name_server"),
        ] {
            let error = wrong.build().expect_err("it makes no sense");
            assert!(error.to_string().starts_with(named), "{error}");
        }
        let error = builder().replica_name("a..b").build().expect_err("it is no name");
        assert!(matches!(error, BuildError::Name { .. }), "{error}");
    }
}
