//! What is going to happen, in order of time; what is due at the same time, in the order in which it was planned.

use crate::event::Event;
use consentinel_core::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The world's agenda.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    // Events lie still in their slots while the heap moves small numbers about.
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
    planned: u64,
}

impl Queue {
    /// Plans an event.
    pub(crate) fn push(&mut self, at: Time, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events are ever planned at once")
            }
        };
        self.heap.push(Reverse((at, self.planned, slot)));
        self.planned += 1;
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<(Time, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot as usize].take().expect("a slot in the heap holds an event");
        Some((at, event))
    }

    /// How many events were ever planned.
    pub(crate) fn planned(&self) -> u64 {
        self.planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_the_same_time_happens_in_the_order_of_planning() {
        let mut queue = Queue::default();
        let at = Time::from_millis(5);
        for redis in [3, 1, 2] {
            queue.push(at, Event::Cron { redis, life: 0 });
        }
        queue.push(Time::from_millis(4), Event::Cron { redis: 9, life: 0 });
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, event)| match event {
                Event::Cron { redis, .. } => redis,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, [9, 3, 1, 2]);
    }
}
