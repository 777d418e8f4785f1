//! Who may log in and what they may do, as Redis 7.0 has it: users, rules, selectors, and a log of denials. Nothing in
//! here knows of connections; only `file.rs` touches the disk.

mod file;
mod log;
mod password;
mod rule;
mod selector;
#[cfg(test)]
mod tests;
mod user;

pub(crate) use log::{Entry, Log, Reason};
pub(crate) use password::generate;
pub(crate) use selector::{Channels, Denied, Selector, has_space};
pub(crate) use user::User;

use crate::config::{self, Settings};
use file::Users;
use std::collections::BTreeMap;
use std::path::PathBuf;
use user::UserError;

/// Which user: it stays the same while the user does, whatever becomes of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UserId(u64);

/// The user that every connection has at first.
pub(crate) const DEFAULT: UserId = UserId(0);

/// Its name.
pub(crate) const DEFAULT_NAME: &[u8] = b"default";

/// All users and what they were denied.
#[derive(Debug)]
pub(crate) struct Acl {
    users: BTreeMap<UserId, Named>,
    ids: BTreeMap<Vec<u8>, UserId>,
    next: u64,
    file: Option<PathBuf>,
    /// What new users begin with.
    channels: Channels,
    /// What was denied.
    pub(crate) log: Log,
}

#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    user: User,
}

/// Why there are no users to begin with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AclError {
    /// Both sources are given.
    #[error(
        "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This \
         setup is very likely to lead to configuration errors and security holes, please define either an ACL file or \
         declare users directly in your redis.conf, but not both."
    )]
    Twice,
    /// A line of the configuration.
    #[error("Error in user declaration '{0}': {1}")]
    Line(String, String),
    /// The file.
    #[error("Aborting Redis startup because of ACL errors: {0}")]
    File(String),
}

impl Acl {
    /// The users of the configuration, or of the file that it names.
    pub(crate) fn new(settings: &Settings) -> Result<Self, AclError> {
        if settings.aclfile.is_some() && !settings.users.is_empty() {
            return Err(AclError::Twice);
        }
        let channels = settings.acl_pubsub_default;
        let mut default = User::unlimited(channels);
        if let Some(password) = &settings.requirepass {
            default.require(Some(password.reveal().as_bytes()));
        }
        let mut acl = Acl {
            users: BTreeMap::new(),
            ids: BTreeMap::new(),
            next: 0,
            file: settings.aclfile.clone(),
            channels,
            log: Log::new(settings.acllog_max_len),
        };
        acl.insert(DEFAULT_NAME.to_vec(), default);
        for words in &settings.users {
            let (name, user) = configured(words, channels)
                .map_err(|error| AclError::Line(words.first().cloned().unwrap_or_default(), error))?;
            if !user.is_enabled() {
                tracing::info!(
                    "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error.",
                    String::from_utf8_lossy(&name)
                );
            }
            acl.insert(name, user);
        }
        if acl.file.is_some() {
            acl.load().map_err(AclError::File)?;
        }
        Ok(acl)
    }

    fn insert(&mut self, name: Vec<u8>, user: User) -> UserId {
        let id = *self.ids.entry(name.clone()).or_insert_with(|| {
            self.next += 1;
            UserId(self.next - 1)
        });
        self.users.insert(id, Named { name, user });
        id
    }

    /// The user of this name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<UserId> {
        self.ids.get(name).copied()
    }

    /// A user, while there is one.
    pub(crate) fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).map(|named| &named.user)
    }

    /// A user's name.
    pub(crate) fn name(&self, id: UserId) -> &[u8] {
        self.users.get(&id).map_or(DEFAULT_NAME, |named| &named.name)
    }

    /// The names and the users, in the order of the names.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&Vec<u8>, &User)> {
        self.ids.iter().map(|(name, id)| (name, &self.users[id].user))
    }

    /// The user that may log in with this name and password.
    pub(crate) fn log_in(&self, name: &[u8], password: &[u8]) -> Option<UserId> {
        let id = self.find(name);
        match id.and_then(|id| self.user(id)) {
            Some(user) => id.filter(|_| user.admits(password)),
            None => {
                // Takes as long as if there were one.
                let _ = User::new(self.channels).admits(password);
                None
            }
        }
    }

    /// Whether a connection may do something before anybody has logged in.
    pub(crate) fn is_open(&self) -> bool {
        self.user(DEFAULT).is_some_and(User::is_open)
    }

    /// Whether the default user needs no password.
    pub(crate) fn default_needs_no_password(&self) -> bool {
        self.user(DEFAULT).is_some_and(User::needs_no_password)
    }

    /// Changes a user, or makes one. All rules are taken, or none; the error is the original's.
    pub(crate) fn set_user(&mut self, name: &[u8], rules: &[&[u8]]) -> Result<UserId, Vec<u8>> {
        let known = self.find(name).and_then(|id| self.user(id)).cloned();
        let before = known.unwrap_or_else(|| User::new(self.channels));
        let user = before.with_rules(rules).map_err(|error| match error {
            UserError::Unmatched(start) => {
                [b"Unmatched parenthesis in acl selector starting at '", &start[..], b"'."].concat()
            }
            UserError::Rule(rule, error) => {
                [b"Error in ACL SETUSER modifier '", &rule[..], b"': ", error.to_string().as_bytes()].concat()
            }
        })?;
        Ok(self.insert(name.to_vec(), user))
    }

    /// Takes a user away. The default user stays.
    pub(crate) fn delete(&mut self, name: &[u8]) -> Option<UserId> {
        let id = self.ids.get(name).copied().filter(|id| *id != DEFAULT)?;
        self.ids.remove(name);
        self.users.remove(&id);
        Some(id)
    }

    /// Whether the users are in a file of their own.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Reads the file again. Everybody who had logged in must log in again, but the default user; the error is the
    /// original's, and nothing has changed then.
    pub(crate) fn load(&mut self) -> Result<(), String> {
        let Some(path) = &self.file else { return Err("there is no file".into()) };
        let mut users: Users = file::load(path, self.channels)?;
        // A file that does not speak of the default user leaves it as `requirepass` made it.
        if let Some(default) = users.remove(DEFAULT_NAME) {
            self.insert(DEFAULT_NAME.to_vec(), default);
        }
        let old: Vec<_> = self.ids.keys().filter(|name| *name != DEFAULT_NAME).cloned().collect();
        old.iter().for_each(|name| {
            self.delete(name);
        });
        for (name, user) in users {
            self.insert(name, user);
        }
        Ok(())
    }

    /// Writes the file.
    pub(crate) fn save(&self) -> Result<(), std::io::Error> {
        match &self.file {
            Some(path) => file::save(path, self.all()),
            None => Ok(()),
        }
    }

    /// The lines of the configuration that make these users; nothing when they are in a file of their own.
    pub(crate) fn lines(&self) -> Option<Vec<String>> {
        let line = |(name, user): (&Vec<u8>, &User)| {
            let (name, rules) = (String::from_utf8_lossy(name), user.describe());
            let rules = String::from_utf8_lossy(&rules);
            // No rule has a space in it, but it may have quotes.
            let words: Vec<&str> = ["user", &name].into_iter().chain(rules.split(' ')).collect();
            config::join(&words)
        };
        self.file.is_none().then(|| self.all().map(line).collect())
    }
}

/// Checks what stands behind `user` in the configuration.
pub(crate) fn check_line(words: &[String], channels: Channels) -> Result<(), String> {
    configured(words, channels).map(|_| ())
}

/// A user from what stands behind `user` in the configuration.
fn configured(words: &[String], channels: Channels) -> Result<(Vec<u8>, User), String> {
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
