//! When scripts are due.

use crate::bench::{Bench, MASTER, group};
use consentinel_core::{Event, Input, ScriptEnd};
use std::time::Duration;

fn with_scripts() -> Bench {
    let mut bench = Bench::with(&[6380], |durable| {
        let config = &mut durable.groups.get_mut(&group()).expect("the bench watches it").config;
        config.client_reconfig_script = Some("/reconfig".to_owned());
    });
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(2));
    bench
}

#[test]
fn the_client_reconfig_script_hears_who_led_and_where_the_master_went() {
    let bench = with_scripts();
    let [(_, path, args)] = &bench.scripts[..] else { panic!("one run is due, not {:?}", bench.scripts) };
    assert_eq!(path, "/reconfig");
    assert_eq!(args.join(" "), "mymaster leader start 127.0.0.1 6379 127.0.0.1 6380");
}

#[test]
fn a_script_that_asks_for_it_runs_again_ten_times_in_all_and_ever_later() {
    let mut bench = with_scripts();
    for tries in 1..10 {
        let (job, _, _) = bench.scripts.last().cloned().expect("it is due");
        bench.input(Input::ScriptEnded { job, end: ScriptEnd::Exit(1) });
        let wait = Duration::from_secs(30) * 2_u32.pow(tries - 1);
        bench.run(wait - Duration::from_secs(1));
        assert_eq!(bench.scripts.len(), tries as usize);
        bench.run(Duration::from_secs(2));
        assert_eq!(bench.scripts.len(), tries as usize + 1);
    }
    let (job, _, _) = bench.scripts.last().cloned().expect("it is due");
    bench.input(Input::ScriptEnded { job, end: ScriptEnd::Exit(1) });
    bench.run(Duration::from_secs(100_000));
    assert_eq!(bench.scripts.len(), 10);
    assert!(bench.saw(Event::ScriptError));
}

#[test]
fn a_script_that_fails_for_good_is_not_repeated() {
    let mut bench = with_scripts();
    let (job, _, _) = bench.scripts[0].clone();
    bench.input(Input::ScriptEnded { job, end: ScriptEnd::Exit(2) });
    bench.run(Duration::from_secs(1000));
    assert_eq!(bench.scripts.len(), 1);
    assert!(bench.saw(Event::ScriptError));
}

#[test]
fn a_script_that_never_ends_is_killed_after_a_minute() {
    let mut bench = with_scripts();
    bench.run(Duration::from_secs(57));
    assert!(bench.killed.is_empty());
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.killed, [bench.scripts[0].0]);
    assert!(bench.saw(Event::ScriptTimeout));
}

#[test]
fn warnings_run_the_notification_script() {
    let mut bench = Bench::with(&[6380], |durable| {
        let config = &mut durable.groups.get_mut(&group()).expect("the bench watches it").config;
        config.notification_script = Some("/notify".to_owned());
    });
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.run(Duration::from_secs(2));
    let told = |name: &str| bench.scripts.iter().any(|(_, _, args)| args[0] == name);
    assert!(told("+sdown") && told("+switch-master"));
    assert!(!told("+slave"), "it is no warning");
}
