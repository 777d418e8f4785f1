//! Lines set into what the operator wrote.

use super::line::{self, Line, Written};
use super::memory::GENERATED;
use super::source;
use consentinel_core::{Durable, GroupName};
use std::collections::HashMap;

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
pub(super) fn into_configuration(
    original: &[u8],
    base: &Durable,
    state: &Durable,
    users: Option<&Users<'_>>,
) -> Vec<u8> {
    let all = line::lines(state, base);
    let mut page = Page::new(&all, users, original.len());
    for raw in original.split_inclusive(|c| *c == b'\n') {
        if let Some(written) = Written::from_plain(raw) {
            page.put_sentinel(raw, &written);
            continue;
        }
        page.generated |= raw.trim_ascii() == GENERATED.as_bytes();
        match source::words_of(raw) {
            Ok(words) if words.len() > 1 && words[0] == "user" && users.is_some() => {
                page.put_user(raw, &words)
            }
            Ok(words) if words.len() > 1 && words[0] == "sentinel" && !is_only_read(&words[1..], state) => {
                page.put_sentinel(raw, &Written::from_words(&words[1..]));
            }
            _ => page.out.extend_from_slice(raw),
        }
    }
    page.users.retain(|(words, _)| !users.is_some_and(|users| users.elsewhere.contains(words)));
    page.end(&all)
}

/// The configuration while it is written anew.
struct Page<'a> {
    out: Vec<u8>,
    /// The lines of the state by what they are about, and whether they are there already.
    lines: HashMap<&'a str, (&'a Line, bool)>,
    /// The users that are not yet there: words, and the line.
    users: Vec<(Vec<String>, &'a str)>,
    generated: bool,
}

impl<'a> Page<'a> {
    fn new(all: &'a [Line], users: Option<&'a Users<'_>>, length: usize) -> Self {
        let readable = |line: &'a String| Some((source::words_of(line.as_bytes()).ok()?, line.as_str()));
        let mut users: Vec<_> =
            users.iter().flat_map(|users| users.lines.iter().filter_map(readable)).collect();
        users.dedup_by(|a, b| a.0 == b.0);
        Page {
            out: Vec::with_capacity(length + 1024),
            lines: all.iter().map(|line| (line.head(), (line, false))).collect(),
            users,
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

    /// A line of the file about what is watched: kept, written anew, or left out.
    fn put_sentinel(&mut self, raw: &[u8], written: &Written<'_>) {
        let Some((line, there)) = self.lines.get_mut(written.head()) else { return };
        // Said twice: only what holds may stay, or the last one would win.
        let twice = std::mem::replace(there, true);
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

    /// What is missing comes at the end.
    fn end(self, all: &[Line]) -> Vec<u8> {
        let Page { mut out, lines, users, generated } = self;
        let there = |line: &Line| lines.get(line.head()).is_some_and(|(_, there)| *there);
        let missing: Vec<_> = all.iter().filter(|line| line.needed && !there(line)).collect();
        // Also where nothing is missing: a last line without an end looks like one that was cut off.
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        if missing.is_empty() && users.is_empty() {
            return out;
        }
        if !generated {
            push_line(&mut out, &format!("\n{GENERATED}"), b"\n");
        }
        users.iter().for_each(|(_, line)| push_line(&mut out, line, b"\n"));
        missing.iter().for_each(|line| push_line(&mut out, &line.text, b"\n"));
        out
    }
}

/// The file of its own that `sentinel state-file` asks for: what is not, or not any more, as the configuration
/// (`base`) says. What the operator changes there keeps its effect, unless SENTINEL SET has overruled it.
pub(super) fn as_state_file(base: &Durable, state: &Durable, users: Option<&[String]>) -> Vec<u8> {
    let mut out =
        b"# The memory of a sentinel. Written by consentinel: do not edit while it runs.\n".to_vec();
    // First, so that a file that was cut off most likely still has it.
    push_line(&mut out, &line::current_epoch(state).text, b"\n");
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
    let rest = line::lines(state, base);
    rest.iter()
        .filter(|line| line.needed && !["monitor", "current-epoch"].contains(&line.name))
        .for_each(put);
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
