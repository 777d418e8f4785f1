//! A deterministic world around the core.
mod original;
pub use original::OriginalSentinel;
