//! How a daemon speaks with Consul, without a socket and without a clock.
//!
//! A [`Publisher`] is told what the core asks ([`Publisher::handle_request`]), what Consul has answered
//! ([`Publisher::handle_answer`]) and that time has passed ([`Publisher::handle_timeout`]). It says what to do by
//! [`Publisher::poll_output`], to be called until there is nothing more, and when to be woken by
//! [`Publisher::poll_deadline`]. The daemon carries its calls out over HTTP; the simulator lets a modelled Consul answer
//! them.
//!
//! However many groups there are, it never has more than [`MOST_CALLS`] calls under way: one that waits for changes of
//! all records, one that waits for changes of all entries, and a few that write and read. Of a group in which nothing
//! changes it asks nothing.
//!
//! Begin reading at [`Publisher`]; [`Call`] is the language that is spoken with the driver.

#![forbid(unsafe_code)]

mod answers;
mod call;
mod dispatch;
mod group;
mod outage;
mod publisher;
mod retry;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

pub use call::{
    Answer, Call, CallId, Chore, Everything, GroupRecord, Listing, MOST_LOCKS, MOST_UNLOCKS, SessionId,
};
pub use dispatch::MOST_CALLS;
pub use publisher::{Output, Publisher, Settings};
pub use retry::delay;
