//! ACL LOG: who was denied what.

use consentinel_core::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The command.
    Command,
    /// A channel.
    Channel,
    /// The password.
    Auth,
}

impl Reason {
    /// The original's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

/// Something that was denied, once or several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How often.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// The command or the channel.
    pub object: Vec<u8>,
    /// Who wanted it.
    pub user: Vec<u8>,
    /// When, the last time.
    pub at: Time,
    /// Over which connection, the last time, as CLIENT LIST shows it.
    pub client: Vec<u8>,
}

/// Denials of the same kind count as one within this time.
const SAME: Duration = Duration::from_secs(60);

/// As many entries are looked at for one of the same kind.
const LOOK_BACK: usize = 10;

/// What of an entry is kept of words that a client chose: they may be long.
const MAX_WORD: usize = 16 << 10;

/// The denials, the last one first.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    max: usize,
}

impl Log {
    /// An empty log of at most so many entries.
    pub(crate) fn new(max: usize) -> Self {
        Log { entries: VecDeque::new(), max }
    }

    /// Takes in a denial.
    pub(crate) fn add(&mut self, mut entry: Entry) {
        entry.object.truncate(MAX_WORD);
        entry.user.truncate(MAX_WORD);
        let alike = |known: &Entry| {
            known.reason == entry.reason
                && known.object == entry.object
                && known.user == entry.user
                && entry.at - known.at <= SAME
        };
        let known = self.entries.iter().take(LOOK_BACK).position(alike);
        if let Some(known) = known.and_then(|at| self.entries.remove(at)) {
            entry.count += known.count;
        }
        self.entries.push_front(entry);
        self.entries.truncate(self.max);
    }

    /// The entries, the last one first.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
