//! Ports of our own, so that the demo runs beside anything, itself included.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Below the range from which the kernel takes the near ends of connections: a server that was killed finds its port
/// free when it is started again.
const FIRST: u16 = 30_000;
const BLOCKS: u16 = 100;
/// How many ports a demo has.
pub(super) const BLOCK: u16 = 20;

/// A block of ports that belongs to this process as long as this lives.
#[derive(Debug)]
pub(super) struct Ports {
    first: u16,
    /// A name in the kernel that only one process can have. It goes away with the process.
    _claim: UnixListener,
}

impl Ports {
    /// Finds a block in which nobody listens and that no other demo has.
    pub(super) fn take() -> Result<Ports, String> {
        let numbers = (0..BLOCKS).map(|number| FIRST + number * BLOCK);
        numbers.filter_map(Ports::claim).find(|ports| (0..BLOCK).all(|number| is_free(ports.port(number)))).ok_or_else(
            || {
                let last = FIRST + BLOCKS * BLOCK - 1;
                format!("no {BLOCK} free ports in a row on 127.0.0.1 between {FIRST} and {last}: end something there")
            },
        )
    }

    fn claim(first: u16) -> Option<Ports> {
        let name = SocketAddr::from_abstract_name(format!("consentinel-demo-ports-{first}")).ok()?;
        Some(Ports { first, _claim: UnixListener::bind_addr(&name).ok()? })
    }

    /// One of them.
    pub(super) fn port(&self, number: u16) -> u16 {
        self.first + number
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_demos_have_different_ports_and_a_port_in_use_is_passed_over() {
        let first = Ports::take().expect("there are free ports");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first.port(3))).expect("it was free");
        let second = Ports::take().expect("there are free ports");
        assert_ne!(first.first, second.first);
        let taken = first.first;
        drop((first, second));
        let third = Ports::take().expect("there are free ports");
        assert_ne!(third.first, taken, "somebody listens there");
        drop(listener);
    }
}
