//! ACLs as Redis 7.0 has them: what the rules of a user mean. Users, selectors and passwords are values here; where they
//! are kept, and who is logged in, the server knows. Begin reading at `user.rs`.

mod declaration;
mod password;
mod rule;
mod selector;
mod user;

pub(crate) use declaration::{check_declaration, declared};
pub(crate) use password::generate;
pub(crate) use rule::{RuleError, merge_selectors};
pub(crate) use selector::{Channels, Denied, Selector, has_space};
pub(crate) use user::{User, UserError};

/// The name of the user that every connection has at first.
pub(crate) const DEFAULT_NAME: &[u8] = b"default";
