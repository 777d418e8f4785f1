//! Host names that only the programs of one test know, and that can be moved.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::Folder;

/// A file as `/etc/hosts`, which takes its place for programs that are started within.
#[derive(Clone, Debug)]
pub struct Names(PathBuf);

impl Names {
    /// No names but `localhost`.
    pub fn new(folder: &Folder) -> Names {
        let names = Names(folder.path().join("hosts"));
        names.write("127.0.0.1 localhost\n");
        names
    }

    /// From now on the name leads to that address, and to no other.
    pub fn set(&self, name: &str, address: &str) {
        let others = self.without(name);
        self.write(&format!("{others}{address} {name}\n"));
    }

    /// From now on nobody knows the name.
    pub fn remove(&self, name: &str) {
        let others = self.without(name);
        self.write(&others);
    }

    fn without(&self, name: &str) -> String {
        let text = std::fs::read_to_string(&self.0).expect("the folder is ours");
        let other = |line: &&str| line.split(' ').nth(1) != Some(name);
        text.lines().filter(other).map(|line| format!("{line}\n")).collect()
    }

    /// In place: what is mounted is this very file.
    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("the folder is ours");
    }

    /// The program and the words that start it with these names: in a mount namespace of its own.
    pub(crate) fn within<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> (PathBuf, Vec<OsString>) {
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        // Whoever is not root becomes root in a user namespace.
        let user = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mut words: Vec<OsString> = [user, "sh", "-c", script].map(OsString::from).into();
        words.push(self.0.clone().into());
        words.push(program.into());
        words.extend(args.iter().map(|word| word.as_ref().to_owned()));
        ("unshare".into(), words)
    }
}
