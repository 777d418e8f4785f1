//! Words that are shown to nobody.

use std::fmt::{self, Debug};
use std::sync::Arc;

/// A password or a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn new(word: impl Into<String>) -> Secret {
        Secret(word.into().into())
    }

    /// The word itself, for those who are meant to hear it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
