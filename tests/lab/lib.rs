//! Real Redis servers, real sentinels and real Consul agents on free loopback ports, in a folder that goes away with them.
//!
//! Everything that is started here is killed and reaped by its pid when its handle is dropped, also when a test
//! panics; a panic prints the end of every log first. Nothing waits for a guessed time: whoever waits, waits for a
//! condition with a deadline, by [`eventually`].

mod authority;
mod browser;
mod cluster;
mod command;
mod connections;
mod consul;
mod dialogue;
mod dig;
mod dns;
mod events;
mod fleet;
mod folder;
mod hostile;
mod hosts;
mod http;
mod ledger;
mod names;
mod ports;
mod pretender;
mod prober;
mod process;
mod proxy;
mod redis;
mod release;
mod resolver;
mod resp;
mod sentinel;
mod slow_disk;
mod views;
mod wait;
mod web;
mod writer;

pub use authority::{Authority, Certificate};
pub use browser::{Browser, Look};
pub use cluster::{Cluster, GROUP, Setup};
pub use connections::connections_to;
pub use consul::{
    Certificates, Consul, ConsulOptions, ConsulServers, Mood, NewerConsul, consul_program, consul_version,
};
pub use dialogue::Dialogue;
pub use dig::{Dig, dig, dig_all};
pub use dns::{Code, Data, Dns, Kind, Message, Record, dns_question};
pub use events::{Event, Events};
pub use fleet::{Fleet, sentinels_of};
pub use folder::Folder;
pub use hostile::{Harm, Hostile};
pub use hosts::{Host, Hosts, INTERFACE};
pub use http::Answer;
pub use ledger::Ledger;
pub use names::Names;
pub use ports::free_port;
pub use pretender::{Pretender, Visitor};
pub use prober::{Named, Prober, Span, Timeline};
pub use process::{Process, raise_file_limit};
pub use proxy::Proxy;
pub use redis::{Redis, Serving};
pub use release::{Release, cached};
pub use resolver::{Resolver, installed, shipped, shipped_path};
pub use resp::{Client, Fields, Value};
pub use sentinel::{Extra, Program, Sentinel};
pub use slow_disk::SlowDisks;
pub use views::{Sight, View, Views};
pub use wait::{eventually, poll_until};
pub use web::{Follower, Reply, Sent, Web, escaped, read_reply};
pub use writer::{Outcome, Run, Writer};
