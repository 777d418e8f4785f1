//! A deterministic world around the core.
