//! The sentinel whose place is taken: its file, and the program that runs by it.

use super::Failure;
use crate::config::survey;
use crate::server::Holder;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What was found.
pub(super) struct Old {
    /// The file, as an absolute path.
    pub(super) file: PathBuf,
    /// What is in it.
    pub(super) text: String,
    /// The port that it names.
    pub(super) port: u16,
    /// Who listens there now.
    pub(super) holder: Option<Holder>,
    masters: Vec<String>,
}

impl Old {
    /// Reads the file as a start would, with the same errors, and asks who listens on its port.
    pub(super) fn look(file: &Path) -> Result<Old, Failure> {
        let file = std::fs::canonicalize(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        // A survey goes where `dir` says; paths are absolute from here on.
        let survey = survey(Some(&file), &[], &|_| None).map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let port = match survey.settings.port {
            0 => survey.settings.tls.port,
            port => port,
        };
        let named = survey.settings.bind.iter().find_map(|text| text.trim_start_matches('-').parse().ok());
        let address: IpAddr = named.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let holder = Holder::of(SocketAddr::new(address, port));
        let masters = survey.masters.iter().map(ToString::to_string).collect();
        Ok(Old { file, text, port, holder, masters })
    }

    /// The process that listens on the port, by its own word.
    pub(super) fn pid(&self) -> Option<u32> {
        self.holder.as_ref().and_then(|holder| holder.pid)
    }

    /// What it watches, in a few words.
    pub(super) fn summary(&self) -> String {
        match self.masters.as_slice() {
            [] => "no master yet".to_owned(),
            [one] => format!("the master {one}"),
            [first @ .., last] if first.len() < 5 => format!("the masters {} and {last}", first.join(", ")),
            many => format!("{} masters", many.len()),
        }
    }
}
