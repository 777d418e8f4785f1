//! Stories as text: a world, what happens to it and when, and the transcript of what everybody does about it.
//!
//! A story begins with a comment, sets up its world, and lists deeds:
//!
//! ```text
//! # The master dies.
//! sentinels s1 s2 s3, quorum 2
//! mymaster: r1 with replicas r2 r3, down-after 1s
//! at 5s crash r1
//! until 10s
//! ```
//!
//! [`run`] lists all that a story can say.

mod deed;
mod ending;
mod head;

use crate::step::Step;
use consentinel_core::Time;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// Why a story cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// In which line, counted from one; zero when it is about the whole.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ScenarioError {}

/// Tells a story: gives its transcript.
///
/// The world's lines (all but `sentinels` and one group may be missing):
///
/// | line | meaning |
/// | --- | --- |
/// | `sentinels s1 s2 s3, quorum 2` | the sentinels; as a rule they know each other and all replicas |
/// | `originals s3` | some of them are the model of the original redis-sentinel |
/// | `mymaster: r1 with replicas r2 r3, down-after 1s` | a group; also `failover-timeout 10s`, `parallel-syncs 2`, `reboot-down-after 1s` |
/// | `observers s4` | some of them only look on and publish |
/// | `consul` or `consul, 3 servers` | there is a Consul, and the sentinels publish into it |
/// | `r3 follows r2` | a cascade |
/// | `priority r2 90` | a replica's priority |
/// | `a client writes` | one client per group writes once a second: `client1`, … |
/// | `a client waits for a replica` | one client of the first group writes under WAIT 1, many times a second |
/// | `host names` | the servers are known by names |
/// | `strangers` | nobody knows anybody but the masters |
/// | `loading takes 2s`, `copying takes 3s`, `messages take 20ms`, `disks take 5ms` | how slow things are |
/// | `every copy is whole` | replicas never go on where they stopped, but copy everything |
/// | `seed 7` | another course of chance |
/// | `until 30s` | when the story ends |
///
/// Deeds are `at TIME DEED` or `when WHO WORD[, after TIME]: DEED`, where the word is an event (`+elected-leader`),
/// `saves`, `has saved`, `votes`, `promotes` or `publishes` (is about to write to Consul), and `it` in the deed stands for whoever did it:
///
/// | deed | meaning |
/// | --- | --- |
/// | `stop s1`, `crash X`, `vanish X`, `restart X [empty]`, `bounce X for 2s`, `pause X [for 5s]`, `resume X` | processes |
/// | `partition A B from C D`, `cut A from reaching B`, `hold A from B`, `refuse A from B`, `repair` | the network |
/// | `fill the disk of s1`, `hold the disk of s1`, `slow the disk of s1 to 500ms`, `free the disk of s1`, `lose the write of s1` | disks |
/// | `announce r2 at its second address`, `announce r2 at its first address`, `renew s1` (a fresh identity at its next start) | identities |
/// | `turn the clock of s1 by -5s`, `move r1`, `priority r2 0`, `redis-cli r3 replicaof r2`, `redis-cli r1 failover` (which hangs) | the rest |
/// | `consul down`, `consul silent`, `consul leaderless`, `consul denies`, `consul babbles`, `consul heals` | how Consul behaves |
/// | `consul restarts for 2s`, `consul takes 500ms`, `cut s1 s2 consul`, `join s1 s2 consul` | how it can be reached |
/// | `wipe consul kv`, `wipe consul catalog`, `wipe consul` | what it loses; with everything its indexes begin anew |
/// | `remove entry r1`, `turn entry r1`, `spoil entry r1`, `copy entry r1`, `publish r2 as master` | entries in strangers' hands |
/// | `remove consul node`, `alter consul node`, `spoil consul record`, `end session s1` | the rest in strangers' hands |
/// | `operator on s1: failover mymaster` | also `reset`, `forget`, `monitor`, `remove`, `set`, `flushconfig` |
///
/// What changes in Consul is told as `consul: mymaster epoch 5 master r2 (by s1)` when a record is written, and as
/// `consul: r1 replica critical "does not answer"` for each entry that is another than before.
///
/// ```
/// let story = "sentinels s1, quorum 1\nmymaster: r1 with replicas r2, down-after 1s\nat 5s crash r1\nuntil 8s\n";
/// let transcript = consentinel_sim::scenario::run(story)?;
/// assert!(transcript.contains("s1 +switch-master mymaster r1 r2"));
/// # Ok::<(), consentinel_sim::scenario::ScenarioError>(())
/// ```
pub fn run(story: &str) -> Result<String, ScenarioError> {
    let lines: Vec<(usize, &str)> = story
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let head = head::Head::parse(&lines)?;
    let mut world = head.blueprint.build(head.seed, true, None);
    for (number, line) in &lines {
        let at_line = |what| ScenarioError { line: *number, what };
        if let Some((at, step)) = deed::planned(line, &world).map_err(at_line)? {
            world.plan(at, step);
        }
    }
    let verdict = world.run_until(head.until);
    let mut transcript = String::new();
    for line in world.story.lines() {
        // At the start everybody says what it watches; the head of the story has said that already.
        let obvious = line.at < Time::from_millis(1) && line.text.contains(" +monitor ");
        if !obvious {
            let _ = writeln!(transcript, "{line}");
        }
    }
    match verdict {
        Ok(()) => {
            transcript += &ending::describe(&world);
            Ok(transcript)
        }
        Err(failure) => Err(ScenarioError { line: 0, what: format!("{failure}\n{transcript}") }),
    }
}

/// `1.5s`, `200ms`, `2min`
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("min", 60.0), ("s", 1.0)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        (0.0..1e6).contains(&number).then(|| Duration::from_secs_f64(number * seconds))
    });
    found.ok_or_else(|| format!("'{text}' is no span of time, like 1.5s, 200ms or 2min"))
}

/// What a line plans, and when.
type Planned = Option<(Time, Step)>;
