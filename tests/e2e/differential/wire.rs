//! A client that keeps every byte and every type of an answer.

use std::fmt;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// An answer, as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Double(Vec<u8>),
    Bulk(Vec<u8>),
    Verbatim(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    /// The connection ended.
    Closed,
    /// Nothing came.
    Silence,
}

impl Reply {
    /// The bytes of a text of any kind.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Reply::Simple(text) | Reply::Error(text) | Reply::Bulk(text) | Reply::Verbatim(text) => {
                Some(text)
            }
            _ => None,
        }
    }

    /// Whether it is an error that begins so.
    pub(super) fn is_error(&self, beginning: &str) -> bool {
        matches!(self, Reply::Error(text) if text.starts_with(beginning.as_bytes()))
    }

    /// Whether both are arrays, both are errors, and so on.
    pub(super) fn same_kind(&self, other: &Reply) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Elements, or names and values.
    pub(super) fn parts(&self) -> Vec<Reply> {
        match self {
            Reply::Map(pairs) => pairs.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect(),
            other => other.items().to_vec(),
        }
    }

    /// The elements of an array, a set or a push.
    pub(super) fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            _ => &[],
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |sign: &str, text: &[u8]| format!("{sign}{}", text.escape_ascii());
        match self {
            Reply::Simple(it) => f.write_str(&text("+", it)),
            Reply::Error(it) => f.write_str(&text("-", it)),
            Reply::Int(number) => write!(f, ":{number}"),
            Reply::Double(it) => f.write_str(&text(",", it)),
            Reply::Bulk(it) => f.write_str(&text("$", it)),
            Reply::Verbatim(it) => f.write_str(&text("=", it)),
            Reply::NullBulk => f.write_str("$-1"),
            Reply::NullArray => f.write_str("*-1"),
            Reply::Null => f.write_str("_"),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
            Reply::Set(items) => f.debug_set().entries(items).finish(),
            Reply::Push(items) => write!(f, ">{items:?}"),
            Reply::Map(pairs) => {
                f.debug_map().entries(pairs.iter().map(|(key, value)| (key, value))).finish()
            }
            Reply::Closed => f.write_str("(closed)"),
            Reply::Silence => f.write_str("(silence)"),
        }
    }
}

/// A connection on loopback.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// The far end and the near one, as the sentinel sees them.
    pub(super) fn ends(&self) -> (String, String) {
        let stream = self.0.get_ref();
        let ours = stream.local_addr().expect("it is connected");
        let theirs = stream.peer_addr().expect("it is connected");
        (ours.to_string(), theirs.to_string())
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        // Whoever is refused may be cut off while writing; reading tells it.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// One answer, or what came in its place.
    pub(super) fn read(&mut self) -> Reply {
        match self.reply() {
            Ok(reply) => reply,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Reply::Silence
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => panic!("{error}"),
            Err(_) => Reply::Closed,
        }
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        let bad = || Error::new(ErrorKind::InvalidData, format!("not the protocol: {}", line.escape_ascii()));
        if line.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let rest = line.strip_suffix(b"\r\n").ok_or_else(bad)?[1..].to_vec();
        let number =
            || std::str::from_utf8(&rest).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(bad);
        Ok(match line[0] {
            b'+' => Reply::Simple(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Int(number()?),
            b',' => Reply::Double(rest),
            b'_' => Reply::Null,
            b'$' if number()? < 0 => Reply::NullBulk,
            b'*' if number()? < 0 => Reply::NullArray,
            b'$' => Reply::Bulk(self.bytes(number()?)?),
            b'=' => Reply::Verbatim(self.bytes(number()?)?),
            b'*' => Reply::Array(self.items(number()?)?),
            b'~' => Reply::Set(self.items(number()?)?),
            b'>' => Reply::Push(self.items(number()?)?),
            b'%' => {
                let flat = self.items(number()? * 2)?;
                Reply::Map(flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            _ => return Err(bad()),
        })
    }

    fn bytes(&mut self, length: i64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length as usize);
        Ok(bytes)
    }

    fn items(&mut self, count: i64) -> Result<Vec<Reply>> {
        (0..count).map(|_| self.reply()).collect()
    }
}

/// The words of a command.
pub(super) type Words = Vec<Vec<u8>>;

/// Words from text, quoted as a shell would: `SENTINEL SET "" 'a b'`; `\xHH` and the like in double quotes.
pub(super) fn words(line: &str) -> Words {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), Vec::new(), None, false);
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b' ') => {
                if std::mem::take(&mut open) || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, b'"' | b'\'') => (quote, open) = (Some(byte), true),
            (Some(end), _) if end == byte => quote = None,
            (Some(b'"'), b'\\') => word.push(match bytes.next().expect("something follows a backslash") {
                b'n' => b'\n',
                b'r' => b'\r',
                b'x' => {
                    let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&hex, 16).expect("two digits follow")
                }
                other => other,
            }),
            _ => word.push(byte),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// A command as an array.
pub(super) fn multibulk(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

/// A command as a line.
pub(super) fn inline(words: &[Vec<u8>]) -> Vec<u8> {
    let quoted = |word: &Vec<u8>| {
        let bytes: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        match !word.is_empty() && word.iter().all(|c| c.is_ascii_alphanumeric() || b"-+|@*".contains(c)) {
            true => String::from_utf8_lossy(word).into_owned(),
            false => format!("\"{bytes}\""),
        }
    };
    let line: Vec<_> = words.iter().map(quoted).collect();
    (line.join(" ") + "\r\n").into_bytes()
}

/// A command as a report shows it.
pub(super) fn shown(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| match word.len() {
        0 => "\"\"".to_owned(),
        1..=80 if !word.contains(&b' ') => word.escape_ascii().to_string(),
        1..=80 => format!("\"{}\"", word.escape_ascii()),
        length => format!("{}...({length} bytes)", word[..20].escape_ascii()),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
