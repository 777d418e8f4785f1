//! Limits how many connections there are at a time: each one holds a permit until it ends.

use crate::net::client_network;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// So many permits.
#[derive(Clone)]
pub(crate) struct Permits {
    taken: Rc<Taken>,
    all: usize,
    /// Of which so many go to one address.
    each: usize,
}

#[derive(Default)]
struct Taken {
    all: Cell<usize>,
    of: RefCell<BTreeMap<IpAddr, usize>>,
}

/// One of them, until it is dropped.
pub(crate) struct Permit {
    taken: Rc<Taken>,
    of: Option<IpAddr>,
}

impl Permits {
    /// So many permits, all free.
    pub(crate) fn new(all: usize) -> Self {
        Permits { taken: Rc::default(), all, each: all - all / 4 }
    }

    /// A permit, if one is free.
    pub(crate) fn take(&self) -> Option<Permit> {
        let free = self.taken.all.get() < self.all;
        free.then(|| {
            self.taken.all.set(self.taken.all.get() + 1);
            Permit { taken: self.taken.clone(), of: None }
        })
    }

    /// A permit for a client, if one is free. A quarter is left to clients of other addresses, whatever one does.
    pub(crate) fn take_for(&self, client: IpAddr) -> Option<Permit> {
        let client = client_network(client);
        if self.taken.of.borrow().get(&client).is_some_and(|taken| *taken >= self.each) {
            return None;
        }
        let mut permit = self.take()?;
        permit.of = Some(client);
        *self.taken.of.borrow_mut().entry(client).or_default() += 1;
        Some(permit)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.all.get()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.all.set(self.taken.all.get() - 1);
        let Some(client) = self.of else { return };
        let mut of = self.taken.of.borrow_mut();
        if let Some(taken) = of.get_mut(&client) {
            *taken -= 1;
            if *taken == 0 {
                of.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_is_dropped_is_free() {
        let permits = Permits::new(1);
        let permit = permits.take();
        assert!(permit.is_some() && permits.take().is_none());
        drop(permit);
        assert!(permits.take().is_some());
    }

    #[test]
    fn one_address_cannot_take_them_all() {
        let permits = Permits::new(128);
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let taken: Vec<_> = std::iter::from_fn(|| permits.take_for(ip("10.0.0.1"))).take(200).collect();
        assert_eq!((taken.len(), permits.taken()), (96, 96));
        assert!(permits.take_for(ip("::ffff:10.0.0.1")).is_none());
        let other = permits.take_for(ip("10.0.0.2"));
        assert!(other.is_some());
        drop(taken);
        assert!(permits.take_for(ip("10.0.0.1")).is_some() && permits.taken() == 1);
        let of_one_net: Vec<_> =
            (0..200).filter_map(|at| permits.take_for(ip(&format!("fd00::{at:x}")))).collect();
        assert_eq!(of_one_net.len(), 96);
        assert!(permits.take_for(ip("fd00:0:0:1::1")).is_some());
    }
}
