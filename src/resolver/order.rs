//! In which order servers are to be tried: RFC 2782.

use crate::Replica;

/// The lowest priority first; among equals drawn by lot, by weight.
pub(crate) fn by_lot(mut replicas: Vec<Replica>, mut draw: impl FnMut(u32) -> u32) -> Vec<Replica> {
    let mut ordered = Vec::with_capacity(replicas.len());
    while let Some(drawn) = choose(replicas.iter().map(|it| (it.priority, it.weight)), &mut draw) {
        ordered.push(replicas.remove(drawn));
    }
    ordered
}

/// One of these priorities and weights, by its place: of the lowest priority, drawn by weight. `draw` gives a number
/// below its argument. Nothing where there is none.
pub fn choose(
    servers: impl Iterator<Item = (u16, u16)> + Clone,
    draw: impl FnOnce(u32) -> u32,
) -> Option<usize> {
    let lowest = servers.clone().map(|(priority, _)| priority).min()?;
    let first = servers.enumerate().filter(|(_, (priority, _))| *priority == lowest);
    let total: u32 = first.clone().map(|(_, (_, weight))| u32::from(weight)).sum();
    if total == 0 {
        let lot = draw(first.clone().count() as u32) as usize;
        return first.map(|(at, _)| at).nth(lot);
    }
    // Those without weight first, so that they have their small chance: so the RFC says.
    let (light, heavy) = (first.clone().filter(|(_, it)| it.1 == 0), first.filter(|(_, it)| it.1 > 0));
    let (lot, mut sum) = (draw(total + 1), 0);
    let mut drawn = light.chain(heavy).skip_while(|(_, (_, weight))| {
        sum += u32::from(*weight);
        sum < lot
    });
    drawn.next().map(|(at, _)| at)
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
    fn without_weights_each_has_the_same_chance() {
        let servers = [(1, 0), (0, 0), (0, 0)];
        assert_eq!(choose(servers.into_iter(), |below| below - 1), Some(2));
        assert_eq!(choose(servers.into_iter(), |_| 0), Some(1));
        assert_eq!(choose(std::iter::empty(), |_| 0), None);
    }

    #[test]
    fn all_are_there_once_also_without_weights() {
        let mut ports = ports(&by_lot((0..50).map(|port| replica(port, 0, 0)).collect(), lot));
        ports.sort();
        assert_eq!(ports, (0..50).collect::<Vec<_>>());
    }
}
