//! Records the set-up before an adoption, so that it can be restored.

use super::system::{self, Unit};
use super::{Failure, SERVICE};
use crate::config::replace;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// All that is needed to go back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The file that was adopted.
    pub(super) file: PathBuf,
    /// What was where our files are.
    pub(super) kept: Vec<Kept>,
    /// The services of the old sentinel.
    pub(super) units: Vec<Unit>,
    /// Ours, if it was started.
    pub(super) service: Option<Unit>,
}

/// A file as it was.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    path: PathBuf,
    /// Nothing where there was none.
    was: Option<Was>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Was {
    /// In base64.
    content: String,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Kept {
    /// Keeps a file as it is now.
    pub(super) fn look(path: &Path) -> Result<Kept, Failure> {
        let wrong = |error| format!("{} cannot be kept for --undo: {error}", path.display());
        let was = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(wrong(error)),
            Ok(found) => Some(Was {
                content: STANDARD.encode(std::fs::read(path).map_err(wrong)?),
                mode: found.mode() & 0o7777,
                uid: found.uid(),
                gid: found.gid(),
            }),
        };
        Ok(Kept { path: path.to_owned(), was })
    }

    fn restore(&self) -> Result<(), Failure> {
        let Some(was) = &self.was else { return remove(&self.path) };
        let wrong =
            |error: &dyn std::fmt::Display| format!("{} cannot be restored: {error}", self.path.display());
        let bytes = STANDARD.decode(&was.content).map_err(|error| wrong(&error))?;
        replace(&self.path, &bytes).map_err(|error| wrong(&error))?;
        chown(&self.path, Some(was.uid), Some(was.gid)).map_err(|error| wrong(&error))?;
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(was.mode))
            .map_err(|error| wrong(&error))
    }
}

/// Takes a file away, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be taken away: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Record {
    /// Writes it down; it has what the files have, so only its owner may read it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| format!("the record for --undo: {error}"))?;
        replace(path, text.as_bytes())
            .map_err(|error| format!("the record for --undo cannot be written, {}: {error}", path.display()))
    }

    /// Reads it.
    pub(super) fn read(path: &Path) -> Result<Record, Failure> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!("nothing was adopted here: there is no {}", path.display()));
            }
            other => other.map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
        };
        serde_json::from_str(&text)
            .map_err(|error| format!("{} cannot be understood: {error}", path.display()))
    }

    /// What `restore` will do.
    pub(super) fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if self.service.is_some() {
            steps.push(format!("systemctl stop {SERVICE}"));
        }
        for kept in &self.kept {
            let what = if kept.was.is_some() { "becomes what it was" } else { "is taken away" };
            steps.push(format!("{} {what}", kept.path.display()));
        }
        let units = self.units.iter().chain(&self.service);
        steps
            .extend(units.flat_map(|unit| unit.back()).map(|words| format!("systemctl {}", words.join(" "))));
        steps
    }

    /// Restores it all, and forgets it.
    pub(super) fn restore(&self, path: &Path) -> Result<(), Failure> {
        if self.service.is_some() {
            system::systemctl(&["stop", SERVICE])?;
        }
        self.kept.iter().try_for_each(Kept::restore)?;
        for words in self.service.iter().chain(&self.units).flat_map(|unit| unit.back()) {
            system::systemctl(&words)?;
        }
        remove(path)
    }
}
