//! The route to one server, which can be cut: all connections that go along it end at once.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// Why connections were cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Somebody else is the master now, or a replica is none any more.
    Moved,
    /// Nobody is the master now.
    Nobody,
}

/// The route to one server, of one worker.
pub(super) struct Route {
    /// Where it leads.
    pub(super) addr: SocketAddr,
    /// Whether the server has said that it is what it should be.
    pub(super) verified: Cell<bool>,
    cut: Cell<Option<Cut>>,
    wakers: RefCell<Wakers>,
}

/// One place for each connection. A place that is free is taken before a new one is made.
#[derive(Default)]
struct Wakers {
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// The place of a connection at its route.
#[derive(Debug, Default)]
pub(super) struct Place(Option<usize>);

impl Route {
    /// To that server.
    pub(super) fn new(addr: SocketAddr) -> Route {
        Route { addr, verified: Cell::new(false), cut: Cell::new(None), wakers: RefCell::default() }
    }

    /// Ends every connection.
    pub(super) fn cut(&self, why: Cut) {
        self.cut.set(Some(why));
        let wakers = std::mem::take(&mut self.wakers.borrow_mut().places);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Why it was cut, once it was.
    pub(super) fn is_cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// Has the task woken when the route is cut. One call is enough for all the time that the task lives: its waker stays
    /// the same.
    pub(super) fn register(&self, place: &mut Place, waker: &Waker) {
        if place.0.is_some() || self.cut.get().is_some() {
            return;
        }
        let mut wakers = self.wakers.borrow_mut();
        let waker = Some(waker.clone());
        place.0 = Some(match wakers.free.pop() {
            Some(at) => {
                wakers.places[at] = waker;
                at
            }
            None => {
                wakers.places.push(waker);
                wakers.places.len() - 1
            }
        });
    }

    /// Gives the place back.
    pub(super) fn leave(&self, place: &mut Place) {
        let Some(at) = place.0.take() else { return };
        let mut wakers = self.wakers.borrow_mut();
        // After a cut there are no places any more.
        if let Some(place) = wakers.places.get_mut(at) {
            *place = None;
            wakers.free.push(at);
        }
    }

    /// Does something until the route is cut.
    pub(super) async fn unless_cut<F: Future>(&self, act: F) -> Result<F::Output, Cut> {
        let mut act = std::pin::pin!(act);
        let mut place = Registered { route: self, place: Place::default() };
        std::future::poll_fn(move |cx: &mut Context<'_>| {
            if let Some(why) = self.cut.get() {
                return Poll::Ready(Err(why));
            }
            self.register(&mut place.place, cx.waker());
            act.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}

struct Registered<'a> {
    route: &'a Route,
    place: Place,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.route.leave(&mut self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_cut_wakes_everybody_who_is_still_there_once() {
        let route = Route::new(([127, 0, 0, 1], 1).into());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut places: Vec<_> = (0..10).map(|_| Place::default()).collect();
        for place in &mut places {
            route.register(place, &waker);
            route.register(place, &waker);
        }
        route.leave(&mut places[3]);
        route.leave(&mut places[3]);
        let mut late = Place::default();
        route.register(&mut late, &waker);
        assert_eq!(route.wakers.borrow().places.len(), 10, "a free place is used again");
        route.leave(&mut places[4]);
        route.cut(Cut::Moved);
        assert_eq!(count.0.load(Ordering::Relaxed), 9);
        places.iter_mut().for_each(|place| route.leave(place));
        assert_eq!(route.is_cut(), Some(Cut::Moved));
    }

    #[tokio::test]
    async fn what_is_done_along_a_route_ends_with_it() {
        let route = Route::new(([127, 0, 0, 1], 1).into());
        assert_eq!(route.unless_cut(async { 7 }).await, Ok(7));
        let (waited, ()) = tokio::join!(route.unless_cut(std::future::pending::<()>()), async {
            tokio::task::yield_now().await;
            route.cut(Cut::Nobody);
        });
        assert_eq!(waited, Err(Cut::Nobody));
        assert_eq!(route.unless_cut(async { 7 }).await, Err(Cut::Nobody));
    }
}
