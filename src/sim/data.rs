//! What Redis servers hold: histories of writes that share their beginnings.

/// A data set: all writes up to and including one. Copying a data set is copying this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DataRef(u32);

impl DataRef {
    /// The data set of a server that holds nothing.
    pub(crate) const EMPTY: DataRef = DataRef(0);
}

/// Every write that ever happened in a world, as a tree: a write knows the data set that it was applied to.
#[derive(Debug)]
pub(crate) struct Writes {
    /// For each data set: the one before its last write, and how many writes it holds.
    entries: Vec<(DataRef, u32)>,
}

impl Writes {
    pub(crate) fn new() -> Self {
        Writes { entries: vec![(DataRef::EMPTY, 0)] }
    }

    /// The data set after one more write.
    pub(crate) fn append(&mut self, to: DataRef) -> DataRef {
        let count = self.count(to) + 1;
        let new = DataRef(u32::try_from(self.entries.len()).expect("a run has fewer than 2^32 writes"));
        self.entries.push((to, count));
        new
    }

    /// How many writes a data set holds.
    pub(crate) fn count(&self, data: DataRef) -> u32 {
        self.entries[data.0 as usize].1
    }

    /// Whether every write of `part` is in `whole`.
    pub(crate) fn contains(&self, whole: DataRef, part: DataRef) -> bool {
        self.common(whole, part) == part
    }

    /// The writes that both data sets hold.
    pub(crate) fn common(&self, mut a: DataRef, mut b: DataRef) -> DataRef {
        while a != b {
            if self.count(a) >= self.count(b) {
                a = self.entries[a.0 as usize].0;
            } else {
                b = self.entries[b.0 as usize].0;
            }
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diverged_histories_share_their_beginning() {
        let mut writes = Writes::new();
        let base = writes.append(DataRef::EMPTY);
        let left = writes.append(base);
        let right = writes.append(base);
        let further = writes.append(right);
        assert_eq!(writes.common(left, further), base);
        assert!(writes.contains(further, base) && writes.contains(further, DataRef::EMPTY));
        assert!(!writes.contains(further, left));
        assert_eq!(writes.count(further), 3);
    }
}
