//! Sets the lines of the state into what the operator wrote.

use super::line::{self, Line, Written};
use super::recovery::GENERATED;
use super::settings::USUAL_LEVEL;
use super::source;
use consentinel_core::{Durable, GroupName};
use std::collections::{HashMap, HashSet};

/// The lines `user ...` as they are to be.
pub(super) struct Users<'a> {
    /// All of them.
    pub lines: Vec<String>,
    /// What included files say.
    pub elsewhere: &'a [Vec<String>],
}

/// The configuration file with the state in it. `base` is what the included files say.
///
/// Comments, and lines that say something else, stay as and where they are. So do lines that say what still holds;
/// those that say something else by now are rewritten in place, and what is missing comes at the end.
///
/// `before` is the state that made this file, where one did: what has not changed since is copied, without a look at each of its
/// lines. Of a thousand masters a failover changes one, and a vote waits for the file.
pub(super) fn into_configuration(
    original: &[u8],
    base: &Durable,
    state: &Durable,
    before: Option<&Durable>,
    users: Option<&Users<'_>>,
    level: Option<&str>,
) -> Vec<u8> {
    let mut page = Page::new(state, base, users, level, original.len());
    page.whole = unchanged(state, before);
    let names: HashSet<&[u8]> = page.whole.iter().map(|name| name.as_str().as_bytes()).collect();
    // The lines of a master mostly stand together.
    let mut last: &[u8] = b"";
    for raw in original.split_inclusive(|c| *c == b'\n') {
        if let Some(name) = line::group_of(raw).filter(|name| *name == last || names.contains(name)) {
            page.out.extend_from_slice(raw);
            last = name;
            continue;
        }
        if let Some(written) = Written::from_plain(raw) {
            page.put_sentinel(raw, &written);
            continue;
        }
        page.generated |= raw.trim_ascii() == GENERATED.as_bytes();
        match source::words_of(raw) {
            Ok(words) if words.len() > 1 && words[0] == "user" && users.is_some() => {
                page.put_user(raw, &words)
            }
            Ok(words) if words.len() > 1 && words[0] == "loglevel" && level.is_some() => {
                page.put_level(raw, &words)
            }
            Ok(words) if words.len() > 1 && words[0] == "sentinel" && !is_only_read(&words[1..], state) => {
                page.put_sentinel(raw, &Written::from_words(&words[1..]));
            }
            _ => page.out.extend_from_slice(raw),
        }
    }
    page.users.retain(|(words, _)| !users.is_some_and(|users| users.elsewhere.contains(words)));
    page.end()
}

/// The masters of which everything is as it was.
fn unchanged<'a>(state: &'a Durable, before: Option<&Durable>) -> HashSet<&'a GroupName> {
    let Some(before) = before else { return HashSet::new() };
    let same = |(name, group): &(&GroupName, _)| before.groups.get(*name) == Some(*group);
    state.groups.iter().filter(same).map(|(name, _)| name).collect()
}

/// The configuration while it is written anew.
///
/// The lines of the state are made master by master, when they are asked for: all at once they would take several times
/// the memory of the file.
struct Page<'a> {
    out: Vec<u8>,
    state: &'a Durable,
    base: &'a Durable,
    /// The lines that were asked for last, and of which master they are.
    at_hand: (Option<&'a GroupName>, Vec<Line>),
    /// Which of its lines are there already, of each master of which any is.
    there: HashMap<Option<&'a GroupName>, Vec<bool>>,
    /// Masters of which no line is missing.
    whole: HashSet<&'a GroupName>,
    /// The users that are not yet there: words, and the line.
    users: Vec<(Vec<String>, &'a str)>,
    /// The log's level, when it is to be said and is not yet.
    level: Option<&'a str>,
    generated: bool,
}

impl<'a> Page<'a> {
    fn new(
        state: &'a Durable,
        base: &'a Durable,
        users: Option<&'a Users<'_>>,
        level: Option<&'a str>,
        length: usize,
    ) -> Self {
        let readable = |line: &'a String| Some((source::words_of(line.as_bytes()).ok()?, line.as_str()));
        let mut users: Vec<_> =
            users.iter().flat_map(|users| users.lines.iter().filter_map(readable)).collect();
        users.dedup_by(|a, b| a.0 == b.0);
        Page {
            out: Vec::with_capacity(length + 1024),
            state,
            base,
            at_hand: (None, line::of_no_group(state, base)),
            there: HashMap::new(),
            whole: HashSet::new(),
            users,
            level,
            generated: false,
        }
    }

    /// A line of the file about a user: kept, written anew, or left out.
    fn put_user(&mut self, raw: &[u8], words: &[String]) {
        let Some(at) = self.users.iter().position(|(user, _)| user.get(1) == words.get(1)) else { return };
        let (now, line) = self.users.remove(at);
        match now == words {
            true => self.out.extend_from_slice(raw),
            false => push_line(&mut self.out, line, line_end(raw)),
        }
    }

    /// A line of the file about the log's level: kept, written anew, or left out where it was said before.
    fn put_level(&mut self, raw: &[u8], words: &[String]) {
        let Some(level) = self.level.take() else { return };
        match words[1].eq_ignore_ascii_case(level) {
            true => self.out.extend_from_slice(raw),
            false => push_line(&mut self.out, &format!("loglevel {level}"), line_end(raw)),
        }
    }

    /// A line of the file about what is watched: kept, written anew, or left out.
    fn put_sentinel(&mut self, raw: &[u8], written: &Written<'_>) {
        let found = match &written.group {
            None => None,
            Some(name) => match self.state.groups.get_key_value(&GroupName::new(name)) {
                // Of one that is not watched nothing is said.
                None => return,
                found => found,
            },
        };
        let group = found.map(|(name, _)| name);
        if self.at_hand.0 != group {
            self.note_whole();
            let lines = match found {
                Some((name, saved)) => line::of_group(name, saved, self.base),
                None => line::of_no_group(self.state, self.base),
            };
            self.at_hand = (group, lines);
        }
        let lines = &self.at_hand.1;
        let Some(at) = lines.iter().position(|line| line.head() == written.head()) else { return };
        let line = &lines[at];
        let there = self.there.entry(group).or_insert_with(|| vec![false; lines.len()]);
        // Said twice: only what holds may stay, or the last one would win.
        let twice = std::mem::replace(&mut there[at], true);
        let holds = line.text == written.text;
        if twice && (!holds || line.name == "monitor") {
            return;
        }
        if holds {
            self.out.extend_from_slice(raw);
        } else if !line.is_void {
            push_line(&mut self.out, &line.text, line_end(raw));
        }
    }

    /// Remembers of the master at hand that all its lines are there, so that they need not be made again at the end.
    fn note_whole(&mut self) {
        let (Some(group), lines) = &self.at_hand else { return };
        let Some(there) = self.there.get(&Some(*group)) else { return };
        if lines.iter().zip(there).all(|(line, there)| *there || !line.needed) {
            self.whole.insert(group);
        }
    }

    /// What is missing comes at the end.
    fn end(mut self) -> Vec<u8> {
        self.note_whole();
        let Page { mut out, state, base, there, whole, users, level, generated, .. } = self;
        let level = level.filter(|level| *level != USUAL_LEVEL).map(|level| format!("loglevel {level}"));
        // Also where nothing is missing: a last line without an end looks like one that was cut off.
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        let mut missing = Vec::new();
        let mut add = |lines: &[Line], there: &[bool]| {
            let is_there = |at: usize| there.get(at).is_some_and(|there| *there);
            let needed = lines.iter().enumerate().filter(|(at, line)| line.needed && !is_there(*at));
            needed.for_each(|(_, line)| push_line(&mut missing, &line.text, b"\n"));
        };
        let there = |group: Option<&'a GroupName>| there.get(&group).map_or(&[][..], Vec::as_slice);
        // The current epoch is the very last, behind all masters.
        let general = line::of_no_group(state, base);
        let (epoch, before) = (general.len() - 1, there(None));
        add(&general[..epoch], before);
        for (name, group) in state.groups.iter().filter(|(name, _)| !whole.contains(name)) {
            add(&line::of_group(name, group, base), there(Some(name)));
        }
        add(&general[epoch..], before.get(epoch..).unwrap_or_default());
        if missing.is_empty() && users.is_empty() && level.is_none() {
            return out;
        }
        if !generated {
            push_line(&mut out, &format!("\n{GENERATED}"), b"\n");
        }
        level.iter().for_each(|line| push_line(&mut out, line, b"\n"));
        users.iter().for_each(|(_, line)| push_line(&mut out, line, b"\n"));
        out.extend_from_slice(&missing);
        out
    }
}

/// The file of its own that `sentinel state-file` asks for: what is not, or not any more, as the configuration
/// (`base`) says. What the operator changes there keeps its effect, unless SENTINEL SET has overruled it.
pub(super) fn as_state_file(
    base: &Durable,
    state: &Durable,
    users: Option<&[String]>,
    level: Option<&str>,
) -> Vec<u8> {
    let mut out =
        b"# The memory of a sentinel. Written by consentinel: do not edit while it runs.\n".to_vec();
    // First, so that a file that was cut off most likely still has it.
    push_line(&mut out, &line::current_epoch(state).text, b"\n");
    level.iter().for_each(|level| push_line(&mut out, &format!("loglevel {level}"), b"\n"));
    users.into_iter().flatten().for_each(|line| push_line(&mut out, line, b"\n"));
    let mut put = |line: &Line| push_line(&mut out, &line.text, b"\n");
    for name in base.groups.keys().filter(|name| !state.groups.contains_key(*name)) {
        put(&Line::memory("removed-master", &[name.as_str()], 1));
    }
    // Every master before its settings.
    for (name, group) in &state.groups {
        let Some(configured) = base.groups.get(name) else {
            put(&line::monitor(name, group));
            continue;
        };
        let (host, port) = (group.master.host.to_string(), group.master.port.to_string());
        put(&Line::memory("known-master", &[name.as_str(), &host, &port], 1));
        if group.config.quorum != configured.config.quorum {
            put(&line::monitor(name, group));
        }
        for command in configured.config.renamed_commands.keys() {
            if !group.config.renamed_commands.contains_key(command) {
                put(&Line::memory("rename-command", &[name.as_str(), command, command], 2));
            }
        }
    }
    let mut put_needed = |lines: Vec<Line>| {
        let there = |line: &&Line| ["monitor", "current-epoch"].contains(&line.name);
        lines.iter().filter(|line| line.needed && !there(line)).for_each(&mut put);
    };
    put_needed(line::of_no_group(state, base));
    for (name, group) in &state.groups {
        put_needed(line::of_group(name, group, base));
    }
    out
}

/// Whether a line is the operator's alone: nothing changes it at run time. What is said of a master that was removed
/// goes with it.
fn is_only_read(words: &[String], state: &Durable) -> bool {
    match words[0].as_str() {
        "state-file" | "consul" | "observe" | "http-bind" | "http-host" => true,
        name if name.starts_with("dns-") => true,
        "consul-service" | "consul-tags" => {
            words.get(1).is_some_and(|name| state.groups.contains_key(&GroupName::new(name)))
        }
        _ => false,
    }
}

fn line_end(raw: &[u8]) -> &[u8] {
    if raw.ends_with(b"\n") { b"\n" } else { b"" }
}

fn push_line(out: &mut Vec<u8>, text: &str, end: &[u8]) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(end);
}
