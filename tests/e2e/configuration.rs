//! One configuration file, either program.

use super::restart::memory_of;
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, Extra, Folder, Program, Release, Sentinel, Setup, Value};
use std::collections::BTreeSet;

#[test]
fn the_original_goes_on_from_our_file_and_we_from_its() {
    let mut setup = three_daemons();
    setup.down_after = super::mixed::DOWN_AFTER;
    each_goes_on_from_the_file_of_the_last(&setup, [Program::Original, ours()]);
}

/// Redis 7.0 cannot set it; later ones write it down as 7.0 would.
#[test]
fn a_log_level_set_at_run_time_is_written_as_by_the_original() {
    for (lines, level) in [
        ("", "warning"),
        ("", "notice"),
        ("# a\nloglevel notice\n# b", "debug"),
        ("  LOGLEVEL \"Verbose\"\n# b\nloglevel debug", "warning"),
        ("loglevel debug", "notice"),
    ] {
        let [theirs, ours] = [Program::Other(Release::Redis8), ours()].map(|program| {
            let folder = Folder::new();
            let extra = Extra::default().line("# the level").line(lines);
            let mut sentinel =
                Sentinel::start_new(&folder, program, "sentinel monitor mymaster 127.0.0.1 1 2\n", extra);
            let reply = sentinel.call(&["SENTINEL", "CONFIG", "SET", "loglevel", level]);
            assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"), "{reply:?}");
            // Killed: it must be there already.
            sentinel.kill();
            let text = sentinel.config_text();
            sentinel.start();
            let reply = sentinel.call(&["SENTINEL", "CONFIG", "GET", "loglevel"]).expect("it answers");
            assert_eq!(reply.fields().get("loglevel").map(String::as_str), Some(level), "{text}");
            let told = |line: &&str| line.starts_with('#') || line.contains("loglevel");
            text.lines().filter(told).map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(theirs, ours, "{lines}");
    }
}

/// What the file says of epochs: by name, wherever it stands.
fn epochs(text: &str) -> BTreeSet<String> {
    let about = |line: &&str| line.contains("-epoch ") || line.starts_with("sentinel myid ");
    text.lines().filter(about).map(str::to_owned).collect()
}

#[test]
fn nothing_is_forgotten_on_the_way_to_the_original_and_back() {
    let setup =
        three_daemons().with(&Extra::default().line("# the night shift's own words").line("loglevel notice"));
    let mut cluster = Cluster::start(&setup);
    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(first);
    let before: Vec<_> = cluster.sentinels.iter().map(memory_of).collect();
    let written: Vec<_> = cluster.sentinels.iter().map(|sentinel| epochs(&sentinel.config_text())).collect();
    assert!(written.iter().all(|lines| lines.len() == 4 && !lines.contains("sentinel current-epoch 0")));
    for program in [Program::Original, ours(), Program::Original, ours()] {
        for sentinel in &mut cluster.sentinels {
            // Killed: what matters must be there already.
            sentinel.kill();
            sentinel.program = program.clone();
            sentinel.start();
        }
        assert_eq!(cluster.sentinels.iter().map(memory_of).collect::<Vec<_>>(), before, "{program:?}");
        for (sentinel, written) in cluster.sentinels.iter().zip(&written) {
            assert_eq!(&epochs(&sentinel.config_text()), written, "{program:?}");
            assert!(sentinel.config_text().contains("\n# the night shift's own words\nloglevel notice\n"));
        }
    }
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
