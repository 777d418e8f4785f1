//! One sentinel, driven by hand: what it says to whom, step by step.

mod bench;
mod dns_view;
mod explain;
mod failover;
mod gossip;
mod host_names;
mod operators;
mod publish;
mod registry;
mod scripts;
mod servers;
mod tilt;
