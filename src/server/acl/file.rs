//! The file with the users: read at start and by ACL LOAD, written by ACL SAVE. The only place of the ACL that touches
//! the disk.

use crate::acl::{Channels, RuleError, User, has_space, merge_selectors};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The users by their names.
pub(crate) type Users = BTreeMap<Vec<u8>, User>;

/// Reads the users, who begin with these channels. The error says all that is wrong, in the original's words.
pub(crate) fn load(path: &Path, channels: Channels) -> Result<Users, String> {
    let name = path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| format!("Error loading ACLs, opening file '{name}': {}", describe(&error)))?;
    let mut users = Users::new();
    let mut errors = String::new();
    for (number, line) in text.split(|c| *c == b'\n').enumerate() {
        let place = format!("{name}:{}", number + 1);
        if let Err(error) = take_line(line, &place, number + 1, channels, &mut users) {
            errors += &error;
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    Err(errors + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed")
}

fn take_line(
    line: &[u8],
    place: &str,
    number: usize,
    channels: Channels,
    users: &mut Users,
) -> Result<(), String> {
    let line = line.trim_ascii();
    let words: Vec<&[u8]> = line.split(|c| *c == b' ').collect();
    let (name, rules) = match words.as_slice() {
        [b""] => return Ok(()),
        [b"user", name, rules @ ..] => (*name, rules),
        _ => {
            return Err(format!("{place} should start with user keyword followed by the username. "));
        }
    };
    let shown = String::from_utf8_lossy(name);
    if has_space(name) {
        return Err(format!("'{place}: username '{shown}' contains invalid characters. "));
    }
    if users.contains_key(name) {
        return Err(format!("WARNING: Duplicate user '{shown}' found on line {number}. "));
    }
    let rules = merge_selectors(rules)
        .map_err(|_| format!("{place}: Unmatched parenthesis in selector definition."))?;
    let mut user = User::new(channels);
    let mut errors = String::new();
    let mut told = false;
    for rule in rules {
        let rule = rule.trim_ascii();
        match user.apply(rule) {
            Ok(()) => {}
            // Commands are no secret, other rules may be.
            Err(error @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(rule);
                errors += &format!("{place}: Error in applying operation '{rule}': {error}. ");
            }
            Err(_) if told => {}
            Err(error) => {
                told = true;
                errors += &format!("{place}: {error}. ");
            }
        }
    }
    users.insert(name.to_vec(), user);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Writes the users, so that the file is the old or the new one whatever happens.
pub(crate) fn save<'a>(
    path: &Path,
    users: impl Iterator<Item = (&'a Vec<u8>, &'a User)>,
) -> Result<(), io::Error> {
    let mut text = Vec::new();
    for (name, user) in users {
        text.extend([b"user ", name.as_slice(), b" ", &user.describe(), b"\n"].concat());
    }
    crate::config::replace(path, &text)
}

/// The system's words without the number that Rust adds.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
