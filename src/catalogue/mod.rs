//! What is known of each command besides what it does: how many words it has, which categories it belongs to, its
//! documentation. `commands.json` holds it, as the original tells of itself by COMMAND INFO and COMMAND DOCS, and the
//! few commands that newer servers and Consentinel have besides.

use serde::Deserialize;
use std::sync::LazyLock;

/// The number of a command or subcommand: its place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommandId(pub u8);

/// A command or a subcommand.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its number.
    pub id: CommandId,
    /// `client`, or `client|list` for a subcommand.
    pub full_name: String,
    /// The command that it belongs to, if it is a subcommand.
    pub parent: Option<CommandId>,
    /// Its subcommands.
    pub subcommands: Vec<CommandId>,
    /// The categories, as bits.
    pub categories: Categories,
    /// Whether it may be used before logging in, and by everybody.
    pub open: bool,
    /// What the catalogue says of it.
    pub entry: Entry,
}

/// What the catalogue says of a command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its name; of a subcommand, the second word.
    pub name: String,
    /// How many words it has, its name included; negative: at least as many.
    pub arity: i32,
    /// The same, where newer servers take more than the original's `arity` tells.
    takes: Option<i32>,
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default, rename = "categories")]
    pub category_names: Vec<String>,
    #[serde(default)]
    pub tips: Vec<String>,
    pub summary: Option<String>,
    pub since: Option<String>,
    pub group: String,
    pub complexity: Option<String>,
    pub doc_flags: Option<Vec<String>>,
    pub deprecated_since: Option<String>,
    pub replaced_by: Option<String>,
    pub history: Option<Vec<(String, String)>>,
    pub arguments: Option<Vec<Argument>>,
    #[serde(default)]
    subcommands: Vec<Entry>,
}

/// An argument of a command, as its documentation has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argument {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub token: Option<String>,
    pub summary: Option<String>,
    pub since: Option<String>,
    pub deprecated_since: Option<String>,
    pub flags: Option<Vec<String>>,
    pub arguments: Option<Vec<Argument>>,
}

/// A set of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Categories(u32);

/// The categories, in the order in which the original lists them.
pub(crate) const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

impl Categories {
    /// The category of this name, in whatever case.
    pub(crate) fn named(name: &str) -> Option<Categories> {
        let at = CATEGORIES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Categories(1 << at))
    }

    /// Whether the two have one in common.
    pub(crate) fn meets(self, other: Categories) -> bool {
        self.0 & other.0 != 0
    }
}

/// All commands.
pub(crate) struct Catalogue {
    all: Vec<Command>,
    top: Vec<CommandId>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::load);

/// The catalogue.
pub(crate) fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

impl Catalogue {
    fn load() -> Catalogue {
        let entries: Vec<Entry> = serde_json::from_str(include_str!("commands.json"))
            .expect("the catalogue is part of the program, and a test reads it");
        let mut catalogue = Catalogue { all: Vec::new(), top: Vec::new() };
        for entry in entries {
            let id = catalogue.add(entry, None);
            catalogue.top.push(id);
        }
        catalogue
    }

    fn add(&mut self, mut entry: Entry, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(u8::try_from(self.all.len()).expect("the catalogue has less than 256 commands"));
        let full_name = match parent {
            Some(parent) => format!("{}|{}", self.get(parent).full_name, entry.name),
            None => entry.name.clone(),
        };
        let named = entry.category_names.iter().filter_map(|name| Categories::named(name));
        let categories = named.fold(Categories(0), |all, one| Categories(all.0 | one.0));
        let open = entry.flags.iter().any(|flag| flag == "no_auth");
        let subcommands = std::mem::take(&mut entry.subcommands);
        self.all.push(Command { id, full_name, parent, subcommands: Vec::new(), categories, open, entry });
        let subcommands = subcommands.into_iter().map(|sub| self.add(sub, Some(id))).collect();
        self.all[usize::from(id.0)].subcommands = subcommands;
        id
    }

    /// A command by its number.
    pub(crate) fn get(&self, id: CommandId) -> &Command {
        &self.all[usize::from(id.0)]
    }

    /// All commands and subcommands, a command before its subcommands.
    pub(crate) fn all(&self) -> &[Command] {
        &self.all
    }

    /// The commands without their subcommands.
    pub(crate) fn top(&self) -> impl ExactSizeIterator<Item = &Command> {
        self.top.iter().map(|id| self.get(*id))
    }

    /// The command of this name, in whatever case.
    pub(crate) fn command(&self, name: &str) -> Option<&Command> {
        self.top().find(|command| command.entry.name.eq_ignore_ascii_case(name))
    }

    /// The subcommand of this name.
    pub(crate) fn subcommand(&self, of: &Command, name: &str) -> Option<&Command> {
        let mut all = of.subcommands.iter().map(|id| self.get(*id));
        all.find(|command| command.entry.name.eq_ignore_ascii_case(name))
    }

    /// A command, or the subcommand that the second word names.
    pub(crate) fn narrowed<'a>(&'a self, command: &'a Command, second: Option<&str>) -> Option<&'a Command> {
        match second {
            Some(second) if !command.subcommands.is_empty() => self.subcommand(command, second),
            _ => Some(command),
        }
    }

    /// The command of a full name: `client`, `client|list`.
    pub(crate) fn full_name(&self, name: &str) -> Option<&Command> {
        match name.split_once('|') {
            None => self.command(name),
            Some((command, sub)) => self.subcommand(self.command(command)?, sub),
        }
    }
}

impl Command {
    /// Whether it may have so many words.
    pub(crate) fn fits(&self, words: usize) -> bool {
        let arity = self.entry.takes.unwrap_or(self.entry.arity);
        let least = arity.unsigned_abs() as usize;
        if arity < 0 { words >= least } else { words == least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_of_the_catalogue_is_known() {
        for command in catalogue().all() {
            for name in &command.entry.category_names {
                assert!(CATEGORIES.contains(&name.as_str()), "{}: {name}", command.full_name);
            }
        }
    }

    #[test]
    fn commands_are_found_as_words_and_by_their_full_names() {
        let all = catalogue();
        let name = |found: Option<&Command>| found.map(|command| command.full_name.clone());
        assert_eq!(
            name(all.command("Client").and_then(|it| all.narrowed(it, Some("LIST")))).as_deref(),
            Some("client|list")
        );
        assert_eq!(
            name(all.command("client").and_then(|it| all.narrowed(it, None))).as_deref(),
            Some("client")
        );
        assert_eq!(name(all.command("client").and_then(|it| all.narrowed(it, Some("x")))), None);
        assert_eq!(
            name(all.command("ping").and_then(|it| all.narrowed(it, Some("x")))).as_deref(),
            Some("ping")
        );
        assert_eq!(name(all.full_name("ACL|WhoAmI")).as_deref(), Some("acl|whoami"));
        assert_eq!(name(all.full_name("ping|x")), None);
    }
}
