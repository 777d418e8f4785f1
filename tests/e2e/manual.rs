//! SENTINEL FAILOVER.

use crate::{PATIENCE, three_daemons};
use consentinel_lab::{Cluster, GROUP};

#[test]
fn a_failover_on_request_moves_a_healthy_master() {
    let cluster = Cluster::start(&three_daemons());
    let events = cluster.events();
    let reply = cluster.sentinels[1].call(&["SENTINEL", "FAILOVER", GROUP]);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.wait_until_settled(new);
    for events in &events {
        events.expect("+switch-master", PATIENCE);
        assert!(!events.has("+odown"), "nobody needed to find the master down");
    }
}

#[test]
fn without_a_good_replica_it_is_refused() {
    let mut setup = three_daemons();
    setup.replicas = 0;
    let cluster = Cluster::start(&setup);
    let refused = |name| cluster.sentinels[0].call(&["SENTINEL", "FAILOVER", name]).expect("it answers");
    assert_eq!(refused(GROUP).error(), Some("NOGOODSLAVE No suitable replica to promote"));
    assert_eq!(refused("nobody").error(), Some("ERR No such master with that name"));
}
