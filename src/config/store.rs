//! Writes the state into the configuration, or into a file of its own, so that it survives a power cut.

use super::error::{ConfigError, Wrong};
use super::{file, level_name, render, source};
use consentinel_core::{Durable, Level, SaveError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the state is kept.
#[derive(Debug)]
pub(crate) struct Store {
    /// The configuration file, as an absolute path.
    pub(super) path: PathBuf,
    /// The file for the state, when it is one of its own.
    pub(super) state_file: Option<PathBuf>,
    /// What others than the written file say.
    pub(super) base: Durable,
    /// The configuration as it was read or written last, in case that it cannot be read any more.
    pub(super) last: Mutex<Last>,
    /// The lines `user ...` as they are to be; nothing while those in the configuration hold.
    pub(super) users: Mutex<Option<Vec<String>>>,
    /// The log's level, once somebody has changed it at run time.
    pub(super) level: Mutex<Option<Level>>,
    /// The lines `user ...` of included files: they are not repeated.
    pub(super) included_users: Vec<Vec<String>>,
}

/// What the file was last.
#[derive(Debug)]
pub(super) struct Last {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The state that it was written for; `None` where it was read.
    pub state: Option<Durable>,
}

impl Store {
    /// Writes the state so that it survives a power cut. Blocks.
    pub(crate) fn save(&self, state: &Durable) -> Result<(), SaveError> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let level = self.level.lock().unwrap_or_else(PoisonError::into_inner).map(level_name);
        let failed = |path: &Path, error| SaveError(format!("{}: {error}", path.display()));
        match &self.state_file {
            Some(file) => {
                let bytes = render::as_state_file(&self.base, state, users.as_deref(), level);
                file::replace(file, &bytes).map_err(|error| failed(file, error))
            }
            None => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let users = users.map(|lines| render::Users { lines, elsewhere: &self.included_users });
                let present = self.present(&last.bytes);
                let before = last.state.as_ref().filter(|_| present == last.bytes);
                let (base, users) = (&self.base, users.as_ref());
                let bytes = render::into_configuration(&present, base, state, before, users, level);
                file::replace(&self.path, &bytes).map_err(|error| failed(&self.path, error))?;
                *last = Last { bytes, state: Some(state.clone()) };
                Ok(())
            }
        }
    }

    /// The configuration as it stands on disk, so that what the operator has written meanwhile stays. As it was last when it
    /// is gone or cut off: an editor may be in the middle of writing it, and the lines of the operator must not get lost.
    fn present(&self, last: &[u8]) -> Vec<u8> {
        match std::fs::read(&self.path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => last.to_vec(),
            Ok(bytes) if !bytes.ends_with(b"\n") && bytes.len() < last.len() && last.starts_with(&bytes) => {
                last.to_vec()
            }
            Ok(bytes) => bytes,
            Err(_) => last.to_vec(),
        }
    }

    /// From the next save on these lines, each `user <name> <rule> ...`, stand in place of those that were read.
    pub(crate) fn set_users(&self, lines: Vec<String>) {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    }

    /// From the next save on the configuration says that this is the log's level.
    pub(crate) fn set_level(&self, level: Level) {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(level);
    }

    /// The configuration file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn check_writable(&self) -> Result<(), ConfigError> {
        let path = self.state_file.as_ref().unwrap_or(&self.path);
        file::clear(path);
        file::check_replaceable(path).map_err(|error| {
            let theirs = format!(
                "Sentinel config file {} is not writable: {}. Exiting...",
                path.display(),
                source::plain(&error)
            );
            let wrong = Wrong::new("the file cannot be written, nor replaced in its folder").theirs(theirs);
            ConfigError::about_file(
                path,
                wrong.hint(
                    "A sentinel must not forget its votes. Make file and folder writable for it, or add to the \
                     configuration: sentinel state-file <path>",
                ),
            )
        })
    }
}
