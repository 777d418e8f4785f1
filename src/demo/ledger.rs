//! What the writer was promised, to be compared with what is there in the end.

use std::collections::{BTreeSet, VecDeque};

/// As many of the last writes are kept, here and on the servers.
pub(super) const KEPT: u64 = 20_000;

/// The numbers that were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// Those that a server acknowledged, and whether a replica had confirmed them, too.
    written: VecDeque<(u64, bool)>,
    /// How many there were.
    pub acknowledged: u64,
    /// How many of them a replica had confirmed.
    pub confirmed: u64,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// How many confirmed writes were looked for.
    pub looked_for: usize,
    /// How many of them are not there.
    pub lost: usize,
    /// How many are not there that no replica had confirmed: asynchronous replication promises nothing for them.
    pub unconfirmed_lost: usize,
}

impl Ledger {
    /// A write was acknowledged.
    pub(super) fn note(&mut self, number: u64, confirmed: bool) {
        self.acknowledged += 1;
        self.confirmed += u64::from(confirmed);
        self.written.push_back((number, confirmed));
        // A little less than the servers keep: nothing is looked for that they have cut off by now.
        let oldest = number.saturating_sub(KEPT / 2);
        while self.written.front().is_some_and(|(number, _)| *number < oldest) {
            self.written.pop_front();
        }
    }

    /// Compares it with what a server has.
    pub(super) fn audit(&self, found: &BTreeSet<u64>) -> Audit {
        let mut audit = Audit::default();
        for (number, confirmed) in &self.written {
            let there = found.contains(number);
            audit.looked_for += usize::from(*confirmed);
            audit.lost += usize::from(*confirmed && !there);
            audit.unconfirmed_lost += usize::from(!*confirmed && !there);
        }
        audit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_replica_had_confirmed_can_be_lost() {
        let mut ledger = Ledger::default();
        for (number, confirmed) in [(1, true), (2, true), (3, false), (4, true)] {
            ledger.note(number, confirmed);
        }
        let audit = ledger.audit(&BTreeSet::from([1, 4, 9]));
        assert_eq!(audit, Audit { looked_for: 3, lost: 1, unconfirmed_lost: 1 });
    }

    #[test]
    fn what_the_servers_have_cut_off_is_not_looked_for() {
        let mut ledger = Ledger::default();
        (1..=3 * KEPT).for_each(|number| ledger.note(number, true));
        let kept = BTreeSet::from_iter(2 * KEPT..=3 * KEPT);
        assert_eq!(ledger.audit(&kept).lost, 0);
        assert_eq!(ledger.confirmed, 3 * KEPT);
    }
}
