//! The simulator can fail: each deliberate defect of the core is noticed within a bounded number of worlds, and the
//! same worlds are well without it.

use consentinel_core::{Mutation, mutation};
use consentinel_sim::{Failure, Options, run_seed};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many worlds may pass before a defect is noticed.
const BOUND: u64 = 600;

/// The first seed that fails, if any does.
fn first_failure(bound: u64) -> Option<Failure> {
    let next = AtomicU64::new(1);
    let found: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while found.lock().expect("no thread panics with the lock").is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > bound {
                        break;
                    }
                    if let Err(failure) = run_seed(seed, &Options::default()) {
                        let mut found = found.lock().expect("no thread panics with the lock");
                        if found.as_ref().is_none_or(|before| failure.seed < before.seed) {
                            *found = Some(failure);
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panics with the lock")
}

#[test]
fn every_deliberate_defect_is_noticed() {
    let mut unnoticed = Vec::new();
    let mut most = 0;
    println!("{:28} {:>6}  {:18} what", "defect", "seed", "invariant");
    for defect in Mutation::ALL {
        let started = Instant::now();
        mutation::set(*defect);
        let found = first_failure(BOUND);
        mutation::clear();
        match found {
            Some(Failure { seed, invariant, what, .. }) => {
                most = most.max(seed);
                println!(
                    "{:28} {seed:>6}  {:18} {what} ({:.1?})",
                    format!("{defect:?}"),
                    invariant.to_string(),
                    started.elapsed()
                );
            }
            None => {
                println!("{:28}   none of {BOUND} ({:.1?})", format!("{defect:?}"), started.elapsed());
                unnoticed.push(defect);
            }
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
    if let Some(failure) = first_failure(most) {
        panic!("without any defect: {failure}");
    }
}
