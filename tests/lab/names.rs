//! Host names that only the programs of one test know, and that can be moved.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Folder;

/// A file as `/etc/hosts`, which takes its place for programs that are started within.
#[derive(Clone, Debug)]
pub struct Names {
    hosts: PathBuf,
    /// As `/etc/resolv.conf`, where it is not the machine's.
    resolver: Option<(PathBuf, Arc<UdpSocket>)>,
}

impl Names {
    /// No names but `localhost`.
    pub fn new(folder: &Folder) -> Names {
        let names = Names { hosts: folder.path().join("hosts"), resolver: None };
        names.write("127.0.0.1 localhost\n");
        names
    }

    /// The same names; whoever looks for another one is kept waiting, by a name server that never answers.
    pub fn with_silence(&self) -> Names {
        let server = (1..=254).find_map(|last| {
            let address = Ipv4Addr::new(127, 0, 53, last);
            Some((address, UdpSocket::bind((address, 53)).ok()?))
        });
        let (address, socket) = server.expect("root may listen as a name server");
        let file = self.hosts.with_file_name("resolv.conf");
        std::fs::write(&file, format!("nameserver {address}\n")).expect("the folder is ours");
        Names { hosts: self.hosts.clone(), resolver: Some((file, Arc::new(socket))) }
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
        let text = std::fs::read_to_string(&self.hosts).expect("the folder is ours");
        let other = |line: &&str| line.split(' ').nth(1) != Some(name);
        text.lines().filter(other).map(|line| format!("{line}\n")).collect()
    }

    /// In place: what is mounted is this very file.
    fn write(&self, text: &str) {
        std::fs::write(&self.hosts, text).expect("the folder is ours");
    }

    /// The program and the words that start it with these names: in a mount namespace of its own.
    pub(crate) fn within<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> (PathBuf, Vec<OsString>) {
        let script = "mount --bind \"$0\" /etc/hosts && if [ -n \"$1\" ]; then mount --bind \"$1\" /etc/resolv.conf; fi \
                      && shift && exec \"$@\"";
        // Whoever is not root becomes root in a user namespace.
        let user = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mut words: Vec<OsString> = [user, "sh", "-c", script].map(OsString::from).into();
        words.push(self.hosts.clone().into());
        words.push(self.resolver.as_ref().map(|(file, _)| file.into()).unwrap_or_default());
        words.push(program.into());
        words.extend(args.iter().map(|word| word.as_ref().to_owned()));
        ("unshare".into(), words)
    }
}
