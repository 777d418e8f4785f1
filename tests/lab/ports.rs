//! Ports that nobody uses.

use rustix::fs::{FlockOperation, flock};
use std::collections::VecDeque;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Mutex;

/// Below the range from which the kernel takes the near ends of connections: a server that is killed finds its port
/// free when it is started again.
const FIRST: u16 = 10_000;
const BLOCKS: u16 = 50;
/// How many ports a process takes at a time.
const BLOCK: u16 = 400;

static FREE: Mutex<Blocks> = Mutex::new(Blocks { locked: Vec::new(), ports: VecDeque::new() });

/// Ports that belong to this process alone as long as it lives: a port on which nobody listens yet may have been given
/// to a program that is still being started, or to one that is dead just now.
struct Blocks {
    locked: Vec<(u16, File)>,
    ports: VecDeque<u16>,
}

impl Blocks {
    /// Takes the next block that no other process has.
    fn take(&mut self) {
        let start = std::process::id() % u32::from(BLOCKS);
        let numbers = (0..BLOCKS).map(|step| (start as u16 + step) % BLOCKS);
        let (number, file) = numbers
            .filter(|number| self.locked.iter().all(|(locked, _)| locked != number))
            .find_map(|number| Some((number, lock(number)?)))
            .expect("other tests have not taken twenty thousand ports");
        self.locked.push((number, file));
        let first = FIRST + number * BLOCK;
        self.ports.extend(first..first + BLOCK);
    }
}

/// The same folder for all, wherever each has its temporary files.
fn lock(number: u16) -> Option<File> {
    let path = Path::new("/tmp").join(format!("consentinel-lab-ports-{number}"));
    let file = File::options().create(true).append(true).open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// A port on which nobody listens, neither by TCP nor by UDP, on any address of this machine. Nobody else gets it as
/// long as this process lives.
pub fn free_port() -> u16 {
    let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        match free.ports.pop_front() {
            Some(port) if is_free(port) => return port,
            Some(_) => {}
            None => free.take(),
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
