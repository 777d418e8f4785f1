//! RESP as bytes. The only file that knows the crate `redis-protocol`.

use super::bounds::{self, Broken};
use super::store;
pub(crate) use super::word::{Word, Words};
use bytes::{BufMut, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::encode::extend_encode_borrowed as encode2;
use redis_protocol::resp2::types::{BorrowedFrame as Frame2, RangeFrame};
use redis_protocol::resp3::encode::complete::extend_encode_borrowed as encode3;
use redis_protocol::resp3::types::{BorrowedFrame as Frame3, VerbatimStringFormat};

/// What a server or a peer sent. Links speak RESP2.
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
}

/// The frame at the head of the buffer and its length; nothing when it is not complete yet.
pub(crate) fn reply(buf: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Broken> {
    let Some(end) = bounds::end(buf, &bounds::REPLY)? else { return Ok(None) };
    Ok(Some((frame(buf, decode(&buf[..end])?)?, end)))
}

fn decode(message: &[u8]) -> Result<RangeFrame, Broken> {
    match decode_range(message) {
        Ok(Some((frame, _))) => Ok(frame),
        _ => Err(Broken::Malformed),
    }
}

fn frame(buf: &[u8], range: RangeFrame) -> Result<Frame<'_>, Broken> {
    let slice = |(from, to): (usize, usize)| buf.get(from..to).ok_or(Broken::Malformed);
    Ok(match range {
        RangeFrame::SimpleString(text) => Frame::Simple(slice(text)?),
        RangeFrame::Error(text) => Frame::Error(slice(text)?),
        RangeFrame::Integer(number) => Frame::Integer(number),
        RangeFrame::BulkString(text) => Frame::Bulk(slice(text)?),
        RangeFrame::Null => Frame::Null,
        RangeFrame::Array(items) => {
            Frame::Array(items.into_iter().map(|item| frame(buf, item)).collect::<Result<_, _>>()?)
        }
    })
}

/// The command at the head of a client's buffer, an array or an inline one, and its length; nothing when it is not
/// complete yet. It may have no words at all.
pub(crate) fn command(buf: &[u8]) -> Result<Option<(Words<'_>, usize)>, Broken> {
    match buf.first() {
        None => Ok(None),
        Some(b'*') => array_command(buf),
        Some(_) => inline_command(buf),
    }
}

fn array_command(buf: &[u8]) -> Result<Option<(Words<'_>, usize)>, Broken> {
    let Some(end) = bounds::end(buf, &bounds::COMMAND)? else { return Ok(None) };
    let RangeFrame::Array(items) = decode(&buf[..end])? else { return Ok(Some((Vec::new(), end))) };
    let word = |item| match item {
        RangeFrame::BulkString((from, to)) => Ok(Word::from(&buf[from..to])),
        RangeFrame::SimpleString(_) => Err(Broken::Unexpected('$', '+')),
        RangeFrame::Error(_) => Err(Broken::Unexpected('$', '-')),
        RangeFrame::Integer(_) => Err(Broken::Unexpected('$', ':')),
        RangeFrame::Array(_) => Err(Broken::Unexpected('$', '*')),
        RangeFrame::Null => Err(Broken::String),
    };
    Ok(Some((items.into_iter().map(word).collect::<Result<_, _>>()?, end)))
}

fn inline_command(buf: &[u8]) -> Result<Option<(Words<'_>, usize)>, Broken> {
    const MAX_INLINE: usize = 64 << 10;
    match buf.iter().take(MAX_INLINE).position(|c| *c == b'\n') {
        Some(end) => {
            let words = store::split_bytes(&buf[..end]).map_err(|_| Broken::Quotes)?;
            Ok(Some((words.into_iter().map(Word::from).collect(), end + 1)))
        }
        None if buf.len() >= MAX_INLINE => Err(Broken::Line),
        None => Ok(None),
    }
}

/// Writes a command to a server.
pub(crate) fn write_command(out: &mut BytesMut, words: &[&str]) {
    let mut writer = Writer::new(out, false);
    writer.array(words.len());
    words.iter().for_each(|word| writer.bulk(word));
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

    fn put2(&mut self, frame: Frame2<'_>) {
        encode2(self.out, &frame, false).expect("a buffer that grows has room for every scalar");
    }

    fn put3(&mut self, frame: Frame3<'_>) {
        encode3(self.out, &frame, false).expect("a buffer that grows has room for every scalar");
    }

    /// `+OK`
    pub(crate) fn ok(&mut self) {
        self.simple("OK");
    }

    /// A short word without line breaks.
    pub(crate) fn simple(&mut self, text: &str) {
        self.put2(Frame2::SimpleString(text.as_bytes()));
    }

    /// An error, its code first: `ERR no such thing`. It may hold what a client sent.
    pub(crate) fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.out.put_u8(b'-');
        self.out.extend(text.iter().map(|c| if matches!(c, b'\r' | b'\n') { b' ' } else { *c }));
        self.out.put_slice(b"\r\n");
    }

    /// A number.
    pub(crate) fn integer(&mut self, number: i64) {
        self.put2(Frame2::Integer(number));
    }

    /// A text.
    pub(crate) fn bulk(&mut self, text: impl AsRef<[u8]>) {
        self.put2(Frame2::BulkString(text.as_ref()));
    }

    /// A number as text.
    pub(crate) fn bulk_number(&mut self, number: impl std::fmt::Display) {
        self.bulk(number.to_string());
    }

    /// A number with a fraction.
    pub(crate) fn double(&mut self, number: f64) {
        if self.resp3 {
            self.out.put_slice(format!(",{number}\r\n").as_bytes());
        } else {
            self.bulk(number.to_string());
        }
    }

    /// A text of several lines, to be shown as it is.
    pub(crate) fn verbatim(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if self.resp3 {
            let format = VerbatimStringFormat::Text;
            self.put3(Frame3::VerbatimString { data: text, format, attributes: None });
        } else {
            self.bulk(text);
        }
    }

    /// No text.
    pub(crate) fn null(&mut self) {
        if self.resp3 { self.put3(Frame3::Null) } else { self.put2(Frame2::Null) }
    }

    /// No array.
    pub(crate) fn null_array(&mut self) {
        if self.resp3 { self.put3(Frame3::Null) } else { self.out.put_slice(b"*-1\r\n") }
    }

    /// The head of an array; as many elements must follow. (The crate writes arrays only whole, which would build
    /// every answer twice, and maps only in the order of a hash.)
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

    fn head(&mut self, kind: u8, items: usize) {
        self.out.put_u8(kind);
        if items < 10 {
            self.out.put_u8(b'0' + items as u8);
        } else {
            self.out.put_slice(items.to_string().as_bytes());
        }
        self.out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(buf: &[u8]) -> Result<Option<Vec<String>>, Broken> {
        Ok(command(buf)?.map(|(words, _)| words.iter().map(|word| word.to_string()).collect()))
    }

    #[test]
    fn commands_come_as_arrays_or_inline() {
        let expected = Ok(Some(vec!["PING".to_owned(), "a b".to_owned()]));
        assert_eq!(words(b"*2\r\n$4\r\nPING\r\n$3\r\na b\r\nrest"), expected);
        assert_eq!(words(b"PING \"a b\"\r\nrest"), expected);
        assert_eq!(words(b"PING 'a b'\n"), expected);
        assert_eq!(words(b"\r\n"), Ok(Some(vec![])));
        assert_eq!(words(b"*0\r\n"), Ok(Some(vec![])));
        assert_eq!(words(b"*-1\r\n"), Ok(Some(vec![])));
    }

    #[test]
    fn an_unfinished_command_waits_for_more() {
        let whole = b"*2\r\n$4\r\nPING\r\n$3\r\na b\r\n";
        for end in 0..whole.len() {
            assert_eq!(words(&whole[..end]), Ok(None), "cut off after {end} bytes");
        }
    }

    #[test]
    fn what_is_too_big_is_refused_before_it_arrives() {
        assert_eq!(words(b"*1\r\n$1048577\r\n"), Err(Broken::String));
        assert_eq!(words(b"*1025\r\n"), Err(Broken::Items));
        assert_eq!(words(b"*99999999999999999999\r\n"), Err(Broken::Items));
        assert_eq!(words(b"*1\r\n*1\r\n"), Err(Broken::Depth));
        assert_eq!(words(b"*1\r\n!1\r\n"), Err(Broken::Unexpected('$', '!')));
        assert_eq!(words(&[b'a'; 70_000]), Err(Broken::Line));
        assert_eq!(words(b"PING \"open\r\n"), Err(Broken::Quotes));
        assert!(reply("*1\r\n".repeat(100_000).as_bytes()).is_err());
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
            let _ = (reply(&bytes), words(&bytes));
        }

        #[test]
        fn nothing_that_looks_like_the_protocol_makes_it_panic(text in "[*$+:\\-0-9\r\na]{0,60}") {
            let _ = (reply(text.as_bytes()), words(text.as_bytes()));
        }

        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("(?s).{0,30}", 1..8)) {
            let mut out = BytesMut::new();
            write_command(&mut out, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(words(&out), Ok(Some(texts)));
        }
    }
}
