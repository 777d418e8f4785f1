//! Redis 6.2, 7.4 and 8.0, Valkey 8.1 and 9.1: as servers, as sentinels beside ours, and as writers of the file.

use super::client_redis_cli::{cli, shape};
use super::configuration::each_goes_on_from_the_file_of_the_last;
use super::mixed::{DOWN_AFTER, one_leads_and_all_follow};
use crate::{PATIENCE, ours, three_daemons, write_everywhere};
use consentinel_lab::{Cluster, GROUP, Program, Release, Setup};

#[test]
fn servers_of_redis_8_fail_over_return_and_move_by_order() {
    servers_fail_over_return_and_move_by_order(Release::Redis8);
}

#[test]
fn servers_of_valkey_8_fail_over_return_and_move_by_order() {
    servers_fail_over_return_and_move_by_order(Release::Valkey8);
}

#[test]
fn servers_of_redis_6_2_fail_over_return_and_move_by_order() {
    servers_fail_over_return_and_move_by_order(Release::Redis62);
}

#[test]
fn servers_of_redis_7_4_fail_over_return_and_move_by_order() {
    servers_fail_over_return_and_move_by_order(Release::Redis74);
}

#[test]
fn servers_of_valkey_9_fail_over_return_and_move_by_order() {
    servers_fail_over_return_and_move_by_order(Release::Valkey9);
}

fn servers_fail_over_return_and_move_by_order(release: Release) {
    let mut setup = three_daemons();
    setup.serving.release = release;
    let mut cluster = Cluster::start(&setup);
    write_everywhere(&cluster, "before");
    cluster.redis[0].kill();
    let first = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(first);

    let words = ["SENTINEL", "FAILOVER", GROUP, "COORDINATED"];
    let words = if release == Release::Valkey9 { &words[..] } else { &words[..3] };
    let reply = cluster.sentinels[2].call(words);
    assert_eq!(reply.as_ref().and_then(|reply| reply.text()), Some("OK"), "{reply:?}");
    let second = cluster.wait_for_new_master(first, PATIENCE);
    cluster.wait_until_settled(second);
    assert_eq!(cluster.redis[second].get("before").as_deref(), Some("kept"));
    for sentinel in &cluster.sentinels {
        for replica in sentinel.replicas() {
            assert_ne!(replica.get("slave-repl-offset").map(String::as_str), Some("0"), "{replica:?}");
        }
    }
}

#[test]
fn a_sentinel_of_redis_8_follows_where_ours_leads() {
    ours_leads(Release::Redis8);
}

#[test]
fn a_sentinel_of_valkey_8_follows_where_ours_leads() {
    ours_leads(Release::Valkey8);
}

#[test]
fn a_sentinel_of_redis_6_2_follows_where_ours_leads() {
    ours_leads(Release::Redis62);
}

#[test]
fn a_sentinel_of_redis_7_4_follows_where_ours_leads() {
    ours_leads(Release::Redis74);
}

#[test]
fn a_sentinel_of_valkey_9_follows_where_ours_leads() {
    ours_leads(Release::Valkey9);
}

fn ours_leads(release: Release) {
    let other = Program::Other(release);
    one_leads_and_all_follow(vec![other.clone(), other, ours()], 2, release);
}

#[test]
fn ours_follow_where_a_sentinel_of_redis_8_leads() {
    the_other_leads(Release::Redis8);
}

#[test]
fn ours_follow_where_a_sentinel_of_valkey_8_leads() {
    the_other_leads(Release::Valkey8);
}

#[test]
fn ours_follow_where_a_sentinel_of_redis_6_2_leads() {
    the_other_leads(Release::Redis62);
}

#[test]
fn ours_follow_where_a_sentinel_of_redis_7_4_leads() {
    the_other_leads(Release::Redis74);
}

#[test]
fn ours_follow_where_a_sentinel_of_valkey_9_leads() {
    the_other_leads(Release::Valkey9);
}

fn the_other_leads(release: Release) {
    one_leads_and_all_follow(vec![Program::Other(release), ours(), ours()], 0, release);
}

#[test]
fn we_go_on_from_a_file_of_redis_8_and_it_from_ours() {
    the_file_goes_there_and_back(Release::Redis8);
}

#[test]
fn we_go_on_from_a_file_of_valkey_8_and_it_from_ours() {
    the_file_goes_there_and_back(Release::Valkey8);
}

#[test]
fn we_go_on_from_a_file_of_redis_6_2_and_it_from_ours() {
    the_file_goes_there_and_back(Release::Redis62);
}

#[test]
fn we_go_on_from_a_file_of_redis_7_4_and_it_from_ours() {
    the_file_goes_there_and_back(Release::Redis74);
}

fn the_file_goes_there_and_back(release: Release) {
    let other = Program::Other(release);
    let mut setup = Setup::new(vec![other.clone(); 3]);
    setup.serving.release = release;
    setup.down_after = DOWN_AFTER;
    each_goes_on_from_the_file_of_the_last(&setup, [ours(), other]);
}

#[test]
fn what_valkey_calls_primary_is_answered_as_by_valkey() {
    let mut setup = Setup::new(vec![Program::Other(Release::Valkey8), ours()]);
    setup.serving.release = Release::Valkey8;
    let cluster = Cluster::start(&setup);
    for words in [
        "SENTINEL primaries",
        "SENTINEL primary mymaster",
        "SENTINEL primary nobody",
        "SENTINEL replicas mymaster",
        "SENTINEL get-primary-addr-by-name mymaster",
        "SENTINEL get-primary-addr-by-name nobody",
        "SENTINEL is-primary-down-by-addr 127.0.0.1 1 0 *",
        "SENTINEL is-primary-down-by-addr 127.0.0.1 x 0 *",
        "SENTINEL ckquorum mymaster",
    ] {
        let [valkey, ours] = [0, 1].map(|number| shape(&cli(cluster.sentinels[number].port, words)));
        assert_eq!(ours, valkey, "{words}");
    }
}
