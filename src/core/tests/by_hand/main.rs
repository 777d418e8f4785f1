//! One sentinel, driven by hand: what it says to whom, step by step.

mod bench;
mod explain;
mod failover;
mod names;
mod operators;
mod publish;
mod registry;
mod scripts;
mod servers;
mod tilt;
