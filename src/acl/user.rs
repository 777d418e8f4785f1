//! A user: who may log in, and what they may do.

use super::password::PasswordHash;
use super::rule::{RuleError, merge_selectors};
use super::selector::{Channels, Denied, Selector, allows_channel};
use crate::catalogue::Command;
use crate::quoting;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    enabled: bool,
    nopass: bool,
    /// A flag of Redis servers that is kept and shown.
    sanitize: Option<bool>,
    passwords: Vec<PasswordHash>,
    /// What new selectors begin with, and this one after `reset`.
    channels: Channels,
    root: Selector,
    selectors: Vec<Selector>,
}

/// Why the rules of a user are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserError {
    /// A selector is not closed; the word that opens it.
    Unmatched(Vec<u8>),
    /// A rule is wrong.
    Rule(Vec<u8>, RuleError),
}

impl User {
    /// One who may not log in, and may do nothing, but with these channels.
    pub(crate) fn new(channels: Channels) -> Self {
        User {
            enabled: false,
            nopass: false,
            sanitize: None,
            passwords: Vec::new(),
            channels,
            root: Selector::only(channels),
            selectors: Vec::new(),
        }
    }

    /// One who may do everything, without a password.
    pub(crate) fn unlimited(channels: Channels) -> Self {
        User { enabled: true, nopass: true, root: Selector::everything(), ..User::new(channels) }
    }

    /// Takes in rules: all of them, or none.
    pub(crate) fn with_rules(&self, rules: &[&[u8]]) -> Result<User, UserError> {
        let rules = merge_selectors(rules).map_err(|start| UserError::Unmatched(start.to_vec()))?;
        let mut user = self.clone();
        for rule in rules {
            user.apply(&rule).map_err(|error| UserError::Rule(rule.clone(), error))?;
        }
        Ok(user)
    }

    /// Takes in one rule.
    pub(crate) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.sanitize = Some(false),
            b"sanitize-payload" => self.sanitize = Some(true),
            b"nopass" => (self.nopass, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.nopass, self.passwords) = (false, Vec::new()),
            b"clearselectors" => self.selectors.clear(),
            b"reset" => *self = User { sanitize: Some(true), ..User::new(self.channels) },
            _ => match rule {
                [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
                [b'#', hash @ ..] => self.add_password(PasswordHash::parse(hash).ok_or(RuleError::BadHash)?),
                [b'<', password @ ..] => self.remove_password(PasswordHash::of(password))?,
                [b'!', hash @ ..] => {
                    self.remove_password(PasswordHash::parse(hash).ok_or(RuleError::BadHash)?)?
                }
                [b'(', rules @ .., b')'] => self.selectors.push(selector(rules, self.channels)?),
                _ => self.root.apply(rule)?,
            },
        }
        Ok(())
    }

    fn add_password(&mut self, password: PasswordHash) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, password: PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// The only password from now on, or none at all: what `requirepass` says of the default user.
    pub(crate) fn require(&mut self, password: Option<&[u8]>) {
        self.passwords = password.map(PasswordHash::of).into_iter().collect();
        self.nopass = password.is_none();
    }

    /// Whether this user may log in with this password.
    pub(crate) fn admits(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        // All are compared, so that the time does not tell which one it was.
        let right = self.passwords.iter().fold(false, |right, known| right | (*known == hash));
        self.enabled && (self.nopass || right)
    }

    /// Whether nobody needs to log in to be this user.
    pub(crate) fn is_open(&self) -> bool {
        self.enabled && self.nopass
    }

    /// Whether this user needs no password.
    pub(crate) fn needs_no_password(&self) -> bool {
        self.nopass
    }

    /// Whether this user may log in at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a command may be used with these words.
    pub(crate) fn check<W: AsRef<[u8]>>(&self, command: &Command, words: &[W]) -> Result<(), Denied> {
        if self.root.is_unlimited() {
            return Ok(());
        }
        let mut worst = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(command, words) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether a subscription that somebody has may stay under new rules.
    pub(crate) fn keeps_subscription(&self, name: &[u8], pattern: bool) -> bool {
        self.all_selectors()
            .any(|selector| selector.all_channels() || allows_channel(selector.channels(), name, pattern))
    }

    fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The selector of the rules that stand outside of parentheses.
    pub(crate) fn root(&self) -> &Selector {
        &self.root
    }

    /// The other selectors.
    pub(crate) fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The passwords' hashes.
    pub(crate) fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// The flags, in the original's order.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.nopass {
            flags.push("nopass");
        }
        flags.extend(self.sanitize.map(|yes| if yes { "sanitize-payload" } else { "skip-sanitize-payload" }));
        flags
    }

    /// The rules that make this user, as LIST shows them.
    pub(crate) fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.into()).collect();
        parts.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        parts.push(self.root.describe());
        parts.extend(self.selectors.iter().map(|selector| [b"(", &selector.describe()[..], b")"].concat()));
        parts.join(&b' ')
    }
}

/// A selector from the rules between parentheses.
fn selector(rules: &[u8], channels: Channels) -> Result<Selector, RuleError> {
    let mut selector = Selector::only(channels);
    // Like the original, which takes quotes that do not end for no rule at all.
    for rule in quoting::split_bytes(rules).unwrap_or_default() {
        // Written down, these would be read as something else, and a file with them might not be read at all.
        if rule.ends_with(b")") || rule.iter().any(|c| matches!(c, b'"' | b'\'')) {
            return Err(RuleError::Syntax);
        }
        selector.apply(&rule)?;
    }
    Ok(selector)
}
