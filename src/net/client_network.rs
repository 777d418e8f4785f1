//! What counts as one client, where each may have only so much.

use std::net::{IpAddr, Ipv6Addr};

/// An address, or in IPv6 a whole /64.
pub(crate) fn client_network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}
