//! Consentinel: a Redis Sentinel that publishes into Consul.
//!
//! The library holds the daemon's rooms; applications want the crate `consentinel-resolver`, and whoever wants to
//! embed the protocol alone `consentinel-core`.

mod cli;
mod dns;
mod driver;
mod histogram;
mod registrar;

/// What holds for any bytes: for `just fuzz`.
#[cfg(feature = "fuzzing")]
pub use driver::fuzzing;

/// Runs the command line of `consentinel`.
pub fn main() -> std::process::ExitCode {
    cli::run()
}
