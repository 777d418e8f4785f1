//! The user that the daemon runs as: what it can read, and files that are made for it.

use super::Failure;
use crate::config::replace;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

/// Who may write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The operator; the daemon may read it.
    Roots,
    /// The daemon, and nobody else may read it.
    Daemons,
}

impl Owner {
    /// Looks for the user in /etc/passwd: a user of a service is nowhere else.
    pub(super) fn find(name: &str) -> Result<Owner, Failure> {
        let users = std::fs::read_to_string("/etc/passwd")
            .map_err(|error| format!("/etc/passwd cannot be read: {error}"))?;
        Owner::find_in(&users, name).ok_or_else(|| {
            format!(
                "there is no user {name} in /etc/passwd: the Debian package makes one; --user names another, and --into and \
                 --state the files that it uses"
            )
        })
    }

    fn find_in(users: &str, name: &str) -> Option<Owner> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [found, _, uid, gid, ..] if *found == name => {
                    Some(Owner { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
                }
                _ => None,
            }
        })
    }

    /// Which of these files the user cannot read. Access lists and the rights of folders count, so it is tried.
    pub(super) fn cannot_read(&self, files: &[PathBuf]) -> Result<Vec<String>, Failure> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = Command::new("/proc/self/exe");
        if rustix::process::geteuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        let output = command.args(["adopt", "--probe"]).args(files).output();
        let output =
            output.map_err(|error| format!("files cannot be looked at as {}: {error}", self.name))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Writes a file, with its folder where that is missing.
    pub(super) fn put(&self, path: &Path, text: &str, whose: Whose) -> Result<(), Failure> {
        let wrong =
            |what: &str, error: std::io::Error| format!("{} cannot be {what}: {error}", path.display());
        replace(path, text.as_bytes()).map_err(|error| wrong("written", error))?;
        let (uid, mode) = match whose {
            Whose::Roots => (rustix::process::geteuid().as_raw(), 0o640),
            Whose::Daemons => (self.uid, 0o600),
        };
        chown(path, Some(uid), Some(self.gid)).map_err(|error| wrong("given to the daemon's user", error))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| wrong("given its mode", error))
    }
}

/// Prints which of these files this process cannot read.
pub(super) fn probe(files: &[PathBuf]) -> ExitCode {
    let readable = |path: &Path| match path.is_dir() {
        true => std::fs::read_dir(path).is_ok(),
        false => std::fs::File::open(path).is_ok(),
    };
    files.iter().filter(|path| !readable(path)).for_each(|path| println!("{}", path.display()));
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_name() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nconsentinel:x:107:112::/nonexistent:/usr/sbin/nologin\n";
        let expected = Owner { name: "consentinel".into(), uid: 107, gid: 112 };
        assert_eq!(Owner::find_in(users, "consentinel"), Some(expected));
        assert_eq!(Owner::find_in(users, "consent"), None);
    }
}
