//! The embedded DNS.
mod namer;
mod settings;
mod word;

pub(crate) use namer::Namer;
pub(crate) use settings::{DnsSettings, WithoutMajority, datacenter, domain};
