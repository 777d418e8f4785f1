//! The core's commands as words, and what servers and peers answer to them.

use crate::net::bounds::{self, Limits};
use crate::net::wire::{Frame, write_command};
use bytes::BytesMut;
use consentinel_core::{ClientLine, Command, Endpoint, Epoch, HELLO_CHANNEL, Info, Reply, SentinelId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is awaited after a command was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Done or not done.
    Done,
    /// A sign of life.
    Pong,
    /// INFO.
    Info,
    /// An opinion and a vote.
    Down,
    /// Who a sentinel is.
    Id,
    /// Where the master is for it.
    Address,
    /// By which epoch.
    Epoch,
    /// Who is connected.
    Clients,
    /// This many frames more, then the last one.
    Last(u32),
    /// This many frames more, then that of EXEC.
    Exec(u8),
}

/// Writes a command, with the names that this server uses, and says what to wait for.
pub(crate) fn encode(command: &Command, renames: &BTreeMap<String, String>, out: &mut BytesMut) -> Awaited {
    let mut put = |words: &[&str]| write(words, renames, out);
    match command {
        Command::Auth(credentials) => {
            let pass = credentials.pass.as_ref().map_or("", |pass| pass.reveal());
            match &credentials.user {
                Some(user) => put(&["AUTH", user, pass]),
                None => put(&["AUTH", pass]),
            }
        }
        Command::SetName(name) => put(&["CLIENT", "SETNAME", name]),
        Command::Ping => {
            put(&["PING"]);
            return Awaited::Pong;
        }
        Command::Info => {
            put(&["INFO"]);
            return Awaited::Info;
        }
        Command::Subscribe => put(&["SUBSCRIBE", HELLO_CHANNEL]),
        Command::Publish(hello) => put(&["PUBLISH", HELLO_CHANNEL, &hello.to_string()]),
        Command::ReplicaOf(master) => {
            put(&["MULTI"]);
            replica_of(master.as_ref(), &mut put);
            // The original rewrites the file first. Its disk may take long, and clients need not wait for it.
            cut_clients(&mut put);
            put(&["CONFIG", "REWRITE"]);
            put(&["EXEC"]);
            return Awaited::Exec(5);
        }
        Command::Demote(master) => {
            put(&["MULTI"]);
            replica_of(Some(master), &mut put);
            put(&["CLIENT", "UNPAUSE"]);
            put(&["EXEC"]);
            return Awaited::Exec(3);
        }
        Command::CutClients => {
            cut_clients(&mut put);
            return Awaited::Last(1);
        }
        Command::RewriteConfig => put(&["CONFIG", "REWRITE"]),
        Command::ReplicaOfPlain(master) => replica_of(master.as_ref(), &mut put),
        Command::ScriptKill => put(&["SCRIPT", "KILL"]),
        Command::AbortFailover => put(&["FAILOVER", "ABORT"]),
        Command::ListClients => {
            put(&["CLIENT", "LIST"]);
            return Awaited::Clients;
        }
        Command::KillClients(ids) => {
            for id in ids {
                put(&["CLIENT", "KILL", "ID", &id.to_string()]);
            }
            return Awaited::Last((ids.len() as u32).saturating_sub(1));
        }
        Command::KillNormalClients => put(&["CLIENT", "KILL", "TYPE", "normal"]),
        Command::HoldWrites(span) => put(&["CLIENT", "PAUSE", &span.as_millis().to_string(), "WRITE"]),
        Command::LetWritesPass => put(&["CLIENT", "UNPAUSE"]),
        Command::MyId => {
            put(&["SENTINEL", "MYID"]);
            return Awaited::Id;
        }
        Command::MasterAddress(name) => {
            put(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name.as_str()]);
            return Awaited::Address;
        }
        Command::MasterEpoch(name) => {
            put(&["SENTINEL", "MASTER", name.as_str()]);
            return Awaited::Epoch;
        }
        Command::IsMasterDown { master, epoch, candidate } => {
            let (host, port) = (master.host.to_string(), master.port.to_string());
            let candidate = candidate.as_ref().map_or("*", |id| id.as_str());
            put(&["SENTINEL", "is-master-down-by-addr", &host, &port, &epoch.to_string(), candidate]);
            return Awaited::Down;
        }
    }
    Awaited::Done
}

/// Writes words, the first of which this server may know by another name.
pub(crate) fn write(words: &[&str], renames: &BTreeMap<String, String>, out: &mut BytesMut) {
    match renames.get(words[0]) {
        None => write_command(out, words),
        Some(name) => write_command(out, &[&[name.as_str()], &words[1..]].concat()),
    }
}

fn replica_of(master: Option<&Endpoint>, put: &mut impl FnMut(&[&str])) {
    match master {
        Some(master) => put(&["SLAVEOF", &master.host.to_string(), &master.port.to_string()]),
        None => put(&["SLAVEOF", "NO", "ONE"]),
    }
}

fn cut_clients(put: &mut impl FnMut(&[&str])) {
    put(&["CLIENT", "KILL", "TYPE", "normal"]);
    put(&["CLIENT", "KILL", "TYPE", "pubsub"]);
}

/// More lines no INFO has: of 512 replicas, thousands of databases, modules.
const MAX_INFO_LINES: usize = 8192;

/// An INFO that is longer than that is text.
const MAX_MENDED: usize = 256 << 10;

impl Awaited {
    /// How much the answer may measure.
    pub(crate) fn limits(self) -> &'static Limits {
        if self == Awaited::Clients { &bounds::CLIENTS } else { &bounds::REPLY }
    }

    /// Why an answer is not read although it is short enough: reading it would keep everybody else waiting.
    pub(crate) fn refuse(self, frame: &Frame<'_>) -> Option<String> {
        let (Awaited::Info, Frame::Bulk(text)) = (self, frame) else { return None };
        if text.iter().filter(|c| **c == b'\n').count() > MAX_INFO_LINES {
            return Some(format!("an INFO of more than {MAX_INFO_LINES} lines"));
        }
        let is_text = text.len() <= MAX_MENDED || std::str::from_utf8(text).is_ok();
        (!is_text).then(|| format!("an INFO of more than {MAX_MENDED} bytes that is no text"))
    }

    /// Takes in one frame. Gives the reply, or what is still awaited.
    pub(crate) fn take(self, frame: &Frame<'_>) -> Result<Reply, Awaited> {
        Ok(match (self, frame) {
            (Awaited::Exec(more @ 1..), _) => return Err(Awaited::Exec(more - 1)),
            (Awaited::Last(more @ 1..), _) => return Err(Awaited::Last(more - 1)),
            (Awaited::Pong, Frame::Error(text)) => match code(text) {
                b"LOADING" | b"MASTERDOWN" => Reply::Pong,
                b"BUSY" => Reply::Busy,
                _ => Reply::Error(text_of(text)),
            },
            (_, Frame::Error(text)) => Reply::Error(text_of(text)),
            (Awaited::Pong, Frame::Simple(b"PONG")) => Reply::Pong,
            // A subscribed connection wraps it.
            (Awaited::Pong, Frame::Array(items)) if items.first() == Some(&Frame::Bulk(b"pong")) => {
                Reply::Pong
            }
            (Awaited::Info, Frame::Bulk(text)) => {
                // Several kilobytes, and hardly ever anything but ASCII: that is checked much quicker than mended.
                let text =
                    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
                Reply::Info(Arc::new(Info::parse(&text)))
            }
            (Awaited::Clients, Frame::Bulk(text)) => {
                Reply::Clients(ClientLine::parse(&String::from_utf8_lossy(text)))
            }
            (Awaited::Down, Frame::Array(items)) => down(items),
            (Awaited::Id, Frame::Bulk(id)) => {
                SentinelId::parse(&text_of(id)).map_or_else(unexpected, Reply::Id)
            }
            (Awaited::Address, Frame::Null) => Reply::Address(None),
            (Awaited::Address, Frame::Array(items)) => address(items),
            (Awaited::Epoch, Frame::Array(items)) => config_epoch(items),
            (Awaited::Exec(_), Frame::Array(items)) => match items.first() {
                // A server that follows that master already adds so.
                Some(Frame::Simple(text)) if code(text) == b"OK" => Reply::Ok,
                Some(Frame::Error(text)) => Reply::Error(text_of(text)),
                _ => unexpected(),
            },
            (Awaited::Exec(_), Frame::Null) => Reply::Error("the transaction was discarded".into()),
            (Awaited::Done | Awaited::Last(_), _) => Reply::Ok,
            _ => unexpected(),
        })
    }
}

fn down(items: &[Frame<'_>]) -> Reply {
    match items {
        [Frame::Integer(down), Frame::Bulk(leader), Frame::Integer(epoch), ..] => {
            let leader = SentinelId::parse(&text_of(leader));
            match u64::try_from(*epoch).map(Epoch) {
                Ok(epoch) if epoch <= Epoch::MAX => Reply::Down { down: *down != 0, leader, epoch },
                _ => unexpected(),
            }
        }
        _ => unexpected(),
    }
}

fn address(items: &[Frame<'_>]) -> Reply {
    match items {
        [] => Reply::Address(None),
        [Frame::Bulk(host), Frame::Bulk(port)] => match Endpoint::parse(&text_of(host), &text_of(port)) {
            Ok(address) => Reply::Address(Some(address)),
            Err(_) => unexpected(),
        },
        _ => unexpected(),
    }
}

/// The epoch among the fields of SENTINEL MASTER.
fn config_epoch(items: &[Frame<'_>]) -> Reply {
    let value = items.chunks_exact(2).find(|pair| pair[0] == Frame::Bulk(b"config-epoch"));
    match value.map(|pair| &pair[1]) {
        Some(Frame::Bulk(text)) => match text_of(text).parse().map(Epoch) {
            Ok(epoch) if epoch <= Epoch::MAX => Reply::Epoch(epoch),
            _ => unexpected(),
        },
        _ => unexpected(),
    }
}

fn code(text: &[u8]) -> &[u8] {
    text.split(|c| *c == b' ').next().unwrap_or_default()
}

fn unexpected() -> Reply {
    Reply::Error("the answer is of an unexpected kind".into())
}

/// Text for a log line or an error: of bounded length, in one line.
fn text_of(text: &[u8]) -> String {
    const MAX: usize = 512;
    String::from_utf8_lossy(&text[..text.len().min(MAX)]).replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::wire;

    fn sent(command: &Command, renames: &[(&str, &str)]) -> (String, Awaited) {
        let renames = renames.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let mut out = BytesMut::new();
        let awaited = encode(command, &renames, &mut out);
        let mut text = String::new();
        while let Some((words, end)) = wire::command(&out, false).expect("well formed") {
            let words: Vec<_> = words.iter().map(|word| word.to_string()).collect();
            text += &format!("{}\n", words.join(" "));
            let _ = out.split_to(end);
        }
        (text, awaited)
    }

    fn replies(awaited: Awaited, mut bytes: &[u8]) -> Reply {
        let mut awaited = awaited;
        loop {
            let (frame, end) = wire::reply(bytes).expect("well formed").expect("complete");
            match awaited.take(&frame) {
                Ok(reply) => return reply,
                Err(still) => awaited = still,
            }
            bytes = &bytes[end..];
        }
    }

    #[test]
    fn following_a_master_is_one_transaction() {
        let master = Endpoint::parse("10.0.0.1", "6379").expect("an address");
        let (text, awaited) = sent(&Command::ReplicaOf(Some(master)), &[("CONFIG", "geheim")]);
        assert_eq!(
            text,
            "MULTI\nSLAVEOF 10.0.0.1 6379\nCLIENT KILL TYPE normal\nCLIENT KILL TYPE pubsub\ngeheim REWRITE\nEXEC\n"
        );
        let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n";
        let done = format!("{queued}*4\r\n+OK\r\n:0\r\n:0\r\n-ERR no config\r\n");
        assert!(matches!(replies(awaited, done.as_bytes()), Reply::Ok));
        let already = done.replacen("*4\r\n+OK", "*4\r\n+OK Already connected to specified master", 1);
        assert!(matches!(replies(awaited, already.as_bytes()), Reply::Ok));
        let refused = format!("{queued}-EXECABORT Transaction discarded\r\n");
        assert!(
            matches!(replies(awaited, refused.as_bytes()), Reply::Error(text) if text.starts_with("EXECABORT"))
        );
    }

    #[test]
    fn a_held_write_is_answered_before_its_client_is_cut_off() {
        let master = Endpoint::parse("10.0.0.1", "6379").expect("an address");
        let (text, awaited) = sent(&Command::Demote(master), &[]);
        assert_eq!(text, "MULTI\nSLAVEOF 10.0.0.1 6379\nCLIENT UNPAUSE\nEXEC\n");
        let done = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n";
        assert!(matches!(replies(awaited, done.as_bytes()), Reply::Ok));
        let (text, awaited) = sent(&Command::CutClients, &[]);
        assert_eq!(text, "CLIENT KILL TYPE normal\nCLIENT KILL TYPE pubsub\n");
        assert!(matches!(replies(awaited, b":3\r\n:1\r\n"), Reply::Ok));
    }

    #[test]
    fn loading_is_a_sign_of_life_and_busy_is_told_apart() {
        assert!(matches!(replies(Awaited::Pong, b"+PONG\r\n"), Reply::Pong));
        assert!(matches!(replies(Awaited::Pong, b"-LOADING Redis is loading\r\n"), Reply::Pong));
        assert!(matches!(replies(Awaited::Pong, b"-MASTERDOWN Link down\r\n"), Reply::Pong));
        assert!(matches!(replies(Awaited::Pong, b"-BUSY Redis is busy\r\n"), Reply::Busy));
        assert!(matches!(replies(Awaited::Pong, b"-NOAUTH Authentication\r\n"), Reply::Error(_)));
    }

    #[test]
    fn what_a_sentinel_says_of_itself_is_read() {
        let name = consentinel_core::GroupName::new("mymaster");
        let (text, awaited) = sent(&Command::MasterEpoch(name.clone()), &[]);
        assert_eq!((text.as_str(), awaited), ("SENTINEL MASTER mymaster\n", Awaited::Epoch));
        let fields = b"*4\r\n$4\r\nname\r\n$12\r\nconfig-epoch\r\n$12\r\nconfig-epoch\r\n$2\r\n17\r\n";
        assert!(matches!(replies(awaited, fields), Reply::Epoch(Epoch(17))));
        assert!(matches!(replies(awaited, b"-ERR No such master with that name\r\n"), Reply::Error(_)));
        let (_, awaited) = sent(&Command::MasterAddress(name), &[]);
        assert!(matches!(replies(awaited, b"*-1\r\n"), Reply::Address(None)));
        assert!(matches!(
            replies(awaited, b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"),
            Reply::Address(Some(address)) if address == Endpoint::parse("127.0.0.1", "6379").expect("an address")
        ));
        let (_, awaited) = sent(&Command::MyId, &[]);
        let id = format!("$40\r\n{}\r\n", "ab".repeat(20));
        assert!(matches!(replies(awaited, id.as_bytes()), Reply::Id(_)));
        assert!(matches!(replies(awaited, b"$1\r\nx\r\n"), Reply::Error(_)));
    }

    #[test]
    fn a_vote_is_read_and_a_forged_epoch_is_not() {
        let text = format!("*3\r\n:1\r\n$40\r\n{}\r\n:7\r\n", "ab".repeat(20));
        let reply = replies(Awaited::Down, text.as_bytes());
        assert!(matches!(reply, Reply::Down { down: true, leader: Some(_), epoch: Epoch(7) }));
        // A vote for what is no sentinel is none.
        let reply = replies(Awaited::Down, b"*3\r\n:1\r\n$3\r\nabc\r\n:7\r\n");
        assert!(matches!(reply, Reply::Down { down: true, leader: None, epoch: Epoch(7) }));
        let reply = replies(Awaited::Down, b"*3\r\n:0\r\n$1\r\n*\r\n:0\r\n");
        assert!(matches!(reply, Reply::Down { down: false, leader: None, epoch: Epoch(0) }));
        assert!(matches!(replies(Awaited::Down, b"*3\r\n:0\r\n$1\r\n*\r\n:-1\r\n"), Reply::Error(_)));
        assert!(matches!(replies(Awaited::Down, b"+OK\r\n"), Reply::Error(_)));
    }
}
