//! A Redis Sentinel as a pure state machine.
//!
//! The core never reads a clock, draws a random number of its own, opens a socket or touches a file. What happens
//! comes in as an [`Input`] together with the time; what it wants done comes out as an [`Action`]. The same inputs
//! give the same actions, on every machine.
//!
//! # The loop of a driver
//!
//! A driver owns the [`Sentinel`], and does three things in a circle: it gives in one [`Input`], takes out all [`Action`]s in
//! their order, and waits for what comes next, but not beyond [`Sentinel::poll_timeout`]. This one is complete: it keeps its state in
//! memory, and reaches no server, because it opens no connection; what belongs there stands beside each arm.
//!
//! ```
//! use consentinel_core::{Action, Durable, Input, LinkError, Notice, Sentinel, Time};
//! use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
//! use std::time::{Duration, Instant};
//!
//! /// Carries one action out. What comes of it later is an input.
//! fn carry_out(action: Action, disk: &mut Durable, inputs: &Sender<Input>) {
//!     let answer = match action {
//!         // On another thread: the loop must never wait for a disk. Answered when it is synced, not before.
//!         Action::Save { seq, state } => {
//!             *disk = *state;
//!             Some(Input::Saved { seq, result: Ok(()) })
//!         }
//!         // Connect, and report it: `Input::Link` with `Ok` now, and with an error when it is lost.
//!         Action::Connect { link, .. } => Some(Input::Link { link, up: Err(LinkError::Refused) }),
//!         Action::Disconnect(_link) => None,
//!         // Send the command; `Input::Reply` when the server answers. Answers of a link come in the order of its calls.
//!         Action::Call { .. } => None,
//!         Action::Resolve { name } => Some(Input::Resolved { name, ip: None }),
//!         // Exactly one for each `Input::Request`.
//!         Action::Respond { .. } => None,
//!         Action::Notify(Notice::Event { event, detail, .. }) => {
//!             println!("{} {detail}", event.as_str());
//!             None
//!         }
//!         Action::Notify(Notice::Log { text, .. }) => {
//!             println!("{text}");
//!             None
//!         }
//!         // Where there is a Consul, DNS, or a script to be run: see the crate consentinel-publisher, and the daemon.
//!         Action::Register { .. } | Action::Dns { .. } => None,
//!         Action::RunScript { .. } | Action::KillScript(_) => None,
//!         Action::Exit => std::process::exit(1),
//!     };
//!     if let Some(input) = answer {
//!         let _ = inputs.send(input);
//!     }
//! }
//!
//! let (sender, inputs) = channel();
//! let mut disk = Durable::default();
//! let started = Instant::now();
//! let now = || Time::ZERO + started.elapsed();
//! let mut sentinel = Sentinel::new(disk.clone(), 42, now());
//! # let end = now() + Duration::from_millis(50);
//! loop {
//!     while let Some(action) = sentinel.poll_action() {
//!         carry_out(action, &mut disk, &sender);
//!     }
//!     let patience = sentinel.poll_timeout().map_or(Duration::MAX, |at| at - now());
//!     # let patience = patience.min(Duration::from_millis(20));
//!     # if now() > end { break }
//!     let input = match inputs.recv_timeout(patience) {
//!         Ok(input) => input,
//!         Err(RecvTimeoutError::Timeout) => Input::Wake,
//!         Err(RecvTimeoutError::Disconnected) => break,
//!     };
//!     sentinel.handle(now(), input);
//! }
//! // A sentinel without an identity chooses one, and saves it before it uses it.
//! assert!(disk.myid.is_some());
//! ```
//!
//! # What grows, and what does not
//!
//! Errors, refusals, events and what is only shown may get more variants or fields: they are `#[non_exhaustive]` where nobody
//! but the core makes them. [`Action`], [`Command`], [`RegistryRequest`] and [`Input`] are not: a driver that
//! does not know one of them is no driver, and the compiler is to say so.

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
