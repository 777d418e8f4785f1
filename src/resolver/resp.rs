//! RESP2 for a client that asks AUTH, ROLE and the sentinels: commands go out, whole answers come in, and whatever else comes
//! in is an error. The only file that knows redis-protocol, which decodes what is whole and within bounds: by itself it would
//! go as deep as it is told, and wait for any length.

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, RangeFrame, Resp2Frame};
use std::fmt::{self, Debug, Display};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Enough for most answers: fifty sentinels, or a master with a thousand replicas.
pub const MAX_ANSWER: usize = 128 << 10;

/// ROLE has arrays in an array; nothing that is asked for goes deeper than that.
const MAX_DEPTH: usize = 4;

/// A number, with its sign and CRLF.
const MAX_NUMBER: usize = 22;

/// The most that is repeated of what somebody else has said.
const MAX_TEXT: usize = 200;

/// What a server answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
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
pub enum Malformed {
    /// No answer begins so.
    #[error("what it says is no RESP: it begins with byte {0}")]
    Kind(u8),
    /// A length, or an integer.
    #[error("a number of its answer cannot be read")]
    Number,
    /// Something else than CRLF.
    #[error("a line of its answer does not end as RESP's lines do")]
    Ending,
    /// More than the caller takes.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// Too many arrays in arrays.
    #[error("its answer has arrays in arrays in arrays")]
    TooDeep,
    /// There is something behind the last answer.
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
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Simple(bytes) | Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The items of an array; of anything else none.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            _ => &[],
        }
    }

    /// The first word of an error.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Reply::Error(bytes) => std::str::from_utf8(bytes.split(|byte| *byte == b' ').next()?).ok(),
            _ => None,
        }
    }
}

/// Whole: a caller that repeats it leaves secrets out first, and then it is [`shortened`].
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
pub struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    /// The longest answer that is taken, in bytes.
    most: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A connection whose answers have at most so many bytes.
    pub fn new(stream: S, most: usize) -> Wire<S> {
        Wire { stream, buffer: Vec::new(), most }
    }

    /// Sends commands in one go.
    pub async fn send(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| command(words)).collect();
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// Asks several things at once; as many answers come back. An answer that nobody asked for is an error.
    pub async fn ask(&mut self, commands: &[&[&str]]) -> io::Result<Vec<Reply>> {
        self.send(commands).await?;
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
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// The next answer, or message.
    pub async fn read(&mut self) -> io::Result<Reply> {
        // Twice as much must be there before it is looked at again: who sends byte by byte costs no more than others.
        let mut look_at = 0;
        loop {
            if self.buffer.len() >= look_at || self.buffer.ends_with(b"\r\n") {
                if let Some((reply, length)) = parse(&self.buffer, self.most)? {
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
pub fn command(words: &[&str]) -> Vec<u8> {
    let word = |word: &&str| OwnedFrame::BulkString(word.as_bytes().to_vec());
    let frame = OwnedFrame::Array(words.iter().map(word).collect());
    let mut bytes = vec![0; frame.encode_len(false)];
    encode(&mut bytes, &frame, false).expect("there is exactly as much room as it said that it needs");
    bytes
}

/// The first answer in these bytes and its length; `None` when it is not whole yet. It has at most `most` bytes.
pub fn parse(bytes: &[u8], most: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some(end) = end_of(bytes, most)? else {
        return if bytes.len() > most { Err(Malformed::TooLong(most)) } else { Ok(None) };
    };
    if end > most {
        return Err(Malformed::TooLong(most));
    }
    match decode_range(&bytes[..end]) {
        Ok(Some((frame, length))) => Ok(Some((reply(&frame, bytes), length))),
        Ok(None) | Err(_) => Err(Malformed::Number),
    }
}

fn reply(frame: &RangeFrame, bytes: &[u8]) -> Reply {
    let at = |(begin, end): (usize, usize)| bytes[begin..end].to_vec();
    match frame {
        RangeFrame::SimpleString(range) => Reply::Simple(at(*range)),
        RangeFrame::Error(range) => Reply::Error(at(*range)),
        RangeFrame::Integer(number) => Reply::Integer(*number),
        RangeFrame::BulkString(range) => Reply::Bulk(at(*range)),
        RangeFrame::Array(items) => Reply::Array(items.iter().map(|item| reply(item, bytes)).collect()),
        RangeFrame::Null => Reply::Nil,
    }
}

/// Where the first answer ends, once it does.
fn end_of(bytes: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    // How many items are still to come, of the answer and of each array in which we are.
    let mut to_come = vec![1];
    loop {
        while to_come.last() == Some(&0) {
            to_come.pop();
        }
        let Some(items) = to_come.last_mut() else { return Ok(Some(at)) };
        *items -= 1;
        let Some(kind) = bytes.get(at).copied() else { return Ok(None) };
        let longest = match kind {
            b'+' | b'-' => most,
            b':' | b'$' | b'*' => MAX_NUMBER,
            _ => return Err(Malformed::Kind(kind)),
        };
        let Some(line) = line(&bytes[at + 1..], longest)? else { return Ok(None) };
        at += 1 + line.len() + 2;
        match kind {
            b':' => drop(number(line)?),
            b'$' => {
                let Some(length) = length(line, most)? else { continue };
                match bytes.get(at + length..at + length + 2) {
                    Some(b"\r\n") => at += length + 2,
                    Some(_) => return Err(Malformed::Ending),
                    None => return Ok(None),
                }
            }
            b'*' => {
                let Some(count) = length(line, most)? else { continue };
                if to_come.len() > MAX_DEPTH {
                    return Err(Malformed::TooDeep);
                }
                to_come.push(count);
            }
            _ => {}
        }
    }
}

/// A length; `None` is that of nil.
fn length(line: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
    match number(line)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= most => Ok(Some(length)),
            Ok(_) => Err(Malformed::TooLong(most)),
            Err(_) => Err(Malformed::Number),
        },
    }
}

fn number(line: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed::Number)?;
    // Rust would read "+1", which RESP does not say.
    match text.starts_with('+') {
        true => Err(Malformed::Number),
        false => text.parse().map_err(|_| Malformed::Number),
    }
}

/// A line without its end, which must come before so many bytes.
fn line(rest: &[u8], most: usize) -> Result<Option<&[u8]>, Malformed> {
    let Some(end) = rest.iter().take(most).position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if rest.len() >= most { Err(Malformed::Ending) } else { Ok(None) };
    };
    match rest.get(end..end + 2) {
        Some(b"\r\n") => Ok(Some(&rest[..end])),
        None if rest[end] == b'\r' => Ok(None),
        _ => Err(Malformed::Ending),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn whole(bytes: &[u8]) -> Reply {
        let (reply, length) = parse(bytes, MAX_ANSWER).expect("it is RESP").expect("it is whole");
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
            if let Ok(Some((_, length))) = parse(&bytes, MAX_ANSWER) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn bytes_that_look_like_resp_are_survived(text in "[-+:$*0-9\r\na ]{0,60}") {
            let _ = parse(text.as_bytes(), MAX_ANSWER);
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
            prop_assert_eq!(parse(&bytes[..end], MAX_ANSWER), Ok(None));
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
            (&b"$999999999999\r\n"[..], Malformed::TooLong(MAX_ANSWER)),
            (b"*999999999999\r\n", Malformed::TooLong(MAX_ANSWER)),
            (b"$-2\r\n", Malformed::Number),
            (b"*+1\r\n", Malformed::Number),
            (b":99999999999999999999\r\n", Malformed::Number),
            (b":9999999999999999999999999", Malformed::Ending),
            (b"$3\r\nabcde", Malformed::Ending),
            (b"+a\nb\r\n", Malformed::Ending),
            (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Malformed::TooDeep),
            (b"HTTP/1.1 400", Malformed::Kind(b'H')),
        ] {
            assert_eq!(parse(bytes, MAX_ANSWER), Err(why), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse(&[&b"+"[..], &[b'a'; MAX_ANSWER]].concat(), MAX_ANSWER), Err(Malformed::Ending));
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
        let mut wire = Wire::new(near, MAX_ANSWER);
        let asked = tokio::time::timeout(Duration::from_secs(10), wire.ask(&[&["ROLE"]])).await;
        let replies = asked.expect("in time").expect("an answer");
        assert_eq!(replies, [Reply::Array(vec![Reply::Bulk(b"master".to_vec())])]);
        drop(says.await);

        let (near, mut far) = tokio::io::duplex(1000);
        far.write_all(b"+PONG\r\n+PONG\r\n").await.expect("there is room");
        let error = Wire::new(near, MAX_ANSWER).ask(&[&["PING"]]).await.expect_err("that was one too many");
        assert_eq!(error.to_string(), Malformed::Unasked.to_string());
    }
}
