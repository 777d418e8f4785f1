//! Small types that keep one number, or one name, from being taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// Counts elections and the configurations that came out of them.
    Epoch);
number!(/// How far a replication stream has come, in bytes.
    Offset);
number!(/// One attempt to connect. A number is never used twice.
    LinkId);
number!(/// One command sent over a link, until its reply.
    CallId);
number!(/// A connection that somebody opened to this sentinel; the driver numbers them.
    ClientId);
number!(/// One request to save the state.
    Seq);
number!(/// One run of a notification or reconfiguration script.
    JobId);

impl Epoch {
    /// Larger epochs than this are taken for forged: no honest history is that long, and one more election
    /// must always be possible.
    pub const MAX: Epoch = Epoch(1 << 62);

    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1).min(Self::MAX.0))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// From text.
            pub fn new(text: &str) -> Self {
                $name(text.into())
            }
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(/// What the operator calls a master and its replicas: `mymaster`.
    GroupName);
name!(/// The identity of a sentinel, kept across restarts: 40 hexadecimal digits.
    SentinelId);
name!(/// The identity of one run of a Redis server: it changes when the server restarts.
    RunId);

impl SentinelId {
    /// An identity as sentinels have it: 40 hexadecimal digits. Of what others say only this is taken: it goes into votes, into
    /// the log and into a file that must be read again at the next start.
    pub fn parse(text: &str) -> Option<SentinelId> {
        let fits = text.len() == 40 && text.bytes().all(|c| c.is_ascii_hexdigit());
        fits.then(|| SentinelId::new(text))
    }
}

/// How many sentinels must agree that a master is down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quorum(pub u32);

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A password. It shows itself to nobody: not to a log, not to an error, not to a recording.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a password.
    pub fn new(text: &str) -> Self {
        Secret(text.into())
    }
    /// The password itself, for the one place that writes it on a wire or into the configuration file.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

macro_rules! slot {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) struct $name(pub(crate) u32);
    };
}

slot!(/// A group, inside this process.
    GroupId);
slot!(/// A Redis server, inside its group.
    NodeId);
slot!(/// Another sentinel, inside this process.
    PeerId);
