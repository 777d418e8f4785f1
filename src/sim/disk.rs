//! A sentinel's disk: it takes its time, it may be full, and a crash may come between the write and the answer.

use consentinel_core::{Durable, Rng, SaveError, Seq};
use std::time::Duration;

/// What the disk does with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskMode {
    /// It writes.
    Fine,
    /// It is full.
    Failing,
    /// It does not answer.
    Held,
    /// It writes, and each write takes this long.
    Slow(Duration),
}

/// A disk with one file on it.
#[derive(Debug)]
pub(crate) struct Disk {
    stored: Durable,
    writing: Option<(Seq, Durable)>,
    mode: DiskMode,
    failed: bool,
    /// What becomes of a write that a crash interrupts, if that is decided.
    torn: Option<bool>,
    /// Microseconds that a write takes at least, and what may come on top.
    pace: (u64, u64),
}

impl Disk {
    pub(crate) fn new(stored: Durable, pace: (u64, u64)) -> Self {
        Disk { stored, writing: None, mode: DiskMode::Fine, failed: false, torn: None, pace }
    }

    /// What a restart would find.
    pub(crate) fn stored(&self) -> &Durable {
        &self.stored
    }

    /// Begins a write; tells how long it takes, if it ends by itself.
    pub(crate) fn begin(&mut self, seq: Seq, state: Durable, rng: &mut Rng) -> Option<Duration> {
        self.writing = Some((seq, state));
        let time = Duration::from_micros(self.pace.0 + rng.below(self.pace.1));
        match self.mode {
            DiskMode::Held => None,
            DiskMode::Slow(delay) => Some(time + delay),
            DiskMode::Fine | DiskMode::Failing => Some(time),
        }
    }

    /// Ends the write under way. A write that failed may still have reached the disk: the error may have come
    /// from the very last step.
    pub(crate) fn finish(&mut self, seq: Seq, rng: &mut Rng) -> Option<Result<(), SaveError>> {
        let (_, state) = self.writing.take_if(|(writing, _)| *writing == seq)?;
        self.failed = self.mode == DiskMode::Failing;
        if self.failed {
            if rng.per_mille(200) {
                self.stored = state;
            }
            return Some(Err(SaveError("No space left on device".into())));
        }
        self.stored = state;
        Some(Ok(()))
    }

    /// The process that writes dies. The rename happened or it did not.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let kept = self.torn.take().unwrap_or_else(|| self.mode != DiskMode::Failing && rng.per_mille(500));
        if let Some((_, state)) = self.writing.take().filter(|_| kept) {
            self.stored = state;
        }
    }

    /// How long a write takes at most as the disk is now; nothing when writes do not end or fail.
    pub(crate) fn longest_write(&self) -> Option<Duration> {
        let time = Duration::from_micros(self.pace.0 + self.pace.1);
        match self.mode {
            DiskMode::Fine => Some(time),
            DiskMode::Slow(delay) => Some(time + delay),
            DiskMode::Failing | DiskMode::Held => None,
        }
    }

    /// Whether the last write failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Decides whether the write that the next crash interrupts reaches the disk.
    pub(crate) fn set_torn(&mut self, kept: bool) {
        self.torn = Some(kept);
    }

    /// Puts another disk in its place, on which this stands.
    pub(crate) fn replace(&mut self, stored: Durable) {
        self.stored = stored;
        self.writing = None;
        self.torn = None;
    }

    /// Changes what the disk does. A write that was held ends soon after the disk answers again.
    pub(crate) fn set_mode(&mut self, mode: DiskMode) -> Option<Seq> {
        let before = std::mem::replace(&mut self.mode, mode);
        let held = before == DiskMode::Held && mode != DiskMode::Held;
        self.writing.as_ref().filter(|_| held).map(|(seq, _)| *seq)
    }
}
