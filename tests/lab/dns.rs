//! A DNS client that asks one server and believes nothing that is not well formed.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// What we can take; more than Consul ever sends.
const SIZE: u16 = 4096;

static NEXT_ID: AtomicU16 = AtomicU16::new(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports.
    Srv,
    /// Texts.
    Txt,
    /// Everything there is.
    Any,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
            Kind::Srv => 33,
            Kind::Txt => 16,
            Kind::Any => 255,
        }
    }
}

/// What a record says. Names have no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An address, of either kind.
    Address(IpAddr),
    /// Another name.
    Cname(String),
    /// A host and a port.
    Srv {
        /// The share of the questions that it should get.
        weight: u16,
        /// The port.
        port: u16,
        /// The host's name.
        target: String,
    },
    /// A text, its parts joined.
    Txt(String),
    /// Something else, by its number.
    Other(u16),
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// How the server took the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// NOERROR
    Good,
    /// NXDOMAIN
    NoSuchName,
    /// Any other, by its number: 2 is SERVFAIL, 5 REFUSED.
    Failed(u8),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How the server took the question.
    pub code: Code,
    /// Whether something had to be left out.
    pub truncated: bool,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// Who is in charge.
    pub authority: Vec<Record>,
    /// What will be asked next.
    pub additional: Vec<Record>,
}

impl Message {
    /// The hosts and ports that it names: the address that comes along where there is one, else the target.
    pub fn servers(&self) -> Vec<(String, u16)> {
        let host = |target: &String| {
            let address = self.additional.iter().find_map(|record| match &record.data {
                Data::Address(address) if record.name.eq_ignore_ascii_case(target) => Some(address),
                _ => None,
            });
            address.map_or_else(|| target.clone(), IpAddr::to_string)
        };
        let server = |record: &Record| match &record.data {
            Data::Srv { port, target, .. } => Some((host(target), *port)),
            _ => None,
        };
        self.answers.iter().filter_map(server).collect()
    }

    /// The addresses that it answers.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let address = |record: &Record| match record.data {
            Data::Address(address) => Some(address),
            _ => None,
        };
        self.answers.iter().filter_map(address).collect()
    }

    /// The value that a text `key=value` carries, be it the answer or come along with it.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.answers.iter().chain(&self.additional).find_map(|record| match &record.data {
            Data::Txt(text) => text.strip_prefix(key)?.strip_prefix('='),
            _ => None,
        })
    }
}

/// A socket that asks one server.
#[derive(Debug)]
pub struct Dns {
    socket: UdpSocket,
    patience: Duration,
}

impl Dns {
    /// Asks the server at that address, and waits so long for an answer.
    pub fn new(server: SocketAddr, patience: Duration) -> Dns {
        let near = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(near).expect("there is a free port");
        socket.connect(server).expect("a UDP socket connects to anything");
        Dns { socket, patience }
    }

    /// One question, one answer. No answer in time, or one that is not well formed, is an error; a refusal is an answer.
    pub fn ask(&self, name: &str, kind: Kind) -> Result<Message> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        self.socket.send(&question(id, name, kind))?;
        let deadline = Instant::now() + self.patience;
        let mut buffer = [0; SIZE as usize];
        loop {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            self.socket.set_read_timeout(Some(left.ok_or(ErrorKind::TimedOut)?))?;
            let length = self.socket.recv(&mut buffer)?;
            // An answer to an earlier question may still come.
            if let Some(message) = Reader::new(&buffer[..length]).message(id, name, kind)? {
                return Ok(message);
            }
        }
    }
}

/// A question as it goes over the wire, with EDNS.
pub fn dns_question(name: &str, kind: Kind) -> Vec<u8> {
    question(NEXT_ID.fetch_add(1, Ordering::Relaxed), name, kind)
}

fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    const RECURSION_DESIRED: u16 = 0x0100;
    const EDNS: u16 = 41;
    let mut bytes = Vec::new();
    for number in [id, RECURSION_DESIRED, 1, 0, 0, 1] {
        bytes.extend(number.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(u8::try_from(label.len()).ok().filter(|len| *len < 64).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    for number in [kind.code(), 1] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(0); // the root, whose record says how much we take
    for number in [EDNS, SIZE, 0, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// Reads a message from its beginning to its end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// The message; nothing when it answers another question.
    fn message(mut self, id: u16, name: &str, kind: Kind) -> Result<Option<Message>> {
        let answered = self.u16()?;
        let flags = self.u16()?;
        let counts = [self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        if answered != id {
            return Ok(None);
        }
        let question = (self.name()?, self.u16()?, self.u16()?);
        let same = question.0.eq_ignore_ascii_case(name.trim_end_matches('.')) && question.1 == kind.code();
        if flags & 0x8000 == 0 || counts[0] != 1 || !same {
            return Err(bad("it answers something else"));
        }
        let [answers, authority, additional] = [self.records(counts[1])?, self.records(counts[2])?, {
            let mut records = self.records(counts[3])?;
            records.retain(|record| record.data != Data::Other(41));
            records
        }];
        if self.at != self.bytes.len() {
            return Err(bad("something follows its end"));
        }
        let code = match flags & 0xf {
            0 => Code::Good,
            3 => Code::NoSuchName,
            code => Code::Failed(code as u8),
        };
        Ok(Some(Message { code, truncated: flags & 0x0200 != 0, answers, authority, additional }))
    }

    fn records(&mut self, count: u16) -> Result<Vec<Record>> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Result<Record> {
        let name = self.name()?;
        let (kind, _class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let data = match kind {
            1 => Data::Address(Ipv4Addr::from(self.array::<4>()?).into()),
            28 => Data::Address(Ipv6Addr::from(self.array::<16>()?).into()),
            5 => Data::Cname(self.name()?),
            33 => {
                let (_priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                Data::Srv { weight, port, target: self.name()? }
            }
            16 => Data::Txt(self.texts(end)?),
            other => {
                self.take(length)?;
                Data::Other(other)
            }
        };
        if self.at == end { Ok(Record { name, ttl, data }) } else { Err(bad("a record has another length")) }
    }

    fn texts(&mut self, end: usize) -> Result<String> {
        let mut text = String::new();
        while self.at < end {
            let length = usize::from(self.take(1)?[0]);
            text += &String::from_utf8_lossy(self.take(length)?);
        }
        Ok(text)
    }

    /// A name; it may go on somewhere before, from there only further before.
    fn name(&mut self) -> Result<String> {
        let mut labels = Vec::new();
        let mut resume = None;
        let mut limit = self.at;
        loop {
            let length = self.take(1)?[0];
            match length {
                0 => break,
                1..64 => labels.push(String::from_utf8_lossy(self.take(usize::from(length))?).into_owned()),
                192.. => {
                    let to = usize::from(length & 63) << 8 | usize::from(self.take(1)?[0]);
                    resume.get_or_insert(self.at);
                    if to >= limit {
                        return Err(bad("a name goes on in itself"));
                    }
                    (self.at, limit) = (to, to);
                }
                _ => return Err(bad("a label of an unknown kind")),
            }
        }
        self.at = resume.unwrap_or(self.at);
        Ok(labels.join("."))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at + count).ok_or_else(|| bad("it ends too early"))?;
        self.at += count;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many were taken"))
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("no good DNS message: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to a question for `redis`, SRV: port 6379 on `a.redis`, its address along with it.
    fn answer() -> Vec<u8> {
        let mut bytes = question(7, "redis", Kind::Srv);
        bytes.truncate(bytes.len() - 11);
        bytes[2] |= 0x80;
        (bytes[7], bytes[11]) = (1, 1);
        bytes.extend([192, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, 10, 0, 1, 0, 5, 24, 235, 1, b'a', 192, 12]);
        bytes.extend([1, b'a', 192, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1]);
        bytes
    }

    #[test]
    fn a_server_and_its_address_are_read() {
        let message =
            Reader::new(&answer()).message(7, "redis.", Kind::Srv).expect("well formed").expect("ours");
        assert_eq!(message.code, Code::Good);
        assert_eq!(message.servers(), [("10.0.0.1".to_owned(), 6379)]);
        assert_eq!(message.answers[0].data, Data::Srv { weight: 5, port: 6379, target: "a.redis".into() });
        assert_eq!(message.additional[0].ttl, 9);
    }

    #[test]
    fn what_is_cut_off_or_goes_round_in_circles_is_refused() {
        let whole = answer();
        for length in 0..whole.len() {
            assert!(Reader::new(&whole[..length]).message(7, "redis", Kind::Srv).is_err(), "{length} bytes");
        }
        let mut circle = whole.clone();
        *circle.last_chunk_mut::<18>().expect("long enough") =
            [192, 45, 192, 45, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1];
        assert!(Reader::new(&circle).message(7, "redis", Kind::Srv).is_err());
        assert!(Reader::new(&whole).message(7, "other", Kind::Srv).is_err());
        assert_eq!(Reader::new(&whole).message(8, "redis", Kind::Srv).ok(), Some(None));
    }
}
