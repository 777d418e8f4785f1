//! The little of RESP2 that a client needs who asks AUTH, ROLE and the sentinels: commands go out, whole answers come
//! in, and whatever else comes in is an error. Nothing here trusts a length that it was told.

use std::fmt::{self, Debug, Display};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An answer is no longer than this: fifty sentinels, or a master with a thousand replicas.
const MAX_ANSWER: usize = 128 << 10;

/// ROLE has arrays in an array; nothing that is asked for goes deeper than that.
const MAX_DEPTH: usize = 4;

/// A number, with its sign and CRLF.
const MAX_NUMBER: usize = 22;

/// The most that is repeated of what somebody else has said.
const MAX_TEXT: usize = 200;

/// What a server answers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-READONLY …`
    Error(Vec<u8>),
    /// `:1`
    Integer(i64),
    /// `$3`, and the bytes
    Bulk(Vec<u8>),
    /// `$-1`, `*-1`
    Nil,
    /// `*2`, and the items
    Array(Vec<Reply>),
}

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("what it says is no RESP: it begins with byte {0}")]
    Kind(u8),
    #[error("a number of its answer cannot be read")]
    Number,
    #[error("a line of its answer does not end as RESP's lines do")]
    Ending,
    #[error("its answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("its answer has arrays in arrays in arrays")]
    TooDeep,
    #[error("it says more than it was asked")]
    Unasked,
}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}

impl Reply {
    /// The text of a simple string or a bulk string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Reply::Simple(bytes) | Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The items of an array; of anything else none.
    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            _ => &[],
        }
    }

    /// The first word of an error.
    pub(crate) fn error_code(&self) -> Option<&str> {
        match self {
            Reply::Error(bytes) => std::str::from_utf8(bytes.split(|byte| *byte == b' ').next()?).ok(),
            _ => None,
        }
    }
}

/// Whole: whoever repeats it may have to leave words out, and then it is [`shortened`].
impl Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(bytes) | Reply::Error(bytes) | Reply::Bulk(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Nil => f.write_str("nil"),
            Reply::Array(items) => write!(f, "an array of {}", items.len()),
        }
    }
}

impl Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Error(_) => write!(f, "-{}", one_line(&self.to_string())),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
            _ => f.write_str(&one_line(&self.to_string())),
        }
    }
}

/// A text of another program, as far as it belongs into an error or a log line of ours.
pub(crate) fn one_line(text: &str) -> String {
    shortened(text, MAX_TEXT)
}

/// A text of another program, as far as it belongs into one line of ours: at most so many characters.
pub fn shortened(text: &str, most: usize) -> String {
    text.trim().chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A connection over which one asks and waits for the answer.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Wire<S> {
        Wire { stream, buffer: Vec::new() }
    }

    /// Asks several things at once; as many answers come back. An answer that nobody asked for is an error.
    pub(crate) async fn ask(&mut self, commands: &[&[&str]]) -> io::Result<Vec<Reply>> {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| command(words)).collect();
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match (self.read().await, replies.last()) {
                (Ok(reply), _) => replies.push(reply),
                // "max number of clients reached", "protected mode": that is said once, whatever was asked.
                (Err(error), Some(said @ Reply::Error(_)))
                    if error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Err(io::Error::new(error.kind(), format!("{error}, and said: {said}")));
                }
                (Err(error), _) => return Err(error),
            }
        }
        match self.buffer.is_empty() {
            true => Ok(replies),
            false => Err(Malformed::Unasked.into()),
        }
    }

    /// The stream, between two answers.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    async fn read(&mut self) -> io::Result<Reply> {
        // Twice as much must be there before it is looked at again: who sends byte by byte costs no more than others.
        let mut look_at = 0;
        loop {
            if self.buffer.len() >= look_at || self.buffer.ends_with(b"\r\n") {
                if let Some((reply, length)) = parse(&self.buffer)? {
                    self.buffer.drain(..length);
                    return Ok(reply);
                }
                look_at = self.buffer.len() * 2;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection"));
            }
        }
    }
}

/// A command as it is sent.
pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first answer in these bytes and its length; nothing when it is not whole yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    let mut cursor = Cursor { bytes, at: 0 };
    match cursor.reply(MAX_DEPTH)? {
        Some(reply) if cursor.at <= MAX_ANSWER => Ok(Some((reply, cursor.at))),
        Some(_) => Err(Malformed::TooLong),
        None if bytes.len() > MAX_ANSWER => Err(Malformed::TooLong),
        None => Ok(None),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply>, Malformed> {
        let Some(kind) = self.bytes.get(self.at).copied() else { return Ok(None) };
        if !b"+-:$*".contains(&kind) {
            return Err(Malformed::Kind(kind));
        }
        self.at += 1;
        match kind {
            b'+' => Ok(self.line(MAX_ANSWER)?.map(|line| Reply::Simple(line.to_vec()))),
            b'-' => Ok(self.line(MAX_ANSWER)?.map(|line| Reply::Error(line.to_vec()))),
            b':' => Ok(self.number()?.map(Reply::Integer)),
            b'$' => match self.length()? {
                None => Ok(None),
                Some(None) => Ok(Some(Reply::Nil)),
                Some(Some(length)) => Ok(self.bulk(length)?.map(|bytes| Reply::Bulk(bytes.to_vec()))),
            },
            _ => match self.length()? {
                None => Ok(None),
                Some(None) => Ok(Some(Reply::Nil)),
                Some(Some(_)) if depth == 0 => Err(Malformed::TooDeep),
                Some(Some(count)) => self.array(count, depth - 1),
            },
        }
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Option<Reply>, Malformed> {
        // No room is made for items that are only promised.
        let mut items = Vec::new();
        for _ in 0..count {
            match self.reply(depth)? {
                Some(item) => items.push(item),
                None => return Ok(None),
            }
        }
        Ok(Some(Reply::Array(items)))
    }

    fn bulk(&mut self, length: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(rest) = self.bytes.get(self.at..) else { return Ok(None) };
        let (Some(bytes), Some(ending)) = (rest.get(..length), rest.get(length..length + 2)) else {
            return Ok(None);
        };
        if ending != b"\r\n" {
            return Err(Malformed::Ending);
        }
        self.at += length + 2;
        Ok(Some(bytes))
    }

    /// A length; `Some(None)` is that of nil.
    fn length(&mut self) -> Result<Option<Option<usize>>, Malformed> {
        match self.number()? {
            None => Ok(None),
            Some(-1) => Ok(Some(None)),
            Some(length) => match usize::try_from(length) {
                Ok(length) if length <= MAX_ANSWER => Ok(Some(Some(length))),
                Ok(_) => Err(Malformed::TooLong),
                Err(_) => Err(Malformed::Number),
            },
        }
    }

    fn number(&mut self) -> Result<Option<i64>, Malformed> {
        let Some(line) = self.line(MAX_NUMBER)? else { return Ok(None) };
        let text = std::str::from_utf8(line).map_err(|_| Malformed::Number)?;
        // Rust would read "+1", which RESP does not say.
        match text.starts_with('+') {
            true => Err(Malformed::Number),
            false => text.parse().map(Some).map_err(|_| Malformed::Number),
        }
    }

    /// A line without its end, which must come before so many bytes.
    fn line(&mut self, most: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().take(most).position(|byte| matches!(byte, b'\r' | b'\n')) else {
            return if rest.len() >= most { Err(Malformed::Ending) } else { Ok(None) };
        };
        match rest.get(end..end + 2) {
            Some(b"\r\n") => {}
            None if rest[end] == b'\r' => return Ok(None),
            _ => return Err(Malformed::Ending),
        }
        self.at += end + 2;
        Ok(Some(&rest[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn whole(bytes: &[u8]) -> Reply {
        let (reply, length) = parse(bytes).expect("it is RESP").expect("it is whole");
        assert_eq!(length, bytes.len());
        reply
    }

    fn encode(reply: &Reply) -> Vec<u8> {
        let with = |kind: &[u8], body: &[u8]| [kind, body, b"\r\n"].concat();
        match reply {
            Reply::Simple(text) => with(b"+", text),
            Reply::Error(text) => with(b"-", text),
            Reply::Integer(number) => with(b":", number.to_string().as_bytes()),
            Reply::Nil => b"$-1\r\n".to_vec(),
            Reply::Bulk(bytes) => with(format!("${}\r\n", bytes.len()).as_bytes(), bytes),
            Reply::Array(items) => {
                let head = format!("*{}\r\n", items.len()).into_bytes();
                items.iter().fold(head, |all, item| [all, encode(item)].concat())
            }
        }
    }

    fn replies() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            "[ -~]{0,30}".prop_map(|text| Reply::Simple(text.into_bytes())),
            "[ -~]{0,30}".prop_map(|text| Reply::Error(text.into_bytes())),
            any::<i64>().prop_map(Reply::Integer),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Reply::Bulk),
            Just(Reply::Nil),
        ];
        leaf.prop_recursive(3, 40, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Reply::Array))
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn bytes_that_look_like_resp_are_survived(text in "[-+:$*0-9\r\na ]{0,60}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn an_answer_is_read_as_it_was_written(reply in replies()) {
            prop_assert_eq!(whole(&encode(&reply)), reply);
        }

        #[test]
        fn the_beginning_of_an_answer_is_no_answer_and_no_error(reply in replies(), part in 0.0..1.0_f64) {
            let bytes = encode(&reply);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
            #[expect(clippy::cast_precision_loss, reason = "the same")]
            let end = (bytes.len() as f64 * part) as usize;
            prop_assert_eq!(parse(&bytes[..end]), Ok(None));
        }
    }

    #[test]
    fn a_master_and_a_replica_say_so() {
        let master = whole(
            b"*3\r\n$6\r\nmaster\r\n:3129659\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$1\r\n7\r\n",
        );
        assert_eq!(master.items()[0].text(), Some("master"));
        assert_eq!(master.items()[2].items()[0].items()[1].text(), Some("9001"));
        let refused = whole(b"-READONLY You can't write against a read only replica.\r\n");
        assert_eq!(refused.error_code(), Some("READONLY"));
    }

    #[test]
    fn lies_about_lengths_are_found_before_memory_is_taken() {
        for (bytes, why) in [
            (&b"$999999999999\r\n"[..], Malformed::TooLong),
            (b"*999999999999\r\n", Malformed::TooLong),
            (b"$-2\r\n", Malformed::Number),
            (b"*+1\r\n", Malformed::Number),
            (b":99999999999999999999\r\n", Malformed::Number),
            (b":9999999999999999999999999", Malformed::Ending),
            (b"$3\r\nabcde", Malformed::Ending),
            (b"+a\nb\r\n", Malformed::Ending),
            (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Malformed::TooDeep),
            (b"HTTP/1.1 400", Malformed::Kind(b'H')),
        ] {
            assert_eq!(parse(bytes), Err(why), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse(&[&b"+"[..], &[b'a'; MAX_ANSWER]].concat()), Err(Malformed::Ending));
    }

    #[tokio::test]
    async fn answers_come_in_pieces_and_nothing_may_come_after_them() {
        let (near, mut far) = tokio::io::duplex(1);
        let says = tokio::spawn(async move {
            let mut asked = vec![0; command(&["ROLE"]).len()];
            far.read_exact(&mut asked).await.expect("it asks");
            far.write_all(b"*1\r\n$6\r\nmaster\r\n").await.expect("it listens");
            far
        });
        let mut wire = Wire::new(near);
        let asked = tokio::time::timeout(Duration::from_secs(10), wire.ask(&[&["ROLE"]])).await;
        let replies = asked.expect("in time").expect("an answer");
        assert_eq!(replies, [Reply::Array(vec![Reply::Bulk(b"master".to_vec())])]);
        drop(says.await);

        let (near, mut far) = tokio::io::duplex(1000);
        far.write_all(b"+PONG\r\n+PONG\r\n").await.expect("there is room");
        let error = Wire::new(near).ask(&[&["PING"]]).await.expect_err("that was one too many");
        assert_eq!(error.to_string(), Malformed::Unasked.to_string());
    }
}
