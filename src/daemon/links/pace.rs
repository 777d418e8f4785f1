//! How many connections send at once what a thousand of them are to be sent on the beat.
//!
//! Servers that are woken together compete with us, and with our clients, for the processor and for the network. So the
//! next ones are not asked before most of those that were asked have answered. Who does not answer holds nobody up
//! for long.

use consentinel_core::Time;
use std::cell::Cell;
use std::time::Duration;

/// Connections that may have something under way.
const WINDOW: usize = 16;

/// Connections that begin to send together.
pub(super) const AT_ONCE: usize = 8;

/// How long answers are waited for before the next may send.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2);

/// Where the going is slow: who has the turn, and since when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Those that were told to send in this round and have not been heard since.
    under_way: usize,
    round: u64,
    /// When the round is given up.
    end: Time,
    /// Somebody has not answered: nobody is waited for until all have had their turn.
    in_haste: bool,
}

/// A connection's part in it.
#[derive(Debug, Default)]
pub(super) struct Slot(Cell<Option<u64>>);

/// When more of them may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// There are no more.
    Never,
    Now,
    /// When some have answered, or patience has come to its end.
    WhenAnswered,
}

impl Pace {
    /// When any of so many that wait may send.
    pub(super) fn more(&self, waiting: usize) -> More {
        match waiting {
            0 => More::Never,
            _ if self.in_haste || self.under_way + AT_ONCE <= WINDOW => More::Now,
            _ => More::WhenAnswered,
        }
    }

    /// How many of those that wait may send now.
    pub(super) fn share(&mut self, waiting: usize, now: Time) -> usize {
        if waiting == 0 {
            self.begin_anew();
            self.in_haste = false;
            return 0;
        }
        if self.more(waiting) == More::WhenAnswered {
            if now < self.end {
                return 0;
            }
            self.begin_anew();
            self.in_haste = true;
        }
        self.end = now + PATIENCE;
        waiting.min(AT_ONCE)
    }

    /// Whoever has not answered by now is not waited for.
    fn begin_anew(&mut self) {
        if self.under_way > 0 {
            self.under_way = 0;
            self.round += 1;
        }
    }

    /// It sends.
    pub(super) fn sent(&mut self, slot: &Slot) {
        if slot.0.replace(Some(self.round)) != Some(self.round) {
            self.under_way += 1;
        }
    }

    /// It has been heard.
    pub(super) fn heard(&mut self, slot: &Slot) {
        if slot.0.take() == Some(self.round) {
            self.under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Lets so many send, as the links do.
    fn send<'a>(pace: &mut Pace, slots: &mut impl Iterator<Item = &'a Slot>, some: usize) {
        slots.take(some).for_each(|slot| pace.sent(slot));
    }

    #[test]
    fn the_next_wait_until_some_have_answered() {
        let (mut pace, slots) = (Pace::default(), std::array::from_fn::<_, 40, _>(|_| Slot::default()));
        let mut next = slots.iter();
        for waiting in [40, 32] {
            assert_eq!(pace.more(waiting), More::Now);
            let some = pace.share(waiting, at(0));
            assert_eq!(some, AT_ONCE);
            send(&mut pace, &mut next, some);
        }
        assert_eq!((pace.more(24), pace.share(24, at(1))), (More::WhenAnswered, 0));
        slots[..AT_ONCE].iter().for_each(|slot| pace.heard(slot));
        assert_eq!((pace.more(24), pace.share(24, at(1))), (More::Now, AT_ONCE));
    }

    #[test]
    fn who_does_not_answer_holds_nobody_up() {
        let (mut pace, slots) = (Pace::default(), std::array::from_fn::<_, 40, _>(|_| Slot::default()));
        let mut next = slots.iter();
        for waiting in [40, 32] {
            let some = pace.share(waiting, at(0));
            send(&mut pace, &mut next, some);
        }
        assert_eq!(pace.share(24, at(1)), 0);
        // Patience has come to its end, and all the others go without any.
        for waiting in [24, 16, 8] {
            let some = pace.share(waiting, at(2));
            assert_eq!(some, AT_ONCE);
            send(&mut pace, &mut next, some);
        }
        assert_eq!(pace.more(0), More::Never);
        // A late answer counts for nothing.
        let under_way = pace.under_way;
        pace.heard(&slots[0]);
        assert_eq!(pace.under_way, under_way);
        // The next beat is patient again.
        assert_eq!(pace.share(0, at(3)), 0);
        assert!(!pace.in_haste);
    }
}
