//! A Redis Sentinel as a pure state machine.
//!
//! The core never reads a clock, draws a random number of its own, opens a socket or touches a file. What happens
//! comes in as an [`Input`] together with the time; what it wants done comes out as an [`Action`]. The same inputs
//! give the same actions, on every machine.
//!
//! ```
//! use consentinel_core::{Action, Durable, Input, Sentinel, Time};
//! let mut sentinel = Sentinel::new(Durable::default(), 42, Time::ZERO);
//! sentinel.handle(Time::ZERO, Input::Wake);
//! // A sentinel without an identity chooses one, and saves it before it uses it.
//! let mut actions = std::iter::from_fn(|| sentinel.poll_action());
//! assert!(actions.any(|action| matches!(action, Action::Save { .. })));
//! ```

mod action;
mod channel;
mod client_line;
mod config;
mod context;
mod detail;
mod endpoint;
mod event;
mod explanation;
mod glob;
mod group;
mod hello;
mod host_cache;
mod ids;
mod info;
mod info_storage;
mod input;
mod liveness;
#[cfg(feature = "mutations")]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
mod mutation;
mod node;
mod peer;
mod queries;
mod registry;
mod requests;
mod rng;
mod save_gate;
mod scripts;
mod sentinel;
mod tilt;
mod time;
mod timers;
mod trace;
mod view;

pub use action::{Action, Command, LinkKind, Refusal, Response};
pub use client_line::{ClientLine, LastCommand};
pub use config::{Config, Credentials, Durable, DurableGroup, GroupConfig, RegistryConfig, Timing};
pub use detail::{Detail, Instance, InstanceKind, Remark};
pub use endpoint::{Endpoint, EndpointError, Host, HostError};
pub use event::{Event, Level, Notice};
pub use explanation::{
    Candidate, Doubt, Explanation, Obstacle, Opinion, Suitability, Suspicion, Unfit, Voter, Worse,
};
pub use glob::{glob_matches, glob_matches_bytes};
pub use hello::{HELLO_CHANNEL, Hello, HelloError};
pub use ids::{
    CallId, ClientId, Epoch, GroupName, JobId, LinkId, Offset, Quorum, RunId, Secret, SentinelId, Seq,
};
pub use info::{Info, Role};
pub use info_storage::StoredInfo;
pub use input::{ConfigChange, GroupChange, Input, LinkError, LinkUp, Reply, Request, SaveError, ScriptEnd};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use registry::{
    Cause, Entry, EntryKey, Fence, Guard, Health, Lock, MOST_SENTINELS, Published, Record, RegistryError,
    RegistryEvent, RegistryFault, RegistryRequest, Transaction,
};
pub use rng::{Rng, mix};
pub use sentinel::Sentinel;
pub use time::Time;
pub use trace::Recorded;
pub use view::{
    DnsView, FailoverPhase, GroupView, LinkView, NodeView, PeerView, PublicationCounters, PublicationState,
    PublicationView, QuorumCheck, ReconfPhase, ScriptView, View,
};
