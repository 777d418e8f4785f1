//! The trace of a run: the start and all inputs, enough to replay it.

use crate::{Durable, Input, Time};
use serde::{Deserialize, Serialize};

/// One line of a recording. The first is `Start`, all others are `Input`, in the order in which they happened.
///
/// Passwords are recorded as `***`; nothing that a sentinel decides depends on them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Recorded {
    /// The sentinel woke up.
    Start {
        /// The seed of its generator.
        seed: u64,
        /// When.
        now: Time,
        /// With which memory.
        state: Box<Durable>,
    },
    /// Something happened.
    Input(Time, Input),
}
