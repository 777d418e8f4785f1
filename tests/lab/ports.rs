//! Ports that nobody uses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the range from which the kernel takes the near ends of connections: a server that is killed finds its port
/// free when it is started again.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on which nobody listens, neither by TCP nor by UDP, on any address of this machine. The same process never
/// gets it twice.
pub fn free_port() -> u16 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    let start = (clock / 1000 + std::process::id() * 7919) % u32::from(COUNT);
    let mut given = GIVEN.lock().expect("nobody panics while holding it");
    (0..u32::from(COUNT))
        .map(|step| FIRST + ((start + step) % u32::from(COUNT)) as u16)
        .find(|port| !given.contains(port) && is_free(*port) && given.insert(*port))
        .expect("twenty thousand ports are not all in use")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
