//! The connections over TCP: never more than so many, and never all of one client.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::Notify;

/// How many may be connected to one address of ours at a time.
pub(super) const MOST: usize = 256;

/// How many of them from one address.
const MOST_OF_ONE: usize = 64;

/// One connection.
#[derive(Clone)]
pub(super) struct TcpConnection {
    number: u64,
    leave: Rc<Notify>,
}

impl TcpConnection {
    /// Ready when somebody else needs the place.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

/// All connections.
#[derive(Default)]
pub(super) struct TcpConnections {
    present: BTreeMap<u64, Present>,
    /// Counts connections, and questions: the higher, the later.
    moment: u64,
}

struct Present {
    from: IpAddr,
    last_use: u64,
    leave: Rc<Notify>,
}

impl TcpConnections {
    /// Lets somebody in. When there is no place, whoever has been of no use for the longest time has to leave: of those
    /// from the same address when there are too many of them, else of all. Whether somebody had to.
    pub(super) fn admit(&mut self, from: IpAddr) -> (TcpConnection, bool) {
        let of_one = self.present.values().filter(|connection| connection.from == from).count();
        let crowded_out = match (of_one >= MOST_OF_ONE, self.present.len() >= MOST) {
            (true, _) => self.dismiss(|connection| connection.from == from),
            (_, true) => self.dismiss(|_| true),
            _ => false,
        };
        self.moment += 1;
        let (number, leave) = (self.moment, Rc::new(Notify::new()));
        self.present.insert(number, Present { from, last_use: number, leave: leave.clone() });
        (TcpConnection { number, leave }, crowded_out)
    }

    /// It has asked and got its answer.
    pub(super) fn was_of_use(&mut self, connection: &TcpConnection) {
        self.moment += 1;
        if let Some(present) = self.present.get_mut(&connection.number) {
            present.last_use = self.moment;
        }
    }

    /// It has gone.
    pub(super) fn forget(&mut self, connection: &TcpConnection) {
        self.present.remove(&connection.number);
    }

    fn dismiss(&mut self, of: impl Fn(&Present) -> bool) -> bool {
        let candidates = self.present.iter().filter(|(_, connection)| of(connection));
        let idle = candidates.min_by_key(|(_, connection)| connection.last_use).map(|(number, _)| *number);
        match idle.and_then(|number| self.present.remove(&number)) {
            Some(connection) => {
                connection.leave.notify_one();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn has_to_leave(connection: &TcpConnection) -> bool {
        let notified = std::pin::pin!(connection.asked_to_leave());
        notified.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn whoever_was_of_no_use_for_the_longest_time_leaves() {
        let mut connections = TcpConnections::default();
        let from =
            |number: usize| IpAddr::from(Ipv4Addr::new(198, 18, (number / 200) as u8, (number % 200) as u8));
        let present: Vec<_> = (0..MOST).map(|number| connections.admit(from(number)).0).collect();
        connections.was_of_use(&present[0]);
        let (_, crowded_out) = connections.admit(from(1000));
        assert!(crowded_out);
        assert!(!has_to_leave(&present[0]) && has_to_leave(&present[1]) && !has_to_leave(&present[2]));
        assert_eq!(connections.present.len(), MOST);
        connections.forget(&present[2]);
        assert!(!connections.admit(from(1001)).1, "there is a place again");
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let mut connections = TcpConnections::default();
        let one = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = connections.admit(one).0;
        for _ in 1..MOST_OF_ONE {
            assert!(!connections.admit(one).1);
        }
        assert!(connections.admit(one).1 && has_to_leave(&first));
        assert_eq!(connections.present.len(), MOST_OF_ONE);
    }
}
