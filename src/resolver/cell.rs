//! What is known now. Readers never wait; whoever stores obeys one rule: never an older epoch.

use crate::origin::Found;
use crate::{Epoch, Freshness, LookupError, Master};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A place for one value that is read and replaced as a whole. Tests put a model in its place.
pub(crate) trait Slot {
    fn load(&self) -> Arc<State>;
    /// Replaces the value if it is still the old one.
    fn replace(&self, old: &Arc<State>, new: Arc<State>) -> bool;
}

impl Slot for ArcSwap<State> {
    fn load(&self) -> Arc<State> {
        self.load_full()
    }

    fn replace(&self, old: &Arc<State>, new: Arc<State>) -> bool {
        Arc::ptr_eq(&self.compare_and_swap(old, new), old)
    }
}

/// Everything that is known, as one value, so that nobody ever sees halves of two.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub known: Known,
    /// The highest epoch that was accepted.
    epoch: Option<Epoch>,
    /// Until when none below it is. An epoch that nobody has confirmed for so long may have been a lie.
    epoch_until: Option<Instant>,
    /// When the question was asked whose answer this is.
    asked: Option<Instant>,
    /// For how long it may be kept, by those who gave it.
    pub ttl: Duration,
    /// Until when it is served without asking again.
    until: Option<Instant>,
    /// How often somebody has doubted.
    doubts: u64,
    /// How often somebody has said that everything is new.
    resets: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Known {
    /// Nobody has asked yet.
    #[default]
    Nothing,
    /// Who is master, and when that was confirmed.
    Master(Arc<Master>, Instant),
    /// Nobody, or nobody knows.
    Unknown(LookupError),
}

/// What was so when a look began. Its answer says nothing about doubts that came later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    doubts: u64,
    resets: u64,
    asked: Instant,
    /// The answer must not be older than this.
    pub floor: Option<Epoch>,
}

impl Ticket {
    /// Whether a look that began with this one answers who waits with the other.
    pub(crate) fn serves(&self, other: &Ticket) -> bool {
        self.doubts >= other.doubts && self.resets >= other.resets
    }
}

/// The value that all handles share.
#[derive(Debug)]
pub(crate) struct Cell<S = ArcSwap<State>>(S);

impl Default for Cell {
    fn default() -> Self {
        Cell(ArcSwap::from_pointee(State::default()))
    }
}

/// A handle's own copy of the master. All who take the same one count in the same place, and processors that do so at
/// the same time hold each other up.
#[derive(Debug, Default)]
pub(crate) struct Own(ArcSwapOption<(Arc<State>, Arc<Master>)>);

impl Cell {
    /// The master, as long as nobody needs to be asked. This is what a cached look-up costs.
    pub(crate) fn usable(&self, own: &Own) -> Option<Arc<Master>> {
        let state = self.0.load();
        let master = match (&state.known, state.until) {
            (Known::Master(master, _), Some(until)) if Instant::now() < until => master,
            _ => return None,
        };
        match &*own.0.load() {
            Some(copy) if Arc::ptr_eq(&copy.0, &state) => return Some(copy.1.clone()),
            _ => {}
        }
        let copy = Arc::new(Master::clone(master));
        own.0.store(Some(Arc::new((Arc::clone(&state), copy.clone()))));
        Some(copy)
    }
}

impl<S: Slot> Cell<S> {
    #[cfg(test)]
    pub(crate) fn new(slot: S) -> Cell<S> {
        Cell(slot)
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.0.load()
    }

    /// For a look that begins now.
    pub(crate) fn ticket(&self, now: Instant) -> Ticket {
        let state = self.0.load();
        Ticket { doubts: state.doubts, resets: state.resets, asked: now, floor: state.epoch_at(now) }
    }

    /// Somebody is named. He is published for so long, unless something newer is known: then that stays, or the
    /// answer is refused. Its epoch is remembered for as long as `memory`.
    pub(crate) fn offer(
        &self,
        ticket: Ticket,
        name: &str,
        found: &Found,
        lease: Duration,
        memory: Duration,
        now: Instant,
    ) -> Result<Arc<Master>, LookupError> {
        self.update(|state| {
            let have = state.epoch_at(now);
            let newer = found.epoch > have && ticket.resets == state.resets;
            if state.is_beyond(&ticket) && !newer {
                return (None, state.answer());
            }
            if let Err(error) = is_not_older(have, name, found) {
                return (None, Err(error));
            }
            let master = state.master_as(found);
            let next = State {
                known: Known::Master(master.clone(), now),
                epoch: have.max(found.epoch),
                epoch_until: now.checked_add(memory),
                asked: state.asked.max(Some(ticket.asked)),
                ttl: found.ttl,
                until: state.lease(&ticket, now, lease),
                ..*state
            };
            (Some(next), Ok(master))
        })
    }

    /// There is an answer, and it names nobody.
    pub(crate) fn offer_nobody(
        &self,
        ticket: Ticket,
        error: LookupError,
    ) -> Result<Arc<Master>, LookupError> {
        self.update(|state| {
            if state.is_beyond(&ticket) {
                return (None, state.answer());
            }
            let known = Known::Unknown(error.clone());
            let next = State { known, asked: Some(ticket.asked), until: None, ..*state };
            (Some(next), Err(error.clone()))
        })
    }

    /// Nobody has given an answer of use. What was known is good for a while yet, and says that it is stale.
    pub(crate) fn offer_nothing(
        &self,
        ticket: Ticket,
        error: LookupError,
        max_stale: Duration,
        lease: Duration,
        now: Instant,
    ) -> Result<Arc<Master>, LookupError> {
        self.update(|state| {
            if state.is_beyond(&ticket) {
                return (None, state.answer());
            }
            let (known, until) = match &state.known {
                Known::Master(master, since) if now.saturating_duration_since(*since) < max_stale => {
                    let freshness = Freshness::Stale { since: *since };
                    let stale = Arc::new(Master { freshness, ..Master::clone(master) });
                    let lease = lease.min(max_stale.saturating_sub(now.saturating_duration_since(*since)));
                    (Known::Master(stale, *since), state.lease(&ticket, now, lease))
                }
                _ => (Known::Unknown(error.clone()), None),
            };
            let outcome = match &known {
                Known::Master(master, _) => Ok(master.clone()),
                _ => Err(error.clone()),
            };
            (Some(State { known, until, ..*state }), outcome)
        })
    }

    /// What is known is in doubt: the next look is a real one.
    pub(crate) fn doubt(&self) {
        self.update(|state| {
            let next = State { doubts: state.doubts + 1, until: None, known: state.known.clone(), ..*state };
            (Some(next), ())
        });
    }

    /// The set-up is another one: the next answer is believed, whatever its epoch; answers that are on their way are not.
    pub(crate) fn forget(&self) {
        self.update(|state| {
            let resets = state.resets + 1;
            let next = State { resets, epoch: None, until: None, known: state.known.clone(), ..*state };
            (Some(next), ())
        });
    }

    /// Whether somebody has said since then that everything is new.
    pub(crate) fn is_reset_since(&self, ticket: &Ticket) -> bool {
        self.0.load().resets != ticket.resets
    }

    fn update<R>(&self, mut decide: impl FnMut(&State) -> (Option<State>, R)) -> R {
        loop {
            let old = self.0.load();
            match decide(&old) {
                (None, outcome) => return outcome,
                (Some(new), outcome) => {
                    if self.0.replace(&old, Arc::new(new)) {
                        return outcome;
                    }
                }
            }
        }
    }
}

impl State {
    /// The epoch below which nothing is accepted.
    fn epoch_at(&self, now: Instant) -> Option<Epoch> {
        self.epoch.filter(|_| self.epoch_until.is_none_or(|until| now < until))
    }

    /// Whether something is known that was asked for later, or the look began before a reset.
    fn is_beyond(&self, ticket: &Ticket) -> bool {
        ticket.resets < self.resets || self.asked.is_some_and(|asked| ticket.asked < asked)
    }

    /// A look that began before a doubt does not end that doubt.
    fn lease(&self, ticket: &Ticket, now: Instant, lease: Duration) -> Option<Instant> {
        (ticket.doubts == self.doubts).then(|| now + lease)
    }

    fn answer(&self) -> Result<Arc<Master>, LookupError> {
        match &self.known {
            Known::Master(master, _) => Ok(master.clone()),
            Known::Unknown(error) => Err(error.clone()),
            Known::Nothing => Err(LookupError::Unanswered { name: String::new(), tried: Arc::new([]) }),
        }
    }

    /// The master of an answer: the very value that is published already, if nothing about it is new.
    fn master_as(&self, found: &Found) -> Arc<Master> {
        let master = Master {
            addr: found.addr,
            host: found.host.clone(),
            epoch: found.epoch,
            source: found.source,
            freshness: Freshness::Fresh,
        };
        match &self.known {
            Known::Master(known, _) if **known == master => known.clone(),
            _ => Arc::new(master),
        }
    }
}

fn is_not_older(have: Option<Epoch>, name: &str, found: &Found) -> Result<(), LookupError> {
    let (name, from) = (name.to_owned(), found.from.clone());
    match (have, found.epoch) {
        (Some(have), Some(got)) if got < have => Err(LookupError::Older { name, from, have, got }),
        (Some(have), None) => Err(LookupError::NoEpoch { name, from, master: found.addr, have }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "cell/tests.rs"]
mod tests;
