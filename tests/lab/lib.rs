//! Real Redis servers and real sentinels on free loopback ports, in a folder that goes away with them.
//!
//! Everything that is started here is killed and reaped by its pid when its handle is dropped, also when a test
//! panics; a panic prints the end of every log first. Nothing waits for a guessed time: whoever waits, waits for a
//! condition with a deadline, by [`eventually`].

mod cluster;
mod events;
mod folder;
mod ports;
mod process;
mod redis;
mod resp;
mod sentinel;
mod wait;
mod writer;

pub use cluster::{Cluster, GROUP, Setup};
pub use events::{Event, Events};
pub use folder::Folder;
pub use ports::free_port;
pub use process::Process;
pub use redis::Redis;
pub use resp::{Client, Fields, Value};
pub use sentinel::{Program, Sentinel};
pub use wait::{eventually, poll_until};
pub use writer::{Outcome, Writer};
