//! What a server says to ROLE.

use consentinel_core::Role;
use consentinel_resolver::shared::{self as resp, Malformed, ToldRole, parse};
use std::io;

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The role.
    Role(Role),
    /// It cannot be used at the moment: it is loading its data, for one.
    NotNow(String),
    /// It does not tell: it wants a password first, or does not know the command.
    NotTold,
}

/// The longest reply that is read: a master names its replicas in it.
const LONGEST: usize = 256 << 10;

/// A reply, as it comes.
#[derive(Debug, Default)]
pub(super) struct Reply(Vec<u8>);

impl Reply {
    /// Takes in what has come, and says what it means once all is there. Nothing may come behind it: nobody has asked for
    /// more.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<Option<Said>> {
        self.0.extend_from_slice(bytes);
        match parse(&self.0, LONGEST).map_err(bad)? {
            None => Ok(None),
            Some((_, length)) if length < self.0.len() => Err(bad(Malformed::Unasked)),
            Some((reply, _)) => Ok(Some(meaning(&reply))),
        }
    }
}

fn meaning(reply: &resp::Reply) -> Said {
    if let Some(code) = reply.error_code() {
        let text = reply.to_string();
        return match code {
            "LOADING" | "MASTERDOWN" | "BUSY" => Said::NotNow(text),
            "ERR" if text.contains("max number of clients") => Said::NotNow(text),
            _ => Said::NotTold,
        };
    }
    match reply.items().first().and_then(resp::Reply::text).and_then(ToldRole::parse) {
        Some(ToldRole::Master) => Said::Role(Role::Master),
        Some(ToldRole::Replica) => Said::Role(Role::Replica),
        Some(ToldRole::Sentinel) | None => Said::NotTold,
    }
}

fn bad(what: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no reply of Redis: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str =
        "*3\r\n$6\r\nmaster\r\n:100\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n$3\r\n100\r\n";
    const REPLICA: &str = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:5\r\n";

    #[test]
    fn a_reply_may_come_in_any_pieces_and_is_taken_as_a_whole() {
        for (text, role) in [(MASTER, Role::Master), (REPLICA, Role::Replica)] {
            for cut in 0..text.len() {
                let mut reply = Reply::default();
                let (head, tail) = text.as_bytes().split_at(cut);
                assert!(matches!(reply.take(head), Ok(None)), "{cut}");
                assert!(matches!(reply.take(tail), Ok(Some(Said::Role(it))) if it == role), "{cut}");
            }
        }
    }

    #[test]
    fn an_error_says_whether_it_is_of_use_later() {
        let said = |text: &str| Reply::default().take(text.as_bytes()).expect("a reply").expect("all of it");
        assert_eq!(said("-NOAUTH Authentication required.\r\n"), Said::NotTold);
        assert_eq!(said("-NOPERM no\r\n"), Said::NotTold);
        assert_eq!(said("-ERR unknown command 'ROLE'\r\n"), Said::NotTold);
        assert!(matches!(said("-LOADING Redis is loading\r\n"), Said::NotNow(_)));
        assert!(matches!(said("-ERR max number of clients reached\r\n"), Said::NotNow(_)));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for text in ["HTTP/1.1 400 Bad Request\r\n", "*x\r\n", "\r\n", "$99999999999\r\n", "+OK\r\n+OK\r\n"] {
            assert!(Reply::default().take(text.as_bytes()).is_err(), "{text}");
        }
        let mut reply = Reply::default();
        assert!((0..9).any(|_| reply.take(&[b'+'; 64 << 10]).is_err()), "there is an end to it");
    }
}
