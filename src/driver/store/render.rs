//! The state as configuration lines, and those lines set into what the operator wrote.

use super::memory::GENERATED;
use super::{lexer, source};
use consentinel_core::{Config, Durable, DurableGroup, GroupConfig, GroupName};
use std::collections::{BTreeMap, BTreeSet};

/// One `sentinel ...` line.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// The words without `sentinel`.
    words: Vec<String>,
    /// Whether it says something that the sentinel learned, as opposed to a setting.
    memory: bool,
}

impl Line {
    fn setting<const N: usize>(words: [&str; N]) -> Line {
        Line { words: words.map(str::to_owned).to_vec(), memory: false }
    }

    fn memory<const N: usize>(words: [&str; N]) -> Line {
        Line { words: words.map(str::to_owned).to_vec(), memory: true }
    }

    fn text(&self) -> String {
        format!("sentinel {}", lexer::join(&self.words))
    }

    /// Whether it takes back something that would otherwise not be there at all.
    fn is_void(&self) -> bool {
        !self.memory && self.words.last().is_some_and(String::is_empty)
    }
}

/// What a line is about: two lines with the same key cannot both hold.
fn key(words: &[String]) -> Vec<String> {
    let name = match words.first().map(String::as_str) {
        Some("known-slave") => "known-replica",
        Some("primary-reboot-down-after-period") => "master-reboot-down-after-period",
        Some(name) => name,
        None => return Vec::new(),
    };
    let length = match name {
        "known-replica" => 4,
        "known-sentinel" => 5,
        "rename-command" => 3,
        "myid"
        | "current-epoch"
        | "announce-ip"
        | "announce-port"
        | "deny-scripts-reconfig"
        | "sentinel-user"
        | "sentinel-pass"
        | "resolve-hostnames"
        | "announce-hostnames"
        | "state-file" => 1,
        _ => 2,
    };
    let mut key: Vec<String> = words.iter().take(length).cloned().collect();
    key[0] = name.into();
    if name == "rename-command" {
        key.iter_mut().skip(2).for_each(|command| command.make_ascii_uppercase());
    }
    key
}

/// Everything, settings at their defaults included.
fn lines(state: &Durable) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(id) = &state.myid {
        lines.push(Line::memory(["myid", id.as_str()]));
    }
    lines.extend(global_settings(&state.config));
    for (name, group) in &state.groups {
        let DurableGroup { master, config, .. } = group;
        let (host, port) = (master.host.to_string(), master.port.to_string());
        lines.push(Line::memory(["monitor", name.as_str(), &host, &port, &config.quorum.to_string()]));
        lines.extend(group_settings(name, config));
        lines.extend(group_memory(name, group));
    }
    lines.push(Line::memory(["current-epoch", &state.current_epoch.to_string()]));
    lines
}

fn global_settings(config: &Config) -> Vec<Line> {
    let ip = config.announce_ip.as_ref().map(ToString::to_string).unwrap_or_default();
    let port = config.announce_port.map(|port| port.to_string()).unwrap_or_default();
    let auth = &config.sentinel_auth;
    vec![
        Line::setting(["announce-ip", &ip]),
        Line::setting(["announce-port", &port]),
        Line::setting(["deny-scripts-reconfig", yes_no(config.deny_scripts_reconfig)]),
        Line::setting(["resolve-hostnames", yes_no(config.resolve_hostnames)]),
        Line::setting(["announce-hostnames", yes_no(config.announce_hostnames)]),
        Line::setting(["sentinel-user", auth.user.as_deref().unwrap_or_default()]),
        Line::setting(["sentinel-pass", auth.pass.as_ref().map(|pass| pass.reveal()).unwrap_or_default()]),
    ]
}

fn group_settings(name: &GroupName, config: &GroupConfig) -> Vec<Line> {
    let name = name.as_str();
    let millis = |span: std::time::Duration| span.as_millis().to_string();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pass = config.auth.pass.as_ref().map(|pass| pass.reveal()).unwrap_or_default();
    let mut lines = vec![
        Line::setting(["down-after-milliseconds", name, &millis(config.down_after)]),
        Line::setting(["failover-timeout", name, &millis(config.failover_timeout)]),
        Line::setting(["parallel-syncs", name, &config.parallel_syncs.to_string()]),
        Line::setting(["notification-script", name, &text(&config.notification_script)]),
        Line::setting(["client-reconfig-script", name, &text(&config.client_reconfig_script)]),
        Line::setting(["auth-pass", name, pass]),
        Line::setting(["auth-user", name, &text(&config.auth.user)]),
        Line::setting(["master-reboot-down-after-period", name, &millis(config.master_reboot_down_after)]),
    ];
    let renames = config.renamed_commands.iter();
    lines.extend(renames.map(|(from, to)| Line::setting(["rename-command", name, from, to])));
    lines
}

fn group_memory(name: &GroupName, group: &DurableGroup) -> Vec<Line> {
    let name = name.as_str();
    let mut lines = vec![
        Line::memory(["config-epoch", name, &group.config_epoch.to_string()]),
        Line::memory(["leader-epoch", name, &group.leader_epoch.to_string()]),
    ];
    for replica in &group.replicas {
        let (host, port) = (replica.host.to_string(), replica.port.to_string());
        lines.push(Line::memory(["known-replica", name, &host, &port]));
    }
    for (id, addr) in &group.sentinels {
        let (host, port) = (addr.host.to_string(), addr.port.to_string());
        lines.push(Line::memory(["known-sentinel", name, &host, &port, id.as_str()]));
    }
    lines
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The lines that the state needs on top of what `base` says already.
fn needed<'a>(state: &'a [Line], base: &Durable, names: &BTreeSet<GroupName>) -> Vec<&'a Line> {
    let mut base = base.clone();
    for name in names {
        base.groups.entry(name.clone()).or_insert_with(|| {
            let nowhere = consentinel_core::Endpoint::new(
                consentinel_core::Host::Ip(std::net::Ipv4Addr::UNSPECIFIED.into()),
                0,
            );
            DurableGroup::new(nowhere, GroupConfig::new(consentinel_core::Quorum(1)))
        });
    }
    let known: BTreeMap<_, _> = lines(&base).into_iter().map(|line| (key(&line.words), line.words)).collect();
    state.iter().filter(|line| line.memory || known.get(&key(&line.words)) != Some(&line.words)).collect()
}

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
    let all = lines(state);
    let names = state.groups.keys().cloned().collect();
    let mut page = Page::new(&all, users, original.len());
    for raw in original.split_inclusive(|c| *c == b'\n') {
        page.generated |= raw.trim_ascii() == GENERATED.as_bytes();
        match source::words_of(raw) {
            Ok(words) if words.len() > 1 && words[0] == "user" && users.is_some() => {
                page.put_user(raw, &words)
            }
            Ok(words) if words.len() > 1 && words[0] == "sentinel" && !is_only_read(&words[1..], state) => {
                page.put_sentinel(raw, &words[1..]);
            }
            _ => page.out.extend_from_slice(raw),
        }
    }
    let missing = needed(&all, base, &names);
    page.users.retain(|(words, _)| !users.is_some_and(|users| users.elsewhere.contains(words)));
    page.end(&missing)
}

/// The configuration while it is written anew.
struct Page<'a> {
    out: Vec<u8>,
    /// What is not yet there.
    open: BTreeMap<Vec<String>, &'a Line>,
    written: BTreeMap<Vec<String>, &'a Line>,
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
            open: all.iter().map(|line| (key(&line.words), line)).collect(),
            written: BTreeMap::new(),
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
    fn put_sentinel(&mut self, raw: &[u8], words: &[String]) {
        let key = key(words);
        let line = match self.open.remove(&key) {
            Some(line) => {
                self.written.insert(key, line);
                line
            }
            // Said twice: only what holds may stay, or the last one would win.
            None => match self.written.get(&key) {
                Some(line) if line.words == words && line.words[0] != "monitor" => line,
                _ => return,
            },
        };
        if same(words, &line.words) {
            self.out.extend_from_slice(raw);
        } else if !line.is_void() {
            push_line(&mut self.out, &line.text(), line_end(raw));
        }
    }

    /// What is missing comes at the end.
    fn end(self, needed: &[&Line]) -> Vec<u8> {
        let Page { mut out, open, users, generated, .. } = self;
        let missing: Vec<_> = needed.iter().filter(|line| open.contains_key(&key(&line.words))).collect();
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
        missing.iter().for_each(|line| push_line(&mut out, &line.text(), b"\n"));
        out
    }
}

/// The file of its own that `sentinel state-file` asks for: what is not, or not any more, as the configuration
/// (`base`) says. What the operator changes there keeps its effect, unless SENTINEL SET has overruled it.
pub(super) fn as_state_file(base: &Durable, state: &Durable, users: Option<&[String]>) -> Vec<u8> {
    let all = lines(state);
    let names = state.groups.keys().cloned().collect();
    let mut out =
        b"# The memory of a sentinel. Written by consentinel: do not edit while it runs.\n".to_vec();
    // First, so that a file that was cut off most likely still has it.
    let current = Line::memory(["current-epoch", &state.current_epoch.to_string()]);
    push_line(&mut out, &current.text(), b"\n");
    users.into_iter().flatten().for_each(|line| push_line(&mut out, line, b"\n"));
    let mut put = |line: &Line| push_line(&mut out, &line.text(), b"\n");
    for name in base.groups.keys().filter(|name| !state.groups.contains_key(*name)) {
        put(&Line::memory(["removed-master", name.as_str()]));
    }
    // The original's lines come first, so that every master is known before its settings.
    for line in needed(&all, base, &names) {
        let configured = line.words.get(1).and_then(|name| base.groups.get(&GroupName::new(name)));
        match (line.words[0].as_str(), configured) {
            ("monitor", Some(configured)) => {
                put(&Line::memory(["known-master", &line.words[1], &line.words[2], &line.words[3]]));
                if line.words[4] != configured.config.quorum.to_string() {
                    put(line);
                }
            }
            ("current-epoch", _) => {}
            _ => put(line),
        }
    }
    for (name, group) in &base.groups {
        let Some(now) = state.groups.get(name) else { continue };
        for command in group.config.renamed_commands.keys() {
            if !now.config.renamed_commands.contains_key(command) {
                put(&Line::setting(["rename-command", name.as_str(), command, command]));
            }
        }
    }
    out
}

/// Whether a line is the operator's alone: nothing changes it at run time. What is said of a master that was removed
/// goes with it.
fn is_only_read(words: &[String], state: &Durable) -> bool {
    match words[0].as_str() {
        "state-file" | "consul" | "observe" => true,
        "consul-service" | "consul-tags" => {
            words.get(1).is_some_and(|name| state.groups.contains_key(&GroupName::new(name)))
        }
        _ => false,
    }
}

fn same(written: &[String], state: &[String]) -> bool {
    written.len() == state.len()
        && key(written)[0] == state[0]
        && written.iter().zip(state).skip(1).all(|(a, b)| a == b)
}

fn line_end(raw: &[u8]) -> &[u8] {
    if raw.ends_with(b"\n") { b"\n" } else { b"" }
}

fn push_line(out: &mut Vec<u8>, text: &str, end: &[u8]) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(end);
}
