//! A client that speaks just enough HTTP to meddle with a Consul.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200
    pub status: u16,
    /// What came with it.
    pub body: String,
}

impl Answer {
    /// Whether it was done.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// One request over a connection of its own. It speaks HTTP/1.0, whose answers end with the connection: no lengths, no
/// chunks.
pub(crate) fn request(
    to: SocketAddr,
    patience: Duration,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let token = token.map(|token| format!("X-Consul-Token: {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{token}Content-Length: {}\r\nContent-Type: application/json\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not HTTP"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// A text as part of a path or a query.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer =
            parse("HTTP/1.0 409 Conflict\r\nContent-Type: text/plain\r\n\r\nstale").expect("an answer");
        assert_eq!(answer, Answer { status: 409, body: "stale".into() });
        assert!(!answer.is_good());
        assert_eq!(parse("HTTP/1.0 200"), None);
    }

    #[test]
    fn what_is_not_plain_is_escaped() {
        assert_eq!(escape("a/b c:[1]"), "a/b%20c%3A%5B1%5D");
    }
}
