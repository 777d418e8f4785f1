//! A user as a line of the configuration declares it.

use super::DEFAULT_NAME;
use super::selector::{Channels, has_space};
use super::user::{User, UserError};

/// Checks what stands behind `user` in the configuration.
pub(crate) fn check_declaration(words: &[String], channels: Channels) -> Result<(), String> {
    declared(words, channels).map(|_| ())
}

/// A user from what stands behind `user` in the configuration.
pub(crate) fn declared(words: &[String], channels: Channels) -> Result<(Vec<u8>, User), String> {
    let Some((name, rules)) = words.split_first() else { return Err("a user needs a name".into()) };
    if has_space(name.as_bytes()) {
        return Err("Spaces not allowed in ACL usernames".into());
    }
    // The default user is there already: it begins anew.
    let begin = (name.as_bytes() == DEFAULT_NAME).then_some(b"reset".as_slice());
    let rules: Vec<_> = begin.into_iter().chain(rules.iter().map(String::as_bytes)).collect();
    let user = User::new(channels).with_rules(&rules).map_err(|error| match error {
        UserError::Unmatched(_) => "Unmatched parenthesis in a selector".to_owned(),
        // The rule may be a password.
        UserError::Rule(rule, error) if matches!(rule.first(), Some(b'>' | b'<' | b'#' | b'!')) => {
            error.to_string()
        }
        UserError::Rule(rule, error) => format!("'{}': {error}", String::from_utf8_lossy(&rule)),
    })?;
    Ok((name.clone().into_bytes(), user))
}
