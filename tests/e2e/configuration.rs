//! One configuration file, either program.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, Program, Setup};

#[test]
fn the_original_goes_on_from_our_file_and_we_from_its() {
    each_goes_on_from_the_file_of_the_last(&three_daemons(), [Program::Original, ours()]);
}

/// After a failover the next program takes over all files, and fails over in its turn.
pub(crate) fn each_goes_on_from_the_file_of_the_last(setup: &Setup, programs: [Program; 2]) {
    let mut cluster = Cluster::start(setup);
    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(first);
    let ids: Vec<_> = cluster.sentinels.iter().map(|sentinel| sentinel.id()).collect();

    let mut master = first;
    for program in programs {
        for sentinel in &mut cluster.sentinels {
            sentinel.terminate();
            sentinel.program = program.clone();
            sentinel.start();
            assert_eq!(sentinel.master_port(), Some(cluster.redis[master].port));
        }
        assert_eq!(cluster.sentinels.iter().map(|sentinel| sentinel.id()).collect::<Vec<_>>(), ids);
        cluster.wait_until_settled(master);
        cluster.redis[master].kill();
        let new = cluster.wait_for_new_master(master, PATIENCE);
        cluster.redis[master].start();
        master = new;
        cluster.wait_until_settled(master);
    }
}
