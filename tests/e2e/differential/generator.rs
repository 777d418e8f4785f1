//! Command lines by chance: made of a grammar, then damaged.

use super::wire::{Words, words};

/// A generator of numbers that a seed repeats.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number: SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Each line is a command; a word in angle brackets is one of those in [`CHOICES`], one that ends with `?` may be
/// missing, and one that ends with `+` may come several times.
const GRAMMAR: &[&str] = &[
    "PING <any>?",
    "ROLE <any>?",
    "HELLO <version>? <hello>+",
    "AUTH <user>? <pass>",
    "INFO <section>+",
    "SUBSCRIBE <channel>+",
    "PSUBSCRIBE <channel>+",
    "UNSUBSCRIBE <channel>+",
    "PUNSUBSCRIBE <channel>+",
    "PUBLISH <channel> <any>",
    "SHUTDOWN ABORT <any>?",
    "CLIENT <client> <any>?",
    "CLIENT LIST <list> <number>+",
    "CLIENT KILL <kill>+",
    "CLIENT SETNAME <any>",
    "CLIENT NO-EVICT <switch>",
    "CLIENT TRACKING <switch> <track>+",
    "CLIENT CACHING <switch>",
    "CLIENT UNBLOCK <number> <any>?",
    "CLIENT REPLY <any>",
    "COMMAND <command> <name>+",
    "COMMAND LIST FILTERBY <filter> <name>",
    "ACL <acl> <any>?",
    "ACL CAT <category>?",
    "ACL SETUSER <made> <rule>+",
    "ACL GETUSER <made>",
    "ACL DELUSER <made>+",
    "ACL DRYRUN <made> <name> <any>+",
    "ACL GENPASS <number>?",
    "ACL LOG <number>?",
    "ACL LIST",
    "SENTINEL <sentinel> <group>?",
    "SENTINEL <sentinel> <group> <any>+",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR <host> <number> <number> *",
    "SENTINEL MONITOR <group> <host> <number> <number>",
    "SENTINEL SET <group> <setting> <value>",
    "SENTINEL CONFIG GET <pattern>",
    "SENTINEL CONFIG SET <pattern> <value>",
    "SENTINEL DEBUG <period> <bad>",
    "<name> <any>+",
];

/// What a word in angle brackets may be.
const CHOICES: &[(&str, &str)] = &[
    (
        "any",
        "a \"\" x 0 1 -1 on off yes no help \"\\xff\" \"a b\" \"a\\r\\nb\" default mymaster * ping 00 1.5 \"\\x01\"",
    ),
    ("version", "2 3 1 4 x 03 -1"),
    ("hello", "AUTH SETNAME default nobody a x \"a b\" \"\\xff\""),
    ("user", "default nobody \"\" \"\\xff\""),
    ("pass", "x p q \"\" \"\\xff\" \"a b\""),
    ("section", "server clients cpu stats sentinel all everything default modules memory x \"\""),
    ("channel", "a b +sdown * +s* \"\" \"\\xff\" [a-c]? __sentinel__:hello"),
    ("client", "ID GETNAME INFO LIST HELP FOO GETREDIR TRACKINGINFO UNPAUSE no-touch \"\""),
    ("list", "TYPE ID FOO type"),
    ("kill", "TYPE x ID 99999999 0 ADDR 127.0.0.1:1 LADDR USER nobody MAXAGE replica SKIPME yes"),
    ("number", "0 1 2 -1 99999999 x 9223372036854775807 9223372036854775808 007 +1 \"\" \"1 \""),
    ("switch", "on off yes no x \"\" ON"),
    ("track", "BCAST OPTIN OPTOUT NOLOOP PREFIX a ab b REDIRECT 99999999 x"),
    ("command", "INFO DOCS GETKEYS GETKEYSANDFLAGS LIST COUNT HELP FOO"),
    ("filter", "ACLCAT PATTERN MODULE FOO aclcat"),
    (
        "name",
        "ping PING client client|list sentinel|masters acl|cat foo get \"\" cli* *|list admin slow hash sentinel subscribe info [a-c]* auth",
    ),
    ("acl", "WHOAMI USERS LIST CAT HELP FOO LOAD SAVE LOG GENPASS"),
    ("category", "admin SLOW fast dangerous connection pubsub hash blocking keyspace x \"\""),
    ("made", "u1 u2 u3 nobody"),
    (
        "rule",
        "on off nopass resetpass reset >p >q <p <q +@all -@all +@admin -@admin +@slow -@slow +@fast -@fast +@connection \
         -@connection +@pubsub -@pubsub +@dangerous -@dangerous +@hash -@hash +ping -ping +client -client +client|list \
         -client|list +client|id +sentinel -sentinel +sentinel|masters -sentinel|masters +acl|whoami -acl -command|docs \
         +ping|x +info|y +foo -foo +@foo ~a ~b* %R~c %W~c %RW~d allkeys resetkeys &a &b* allchannels resetchannels \
         (+ping) (+@admin &x) (+foo) ( (+info ) clearselectors sanitize-payload skip-sanitize-payload x \"\" \"\\xff\" \
         #abc +subscribe +psubscribe +publish -hello allcommands nocommands &* ~* +@read -@write",
    ),
    (
        "sentinel",
        "MASTERS MASTER REPLICAS SLAVES SENTINELS MYID GET-MASTER-ADDR-BY-NAME CKQUORUM PENDING-SCRIPTS INFO-CACHE HELP FOO \
         FLUSHCONFIG masters \"\"",
    ),
    ("group", "mymaster none MYMASTER \"\" \"\\xff\" mymaster"),
    ("host", "127.0.0.1 ::1 nowhere 999.1.1.1 \"\" localhost \"\\xff\""),
    (
        "setting",
        "quorum parallel-syncs foo notification-script client-reconfig-script master-reboot-down-after-period QUORUM \"\" \
         \"\\xff\" failover-timeout",
    ),
    ("value", "0 -1 x \"\" 2 02 \"\\xff\" yes"),
    ("pattern", "* announce-* foo \"\" resolve-hostnames announce-hostnames [ \"\\xff\" RESOLVE*"),
    ("period", "info-period ping-period foo \"\" tilt-trigger script-max-runtime \"\\xff\""),
    ("bad", "0 -1 x \"\" \"\\xff\""),
];

fn choice(name: &str, chance: &mut Chance) -> Vec<u8> {
    let (_, all) = CHOICES.iter().find(|(known, _)| *known == name).expect("the grammar names it");
    let all = words(all);
    all[chance.below(all.len())].clone()
}

/// A command.
pub(super) fn command(chance: &mut Chance) -> Words {
    loop {
        let mut made = Words::new();
        for word in chance.pick(GRAMMAR).split(' ') {
            let Some(inner) = word.strip_prefix('<') else {
                made.push(word.into());
                continue;
            };
            let name = inner.split('>').next().unwrap_or_default();
            let times = match inner.chars().last() {
                Some('?') => chance.below(2),
                Some('+') => chance.below(4),
                _ => 1,
            };
            (0..times).for_each(|_| made.push(choice(name, chance)));
        }
        if chance.below(3) == 0 {
            damage(&mut made, chance);
        }
        if !is_dangerous(&made) {
            return made;
        }
    }
}

/// Changes one thing.
fn damage(made: &mut Words, chance: &mut Chance) {
    let at = chance.below(made.len());
    match chance.below(7) {
        0 => drop(made.remove(at)),
        1 => made.insert(at, choice("any", chance)),
        2 => made[at] = choice("any", chance),
        3 => made[at] = made[at].to_ascii_uppercase(),
        4 => made[at].push(chance.next() as u8 | 1),
        5 => {
            let (other, length) = (chance.below(made.len()), [129, 300, 5000][chance.below(3)]);
            made[other] = vec![b'y'; length];
        }
        _ => {
            let other = chance.below(made.len());
            made.swap(at, other);
        }
    }
    if made.is_empty() {
        made.push(b"PING".to_vec());
    }
}

/// What would end a sentinel, its connections, or what it watches.
fn is_dangerous(made: &Words) -> bool {
    let lower: Vec<_> = made.iter().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let lower: Vec<_> = lower.iter().map(String::as_str).collect();
    let number = |word: Option<&&str>| word.and_then(|word| word.parse::<i64>().ok());
    match lower.as_slice() {
        ["shutdown", rest @ ..] => !rest.contains(&"abort"),
        ["sentinel", "reset" | "remove" | "failover" | "simulate-failure", ..] => true,
        ["quit" | "reset", ..] => true,
        ["sentinel", "monitor", _, ..] => made[2] != b"mymaster",
        ["sentinel", "is-master-down-by-addr", _, _, _, candidate, ..] => *candidate != "*",
        ["sentinel", "set", ..] => {
            // With several options the original applies those before a wrong one.
            lower.len() > 5
                || lower.iter().any(|word| ["auth-pass", "auth-user", "rename-command"].contains(word))
        }
        ["sentinel", "config", "set", name, ..] => {
            // Those that change with whom it speaks.
            ["resolve-hostnames", "announce-ip", "announce-port", "sentinel-user", "sentinel-pass"]
                .contains(name)
        }
        ["sentinel", "debug", _, rest @ ..] => {
            rest.iter().any(|word| number(Some(word)).is_some_and(|n| n > 0))
        }
        ["acl", "setuser", name, ..] => *name == "default",
        ["client", "pause", ..] => true,
        ["client", "kill", rest @ ..] => !rest.contains(&"99999999") && !rest.contains(&"127.0.0.1:1"),
        ["client", "reply", ..] => true,
        ["publish", "__sentinel__:hello", ..] => true,
        // A line of the configuration without quotes would not be read again.
        _ => false,
    }
}
