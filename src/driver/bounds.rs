//! How far a message reaches, and whether it keeps within limits: looked at before anything is decoded, so that no
//! sender can make us hold more, or nest deeper, than we agreed to.

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

/// What servers and peers may answer: INFO is long where there are many replicas.
pub(crate) const REPLY: Limits = Limits { string: 64 << 20, items: 65_536, depth: 8, total: 65 << 20 };

/// What clients may ask.
pub(crate) const COMMAND: Limits = Limits { string: 1 << 20, items: 1024, depth: 1, total: 2 << 20 };

/// The longest line: a length, a number, a simple string, an error.
const MAX_LINE: usize = 64 << 10;

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

/// Where the message at the head of the buffer ends; nothing when it is not complete yet.
pub(crate) fn end(buf: &[u8], limits: &Limits) -> Result<Option<usize>, Broken> {
    let end = element(buf, 0, limits, limits.depth)?;
    if end.is_none() && buf.len() > limits.total {
        return Err(Broken::String);
    }
    Ok(end)
}

fn element(buf: &[u8], at: usize, limits: &Limits, depth: usize) -> Result<Option<usize>, Broken> {
    let Some(kind) = buf.get(at) else { return Ok(None) };
    let Some(line_end) = line(buf, at + 1)? else { return Ok(None) };
    let text = &buf[at + 1..line_end];
    let after = line_end + 2;
    match kind {
        b'+' | b'-' | b':' => Ok(Some(after)),
        b'$' => match length(text, limits.string).ok_or(Broken::String)? {
            None => Ok(Some(after)),
            Some(length) => {
                let end = after + length + 2;
                match buf.get(end - 2..end) {
                    None => Ok(None),
                    Some(b"\r\n") => Ok(Some(end)),
                    Some(_) => Err(Broken::Malformed),
                }
            }
        },
        b'*' => match length(text, limits.items).ok_or(Broken::Items)? {
            None => Ok(Some(after)),
            Some(_) if depth == 0 => Err(Broken::Depth),
            Some(count) => {
                let mut at = after;
                for _ in 0..count {
                    match element(buf, at, limits, depth - 1)? {
                        Some(end) => at = end,
                        None => return Ok(None),
                    }
                }
                Ok(Some(at))
            }
        },
        other => Err(Broken::Unexpected('$', *other as char)),
    }
}

/// Where the line ends that starts here.
fn line(buf: &[u8], at: usize) -> Result<Option<usize>, Broken> {
    match buf[at..].windows(2).take(MAX_LINE).position(|pair| pair == b"\r\n") {
        Some(length) => Ok(Some(at + length)),
        None if buf.len() - at > MAX_LINE => Err(Broken::Line),
        None => Ok(None),
    }
}

/// A length: `Some(None)` stands for null, nothing for what is no length or exceeds the limit.
fn length(text: &[u8], limit: usize) -> Option<Option<usize>> {
    match text {
        b"-1" => Some(None),
        _ if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) => None,
        _ => {
            let value = text.iter().fold(0usize, |value, c| value * 10 + usize::from(c - b'0'));
            (value <= limit).then_some(Some(value))
        }
    }
}
