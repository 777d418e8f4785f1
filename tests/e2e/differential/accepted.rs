//! Where the two answer differently, and it is meant. The same list, with the reasons, stands in
//! docs/compatibility.md.

use super::wire::{Reply, Words};

/// A difference that is meant.
pub(super) struct Accepted {
    /// The first column of its row in the document.
    pub(super) what: &'static str,
    /// Whether it explains these two answers, the original's first.
    pub(super) explains: fn(&Words, &[Reply], &[Reply]) -> bool,
}

/// All of them.
pub(super) const ACCEPTED: &[Accepted] = &[
    Accepted { what: "commands of newer servers and of our own", explains: is_ours },
    Accepted {
        what: "the same in lists of commands",
        explains: |words, theirs, ours| one(lists_more, words, theirs, ours),
    },
    Accepted {
        what: "HELP of SENTINEL",
        explains: |words, theirs, ours| one(helps_more, words, theirs, ours),
    },
    Accepted {
        what: "INFO, its section `Consul` and the field `consentinel_version`",
        explains: |words, theirs, ours| one(informs_of_consul, words, theirs, ours),
    },
    Accepted {
        what: "SENTINEL CONFIG GET of `loglevel`",
        explains: |words, theirs, ours| one(knows_loglevel, words, theirs, ours),
    },
    Accepted {
        what: "SENTINEL CONFIG with several options",
        explains: |words, theirs, ours| one(takes_several, words, theirs, ours),
    },
    Accepted {
        what: "SENTINEL MONITOR and SET, numbers that do not fit",
        explains: |words, theirs, ours| one(refuses_numbers, words, theirs, ours),
    },
    Accepted { what: "CLIENT TRACKING with prefixes that overlap", explains: answers_twice },
    Accepted {
        what: "SENTINEL MONITOR with port 0, or a name with spaces or commas",
        explains: refuses_to_watch,
    },
    Accepted {
        what: "SENTINEL MONITOR of an address in an old spelling: `127.1`, `0`",
        explains: wants_four_numbers,
    },
    Accepted {
        what: "SENTINEL CONFIG SET announce-ip, something that is no host",
        explains: |words, _, ours| is_config(words, "set") && ours[0].is_error("ERR Invalid value"),
    },
    Accepted {
        what: "SENTINEL SET, CONFIG SET, DEBUG with several options, one of them wrong",
        explains: |words, theirs, ours| one(none_is_applied, words, theirs, ours),
    },
    Accepted { what: "words with a zero byte", explains: zero_byte },
];

/// The same for commands that have one answer.
fn one(
    explains: fn(&Words, &Reply, &Reply) -> bool,
    words: &Words,
    theirs: &[Reply],
    ours: &[Reply],
) -> bool {
    matches!((theirs, ours), ([theirs], [ours]) if explains(words, theirs, ours))
}

/// What only we know, as full names.
const OURS: &[&str] = &[
    "quit",
    "reset",
    "client|setinfo",
    "sentinel|consul",
    "sentinel|explain",
    "sentinel|forget",
    "sentinel|get-primary-addr-by-name",
    "sentinel|history",
    "sentinel|is-primary-down-by-addr",
    "sentinel|primaries",
    "sentinel|primary",
    "sentinel|status",
];

fn lower(words: &Words, at: usize) -> String {
    words.get(at).map(|word| String::from_utf8_lossy(word).to_lowercase()).unwrap_or_default()
}

fn is_ours(words: &Words, theirs: &[Reply], _: &[Reply]) -> bool {
    let (first, second) = (lower(words, 0), lower(words, 1));
    let named = |at: usize| {
        let (first, second) = (lower(words, at), lower(words, at + 1));
        OURS.iter().any(|name| **name == first || **name == format!("{first}|{second}"))
    };
    match (first.as_str(), second.as_str()) {
        ("acl", "dryrun") => named(3),
        ("command", "getkeys" | "getkeysandflags") => named(2),
        ("acl", "setuser") => words[2..].iter().any(|rule| {
            let rule = String::from_utf8_lossy(rule).to_lowercase();
            OURS.iter().any(|name| rule.contains(name))
        }),
        _ => theirs.first().is_some_and(|reply| reply.is_error("ERR unknown ")) && named(0),
    }
}

/// Takes out what only we have, wherever it stands.
fn without_ours(reply: &Reply) -> Reply {
    let name = |reply: &Reply| match reply {
        Reply::Bulk(text) => OURS.iter().any(|ours| ours.as_bytes() == text),
        Reply::Array(parts) => {
            matches!(parts.first(), Some(Reply::Bulk(text)) if OURS.iter().any(|ours| ours.as_bytes() == text))
        }
        _ => false,
    };
    match reply {
        Reply::Map(pairs) => Reply::Map(
            pairs
                .iter()
                .filter(|(key, _)| !name(key))
                .map(|(key, value)| (key.clone(), without_ours(value)))
                .collect(),
        ),
        Reply::Array(items) => {
            let mut kept = Vec::new();
            let mut rest = items.iter().peekable();
            let mut before = None;
            while let Some(item) = rest.next() {
                // An argument of a command may have such a name, too.
                let is_argument = before.and_then(Reply::text) == Some(b"name");
                before = Some(item);
                if name(item) && !is_argument {
                    // In RESP2 what belongs to a name follows it.
                    if matches!(item, Reply::Bulk(_)) && matches!(rest.peek(), Some(Reply::Array(_))) {
                        rest.next();
                    }
                    continue;
                }
                kept.push(without_ours(item));
            }
            Reply::Array(kept)
        }
        Reply::Bulk(text) if text.windows(4).any(|part| part == b"@all") => {
            let ours = |rule: &&[u8]| rule.len() > 1 && OURS.iter().any(|name| name.as_bytes() == &rule[1..]);
            let kept: Vec<_> = text.split(|c| *c == b' ').filter(|rule| !ours(rule)).collect();
            Reply::Bulk(kept.join(&b' '))
        }
        other => other.clone(),
    }
}

fn lists_more(words: &Words, theirs: &Reply, ours: &Reply) -> bool {
    let lists = ["command", "acl"].contains(&lower(words, 0).as_str());
    let asked_for_ours =
        words.iter().any(|word| OURS.iter().any(|name| name.as_bytes() == word.to_ascii_lowercase()));
    lists && (*theirs == without_ours(ours) || asked_for_ours)
}

fn helps_more(words: &Words, theirs: &Reply, ours: &Reply) -> bool {
    let help = lower(words, 0) == "sentinel" && lower(words, 1) == "help";
    help && theirs.items().iter().all(|line| ours.items().contains(line))
}

fn informs_of_consul(words: &Words, theirs: &Reply, ours: &Reply) -> bool {
    let (Some(theirs), Some(ours)) = (theirs.text(), ours.text()) else { return false };
    let (theirs, ours) = (String::from_utf8_lossy(theirs), String::from_utf8_lossy(ours));
    let ours = ours.replace("consentinel_version:*\r\n", "").replace("consul_enabled:0\r\n", "");
    lower(words, 0) == "info" && ours.replace("\r\n# Consul\r\n", "").replace("# Consul\r\n", "") == theirs
}

fn is_config(words: &Words, what: &str) -> bool {
    lower(words, 0) == "sentinel" && lower(words, 1) == "config" && lower(words, 2) == what
}

fn knows_loglevel(words: &Words, theirs: &Reply, ours: &Reply) -> bool {
    let without: Reply = match ours {
        Reply::Map(pairs) => {
            Reply::Map(pairs.iter().filter(|(name, _)| name.text() != Some(b"loglevel")).cloned().collect())
        }
        Reply::Array(items) => {
            let pairs = items.chunks_exact(2).filter(|pair| pair[0].text() != Some(b"loglevel"));
            Reply::Array(pairs.flatten().cloned().collect())
        }
        other => other.clone(),
    };
    let named = is_config(words, "set") && lower(words, 3) == "loglevel";
    named || (is_config(words, "get") && without == *theirs)
}

fn takes_several(words: &Words, theirs: &Reply, _: &Reply) -> bool {
    let several =
        (is_config(words, "get") && words.len() > 4) || (is_config(words, "set") && words.len() > 5);
    several && theirs.is_error("ERR Only SENTINEL CONFIG")
}

fn refuses_numbers(words: &Words, _: &Reply, ours: &Reply) -> bool {
    let command = (lower(words, 0), lower(words, 1));
    let command = (command.0.as_str(), command.1.as_str());
    match command {
        ("sentinel", "monitor") => ours.is_error("ERR Invalid quorum") || ours.is_error("ERR Quorum"),
        ("sentinel", "set") => {
            let huge = |word: &Vec<u8>| word.len() > 9 && word.iter().all(u8::is_ascii_digit);
            ours.is_error("ERR Invalid argument") && words.iter().any(huge)
        }
        _ => false,
    }
}

fn answers_twice(words: &Words, theirs: &[Reply], ours: &[Reply]) -> bool {
    let tracking = lower(words, 0) == "client" && lower(words, 1) == "tracking";
    tracking && theirs.len() == 2 && theirs.first() == ours.first()
}

/// The lists have masters `x` and `a b` for this.
fn refuses_to_watch(words: &Words, _: &[Reply], ours: &[Reply]) -> bool {
    let odd = words.get(2).is_some_and(|name| name == b"x" || name == b"a b");
    match lower(words, 1).as_str() {
        "monitor" => ours[0].is_error("ERR Invalid port") || ours[0].is_error("ERR Invalid master name"),
        "remove" => odd && ours[0].is_error("ERR No such master"),
        _ => false,
    }
}

fn wants_four_numbers(words: &Words, _: &[Reply], ours: &[Reply]) -> bool {
    let old =
        words.get(3).is_some_and(|host| host.iter().all(|c| c.is_ascii_hexdigit() || b".xX".contains(c)));
    lower(words, 1) == "monitor" && old && ours[0].is_error("ERR Invalid IP address")
}

/// The list has `SENTINEL SET mymaster parallel-syncs 3 foo bar`, where one was before.
fn none_is_applied(words: &Words, theirs: &Reply, ours: &Reply) -> bool {
    let is = |value: &[u8]| {
        let value = Reply::Bulk(value.to_vec());
        move |(a, b): (&Reply, &Reply)| a.text() == Some(b"parallel-syncs") && *b == value
    };
    let (a, b) = (theirs.parts(), ours.parts());
    let changed =
        a.iter().zip(a.iter().skip(1)).any(is(b"3")) && b.iter().zip(b.iter().skip(1)).any(is(b"1"));
    lower(words, 1) == "master" && changed
}

/// The original reads many words as far as their first zero byte.
fn zero_byte(words: &Words, _: &[Reply], _: &[Reply]) -> bool {
    words.iter().any(|word| word.contains(&0))
}
