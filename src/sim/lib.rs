//! A deterministic world around the core.
//!
//! Sentinels with the real core, models of Redis servers, clients and a network live in virtual time. Everything that
//! happens follows from one seed, so that a run in which something is wrong can be lived again, and told as a story.
//! After every step the world checks from outside what must always be true ([`Invariant`]).
//!
//! ```
//! use consentinel_sim::{Options, run_seed};
//! let report = run_seed(1, &Options { minutes: 1, ..Options::default() })?;
//! assert_eq!(report.virtual_time.as_secs(), 60);
//! # Ok::<(), consentinel_sim::Failure>(())
//! ```

mod addresses;
mod blueprint;
mod brain;
mod chaos;
mod clients;
mod compound;
mod consul;
mod data;
mod disk;
mod event;
mod failover_times;
mod forger;
mod generate;
mod host;
mod identity;
mod inbound;
mod invariants;
mod meddle;
#[cfg(test)]
mod model_tests;
mod network;
mod original;
mod queue;
mod redis;
mod replication;
mod report;
mod run;
pub mod scenario;
mod step;
mod story;
mod waiting;
mod world;

pub use compound::CompoundChoice;
pub use failover_times::{Fault, TimesByFault};
pub use invariants::Invariant;
pub use original::OriginalSentinel;
pub use report::{Failure, Report, Stats};
pub use run::{ConsulChoice, Options, run_and_record, run_seed};
pub use story::Line;
