//! What can go wrong, with whom.

use crate::Epoch;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why nobody can be named.
///
/// ```no_run
/// # async fn example(resolver: consentinel_resolver::Resolver) {
/// match resolver.master().await {
///     Ok(master) => println!("{}", master.addr),
///     Err(error) if error.is_retryable() => println!("try again soon: {error}"),
///     Err(error) => println!("somebody has to look at it: {error}"),
/// }
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is an answer: nobody is in charge. So it is during a failover.
    #[error(
        "nobody answers to {name} now: {from} says {said}; if this is no failover, is the name right and is somebody publishing it?"
    )]
    Nobody {
        /// The name that was asked for.
        name: String,
        /// Who was asked.
        from: String,
        /// What it said.
        said: String,
    },
    /// Nobody gave an answer that can be used.
    #[error("no answer for {name}: {}", Attempts(tried))]
    Unanswered {
        /// The name that was asked for.
        name: String,
        /// Everybody who was asked, in order.
        tried: Arc<[Attempt]>,
    },
    /// Several masters, and nothing that says which one is the newer.
    #[error("{from} names {} masters for {name}, and no epoch tells which one is the newer: {}; ask again after the failover, or publish epochs", masters.len(), masters.join(" and "))]
    Ambiguous {
        /// The name that was asked for.
        name: String,
        /// Who was asked.
        from: String,
        /// All that were named, as `host:port`.
        masters: Arc<[String]>,
    },
    /// An answer of the past.
    #[error(
        "{from} names a master of the past for {name}: epoch {got}, and epoch {have} was seen already; is it behind? After the set-up was reset on purpose: forget()"
    )]
    Older {
        /// The name that was asked for.
        name: String,
        /// Who was asked.
        from: String,
        /// The newest epoch that was seen.
        have: Epoch,
        /// The epoch of the answer.
        got: Epoch,
    },
    /// An answer of which nobody can tell how old it is.
    #[error(
        "{from} names {master} for {name} without an epoch, and epoch {have} was seen already; does somebody else publish under this name? After the set-up was changed on purpose: forget()"
    )]
    NoEpoch {
        /// The name that was asked for.
        name: String,
        /// Who was asked.
        from: String,
        /// Who was named.
        master: SocketAddr,
        /// The newest epoch that was seen.
        have: Epoch,
    },
    /// The name is none of Consul's, so the name of the others cannot be told from it.
    #[error("under which name the {what} are cannot be told from {name}: say it by {setter}(…)")]
    NoName {
        /// The master's name.
        name: String,
        /// `replicas` or `sentinels`
        what: &'static str,
        /// What of the builder sets it.
        setter: &'static str,
    },
}

impl LookupError {
    /// Whether it may be otherwise in a moment without anybody's doing.
    ///
    /// ```
    /// use consentinel_resolver::LookupError;
    /// let error = LookupError::NoName { name: "cache.lan".into(), what: "replicas", setter: "replica_name" };
    /// assert!(!error.is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        !matches!(self, LookupError::NoName { .. })
    }

    /// Whether it is an answer, "nobody", and not the lack of one.
    ///
    /// ```
    /// use consentinel_resolver::LookupError;
    /// let error = LookupError::Nobody {
    ///     name: "redis.service.consul".into(),
    ///     from: "127.0.0.1:8600".into(),
    ///     said: "NXDOMAIN".into(),
    /// };
    /// assert!(error.is_nobody());
    /// assert!(error.to_string().contains("127.0.0.1:8600 says NXDOMAIN"));
    /// ```
    pub fn is_nobody(&self) -> bool {
        matches!(self, LookupError::Nobody { .. })
    }

    /// What two origins have said, neither of which knew. An answer counts more than the lack of one.
    #[cfg(any(feature = "consul-http", feature = "sentinel"))]
    pub(crate) fn and(&self, other: LookupError) -> LookupError {
        match (self, other) {
            (LookupError::Unanswered { name, tried }, LookupError::Unanswered { tried: more, .. }) => {
                let tried = tried.iter().chain(more.iter()).cloned().collect();
                LookupError::Unanswered { name: name.clone(), tried }
            }
            (LookupError::Unanswered { .. }, other) => other,
            (own, _) => own.clone(),
        }
    }

    /// Whether both are of one kind, so that the second is no news.
    pub(crate) fn is_like(&self, other: &LookupError) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// One question that got no useful answer.
///
/// ```
/// use consentinel_resolver::Attempt;
/// let attempt = Attempt::new("127.0.0.1:8600", "SRV redis.service.consul.", "no answer within 1s");
/// assert_eq!(attempt.to_string(), "127.0.0.1:8600, asked SRV redis.service.consul.: no answer within 1s");
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who was asked.
    pub whom: String,
    /// What.
    pub question: String,
    /// What came back.
    pub outcome: String,
}

impl Attempt {
    /// Somebody was asked something, and this came of it.
    ///
    /// ```
    /// let attempt = consentinel_resolver::Attempt::new("127.0.0.1:8600", "SRV redis.service.consul.", "SERVFAIL");
    /// assert_eq!(attempt.outcome, "SERVFAIL");
    /// ```
    pub fn new(whom: impl Into<String>, question: impl Into<String>, outcome: impl Into<String>) -> Attempt {
        Attempt { whom: whom.into(), question: question.into(), outcome: outcome.into() }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, asked {}: {}", self.whom, self.question, self.outcome)
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, attempt) in self.0.iter().enumerate() {
            let separator = if number > 0 { "; " } else { "" };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

/// Why no resolver could be built.
///
/// ```
/// use consentinel_resolver::{BuildError, Resolver};
/// let error = Resolver::builder("redis..consul").build().expect_err("an empty label");
/// assert!(matches!(error, BuildError::Name { .. }));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name that DNS does not know how to ask for.
    #[error("{name:?} is no name for DNS: {reason}")]
    Name {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that contradicts the name.
    #[error("{setting} cannot be put into {name}: {reason}")]
    Conflict {
        /// The setting and its value.
        setting: String,
        /// The name.
        name: String,
        /// Why it does not fit.
        reason: String,
    },
    /// A setting with a value that makes no sense.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting.
        setting: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The system's list of name servers cannot be read.
    #[error("the system's name servers cannot be read: {reason}; name them by name_server(…)")]
    SystemNameServers {
        /// What the system says.
        reason: String,
    },
}
