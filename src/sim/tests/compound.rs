//! What the elements of compound disasters are, as stories.

use consentinel_sim::scenario;

const WORLD: &str =
    "sentinels s1 s2 s3, quorum 2\nmymaster: r1 with replicas r2 r3, down-after 1s, failover-timeout 10s";

fn tell(story: &str) -> String {
    scenario::run(story).unwrap_or_else(|error| panic!("{error}"))
}

/// How many writes the client saw acknowledged.
fn acknowledged(transcript: &str) -> u32 {
    let words: Vec<&str> = transcript.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "saw").expect("a client writes");
    words[at + 1].parse().expect("a number follows")
}

#[test]
fn a_slow_disk_delays_what_its_sentinel_answers() {
    let story = format!("{WORLD}\nat 4s slow the disk of s1 to 500ms\nat 5s crash r1\nuntil 12s\n");
    let transcript = tell(&story);
    assert!(transcript.contains("s1 has a disk that takes 500ms for a write"), "{transcript}");
    assert!(transcript.contains("s1 s2 s3: the master of mymaster is"), "{transcript}");
}

#[test]
fn a_second_address_is_the_same_server() {
    let story = format!(
        "{WORLD}\nat 4s announce r2 at its second address\nat 5s partition r2 from r1\nat 6s repair\n\
         at 12s operator on s1: failover mymaster\nuntil 40s\n"
    );
    let transcript = tell(&story);
    assert!(transcript.contains("r2 announces 10.4.0.1:6379 from now on"), "{transcript}");
    assert!(transcript.contains("s1 s2 s3: the master of mymaster is"), "{transcript}");
}

#[test]
fn a_renewed_sentinel_has_another_identity() {
    let story = format!("{WORLD}\nat 5s crash s3\nat 16s renew s3\nat 16s restart s3\nuntil 30s\n");
    let transcript = tell(&story);
    assert!(transcript.contains("s3 has a new disk"), "{transcript}");
    assert!(transcript.contains("+sentinel sentinel s3"), "the others meet a stranger: {transcript}");
}

#[test]
fn a_write_counts_when_a_replica_has_it() {
    let waits = "a client waits for a replica\n";
    let with = tell(&format!("{WORLD}\n{waits}until 12s\n"));
    assert!(acknowledged(&with) > 200 && with.contains("; 0 of them are lost"), "{with}");
    let without = tell(&format!("{WORLD}\n{waits}at 6s pause r2\nat 6s pause r3\nuntil 12s\n"));
    assert!((80..120).contains(&acknowledged(&without)), "{without}");
}

#[test]
fn a_master_that_loads_for_too_long_is_replaced() {
    let world = WORLD.replace("failover-timeout", "reboot-down-after 1s, failover-timeout");
    let story = format!("{world}\nloading takes 20s\nat 30s bounce r1 for 100ms\nuntil 45s\n");
    let transcript = tell(&story);
    assert!(transcript.contains("+switch-master mymaster r1"), "{transcript}");
}

#[test]
fn a_master_that_hangs_in_its_own_failover_is_turned_all_the_same() {
    let story =
        format!("{WORLD}\nat 4s redis-cli r1 failover\nat 5s operator on s1: failover mymaster\nuntil 20s\n");
    let transcript = tell(&story);
    assert!(transcript.contains("r1 hangs in a FAILOVER of its own"), "{transcript}");
    assert!(transcript.contains("r1 ends its own FAILOVER"), "{transcript}");
    assert!(transcript.contains("r1 is a replica of r"), "{transcript}");
}

/// Its supervisor starts it again: what it acknowledges then, with a replica that has already copied it, must not be lost
/// because the sentinels have not seen its return.
#[test]
fn a_master_that_is_back_before_down_after_is_not_replaced() {
    for seed in 1..=40 {
        let story = format!(
            "{WORLD}\na client waits for a replica\nseed {seed}\nat 20s vanish r1\nat {}ms restart r1\nuntil 30s\n",
            20400 + seed * 5
        );
        let transcript = tell(&story);
        assert!(transcript.contains("; 0 of them are lost"), "seed {seed}: {transcript}");
        assert!(!transcript.contains("+switch-master"), "seed {seed}: {transcript}");
    }
}

/// It is back at about the moment at which the sentinels agree that it is down, and one replica has found it at once.
#[test]
fn a_master_that_is_back_while_its_failover_begins_loses_nothing() {
    let cut = "at 20s partition r1 from s1 s2 s3 r2 r3";
    for seed in 1..=200 {
        let back = 20_900 + seed;
        let story = format!(
            "{WORLD}\na client waits for a replica\nseed {seed}\nat 20s crash r1\n{cut}\nat {back}ms repair\nat {back}ms restart r1\nuntil 30s\n",
        );
        let transcript = tell(&story);
        assert!(transcript.contains("; 0 of them are lost"), "seed {seed}: {transcript}");
    }
}
