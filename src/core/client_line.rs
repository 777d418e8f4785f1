//! CLIENT LIST as structs: who is connected to a server, and what it did last.

use serde::{Deserialize, Serialize};

/// A client of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientLine {
    /// Its number on that server.
    pub id: u64,
    /// Whether it is another sentinel, by the name that it gave itself.
    pub sentinel: bool,
    /// Whether it is an ordinary client: no replica, no master, no subscriber, no monitor.
    pub normal: bool,
    /// What its last command was good for.
    pub last: LastCommand,
}

/// What a command does, as far as it matters on a server that was made a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastCommand {
    /// It reads: a replica answers it.
    Reads,
    /// It belongs to the connection, or there was none yet.
    Neutral,
    /// It may write.
    Writes,
}

impl ClientLine {
    /// Reads the reply to CLIENT LIST. Lines without a number are passed over.
    ///
    /// ```
    /// use consentinel_core::{ClientLine, LastCommand};
    /// let all = ClientLine::parse("id=7 addr=127.0.0.1:5 name= age=2 flags=N sub=0 cmd=get user=default\n");
    /// assert_eq!((all[0].id, all[0].last), (7, LastCommand::Reads));
    /// ```
    pub fn parse(text: &str) -> Vec<ClientLine> {
        text.lines().filter_map(ClientLine::of).collect()
    }

    fn of(line: &str) -> Option<ClientLine> {
        let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let flags = field("flags").unwrap_or_default();
        Some(ClientLine {
            id: field("id")?.parse().ok()?,
            sentinel: field("name").is_some_and(|name| name.starts_with("sentinel-")),
            normal: !flags.contains(['S', 'M', 'P', 'O']),
            last: LastCommand::of(field("cmd").unwrap_or_default()),
        })
    }
}

impl LastCommand {
    fn of(word: &str) -> LastCommand {
        let word = word.to_ascii_lowercase();
        // A container's subcommand follows a bar in newer servers: `client|setname`.
        let (name, rest) = word.split_once('|').unwrap_or((&word, ""));
        if NEUTRAL.contains(&name) || matches!((name, rest), ("config", "get")) {
            LastCommand::Neutral
        } else if READS.contains(&name) {
            LastCommand::Reads
        } else {
            LastCommand::Writes
        }
    }
}

const NEUTRAL: &[&str] = &[
    "",
    "null",
    "ping",
    "echo",
    "auth",
    "hello",
    "select",
    "client",
    "command",
    "info",
    "role",
    "time",
    "quit",
    "reset",
    "readonly",
    "readwrite",
    "wait",
    "lastsave",
    "sentinel",
    "multi",
    "discard",
    "unwatch",
];

/// The commands that Redis 7 and Valkey 8 flag as `readonly`.
const READS: &[&str] = &[
    "bitcount",
    "bitfield_ro",
    "bitpos",
    "dbsize",
    "dump",
    "eval_ro",
    "evalsha_ro",
    "exists",
    "expiretime",
    "fcall_ro",
    "geodist",
    "geohash",
    "geopos",
    "georadius_ro",
    "georadiusbymember_ro",
    "geosearch",
    "get",
    "getbit",
    "getrange",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hrandfield",
    "hscan",
    "hstrlen",
    "hvals",
    "keys",
    "lcs",
    "lindex",
    "llen",
    "lolwut",
    "lpos",
    "lrange",
    "memory",
    "mget",
    "object",
    "pexpiretime",
    "pfcount",
    "pttl",
    "randomkey",
    "scan",
    "scard",
    "sdiff",
    "sinter",
    "sintercard",
    "sismember",
    "smembers",
    "smismember",
    "sort_ro",
    "srandmember",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "touch",
    "ttl",
    "type",
    "xinfo",
    "xlen",
    "xpending",
    "xrange",
    "xread",
    "xrevrange",
    "zcard",
    "zcount",
    "zdiff",
    "zinter",
    "zintercard",
    "zlexcount",
    "zmscore",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrank",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_what_they_did_last() {
        let text = "id=3 name=sentinel-0123abcd-cmd flags=N cmd=ping\r\nid=4 name= flags=S cmd=replconf\r\n\
                    id=5 name=app flags=N cmd=set\r\nid=6 flags=P cmd=subscribe\r\nid=7 flags=N cmd=client|setinfo\r\n\
                    id=8 flags=N cmd=NULL\r\nno=line\r\n";
        let all = ClientLine::parse(text);
        assert_eq!(all.iter().map(|line| line.id).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        assert_eq!(
            all.iter().map(|line| line.normal).collect::<Vec<_>>(),
            [true, false, true, false, true, true]
        );
        assert!(all[0].sentinel && !all[2].sentinel);
        assert_eq!(all[2].last, LastCommand::Writes);
        assert_eq!((all[4].last, all[5].last), (LastCommand::Neutral, LastCommand::Neutral));
    }
}
