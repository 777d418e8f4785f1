//! Limits how many connections there are at a time: each one holds a permit until it ends.

use std::cell::Cell;
use std::rc::Rc;

/// So many permits.
#[derive(Clone)]
pub(crate) struct Permits {
    taken: Rc<Cell<usize>>,
    all: usize,
}

/// One of them, until it is dropped.
pub(crate) struct Permit(Rc<Cell<usize>>);

impl Permits {
    /// So many permits, all free.
    pub(crate) fn new(all: usize) -> Self {
        Permits { taken: Rc::default(), all }
    }

    /// A permit, if one is free.
    pub(crate) fn take(&self) -> Option<Permit> {
        let free = self.taken.get() < self.all;
        free.then(|| {
            self.taken.set(self.taken.get() + 1);
            Permit(self.taken.clone())
        })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
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
}
