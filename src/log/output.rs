//! Where the bytes of the log go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// A file or standard output.
#[derive(Debug)]
pub(super) enum Output {
    /// What we were started with.
    Stdout(File),
    /// A file, that may be moved away at any time.
    File {
        /// Its name.
        path: PathBuf,
        /// The file that had this name when it was opened, and which one it was.
        open: Option<(File, (u64, u64))>,
    },
}

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> io::Result<Output> {
        Ok(Output::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    /// A file. It is opened when there is something to write.
    pub(super) fn file(path: PathBuf) -> Output {
        // Where 'dir' leads stays the place, wherever the process goes later.
        Output::File { path: std::path::absolute(&path).unwrap_or(path), open: None }
    }

    /// Whoever has moved the file away wants a new one.
    pub(super) fn reopen(&mut self) {
        if let Output::File { open, .. } = self {
            *open = None;
        }
    }

    /// Writes it all, however long that takes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout(file) => write_patiently(file, bytes),
            Output::File { path, open } => {
                let which = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
                let there = std::fs::metadata(&*path).ok().map(which);
                let file = match open.take_if(|(_, opened)| there == Some(*opened)) {
                    Some(same) => open.insert(same),
                    None => {
                        let file = OpenOptions::new().append(true).create(true).open(&*path)?;
                        let opened = which(file.metadata()?);
                        open.insert((file, opened))
                    }
                };
                file.0.write_all(bytes)
            }
        }
    }
}

/// Standard output may be a pipe that somebody has told not to block.
fn write_patiently(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(BUSY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const BUSY: Duration = Duration::from_millis(5);
