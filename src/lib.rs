//! Consentinel: a Redis Sentinel that publishes into Consul.
//!
//! The library holds the daemon's rooms; applications want the crate `consentinel-resolver`, and whoever wants to
//! embed the protocol alone `consentinel-core`.

mod cli;
mod driver;
mod registrar;

/// Runs the command line of `consentinel`.
pub fn main() -> std::process::ExitCode {
    cli::run()
}
