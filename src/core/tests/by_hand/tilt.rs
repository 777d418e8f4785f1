//! A clock that cannot be trusted.

use crate::bench::{Bench, MASTER, MS, endpoint};
use consentinel_core::{Event, Input, Request, Response, Time};
use std::time::Duration;

fn is_down(bench: &mut Bench) -> bool {
    let epoch = consentinel_core::Epoch(0);
    match bench.ask(Request::IsMasterDown { master: endpoint(MASTER), epoch, candidate: None }) {
        Response::Down { down, .. } => down,
        other => panic!("an opinion was asked for, not {other:?}"),
    }
}

#[test]
fn a_sentinel_that_slept_watches_and_does_nothing() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(5));
    bench.kill(MASTER);
    bench.now += Duration::from_secs(4);
    bench.input(Input::Wake);
    bench.run(Duration::from_secs(25));
    assert!(bench.saw(Event::Tilt) && !bench.saw(Event::Sdown) && !is_down(&mut bench));
    bench.run(Duration::from_secs(6));
    assert!(bench.saw(Event::TiltOver));
    assert_eq!(bench.master(), endpoint(6380));
}

#[test]
fn time_that_runs_backwards_is_no_reason_to_act() {
    let mut bench = Bench::new(&[6380]);
    bench.run(Duration::from_secs(60));
    bench.now = Time::from_millis(1000);
    bench.input(Input::Wake);
    bench.run(MS * 100);
    assert!(bench.saw(Event::Tilt) && !bench.saw(Event::Sdown));
    bench.run(Duration::from_secs(31));
    assert!(bench.saw(Event::TiltOver));
}
