//! The rules of the cell, alone and under every order of threads that shuttle draws.

use super::*;
use crate::Source;
use std::net::{Ipv4Addr, SocketAddr};

const NAME: &str = "redis.service.consul";
const LEASE: Duration = Duration::from_secs(3600);
const MEMORY: Duration = Duration::from_secs(60);
const ROUNDS: usize = 3_000;

/// A slot whose every step is one that another thread may come before.
struct Model(shuttle::sync::Mutex<Arc<State>>);

impl Slot for Model {
    fn load(&self) -> Arc<State> {
        self.0.lock().expect("nobody panics while holding it").clone()
    }

    fn replace(&self, old: &Arc<State>, new: Arc<State>) -> bool {
        let mut slot = self.0.lock().expect("nobody panics while holding it");
        let same = Arc::ptr_eq(&slot, old);
        if same {
            *slot = new;
        }
        same
    }
}

fn model() -> Arc<Cell<Model>> {
    Arc::new(Cell::new(Model(shuttle::sync::Mutex::new(Arc::new(State::default())))))
}

fn found(epoch: Option<u64>, port: u16) -> Found {
    Found {
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        host: format!("h{port}"),
        epoch: epoch.map(Epoch),
        source: Source::Dns,
        ttl: Duration::ZERO,
        from: "127.0.0.1:8600".into(),
    }
}

fn of_epoch(epoch: u64) -> Found {
    found(Some(epoch), 7000 + epoch as u16)
}

fn offer<S: Slot>(cell: &Cell<S>, ticket: Ticket, found: &Found) -> Result<Arc<Master>, LookupError> {
    cell.offer(ticket, NAME, found, LEASE, MEMORY, Instant::now())
}

fn is_kept(cell: &Cell<impl Slot>) -> bool {
    cell.state().until.is_some()
}

fn nobody() -> LookupError {
    LookupError::Nobody { name: NAME.into(), from: "127.0.0.1:8600".into(), said: "NXDOMAIN".into() }
}

/// Whoever has once given an answer with the last of all epochs would be believed for ever.
#[test]
fn an_epoch_that_nobody_confirms_is_forgotten() {
    let (cell, begin) = (Cell::default(), Instant::now());
    let at = |seconds| begin + Duration::from_secs(seconds);
    let offer = |found: &Found, now| cell.offer(cell.ticket(now), NAME, found, LEASE, MEMORY, now);
    offer(&found(Some(u64::MAX), 6666), at(0)).expect("nothing is known that speaks against it");
    assert!(offer(&of_epoch(5), at(59)).is_err());
    assert_eq!(cell.ticket(at(59)).floor, Some(Epoch(u64::MAX)));
    assert_eq!(cell.ticket(at(60)).floor, None);
    assert_eq!(offer(&of_epoch(5), at(60)).expect("it has lapsed").addr.port(), 7005);
    // What is confirmed is remembered.
    offer(&of_epoch(5), at(100)).expect("the same");
    assert!(offer(&of_epoch(4), at(159)).is_err());
}

#[test]
fn an_older_epoch_is_refused_also_after_nobody() {
    let cell = Cell::default();
    offer(&cell, cell.ticket(Instant::now()), &of_epoch(5)).expect("the first one");
    assert!(offer(&cell, cell.ticket(Instant::now()), &of_epoch(4)).is_err());
    assert!(offer(&cell, cell.ticket(Instant::now()), &found(None, 7001)).is_err());
    cell.offer_nobody(cell.ticket(Instant::now()), nobody()).expect_err("nobody is there");
    assert!(cell.usable(&Own::default()).is_none());
    assert!(offer(&cell, cell.ticket(Instant::now()), &of_epoch(4)).is_err());
    offer(&cell, cell.ticket(Instant::now()), &of_epoch(5)).expect("the same may come back");
    cell.forget();
    offer(&cell, cell.ticket(Instant::now()), &of_epoch(1)).expect("whatever comes next");
    assert!(offer(&cell, cell.ticket(Instant::now()), &of_epoch(0)).is_err(), "once");
}

#[test]
fn without_epochs_the_later_question_counts() {
    let cell = Cell::default();
    let early = cell.ticket(Instant::now());
    let late = cell.ticket(Instant::now() + Duration::from_millis(1));
    offer(&cell, late, &found(None, 7002)).expect("the first one");
    let kept = offer(&cell, early, &found(None, 7001)).expect("what is known");
    assert_eq!(kept.addr.port(), 7002);
    cell.offer_nobody(early, nobody()).expect("what is known");
    assert!(cell.usable(&Own::default()).is_some());
    offer(&cell, early, &of_epoch(9)).expect("an epoch is newer whenever it was asked for");
}

#[test]
fn the_same_answer_is_the_same_value() {
    let cell = Cell::default();
    let one = offer(&cell, cell.ticket(Instant::now()), &of_epoch(5)).expect("a master");
    let two = offer(&cell, cell.ticket(Instant::now()), &of_epoch(5)).expect("a master");
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn readers_never_see_an_older_epoch_or_halves_of_two() {
    shuttle::check_random(
        || {
            let cell = model();
            let writers = [[1, 4], [3, 2]].map(|epochs| {
                let cell = cell.clone();
                shuttle::thread::spawn(move || {
                    for epoch in epochs {
                        let ticket = cell.ticket(Instant::now());
                        let _ = offer(&cell, ticket, &of_epoch(epoch));
                    }
                })
            });
            let readers = [(); 2].map(|()| {
                let cell = cell.clone();
                shuttle::thread::spawn(move || {
                    let mut last = None;
                    for _ in 0..4 {
                        if let Known::Master(master, _) = &cell.state().known {
                            let epoch = master.epoch.expect("all have one");
                            assert_eq!(master.addr.port(), 7000 + epoch.0 as u16, "torn");
                            assert!(Some(epoch) >= last, "{epoch} after {last:?}");
                            last = Some(epoch);
                        }
                    }
                })
            });
            for thread in writers.into_iter().chain(readers) {
                thread.join().expect("it does not panic");
            }
            assert_eq!(cell.state().epoch, Some(Epoch(4)));
            assert!(matches!(&cell.state().known, Known::Master(it, _) if it.addr.port() == 7004));
        },
        ROUNDS,
    );
}

#[test]
fn a_doubt_survives_every_look_that_began_before_it() {
    shuttle::check_random(
        || {
            let cell = model();
            offer(&cell, cell.ticket(Instant::now()), &of_epoch(1)).expect("the first one");
            let ticket = cell.ticket(Instant::now());
            let looker = shuttle::thread::spawn({
                let cell = cell.clone();
                move || drop(offer(&cell, ticket, &of_epoch(1)))
            });
            cell.doubt();
            looker.join().expect("it does not panic");
            assert!(!is_kept(&cell), "somebody has doubted since");
            offer(&cell, cell.ticket(Instant::now()), &of_epoch(1)).expect("a look that began later");
            assert!(is_kept(&cell));
        },
        ROUNDS,
    );
}

#[test]
fn what_was_asked_before_a_reset_does_not_come_after_it() {
    shuttle::check_random(
        || {
            let cell = model();
            offer(&cell, cell.ticket(Instant::now()), &of_epoch(8)).expect("the first one");
            let ticket = cell.ticket(Instant::now());
            let looker = shuttle::thread::spawn({
                let cell = cell.clone();
                move || drop(offer(&cell, ticket, &of_epoch(9)))
            });
            cell.forget();
            looker.join().expect("it does not panic");
            offer(&cell, cell.ticket(Instant::now()), &of_epoch(1)).expect("counting begins anew");
            assert_eq!(cell.state().epoch, Some(Epoch(1)));
        },
        ROUNDS,
    );
}

/// Were the epoch looked at before, and not as a part of storing, this model would be caught.
#[test]
fn the_model_finds_a_rule_that_is_not_part_of_storing() {
    let broken = || {
        let cell = model();
        let writers = [1, 2].map(|epoch| {
            let cell = cell.clone();
            shuttle::thread::spawn(move || {
                if cell.state().epoch < Some(Epoch(epoch)) {
                    let state = State { epoch: Some(Epoch(epoch)), ..State::default() };
                    while !cell.0.replace(&cell.0.load(), Arc::new(state.clone())) {}
                }
            })
        });
        writers.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        assert_eq!(cell.state().epoch, Some(Epoch(2)));
    };
    let caught = std::panic::catch_unwind(|| shuttle::check_random(broken, ROUNDS));
    assert!(caught.is_err(), "the order 2, 1 was never tried");
}
