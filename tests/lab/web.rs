//! A client of the HTTP port that says exactly what a test wants said.

use crate::http::escape;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// An answer with its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 200
    pub status: u16,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What came with it.
    pub body: String,
}

impl Reply {
    /// The value of a header; nothing when it is missing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// An HTTP port on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Web(pub u16);

impl Web {
    /// Where it is.
    pub fn address(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0).into()
    }

    /// A connection on which nothing was said yet.
    pub fn connect(self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// GET; nothing when nobody answers.
    pub fn get(self, path: &str) -> Option<Reply> {
        self.ask("GET", path, &[]).ok()
    }

    /// A request with these headers besides the usual ones. `Host` among them stands in place of the usual.
    pub fn ask(self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = if named { String::new() } else { format!("Host: {}\r\n", self.address()) };
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.say(&format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n"))
    }

    /// These bytes, and what is answered until the connection ends.
    pub fn say(self, request: &str) -> Result<Reply> {
        let mut stream = self.connect()?;
        stream.write_all(request.as_bytes())?;
        read_reply(&mut stream)
    }

    /// Follows the server-sent events at a path.
    pub fn follow(self, path: &str, last_event_id: Option<&str>) -> Follower {
        let mut stream = self.connect().expect("somebody listens");
        let id = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        // HTTP/1.0: the events come without chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{id}\r\n", self.address());
        stream.write_all(request.as_bytes()).expect("it takes a request");
        Follower::start(stream)
    }
}

/// Reads an answer to its end, which is the end of the connection.
pub fn read_reply(stream: &mut TcpStream) -> Result<Reply> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let nonsense = || Error::new(ErrorKind::InvalidData, format!("not HTTP: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(nonsense)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(nonsense)?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Ok(Reply { status, headers: lines.filter_map(header).collect(), body: body.to_owned() })
}

/// A text as part of a path.
pub fn escaped(text: &str) -> String {
    escape(text)
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub event: String,
    /// What it says.
    pub data: String,
}

/// Server-sent events, as they come.
#[derive(Debug)]
pub struct Follower {
    stream: TcpStream,
    sent: Arc<Mutex<Vec<Sent>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Follower {
    fn start(stream: TcpStream) -> Follower {
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let (mine, ours) = (stream.try_clone().expect("a socket can be duplicated"), sent.clone());
        mine.set_read_timeout(None).expect("it can wait");
        let reader = std::thread::spawn(move || {
            let mut event = Sent::default();
            for line in BufReader::new(mine).lines() {
                let Ok(line) = line else { return };
                match line.split_once(": ") {
                    _ if line.is_empty() && event != Sent::default() => {
                        ours.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut event));
                    }
                    Some(("id", id)) => event.id = id.to_owned(),
                    Some(("event", kind)) => event.event = kind.to_owned(),
                    Some(("data", data)) => event.data = data.to_owned(),
                    _ => {}
                }
            }
        });
        Follower { stream, sent, reader: Some(reader) }
    }

    /// All that came so far.
    pub fn all(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
