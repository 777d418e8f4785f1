//! In which order servers are to be tried: RFC 2782.

use crate::Replica;

/// The lowest priority first; among equals drawn by lot, by weight.
pub(crate) fn by_lot(mut replicas: Vec<Replica>, mut draw: impl FnMut(u32) -> u32) -> Vec<Replica> {
    // Those without weight first, so that they have their small chance: so the RFC says.
    replicas.sort_by_key(|replica| (replica.priority, replica.weight > 0));
    let mut ordered = Vec::with_capacity(replicas.len());
    while let Some(first) = replicas.first() {
        let priority = first.priority;
        let equals = replicas.iter().take_while(|replica| replica.priority == priority);
        let total: u32 = equals.map(|replica| u32::from(replica.weight)).sum();
        let (lot, mut sum) = (draw(total + 1), 0);
        let drawn = replicas.iter().position(|replica| {
            sum += u32::from(replica.weight);
            sum >= lot
        });
        ordered.push(replicas.remove(drawn.expect("the last of them reaches the total")));
    }
    ordered
}

/// A number below the bound, another one each time. Nothing secret depends on it.
pub(crate) fn lot(below: u32) -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(below) >> 32;
    ((random * u64::from(below)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, SocketAddr};

    fn replica(port: u16, priority: u16, weight: u16) -> Replica {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Replica { addr, host: "h".into(), priority, weight }
    }

    fn ports(replicas: &[Replica]) -> Vec<u16> {
        replicas.iter().map(|replica| replica.addr.port()).collect()
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_the_weights() {
        let replicas = vec![replica(3, 2, 9), replica(1, 1, 0), replica(2, 1, 1)];
        for _ in 0..100 {
            assert_eq!(by_lot(replicas.clone(), lot).last().map(|it| it.addr.port()), Some(3));
        }
    }

    #[test]
    fn the_lot_decides_by_weight() {
        let replicas = vec![replica(1, 1, 10), replica(2, 1, 30), replica(3, 1, 0)];
        let mut low = |_| 0;
        assert_eq!(ports(&by_lot(replicas.clone(), &mut low)), [3, 1, 2]);
        let mut high = |below| below - 1;
        assert_eq!(ports(&by_lot(replicas, &mut high)), [2, 1, 3]);
    }

    #[test]
    fn ten_times_the_weight_is_ten_times_the_share() {
        let mut first = BTreeMap::<u16, u32>::new();
        for _ in 0..11_000 {
            let order = by_lot(vec![replica(1, 1, 100), replica(2, 1, 10)], lot);
            *first.entry(order[0].addr.port()).or_default() += 1;
        }
        // 1 in 11 on average; the bounds are more than ten standard deviations away.
        assert!((600..1_500).contains(&first[&2]), "{first:?}");
    }

    #[test]
    fn all_are_there_once_also_without_weights() {
        let mut ports = ports(&by_lot((0..50).map(|port| replica(port, 0, 0)).collect(), lot));
        ports.sort();
        assert_eq!(ports, (0..50).collect::<Vec<_>>());
    }
}
