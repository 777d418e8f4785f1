//! The file with the number of the process.

use crate::config::Settings;
use std::path::{Path, PathBuf};
use tracing::warn;

/// Where the original puts it when it goes into the background and nobody says where.
const USUAL: &str = "/var/run/redis.pid";

/// A file that is there as long as this is.
#[derive(Debug)]
pub(crate) struct Pidfile(Option<PathBuf>);

impl Pidfile {
    /// Writes it, if one is wanted. Without it we go on all the same.
    pub(crate) fn write(settings: &Settings, in_background: bool) -> Pidfile {
        let wanted = match (&settings.pidfile, in_background) {
            (Some(path), _) => path.clone(),
            (None, true) => Path::new(USUAL).to_owned(),
            (None, false) => return Pidfile(None),
        };
        match std::fs::write(&wanted, format!("{}\n", std::process::id())) {
            Ok(()) => Pidfile(Some(std::path::absolute(&wanted).unwrap_or(wanted))),
            Err(error) => {
                warn!("the pidfile {} cannot be written: {error}", wanted.display());
                Pidfile(None)
            }
        }
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
