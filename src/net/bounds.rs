//! What a message says, and whether it keeps within limits: they are looked at before anything is held, so that no
//! sender can make us hold more, or nest deeper, than we agreed to.

use crate::net::wire::Frame;

/// What a message may measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one string.
    pub string: usize,
    /// Elements of one array.
    pub items: usize,
    /// Arrays within arrays.
    pub depth: usize,
    /// Bytes of the whole message.
    pub total: usize,
}

/// What servers and peers may answer. INFO with 512 replicas takes 60 kB; what is far above is no INFO, and would keep
/// everybody else waiting.
pub(crate) const REPLY: Limits = Limits { string: 2 << 20, items: 65_536, depth: 8, total: (2 << 20) + 4096 };

/// What they may answer to CLIENT LIST: some 50,000 clients.
pub(crate) const CLIENTS: Limits = Limits { string: 16 << 20, total: (16 << 20) + 4096, ..REPLY };

/// What clients may ask.
pub(crate) const COMMAND: Limits = Limits { string: 1 << 20, items: 1024, depth: 1, total: 2 << 20 };

/// What they may ask before they have logged in, where they must.
pub(crate) const STRANGER: Limits = Limits { string: 16 << 10, items: 10, ..COMMAND };

/// The longest line: a length, a number, a simple string, an error.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// `txt:`
const VERBATIM: usize = 4;

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// Not what the protocol allows here.
    #[error("expected '{0}', got '{1}'")]
    Unexpected(char, char),
    /// A length that is none, or too large.
    #[error("invalid multibulk length")]
    Items,
    /// A length that is none, or too large.
    #[error("invalid bulk length")]
    String,
    /// More words than a stranger may say.
    #[error("unauthenticated multibulk length")]
    StrangerItems,
    /// A longer word than a stranger may say.
    #[error("unauthenticated bulk length")]
    StrangerString,
    /// A longer answer than a server may give.
    #[error("an answer of more than {0} bytes")]
    TooLong(usize),
    /// An answer of more elements than a server may give.
    #[error("an answer of more than {0} elements")]
    TooMany(usize),
    /// A line that does not end.
    #[error("too big inline request")]
    Line,
    /// Arrays within arrays within arrays.
    #[error("nested too deeply")]
    Depth,
    /// Words in quotes that do not end.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// Anything else.
    #[error("malformed message")]
    Malformed,
}

/// The message at the head of the buffer and where it ends; nothing when it is not complete yet.
pub(crate) fn frame<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<(Frame<'a>, usize)>, Broken> {
    let found = element(buf, 0, limits, limits.depth)?;
    if found.is_none() && buf.len() > limits.total {
        return Err(Broken::String);
    }
    Ok(found)
}

fn element<'a>(
    buf: &'a [u8],
    at: usize,
    limits: &Limits,
    depth: usize,
) -> Result<Option<(Frame<'a>, usize)>, Broken> {
    let Some(kind) = buf.get(at) else { return Ok(None) };
    let Some((text, after)) = line(buf, at + 1)? else { return Ok(None) };
    let frame = match kind {
        b'+' => Frame::Simple(text),
        b'-' => Frame::Error(text),
        b':' => Frame::Integer(integer(text).ok_or(Broken::Malformed)?),
        b'$' | b'=' => match length(text, limits.string).ok_or(Broken::String)? {
            None => Frame::Null,
            Some(length) => {
                let end = after + length;
                // A verbatim text says first what kind of text it is.
                let from = if *kind == b'=' { after + VERBATIM } else { after };
                return match buf.get(end..end + 2) {
                    _ if from > end => Err(Broken::Malformed),
                    None => Ok(None),
                    Some(b"\r\n") => Ok(Some((Frame::Bulk(&buf[from..end]), end + 2))),
                    Some(_) => Err(Broken::Malformed),
                };
            }
        },
        b'*' | b'~' | b'%' | b'>' => match length(text, limits.items).ok_or(Broken::Items)? {
            None => Frame::Null,
            Some(_) if depth == 0 => return Err(Broken::Depth),
            Some(count) => {
                let count = if *kind == b'%' { count * 2 } else { count };
                let Some((items, end)) = array(buf, after, count, limits, depth - 1)? else {
                    return Ok(None);
                };
                let frame = if *kind == b'>' { Frame::Push(items) } else { Frame::Array(items) };
                return Ok(Some((frame, end)));
            }
        },
        b'_' => Frame::Null,
        b'#' => Frame::Integer((text == b"t").into()),
        b',' | b'(' => Frame::Simple(text),
        other => return Err(Broken::Unexpected('$', *other as char)),
    };
    Ok(Some((frame, after)))
}

fn array<'a>(
    buf: &'a [u8],
    mut at: usize,
    count: usize,
    limits: &Limits,
    depth: usize,
) -> Result<Option<(Vec<Frame<'a>>, usize)>, Broken> {
    // Room for what really comes, not for what is announced.
    let mut items = Vec::with_capacity(count.min(8));
    for _ in 0..count {
        match element(buf, at, limits, depth)? {
            Some((item, end)) => {
                items.push(item);
                at = end;
            }
            None => return Ok(None),
        }
    }
    Ok(Some((items, at)))
}

/// The line that starts here, and where the next one does.
pub(crate) fn line(buf: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Broken> {
    let rest = &buf[at..];
    // A short loop: most lines are a length.
    match rest.iter().take(MAX_LINE).position(|c| *c == b'\r') {
        Some(end) => match rest.get(end + 1) {
            Some(b'\n') => Ok(Some((&rest[..end], at + end + 2))),
            Some(_) => Err(Broken::Malformed),
            None => Ok(None),
        },
        None if rest.len() > MAX_LINE => Err(Broken::Line),
        None => Ok(None),
    }
}

/// A length: `Some(None)` stands for null, nothing for what is no length or exceeds the limit.
pub(crate) fn length(text: &[u8], limit: usize) -> Option<Option<usize>> {
    match text {
        b"-1" => Some(None),
        _ if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) => None,
        _ => {
            let value = text.iter().fold(0usize, |value, c| value * 10 + usize::from(c - b'0'));
            (value <= limit).then_some(Some(value))
        }
    }
}
/// A number, as the protocol writes it.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
