//! RESP as bytes.

use crate::config;
pub(crate) use crate::net::arg::{Arg, Args};
use crate::net::bounds::{self, Broken, Limits};
use bytes::{BufMut, BytesMut};
use consentinel_core::Host;
use std::fmt::Write;
use std::net::IpAddr;

/// What a server or a peer sent, in RESP2 or RESP3. Kinds that mean the same to us are one: a map is an array of its keys
/// and values, a verbatim text is the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    /// `+text`
    Simple(&'a [u8]),
    /// `-text`
    Error(&'a [u8]),
    /// `:number`
    Integer(i64),
    /// `$length text`
    Bulk(&'a [u8]),
    /// Null, as string or array.
    Null,
    /// `*length ...`
    Array(Vec<Frame<'a>>),
    /// `>length ...`: no answer to anything.
    Push(Vec<Frame<'a>>),
}

/// The frame at the head of the buffer and its length; nothing when it is not complete yet.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn reply(buf: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    bounds::frame(buf, &bounds::REPLY)
}

/// The frame that these bytes are, which [`Scan`](crate::net::scan::Scan) has found to be whole within the same limits.
pub(crate) fn whole<'a>(buf: &'a [u8], limits: &Limits) -> Result<Frame<'a>, Broken> {
    bounds::frame(buf, limits)?.map(|(frame, _)| frame).ok_or(Broken::Malformed)
}

/// The command at the head of a client's buffer, an array or an inline one, and its length; nothing when it is not
/// complete yet. It may have no words at all. A stranger, who has still to log in, may say less.
pub(crate) fn command(buf: &[u8], stranger: bool) -> Result<Option<(Args<'_>, usize)>, Broken> {
    match buf.first() {
        None => Ok(None),
        Some(b'*') => array_command(buf, stranger),
        Some(_) => inline_command(buf),
    }
}

/// The same as an array of bulk strings, without making a frame of it first: clients are many.
fn array_command(buf: &[u8], stranger: bool) -> Result<Option<(Args<'_>, usize)>, Broken> {
    let limits = &bounds::COMMAND;
    let unfinished = || if buf.len() > limits.total { Err(Broken::String) } else { Ok(None) };
    let Some((text, mut at)) = bounds::line(buf, 1)? else { return unfinished() };
    let count = match bounds::integer(text) {
        Some(count) if count <= 0 => 0,
        _ => bounds::length(text, limits.items).flatten().ok_or(Broken::Items)?,
    };
    if stranger && count > bounds::STRANGER.items {
        return Err(Broken::StrangerItems);
    }
    let mut args = Vec::with_capacity(count.min(8));
    for _ in 0..count {
        match buf.get(at) {
            None => return unfinished(),
            Some(b'$') => {}
            Some(b'*') => return Err(Broken::Depth),
            Some(other) => return Err(Broken::Unexpected('$', *other as char)),
        }
        let Some((text, from)) = bounds::line(buf, at + 1)? else { return unfinished() };
        let to = from + bounds::length(text, limits.string).flatten().ok_or(Broken::String)?;
        if stranger && to - from > bounds::STRANGER.string {
            return Err(Broken::StrangerString);
        }
        match buf.get(to..to + 2) {
            None => return unfinished(),
            Some(b"\r\n") => args.push(Arg::from(&buf[from..to])),
            Some(_) => return Err(Broken::Malformed),
        }
        at = to + 2;
    }
    Ok(Some((args, at)))
}

fn inline_command(buf: &[u8]) -> Result<Option<(Args<'_>, usize)>, Broken> {
    const MAX_INLINE: usize = 64 << 10;
    match buf.iter().take(MAX_INLINE).position(|c| *c == b'\n') {
        Some(end) => {
            let args = config::split_bytes(&buf[..end]).map_err(|_| Broken::Quotes)?;
            Ok(Some((args.into_iter().map(Arg::from).collect(), end + 1)))
        }
        None if buf.len() >= MAX_INLINE => Err(Broken::Line),
        None => Ok(None),
    }
}

/// Writes a command to a server.
pub(crate) fn write_command(out: &mut BytesMut, args: &[&str]) {
    let mut writer = Writer::new(out, false);
    writer.array(args.len());
    args.iter().for_each(|arg| writer.bulk(arg));
}

/// Writes answers to a client, in the protocol that it chose.
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    resp3: bool,
}

impl<'a> Writer<'a> {
    /// A writer to this buffer.
    pub(crate) fn new(out: &'a mut BytesMut, resp3: bool) -> Self {
        Writer { out, resp3 }
    }

    /// From now on in this protocol.
    pub(crate) fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// `+OK`
    pub(crate) fn ok(&mut self) {
        self.simple("OK");
    }

    /// A short word without line breaks.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error, its code first: `ERR no such thing`. It may hold what a client sent.
    pub(crate) fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.out.reserve(text.len() + 3);
        self.out.put_u8(b'-');
        self.out.extend(text.iter().map(|c| if matches!(c, b'\r' | b'\n') { b' ' } else { *c }));
        self.out.put_slice(b"\r\n");
    }

    /// A number.
    pub(crate) fn integer(&mut self, number: i64) {
        self.out.put_u8(b':');
        if number < 0 {
            self.out.put_u8(b'-');
        }
        self.digits(number.unsigned_abs());
        self.out.put_slice(b"\r\n");
    }

    /// A text.
    pub(crate) fn bulk(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.out.reserve(text.len() + 16);
        self.head(b'$', text.len());
        self.out.put_slice(text);
        self.out.put_slice(b"\r\n");
    }

    /// Anything as text.
    pub(crate) fn bulk_number(&mut self, number: impl std::fmt::Display) {
        let mut text = Short::new();
        match write!(text, "{number}") {
            Ok(()) => self.bulk(text.as_str()),
            Err(_) => self.bulk(number.to_string()),
        }
    }

    /// A host as text.
    pub(crate) fn bulk_host(&mut self, host: &Host) {
        match host {
            Host::Ip(IpAddr::V4(ip)) => {
                let mut text = Short::new();
                for (index, part) in ip.octets().into_iter().enumerate() {
                    if index > 0 {
                        text.push(b'.');
                    }
                    text.push_digits(u64::from(part));
                }
                self.bulk(text.as_str());
            }
            Host::Ip(IpAddr::V6(ip)) => self.bulk_number(ip),
            Host::Name(name) => self.bulk(name.as_bytes()),
        }
    }

    /// A number with a fraction.
    pub(crate) fn double(&mut self, number: f64) {
        let text = number.to_string();
        if self.resp3 { self.line(b',', &text) } else { self.bulk(text) }
    }

    /// A text of several lines, to be shown as it is.
    pub(crate) fn verbatim(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if self.resp3 {
            self.head(b'=', text.len() + 4);
            self.out.put_slice(b"txt:");
            self.out.put_slice(text);
            self.out.put_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// No text.
    pub(crate) fn null(&mut self) {
        self.out.put_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array.
    pub(crate) fn null_array(&mut self) {
        self.out.put_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The head of an array; as many elements must follow.
    pub(crate) fn array(&mut self, items: usize) {
        self.head(b'*', items);
    }

    /// The head of a map; as many pairs must follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        if self.resp3 { self.head(b'%', pairs) } else { self.head(b'*', pairs * 2) }
    }

    /// The head of a set; as many elements must follow.
    pub(crate) fn set(&mut self, items: usize) {
        self.head(if self.resp3 { b'~' } else { b'*' }, items);
    }

    /// The head of something that nobody asked for; as many elements must follow.
    pub(crate) fn push(&mut self, items: usize) {
        self.head(if self.resp3 { b'>' } else { b'*' }, items);
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.out.put_u8(kind);
        self.digits(length as u64);
        self.out.put_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &str) {
        self.out.reserve(text.len() + 3);
        self.out.put_u8(kind);
        self.out.put_slice(text.as_bytes());
        self.out.put_slice(b"\r\n");
    }

    fn digits(&mut self, number: u64) {
        if number < 10 {
            self.out.put_u8(b'0' + number as u8);
        } else {
            let mut text = Short::new();
            text.push_digits(number);
            self.out.put_slice(text.as_str().as_bytes());
        }
    }
}

/// A text of a few bytes that needs no memory of its own.
struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Short {
    fn new() -> Self {
        Short { bytes: [0; 48], length: 0 }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_digits(&mut self, number: u64) {
        let from = self.length;
        let mut rest = number;
        loop {
            self.push(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes[from..self.length].reverse();
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod beside;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn args(buf: &[u8]) -> Result<Option<Vec<String>>, Broken> {
        Ok(command(buf, false)?.map(|(args, _)| args.iter().map(|arg| arg.to_string()).collect()))
    }

    #[test]
    fn commands_come_as_arrays_or_inline() {
        let expected = Ok(Some(vec!["PING".to_owned(), "a b".to_owned()]));
        assert_eq!(args(b"*2\r\n$4\r\nPING\r\n$3\r\na b\r\nrest"), expected);
        assert_eq!(args(b"PING \"a b\"\r\nrest"), expected);
        assert_eq!(args(b"PING 'a b'\n"), expected);
        assert_eq!(args(b"\r\n"), Ok(Some(vec![])));
        assert_eq!(args(b"*0\r\n"), Ok(Some(vec![])));
        assert_eq!(args(b"*-1\r\n"), Ok(Some(vec![])));
        assert_eq!(args(b"*-5\r\n"), Ok(Some(vec![])));
    }

    #[test]
    fn an_unfinished_command_waits_for_more() {
        let whole = b"*2\r\n$4\r\nPING\r\n$3\r\na b\r\n";
        for end in 0..whole.len() {
            assert_eq!(args(&whole[..end]), Ok(None), "cut off after {end} bytes");
        }
    }

    #[test]
    fn what_is_too_big_is_refused_before_it_arrives() {
        assert_eq!(args(b"*1\r\n$1048577\r\n"), Err(Broken::String));
        assert_eq!(args(b"*1025\r\n"), Err(Broken::Items));
        assert_eq!(args(b"*99999999999999999999\r\n"), Err(Broken::Items));
        assert_eq!(args(b"*1\r\n*1\r\n"), Err(Broken::Depth));
        assert_eq!(args(b"*1\r\n!1\r\n"), Err(Broken::Unexpected('$', '!')));
        assert_eq!(args(&[b'a'; 70_000]), Err(Broken::Line));
        assert_eq!(args(b"PING \"open\r\n"), Err(Broken::Quotes));
        assert!(reply("*1\r\n".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_stranger_may_say_less() {
        let said = |buf: &[u8]| command(buf, true).map(|_| ());
        assert_eq!(said(b"*11\r\n"), Err(Broken::StrangerItems));
        assert_eq!(said(b"*1\r\n$16385\r\n"), Err(Broken::StrangerString));
        assert_eq!(said(b"*10\r\n$16384\r\n"), Ok(()));
    }

    #[test]
    fn nulls_differ_between_the_protocols() {
        let mut out = BytesMut::new();
        Writer::new(&mut out, false).null();
        Writer::new(&mut out, false).null_array();
        Writer::new(&mut out, true).null_array();
        Writer::new(&mut out, true).verbatim("a\n");
        assert_eq!(&out[..], b"$-1\r\n*-1\r\n_\r\n=6\r\ntxt:a\n\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (reply(&bytes), args(&bytes));
        }

        #[test]
        fn nothing_that_looks_like_the_protocol_makes_it_panic(text in "[*$+:\\-0-9\r\na]{0,60}") {
            let _ = (reply(text.as_bytes()), args(text.as_bytes()));
        }

        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("(?s).{0,30}", 1..8)) {
            let mut out = BytesMut::new();
            write_command(&mut out, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(args(&out), Ok(Some(texts)));
        }
    }
}
