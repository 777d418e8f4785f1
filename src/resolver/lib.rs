#![doc = include_str!("README.md")]

mod answer;
mod builder;
mod cell;
mod dns;
mod error;
mod flight;
mod name;
mod order;
mod origin;
mod resolver;
mod service;
mod watch;

pub use answer::{Change, Epoch, Freshness, Master, Peer, Replica, Source};
pub use builder::Builder;
pub use error::{Attempt, BuildError, LookupError};
pub use resolver::Resolver;
pub use watch::Watch;
