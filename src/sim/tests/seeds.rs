//! Some hundreds of worlds on every `cargo test`; `just sim` lives ten thousand.

use consentinel_sim::{ConsulChoice, Options, run_seed};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many seeds fit into a test.
const SEEDS: u64 = 300;

#[test]
fn disasters_leave_every_promise_kept() {
    let next = AtomicU64::new(1);
    let options = Options { minutes: 5, ..Options::default() };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        break;
                    }
                    if let Err(failure) = run_seed(seed, &options) {
                        panic!("{failure}\nreplay: consentinel-sim --seed {seed} --minutes 5 --trace");
                    }
                }
            });
        }
    });
}

#[test]
fn a_seed_lives_the_same_life_twice() {
    let options = Options { minutes: 3, story: true, ..Options::default() };
    for seed in 1..=20 {
        let lives = [run_seed(seed, &options), run_seed(seed, &options)];
        let [Ok(first), Ok(second)] = lives else { panic!("seed {seed} fails: {lives:?}") };
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        let texts =
            [first, second].map(|report| report.story.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(texts[0], texts[1], "seed {seed}");
    }
}

#[test]
fn a_recorded_life_can_be_lived_again() {
    use consentinel_core::{Recorded, Sentinel};
    let options = Options { minutes: 2, record: Some("s1".into()), ..Options::default() };
    let (_, recording) = consentinel_sim::run_and_record(1, &options);
    assert!(recording.len() > 100, "{} inputs", recording.len());
    let live = || {
        let (mut core, mut actions): (Option<Sentinel>, Vec<String>) = (None, Vec::new());
        for step in recording.iter().cloned() {
            match step {
                Recorded::Start { seed, now, state } => core = Some(Sentinel::new(*state, seed, now)),
                Recorded::Input(now, input) => core.as_mut().expect("it has started").handle(now, input),
            }
            actions.extend(
                std::iter::from_fn(|| core.as_mut()?.poll_action()).map(|action| format!("{action:?}")),
            );
        }
        actions
    };
    assert_eq!(live(), live());
}

/// What sentinels tell, and when, until a clock jumps: when that is noticed depends on when anything is heard at all.
fn told(seed: u64, consul: ConsulChoice) -> Vec<String> {
    let options = Options { minutes: 4, story: true, consul, ..Options::default() };
    let report = run_seed(seed, &options).unwrap_or_else(|failure| panic!("{consul:?}: {failure}"));
    let is_event = |line: &String| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|name| name.starts_with('s'))
            && words.next().is_some_and(|event| event.starts_with(['+', '-']))
    };
    let is_jump = |line: &String| line.contains(" has a clock ") || line.contains(" +tilt ");
    let lines = report.story.iter().map(ToString::to_string);
    lines.take_while(|line| !is_jump(line)).filter(is_event).collect()
}

#[test]
fn a_consul_that_never_answers_delays_nothing() {
    let mut failovers = 0;
    for seed in 1..=60 {
        let (without, silent) = (told(seed, ConsulChoice::Off), told(seed, ConsulChoice::Silent));
        let differs = without.iter().zip(&silent).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(without.len(), silent.len(), "seed {seed}");
        failovers += without.iter().filter(|line| line.contains(" +promoted-slave ")).count();
    }
    assert!(failovers >= 50, "only {failovers} failovers were compared");
}
