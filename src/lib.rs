//! Consentinel: a Redis Sentinel that publishes into Consul.
//!
//! The library holds the daemon's rooms; applications want the crate `consentinel-resolver`, and whoever wants to
//! embed the protocol alone `consentinel-core`.

mod acl;
mod arguments;
mod catalogue;
mod cli;
mod clock;
mod config;
mod daemon;
mod demo;
mod dns;
mod histogram;
mod http;
mod ink;
mod log;
mod net;
mod process;
mod proxy;
mod quoting;
mod registrar;
mod server;
mod status;

/// What holds for any bytes: for `just fuzz`.
#[cfg(feature = "fuzzing")]
pub use daemon::fuzzing;

/// Runs the command line of `consentinel`.
pub fn main() -> std::process::ExitCode {
    cli::run()
}
