//! Spans: what was going on when a line was written. They exist only while the level is debug.

use super::form::{Collected, SpanText};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::span::{Attributes, Id, Record};

thread_local! {
    /// The spans that this thread is in, the outermost first.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// All open spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

#[derive(Debug)]
struct Open {
    name: &'static str,
    said: Collected,
    holders: usize,
}

impl Spans {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new span.
    pub(super) fn open(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said = Collected::new("");
        attributes.record(&mut said);
        self.all().insert(id, Open { name: attributes.metadata().name(), said, holders: 1 });
        Id::from_u64(id)
    }

    /// More of its fields.
    pub(super) fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = self.all().get_mut(&id.into_u64()) {
            values.record(&mut span.said);
        }
    }

    /// This thread goes in.
    pub(super) fn enter(&self, id: &Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(id.into_u64()));
    }

    /// This thread comes out.
    pub(super) fn exit(&self, id: &Id) {
        INSIDE.with_borrow_mut(|inside| {
            if let Some(at) = inside.iter().rposition(|known| *known == id.into_u64()) {
                inside.remove(at);
            }
        });
    }

    /// One more holds it.
    pub(super) fn keep(&self, id: &Id) {
        if let Some(span) = self.all().get_mut(&id.into_u64()) {
            span.holders += 1;
        }
    }

    /// One less holds it. Whether it is closed by that.
    pub(super) fn close(&self, id: &Id) -> bool {
        let mut all = self.all();
        let Some(span) = all.get_mut(&id.into_u64()) else { return false };
        span.holders -= 1;
        let closed = span.holders == 0;
        if closed {
            all.remove(&id.into_u64());
        }
        closed
    }

    /// Those that this thread is in.
    pub(super) fn current(&self) -> Vec<SpanText> {
        INSIDE.with_borrow(|inside| {
            if inside.is_empty() {
                return Vec::new();
            }
            let all = self.all();
            inside
                .iter()
                .filter_map(|id| all.get(id).map(|span| (span.name, span.said.fields.clone())))
                .collect()
        })
    }
}
