//! What a user may do: one selector allows some commands with some channels; a user may have several.

use super::rule::RuleError;
use crate::catalogue::{CATEGORIES, Categories, Command, CommandId, catalogue};
use consentinel_core::glob_matches_bytes;
use std::collections::BTreeSet;

/// The commands that a selector allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Commands(u128);

/// The bit of commands that a newer version may have.
const FUTURE: u128 = 1 << 127;

impl Commands {
    const NONE: Commands = Commands(0);
    const ALL: Commands = Commands(u128::MAX);

    fn has(self, id: CommandId) -> bool {
        self.0 & 1 << id.0 != 0
    }

    fn set(&mut self, id: CommandId, allow: bool) {
        let bit = 1 << id.0;
        if allow { self.0 |= bit } else { self.0 &= !bit }
    }

    /// With a command, its subcommands.
    fn set_with_subcommands(&mut self, command: &Command, allow: bool) {
        self.set(command.id, allow);
        command.subcommands.iter().for_each(|sub| self.set(*sub, allow));
    }

    fn set_category(&mut self, category: Categories, allow: bool) {
        for command in catalogue().all().iter().filter(|command| command.categories.meets(category)) {
            self.set_with_subcommands(command, allow);
        }
    }

    /// How many of a category are allowed, and how many are not.
    fn count(self, category: Categories) -> (usize, usize) {
        let all = catalogue().all().iter().filter(|command| command.categories.meets(category));
        let (on, off): (Vec<_>, Vec<_>) = all.partition(|command| self.has(command.id));
        (on.len(), off.len())
    }
}

/// How a key may be used. A sentinel has no keys: patterns are only kept and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    read: bool,
    write: bool,
}

/// Which channels a selector allows before any rule speaks of them: `acl-pubsub-default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    /// None, the default.
    None,
    /// All.
    All,
}

/// Which databases may be used, as Valkey 9.1 has it. A sentinel has none: it is only kept and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Databases {
    All,
    Only(BTreeSet<i32>),
}

impl Databases {
    /// From `0,2` behind `db=`.
    fn parse(list: &[u8]) -> Result<Databases, RuleError> {
        let number = |word: &str| match word.parse::<i64>() {
            Ok(number) => i32::try_from(number).ok().filter(|number| *number >= 0).ok_or(RuleError::Database),
            Err(_) => Err(RuleError::Syntax),
        };
        let list = text(list).ok_or(RuleError::Syntax)?;
        list.split(',').map(number).collect::<Result<_, _>>().map(Databases::Only)
    }
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    commands: Commands,
    all_commands: bool,
    /// Commands of which only calls with these first arguments are allowed.
    first_arguments: Vec<(CommandId, Vec<Vec<u8>>)>,
    all_keys: bool,
    keys: Vec<(Access, Vec<u8>)>,
    all_channels: bool,
    channels: Vec<Vec<u8>>,
    databases: Databases,
}

/// Why a command is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Denied {
    /// The command itself.
    Command,
    /// The channel at this place among the words.
    Channel(usize),
}

impl Selector {
    /// A selector that allows nothing but these channels.
    pub(crate) fn only(channels: Channels) -> Self {
        Selector {
            commands: Commands::NONE,
            all_commands: false,
            first_arguments: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels: channels == Channels::All,
            channels: Vec::new(),
            databases: Databases::All,
        }
    }

    /// A selector that allows everything.
    pub(crate) fn everything() -> Self {
        let commands = Commands::ALL;
        Selector { commands, all_commands: true, all_keys: true, ..Selector::only(Channels::All) }
    }

    /// Whether nothing is forbidden by it.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.all_commands && self.all_channels
    }

    /// Whether it allows all channels.
    pub(crate) fn all_channels(&self) -> bool {
        self.all_channels
    }

    /// The patterns of the channels that it allows, where it does not allow all.
    pub(crate) fn channels(&self) -> &[Vec<u8>] {
        &self.channels
    }

    /// Takes in one rule.
    pub(crate) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => (self.all_keys, self.keys) = (true, Vec::new()),
            b"resetkeys" => (self.all_keys, self.keys) = (false, Vec::new()),
            b"allchannels" | b"&*" => (self.all_channels, self.channels) = (true, Vec::new()),
            b"resetchannels" => (self.all_channels, self.channels) = (false, Vec::new()),
            b"alldbs" => self.databases = Databases::All,
            b"resetdbs" => self.databases = Databases::Only(BTreeSet::new()),
            b"allcommands" | b"+@all" => self.set_all(Commands::ALL, true),
            b"nocommands" | b"-@all" => self.set_all(Commands::NONE, false),
            _ => match rule {
                [b'~', ..] | [b'%', ..] => self.add_key(rule)?,
                [b'd' | b'D', b'b' | b'B', b'=', list @ ..] => self.databases = Databases::parse(list)?,
                [b'&', pattern @ ..] => self.add_channel(pattern)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                    let category = text(name).and_then(Categories::named).ok_or(RuleError::Unknown)?;
                    self.set_category(category, *sign == b'+');
                }
                [b'+', name @ ..] => self.allow(name)?,
                [b'-', name @ ..] => {
                    let command = text(name).and_then(|name| catalogue().full_name(name));
                    self.set_command(command.ok_or(RuleError::Unknown)?, false);
                }
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn set_all(&mut self, commands: Commands, all: bool) {
        (self.commands, self.all_commands) = (commands, all);
        self.first_arguments.clear();
    }

    fn set_category(&mut self, category: Categories, allow: bool) {
        for command in catalogue().all().iter().filter(|command| command.categories.meets(category)) {
            self.set_command(command, allow);
        }
    }

    fn set_command(&mut self, command: &Command, allow: bool) {
        self.commands.set_with_subcommands(command, allow);
        self.all_commands &= allow;
        self.first_arguments.retain(|(id, _)| *id != command.id);
    }

    /// `+command`, `+command|subcommand`, `+command|first-argument`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let named =
            |name: &[u8]| text(name).and_then(|name| catalogue().full_name(name)).ok_or(RuleError::Unknown);
        let Some(at) = name.iter().rposition(|c| *c == b'|') else {
            self.set_command(named(name)?, true);
            return Ok(());
        };
        let (command, sub) = (named(&name[..at])?, &name[at + 1..]);
        if command.parent.is_some() {
            return Err(RuleError::FirstArgument);
        }
        if sub.is_empty() {
            return Err(RuleError::Syntax);
        }
        if !command.subcommands.is_empty() {
            self.set_command(named(name)?, true);
            return Ok(());
        }
        let id = command.id;
        if !self.first_arguments.iter().any(|(known, _)| *known == id) {
            self.first_arguments.push((id, Vec::new()));
        }
        let (_, allowed) =
            self.first_arguments.iter_mut().find(|(known, _)| *known == id).expect("it was just made");
        if !allowed.iter().any(|known| known.eq_ignore_ascii_case(sub)) {
            allowed.push(sub.to_vec());
        }
        Ok(())
    }

    fn add_key(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AllKeys);
        }
        let (access, pattern) = match rule {
            [b'%', rest @ ..] => access(rest)?,
            _ => (Access { read: true, write: true }, &rule[1..]),
        };
        if has_space(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|(_, known)| known == pattern) {
            Some((known, _)) => {
                *known = Access { read: known.read || access.read, write: known.write || access.write }
            }
            None => self.keys.push((access, pattern.to_vec())),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AllChannels);
        }
        if has_space(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    /// Whether a command may be used with these words.
    pub(crate) fn check<W: AsRef<[u8]>>(&self, command: &Command, words: &[W]) -> Result<(), Denied> {
        let by_itself = self.all_commands || command.open || self.commands.has(command.id);
        if !by_itself && !self.allows_first_argument(command, words) {
            return Err(Denied::Command);
        }
        if self.all_channels {
            return Ok(());
        }
        let (from, to, literally) = match command.full_name.as_str() {
            "subscribe" => (1, words.len(), false),
            "psubscribe" => (1, words.len(), true),
            "publish" => (1, 2, false),
            _ => return Ok(()),
        };
        for (at, channel) in words.iter().enumerate().take(to).skip(from) {
            if !self.allows_channel(channel.as_ref(), literally) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    fn allows_first_argument<W: AsRef<[u8]>>(&self, command: &Command, words: &[W]) -> bool {
        let Some((_, allowed)) = self.first_arguments.iter().find(|(id, _)| *id == command.id) else {
            return false;
        };
        let given = words.get(1).map(AsRef::as_ref).unwrap_or_default();
        words.len() > 1 && allowed.iter().any(|known| known.eq_ignore_ascii_case(given))
    }

    /// Whether a channel is allowed. A pattern, as in PSUBSCRIBE, must be allowed in just these characters.
    fn allows_channel(&self, channel: &[u8], literally: bool) -> bool {
        allows_channel(&self.channels, channel, literally)
    }

    /// The rules for keys, as GETUSER shows them.
    pub(crate) fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let sign = |access: Access| match (access.read, access.write) {
            (true, false) => "%R~",
            (false, true) => "%W~",
            _ => "~",
        };
        let rules: Vec<_> =
            self.keys.iter().map(|(access, pattern)| [sign(*access).as_bytes(), pattern].concat()).collect();
        rules.join(&b' ')
    }

    /// The rules for channels, as GETUSER shows them.
    pub(crate) fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules: Vec<_> = self.channels.iter().map(|pattern| [b"&", pattern.as_slice()].concat()).collect();
        rules.join(&b' ')
    }

    /// The rule for databases, where not all may be used.
    pub(crate) fn describe_databases(&self) -> Option<Vec<u8>> {
        let Databases::Only(numbers) = &self.databases else { return None };
        if numbers.is_empty() {
            return Some(b"resetdbs".to_vec());
        }
        let numbers: Vec<_> = numbers.iter().map(i32::to_string).collect();
        Some(format!("db={}", numbers.join(",")).into_bytes())
    }

    /// The rules for commands: from everything or nothing, categories as far as they come close, then what still
    /// differs. The original reconstructs them in the same way.
    pub(crate) fn describe_commands(&self) -> Vec<u8> {
        let additive = self.commands.0 & FUTURE == 0;
        let (mut rules, mut reached) = if additive {
            (vec![b"-@all".to_vec()], Commands::NONE)
        } else {
            (vec![b"+@all".to_vec()], Commands::ALL)
        };
        let sign = if additive { '+' } else { '-' };
        let mut left = self.commands;
        let mut open: Vec<_> = CATEGORIES.to_vec();
        while let Some(name) = best_category(left, &open, additive) {
            let category = Categories::named(name).expect("it is from the list");
            reached.set_category(category, additive);
            left.set_category(category, !additive);
            open.retain(|other| *other != name);
            rules.push(format!("{sign}@{name}").into_bytes());
        }
        for command in catalogue().all() {
            let allowed = self.commands.has(command.id);
            if allowed != reached.has(command.id) {
                let sign = if allowed { '+' } else { '-' };
                rules.push(format!("{sign}{}", command.full_name).into_bytes());
                reached.set_with_subcommands(command, allowed);
            }
            let first = self.first_arguments.iter().find(|(id, _)| !allowed && *id == command.id);
            for argument in first.into_iter().flat_map(|(_, arguments)| arguments) {
                rules.push([b"+", command.full_name.as_bytes(), b"|", argument].concat());
            }
        }
        rules.join(&b' ')
    }

    /// All rules, as LIST shows them.
    pub(crate) fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if self.all_keys || !self.keys.is_empty() {
            parts.push(self.describe_keys());
        }
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        if self.all_channels || !self.channels.is_empty() {
            parts.push(self.describe_channels());
        }
        parts.extend(self.describe_databases());
        parts.push(self.describe_commands());
        parts.join(&b' ')
    }
}

/// Whether a channel is among these patterns.
pub(crate) fn allows_channel(patterns: &[Vec<u8>], channel: &[u8], literally: bool) -> bool {
    patterns.iter().any(|pattern| match literally {
        true => pattern == channel,
        false => glob_matches_bytes(pattern, channel),
    })
}

/// The category that changes most towards what is wanted, and least that is not.
fn best_category(left: Commands, open: &[&'static str], additive: bool) -> Option<&'static str> {
    let mut best: Option<(&'static str, usize, usize)> = None;
    for name in open {
        let (on, off) = left.count(Categories::named(name)?);
        let (same, diff) = if additive { (on, off) } else { (off, on) };
        let better = best.is_none_or(|(_, least, most)| diff < least || (diff == least && same > most));
        if same > diff && better {
            best = Some((name, diff, same));
        }
    }
    best.map(|(name, ..)| name)
}

/// `R~pattern`, `W~pattern`, `RW~pattern`.
fn access(rest: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let mut access = Access { read: false, write: false };
    let mut pattern: &[u8] = &[];
    for (at, c) in rest.iter().enumerate() {
        match c {
            b'r' | b'R' if !access.read => access.read = true,
            b'w' | b'W' if !access.write => access.write = true,
            b'~' => {
                pattern = &rest[at + 1..];
                break;
            }
            _ => return Err(RuleError::Syntax),
        }
    }
    // The original takes `%~pattern`, and cannot show such a user afterwards.
    if access.read || access.write { Ok((access, pattern)) } else { Err(RuleError::Syntax) }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What would tear a line of the file apart.
pub(crate) fn has_space(text: &[u8]) -> bool {
    text.iter().any(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}
