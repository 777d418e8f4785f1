//! The users of this daemon: who may log in, where they are kept, and a log of what was denied. What their rules mean is
//! `src/acl`. Nothing in here knows of connections; only `file.rs` touches the disk.

mod file;
mod log;
#[cfg(test)]
mod tests;

pub(crate) use log::{Entry, Log, Reason};

use crate::acl::{Channels, DEFAULT_NAME, User, UserError, declared};
use crate::config::{self, Settings};
use file::Users;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which user: it stays the same while the user does, whatever becomes of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UserId(u64);

/// The user that every connection has at first.
pub(crate) const DEFAULT: UserId = UserId(0);

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
            let (name, user) = declared(words, channels)
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
