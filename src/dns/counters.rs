//! What was asked and how it was answered, counted.

use super::answer_types::Code;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident: $doc:literal,)*) => {
        /// Counted while it works, by the thread that answers.
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub $name: AtomicU64,)* }

        /// What was counted since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counted { $(#[doc = $doc] pub $name: u64,)* }

        impl Counters {
            /// What was counted so far.
            pub(super) fn read(&self) -> Counted {
                Counted { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    udp: "Messages over UDP.",
    tcp: "Messages over TCP.",
    good: "Answers NOERROR.",
    no_such_name: "Answers NXDOMAIN.",
    failed: "Answers SERVFAIL.",
    refused: "Answers REFUSED.",
    malformed: "Answers FORMERR, NOTIMP and BADVERS.",
    noise: "Messages that are not answered: too short, or answers themselves.",
    truncated: "Answers that did not fit and say so.",
    held: "Answers that were held back by the limit of the rate.",
    come_again: "Those of them for which only TCP was offered.",
    connections: "Connections over TCP.",
    crowded_out: "Connections that were closed because there were too many.",
}

impl Counters {
    /// One answer more.
    pub(super) fn count(&self, code: Code) {
        let counter = match code {
            Code::Good => &self.good,
            Code::NoSuchName => &self.no_such_name,
            Code::Failed => &self.failed,
            Code::Refused => &self.refused,
            Code::Malformed | Code::NotKnown | Code::BadVersion => &self.malformed,
        };
        add(counter);
    }
}

/// One more.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
