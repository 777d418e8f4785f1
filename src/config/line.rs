//! The state as configuration lines, each with what it is about.

use crate::quoting;
use consentinel_core::{Config, Durable, DurableGroup, GroupConfig, GroupName, Host, Quorum};
use std::borrow::Cow;
use std::fmt::Display;

/// One `sentinel ...` line that the state has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// The whole line.
    pub text: String,
    /// How much of it says what it is about: two lines with the same head cannot both hold.
    head: usize,
    /// Which directive it is.
    pub name: &'static str,
    /// Whether it says something that is not so without it.
    pub needed: bool,
    /// Whether it takes back something that would otherwise not be there at all.
    pub is_void: bool,
}

impl Line {
    /// A directive with its values; so many of them say what it is about.
    fn new(name: &'static str, values: &[&str], about: usize) -> Line {
        let mut line = Line { text: format!("sentinel {name}"), head: 0, name, needed: true, is_void: false };
        line.head = line.text.len();
        for (index, value) in values.iter().enumerate() {
            line.text.push(' ');
            quoting::push_quoted(&mut line.text, value);
            if index + 1 == about {
                line.head = line.text.len();
            }
        }
        line
    }

    /// Something that the sentinel has learned.
    pub(super) fn memory(name: &'static str, values: &[&str], about: usize) -> Line {
        Line::new(name, values, about)
    }

    /// A setting, and whether it is another one than without this line.
    fn setting(name: &'static str, values: &[&str], about: usize, needed: bool) -> Line {
        let is_void = values.last().is_some_and(|value| value.is_empty());
        Line { needed, is_void, ..Line::new(name, values, about) }
    }

    /// What it is about.
    pub(super) fn head(&self) -> &str {
        &self.text[..self.head]
    }
}

/// A line of a file in the words that the state would use, and its head.
pub(super) struct Written<'a> {
    /// The whole line.
    pub text: Cow<'a, str>,
    head: usize,
    /// Of which master it speaks; nothing where it speaks of none.
    pub group: Option<Cow<'a, str>>,
}

impl Written<'_> {
    /// What it is about.
    pub(super) fn head(&self) -> &str {
        &self.text[..self.head]
    }

    /// From its words, the first of which is not `sentinel`.
    pub(super) fn from_words(words: &[String]) -> Written<'static> {
        let mut words = words.to_vec();
        let name = usual_name(&words[0]).to_owned();
        words[0] = name;
        if words[0] == "rename-command"
            && let Some(command) = words.get_mut(2)
        {
            command.make_ascii_uppercase();
        }
        let mut text = "sentinel".to_owned();
        let (about, mut head) = (about(&words[0]), 0);
        for (index, word) in words.iter().enumerate() {
            text.push(' ');
            quoting::push_quoted(&mut text, word);
            if index <= about {
                head = text.len();
            }
        }
        let group = words.get(1).filter(|_| about > 0).map(|name| name.clone().into());
        Written { text: text.into(), head, group }
    }

    /// The same, without a look at each word: for lines that are written as the state would write them, which is almost
    /// all of them. Nothing for others.
    pub(super) fn from_plain(raw: &[u8]) -> Option<Written<'_>> {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let rest = text.strip_prefix(b"sentinel ")?;
        let name_length = rest.iter().position(|c| *c == b' ')?;
        let name = std::str::from_utf8(&rest[..name_length]).ok()?;
        let is_usual = OFTEN.contains(&name);
        let mut previous = b' ';
        let plain = rest.iter().all(|&c| {
            let fits = c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\' | b'#')
                || c == b' ' && previous != b' ';
            previous = c;
            fits
        });
        if !is_usual || !plain || previous == b' ' {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        // The space behind 'sentinel', the one behind the name, and one for each word that says what it is about.
        let end = text.match_indices(' ').nth(about(name) + 1).map_or(text.len(), |(at, _)| at);
        // All usual ones speak of a master.
        let group = rest.get(name_length + 1..)?.split(|c| *c == b' ').next()?;
        let group = Some(std::str::from_utf8(group).ok()?.into());
        Some(Written { text: text.into(), head: end, group })
    }
}

/// Of which master a line speaks, by a look at its first words: `None` where that takes more.
pub(super) fn group_of(raw: &[u8]) -> Option<&[u8]> {
    let rest = raw.strip_prefix(b"sentinel ")?;
    let (name, rest) = rest.split_at(rest.iter().position(|c| *c == b' ')?);
    let group = rest[1..].split(|c| c.is_ascii_whitespace()).next()?;
    (!group.is_empty() && OFTEN.iter().any(|usual| usual.as_bytes() == name)).then_some(group)
}

/// Directives of which there may be thousands.
const OFTEN: [&str; 8] = [
    "monitor",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "config-epoch",
    "leader-epoch",
    "known-replica",
    "known-sentinel",
];

/// The name by which the state calls a directive.
fn usual_name(name: &str) -> &str {
    match name {
        "known-slave" => "known-replica",
        "primary-reboot-down-after-period" => "master-reboot-down-after-period",
        other => other,
    }
}

/// How many values of a directive say what it is about.
fn about(name: &str) -> usize {
    match name {
        "known-replica" => 3,
        "known-sentinel" => 4,
        "rename-command" => 2,
        "myid"
        | "current-epoch"
        | "announce-ip"
        | "announce-port"
        | "deny-scripts-reconfig"
        | "sentinel-user"
        | "sentinel-pass"
        | "resolve-hostnames"
        | "announce-hostnames"
        | "state-file" => 0,
        _ => 1,
    }
}

/// What is said of no master, settings at their defaults included; the current epoch is the last. Needed is what `base`
/// does not say already.
pub(super) fn of_no_group(state: &Durable, base: &Durable) -> Vec<Line> {
    let id = state.myid.iter().map(|id| Line::memory("myid", &[id.as_str()], 0));
    let settings = global_settings(&state.config, &base.config);
    id.chain(settings).chain(std::iter::once(current_epoch(state))).collect()
}

/// What is said of a master, settings at their defaults included. Needed is what `base` does not say already.
pub(super) fn of_group(name: &GroupName, group: &DurableGroup, base: &Durable) -> Vec<Line> {
    let nothing = GroupConfig::new(Quorum(1));
    let before = base.groups.get(name).map_or(&nothing, |group| &group.config);
    let mut lines = Vec::with_capacity(16);
    lines.push(monitor(name, group));
    group_settings(name, &group.config, before, &mut lines);
    group_memory(name, group, &mut lines);
    lines
}

/// The line of the current epoch.
pub(super) fn current_epoch(state: &Durable) -> Line {
    Line::memory("current-epoch", &[&state.current_epoch.to_string()], 0)
}

/// The line that introduces a master.
pub(super) fn monitor(name: &GroupName, group: &DurableGroup) -> Line {
    let DurableGroup { master, config, .. } = group;
    let words = [name.as_str(), &host(&master.host), &number(master.port), &config.quorum.to_string()];
    Line::memory("monitor", &words, 1)
}

fn number(number: impl Display) -> String {
    number.to_string()
}

fn host(host: &Host) -> Cow<'_, str> {
    match host {
        Host::Name(name) => Cow::Borrowed(name),
        Host::Ip(ip) => Cow::Owned(ip.to_string()),
    }
}

fn global_settings(config: &Config, base: &Config) -> [Line; 7] {
    let setting = |name, value: &str, needed| Line::setting(name, &[value], 0, needed);
    let ip = config.announce_ip.as_ref().map(ToString::to_string).unwrap_or_default();
    let port = config.announce_port.map(number).unwrap_or_default();
    let (auth, was) = (&config.sentinel_auth, &base.sentinel_auth);
    let pass = auth.pass.as_ref().map(|pass| pass.reveal()).unwrap_or_default();
    let user = auth.user.as_deref().unwrap_or_default();
    let deny = config.deny_scripts_reconfig;
    let (resolve, announce) = (config.resolve_hostnames, config.announce_hostnames);
    [
        setting("announce-ip", &ip, config.announce_ip != base.announce_ip),
        setting("announce-port", &port, config.announce_port != base.announce_port),
        setting("deny-scripts-reconfig", yes_no(deny), deny != base.deny_scripts_reconfig),
        setting("resolve-hostnames", yes_no(resolve), resolve != base.resolve_hostnames),
        setting("announce-hostnames", yes_no(announce), announce != base.announce_hostnames),
        setting("sentinel-user", user, auth.user != was.user),
        setting("sentinel-pass", pass, auth.pass != was.pass),
    ]
}

fn group_settings(name: &GroupName, config: &GroupConfig, base: &GroupConfig, lines: &mut Vec<Line>) {
    let group = name.as_str();
    let setting = |name, value: &str, needed| Line::setting(name, &[group, value], 1, needed);
    let millis = |span: std::time::Duration| number(span.as_millis());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let pass = config.auth.pass.as_ref().map(|pass| pass.reveal()).unwrap_or_default();
    let (reboot, was) = (config.master_reboot_down_after, base.master_reboot_down_after);
    let (notify, reconfig) = (&config.notification_script, &config.client_reconfig_script);
    lines.extend([
        setting("down-after-milliseconds", &millis(config.down_after), config.down_after != base.down_after),
        setting(
            "failover-timeout",
            &millis(config.failover_timeout),
            config.failover_timeout != base.failover_timeout,
        ),
        setting(
            "parallel-syncs",
            &number(config.parallel_syncs),
            config.parallel_syncs != base.parallel_syncs,
        ),
        setting("notification-script", &text(notify), *notify != base.notification_script),
        setting("client-reconfig-script", &text(reconfig), *reconfig != base.client_reconfig_script),
        setting("auth-pass", pass, config.auth.pass != base.auth.pass),
        setting("auth-user", &text(&config.auth.user), config.auth.user != base.auth.user),
        setting("master-reboot-down-after-period", &millis(reboot), reboot != was),
    ]);
    for (from, to) in &config.renamed_commands {
        let needed = base.renamed_commands.get(from) != Some(to);
        lines.push(Line::setting("rename-command", &[group, from, to], 2, needed));
    }
}

fn group_memory(name: &GroupName, group: &DurableGroup, lines: &mut Vec<Line>) {
    let name = name.as_str();
    lines.push(Line::memory("config-epoch", &[name, &number(group.config_epoch)], 1));
    lines.push(Line::memory("leader-epoch", &[name, &number(group.leader_epoch)], 1));
    for replica in &group.replicas {
        let words = [name, &host(&replica.host), &number(replica.port)];
        lines.push(Line::memory("known-replica", &words, 3));
    }
    for (id, addr) in &group.sentinels {
        let words = [name, &host(&addr.host), &number(addr.port), id.as_str()];
        lines.push(Line::memory("known-sentinel", &words, 4));
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
