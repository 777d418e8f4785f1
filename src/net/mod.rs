//! The ground of everything that uses the network: RESP as bytes, TLS, and the streams that carry both.
//!
//! Nothing in here knows what a master or a command means. Begin reading at [`wire`].

mod arg;
pub(crate) mod bell;
pub(crate) mod bounds;
mod client_network;
pub(crate) mod numbered;
pub(crate) mod scan;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod wire;

pub(crate) use client_network::client_network;
