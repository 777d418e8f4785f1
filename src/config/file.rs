//! Replacing a file so that after a power cut there is either the old one or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes a file anew: a temporary file beside it, fsync, rename, fsync of the folder. Mode and owner are kept, and a
/// link stays a link: the file that it leads to is the one that is replaced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = target(path);
    let temporary = temporary(&path)?;
    let result = write_and_rename(&path, &temporary, bytes);
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Makes an empty file, if there is none, that only its owner may read.
pub(crate) fn begin(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write_and_rename(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    // Another user who may write into the folder could have put a link there: only a file that is made here is written to.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    match std::fs::metadata(path) {
        Ok(old) => {
            // Only a privileged process may give a file away; for others it is theirs already.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
            file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(temporary, path)?;
    File::open(folder(path))?.sync_all()
}

/// Whether `replace` would be allowed to.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    let path = target(path);
    access(folder(&path), Access::WRITE_OK | Access::EXEC_OK)?;
    match access(&path, Access::WRITE_OK) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// More links than these lead in a circle.
const MOST_LINKS: usize = 40;

/// The file that a link leads to, whether it exists or not.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            Err(_) => break,
        }
    }
    path
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A name beside the file that nobody can know before.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let (before, after) = around(path)?;
    let mut chance = [0; 8];
    rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())?;
    let name = format!("{before}{:016x}{after}", u64::from_ne_bytes(chance));
    Ok(folder(path).join(name))
}

/// What stands before and behind the chance in the name of a temporary file.
fn around(path: &Path) -> io::Result<(String, &'static str)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    Ok((format!(".{}.", name.to_string_lossy()), ".tmp"))
}

/// A save takes less; what is older was left by a process that was killed.
const LEFT: Duration = Duration::from_secs(60);

/// Takes away the temporary files that processes which were killed have left: at a start, since a folder may be large.
pub(crate) fn clear(path: &Path) {
    let path = target(path);
    let (Ok((before, after)), Ok(entries)) = (around(&path), std::fs::read_dir(folder(&path))) else {
        return;
    };
    let owner = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let chance = name.to_str().and_then(|name| name.strip_prefix(&before)?.strip_suffix(after));
        let is_temporary =
            chance.is_some_and(|text| text.len() == 16 && text.bytes().all(|c| c.is_ascii_hexdigit()));
        // Of the entry itself: a link is not followed.
        let is_left = |about: &std::fs::Metadata| {
            let age = about.modified().ok().and_then(|at| at.elapsed().ok());
            about.is_file() && about.uid() == owner && age.is_some_and(|age| age > LEFT)
        };
        if is_temporary && entry.metadata().is_ok_and(|about| is_left(&about)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("consentinel-file-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        path
    }

    #[test]
    fn a_link_that_somebody_has_laid_is_not_written_through() {
        let folder = empty_folder("link");
        let (file, victim) = (folder.join("sentinel.conf"), folder.join("victim"));
        std::fs::write(&victim, "mine").expect("the folder is ours");
        // The name that could be known before.
        std::os::unix::fs::symlink(&victim, folder.join(".sentinel.conf.tmp")).expect("the folder is ours");
        replace(&file, b"new").expect("there is room");
        assert_eq!(std::fs::read(&victim).expect("it is there"), b"mine");
        assert_eq!(std::fs::read(&file).expect("it is there"), b"new");
        // And the one that is guessed.
        let guessed = folder.join(".sentinel.conf.0123456789abcdef.tmp");
        std::os::unix::fs::symlink(&victim, &guessed).expect("the folder is ours");
        let refused = write_and_rename(&file, &guessed, b"other").expect_err("it exists");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&victim).expect("it is there"), b"mine");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn what_a_crash_has_left_is_taken_away_and_nothing_else() {
        let folder = empty_folder("left");
        let file = folder.join("sentinel.conf");
        let old = std::time::SystemTime::now() - LEFT * 2;
        let make = |name: &str, at| {
            let file = File::create(folder.join(name)).expect("the folder is ours");
            file.set_modified(at).expect("the file is ours");
        };
        make(".sentinel.conf.0123456789abcdef.tmp", old);
        make(".sentinel.conf.fedcba9876543210.tmp", std::time::SystemTime::now());
        make(".sentinel.conf.backup.tmp", old);
        make(".other.conf.0123456789abcdef.tmp", old);
        clear(&file);
        let left = std::fs::read_dir(&folder).expect("the folder is ours");
        let mut left: Vec<_> =
            left.flatten().map(|entry| entry.file_name().into_string().expect("a text")).collect();
        left.sort();
        let kept = [
            ".other.conf.0123456789abcdef.tmp",
            ".sentinel.conf.backup.tmp",
            ".sentinel.conf.fedcba9876543210.tmp",
        ];
        assert_eq!(left, kept);
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
