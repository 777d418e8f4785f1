//! What differs from one run to the next, and is made equal before answers are compared. All of it stands in [`RULES`].

use super::wire::{Reply, Words};

/// What is made equal in the answers to some commands.
struct Rule {
    /// To which commands' answers it applies: the first words, in lower case.
    to: &'static [&'static str],
    /// What it does.
    work: fn(Reply) -> Reply,
}

/// Addresses, identities, times and sizes; and orders that are those of a hash.
const RULES: &[Rule] = &[
    Rule { to: &["sentinel master", "sentinel primary"], work: server_fields },
    Rule { to: &["sentinel masters", "sentinel primaries"], work: server_lists },
    Rule { to: &["sentinel replicas", "sentinel slaves"], work: server_lists },
    Rule { to: &["sentinel sentinels"], work: peer_lists },
    Rule { to: &["sentinel myid"], work: an_identity },
    Rule { to: &["sentinel info-cache"], work: cached_infos },
    Rule { to: &["client id", "command count"], work: any_number },
    Rule { to: &["client list", "client info"], work: own_connection },
    Rule { to: &["hello"], work: hello },
    Rule { to: &["acl genpass"], work: digits },
    Rule { to: &["acl log"], work: denials },
    Rule { to: &["acl list", "acl getuser"], work: rights },
    Rule { to: &["acl cat", "command list"], work: sorted },
    Rule { to: &["command docs"], work: sorted_pairs },
    Rule { to: &["command", "command info"], work: sorted_descriptions },
    Rule { to: &["info"], work: info },
    Rule { to: &["role"], work: |reply| each(reply, sorted) },
];

/// Fields of masters, replicas and sentinels whose value is a time, a counter or an offset.
const CHANGING: &[&str] = &[
    "link-pending-commands",
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "info-refresh",
    "role-reported-time",
    "slave-repl-offset",
    "last-hello-message",
];

/// The names and addresses of the other sentinels: each of the two knows the other one.
const WHO: &[&str] = &["name", "port", "runid"];

/// Of a connection in CLIENT LIST: who it is, and how much memory it takes.
const CONNECTION: &[&str] = &[
    "id",
    "addr",
    "laddr",
    "fd",
    "age",
    "idle",
    "qbuf",
    "qbuf-free",
    "argv-mem",
    "multi-mem",
    "rbs",
    "rbp",
    "obl",
    "oll",
    "omem",
    "tot-mem",
    "events",
];

/// The answers to a command, with what may differ made equal.
pub(super) fn normal(words: &Words, mut replies: Vec<Reply>) -> Vec<Reply> {
    if words.len() == 1 && words[0].eq_ignore_ascii_case(b"unsubscribe") {
        // The channels come in the order of a hash, and with each there is one less.
        replies = replies.into_iter().map(|reply| each(reply, any_number)).collect();
        replies.sort();
    }
    // Whose patterns fit several times hears of it in the order of a hash.
    let is_event = |reply: &Reply| reply.items().first().and_then(Reply::text) == Some(b"pmessage");
    let mut events: Vec<_> = replies.iter().filter(|reply| is_event(reply)).cloned().collect();
    events.sort();
    let mut events = events.into_iter();
    let in_order = |reply: Reply| if is_event(&reply) { events.next().unwrap_or(reply) } else { reply };
    let replies: Vec<_> = replies.into_iter().map(in_order).collect();
    replies.into_iter().map(|reply| normal_reply(words, reply)).collect()
}

fn normal_reply(words: &Words, reply: Reply) -> Reply {
    let lower: Vec<_> =
        words.iter().take(2).map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let (one, two) = (lower.first().cloned().unwrap_or_default(), lower.join(" "));
    let fits = |name: &&str| {
        **name == two || (**name == one && (!["command", "client"].contains(name) || words.len() == 1))
    };
    match RULES.iter().find(|rule| rule.to.iter().any(fits)) {
        Some(rule) if !matches!(reply, Reply::Error(_)) => (rule.work)(reply),
        _ => reply,
    }
}

fn star() -> Reply {
    Reply::Bulk(b"*".to_vec())
}

/// Works on every value of a map, or of the array that RESP2 has in its place.
fn values(reply: Reply, work: impl Fn(&[u8], Reply) -> Reply) -> Reply {
    match reply {
        Reply::Map(pairs) => Reply::Map(
            pairs
                .into_iter()
                .map(|(key, value)| {
                    let value = work(key.text().unwrap_or_default(), value);
                    (key, value)
                })
                .collect(),
        ),
        Reply::Array(items) => {
            let mut key = Vec::new();
            let one = |(at, item): (usize, Reply)| match at % 2 {
                0 => {
                    key = item.text().unwrap_or_default().to_vec();
                    item
                }
                _ => work(&key, item),
            };
            Reply::Array(items.into_iter().enumerate().map(one).collect())
        }
        other => other,
    }
}

fn each(reply: Reply, work: impl Fn(Reply) -> Reply) -> Reply {
    match reply {
        Reply::Array(items) => Reply::Array(items.into_iter().map(work).collect()),
        Reply::Push(items) => Reply::Push(items.into_iter().map(work).collect()),
        other => other,
    }
}

fn among(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

/// While the original tries to reach a server it counts as connected for a moment.
fn server_fields(reply: Reply) -> Reply {
    values(reply, |name, value| match (name, &value) {
        (b"flags", Reply::Bulk(flags)) => {
            let kept: Vec<_> = flags.split(|c| *c == b',').filter(|flag| *flag != b"disconnected").collect();
            Reply::Bulk(kept.join(&b','))
        }
        _ if among(CHANGING, name) => star(),
        _ => value,
    })
}

fn server_lists(reply: Reply) -> Reply {
    sorted(each(reply, server_fields))
}

fn peer_lists(reply: Reply) -> Reply {
    let peer =
        |peer| values(server_fields(peer), |name, value| if among(WHO, name) { star() } else { value });
    sorted(each(reply, peer))
}

/// Forty digits.
fn an_identity(reply: Reply) -> Reply {
    match &reply {
        Reply::Bulk(id) if id.len() == 40 && id.iter().all(u8::is_ascii_hexdigit) => star(),
        _ => reply,
    }
}

fn any_number(reply: Reply) -> Reply {
    if matches!(reply, Reply::Int(_)) { Reply::Int(0) } else { reply }
}

/// Only how long it is.
fn digits(reply: Reply) -> Reply {
    match &reply {
        Reply::Bulk(text) if text.iter().all(u8::is_ascii_hexdigit) => Reply::Int(text.len() as i64),
        _ => reply,
    }
}

/// Groups and servers by turns: ages, and that there is a text.
fn cached_infos(reply: Reply) -> Reply {
    let server = |server: Reply| match server.items() {
        [Reply::Int(_), Reply::Bulk(text)] if text.starts_with(b"# Server") => star(),
        _ => server,
    };
    each(reply, |group| each(group, server))
}

/// The line of the connection that asks; others are not the same on both sides.
fn own_connection(reply: Reply) -> Reply {
    let pick = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let mine =
            text.lines().filter(|line| line.contains("cmd=client|list") || line.contains("cmd=client|info"));
        mine.map(|line| connection(line) + "\n").collect::<String>().into_bytes()
    };
    match reply {
        Reply::Bulk(text) => Reply::Bulk(pick(&text)),
        Reply::Verbatim(text) => Reply::Verbatim(pick(text.strip_prefix(b"txt:").unwrap_or(&text))),
        other => other,
    }
}

fn connection(line: &str) -> String {
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) if CONNECTION.contains(&name) => format!("{name}=*"),
        _ => field.to_owned(),
    };
    line.split(' ').map(field).collect::<Vec<_>>().join(" ")
}

fn hello(reply: Reply) -> Reply {
    values(reply, |name, value| if name == b"id" { star() } else { value })
}

fn denials(reply: Reply) -> Reply {
    let entry = |entry| {
        values(entry, |name, value| match (name, &value) {
            (b"age-seconds", Reply::Double(_)) => Reply::Double(b"*".to_vec()),
            (b"age-seconds", _) => star(),
            (b"client-info", Reply::Bulk(text)) => {
                Reply::Bulk(connection(&String::from_utf8_lossy(text)).into_bytes())
            }
            _ => value,
        })
    };
    each(reply, entry)
}

/// The rules for commands come in the order of a hash.
fn rights(reply: Reply) -> Reply {
    let text = |text: Vec<u8>| {
        let mut rules: Vec<_> = text.split(|c| *c == b' ').map(<[u8]>::to_vec).collect();
        let mut sorted: Vec<_> = rules.iter().filter(|rule| is_command_rule(rule)).cloned().collect();
        sorted.sort();
        let mut sorted = sorted.into_iter();
        rules
            .iter_mut()
            .filter(|rule| is_command_rule(rule))
            .for_each(|rule| *rule = sorted.next().unwrap_or_default());
        Reply::Bulk(rules.join(&b' '))
    };
    match reply {
        Reply::Bulk(rules) => text(rules),
        Reply::Array(items) => Reply::Array(items.into_iter().map(rights).collect()),
        Reply::Map(pairs) => Reply::Map(pairs.into_iter().map(|(key, value)| (key, rights(value))).collect()),
        other => other,
    }
}

fn is_command_rule(rule: &[u8]) -> bool {
    rule.len() > 1 && (rule[0] == b'+' || rule[0] == b'-')
}

fn sorted(reply: Reply) -> Reply {
    match reply {
        Reply::Array(mut items) => {
            items.sort();
            Reply::Array(items)
        }
        other => other,
    }
}

/// Names and what belongs to them; within, the same for subcommands.
fn sorted_pairs(reply: Reply) -> Reply {
    let inner =
        |doc| values(doc, |name, value| if name == b"subcommands" { sorted_pairs(value) } else { value });
    match reply {
        Reply::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(name, doc)| (name, inner(doc))).collect();
            pairs.sort();
            Reply::Map(pairs)
        }
        Reply::Array(items) => {
            let mut pairs: Vec<_> =
                items.chunks_exact(2).map(|pair| [pair[0].clone(), inner(pair[1].clone())]).collect();
            pairs.sort();
            Reply::Array(pairs.into_iter().flatten().collect())
        }
        other => other,
    }
}

/// The last part of a description are the subcommands.
fn sorted_descriptions(reply: Reply) -> Reply {
    let one = |description: Reply| match description {
        Reply::Array(mut parts) if parts.len() == 10 => {
            let subcommands = parts.pop().map(sorted_descriptions);
            parts.extend(subcommands);
            Reply::Array(parts)
        }
        other => other,
    };
    sorted(each(reply, one))
}

/// Of the server the names of the fields; of the sentinel everything but how many scripts run at this moment.
fn info(reply: Reply) -> Reply {
    let Reply::Bulk(text) = &reply else { return reply };
    let text = String::from_utf8_lossy(text);
    let (mut kept, mut masters, mut section) = (String::new(), Vec::new(), "");
    for line in text.split_inclusive("\r\n") {
        if line == "\r\n" {
            // The masters come in the order of a hash.
            masters.sort();
            kept.extend(masters.drain(..));
        }
        if let Some(name) = line.strip_prefix("# ") {
            section = name.trim_end();
        }
        match line.split_once(':') {
            Some((name @ ("sentinel_running_scripts" | "sentinel_scripts_queue_length"), _)) => {
                kept += &format!("{name}:*\r\n");
            }
            Some((name, master)) if name.starts_with("master") => masters.push(format!("master*:{master}")),
            Some((name, _)) if !["Sentinel", "Consul"].contains(&section) => kept += &format!("{name}:*\r\n"),
            _ => kept += line,
        }
    }
    masters.sort();
    kept.extend(masters);
    Reply::Bulk(kept.into_bytes())
}
