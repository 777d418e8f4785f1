//! Finds the end of a reply that comes in pieces. It goes on where it stopped at the piece before: a reply of N bytes costs
//! N steps, however small the pieces are. Limits are looked at before anything is waited for.

use crate::net::bounds::{Broken, Limits, MAX_LINE, length};

/// How far the reply at the head of a buffer was looked at.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Where the next element begins.
    at: usize,
    /// Up to where its line has no end.
    searched: usize,
    /// How many elements each array still lacks, the innermost last.
    open: Vec<usize>,
    /// Elements of all arrays.
    elements: usize,
}

impl Scan {
    /// Where the reply ends; `None` when it is not complete yet. The buffer must begin with what it began with at the last
    /// call that said `None`; after an end the next reply is looked at.
    pub(crate) fn end(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, Broken> {
        loop {
            if self.at > limits.total {
                return Err(Broken::TooLong(limits.total));
            }
            let Some(kind) = buf.get(self.at) else { return Ok(None) };
            let Some((text, after)) = self.line(buf)? else { return Ok(None) };
            let end = match kind {
                b'$' | b'=' => after + string(text, limits)?,
                b'*' | b'~' | b'%' | b'>' => {
                    let pairs = if *kind == b'%' { 2 } else { 1 };
                    let count = items(text, limits)? * pairs;
                    self.elements += count;
                    if self.elements > limits.items {
                        return Err(Broken::TooMany(limits.items));
                    }
                    if self.open.len() == limits.depth {
                        return Err(Broken::Depth);
                    }
                    if count > 0 {
                        self.open.push(count);
                        self.at = after;
                        continue;
                    }
                    after
                }
                _ => after,
            };
            if end > limits.total {
                return Err(Broken::TooLong(limits.total));
            }
            if buf.len() < end {
                return Ok(None);
            }
            self.at = end;
            if self.is_whole() {
                *self = Scan::default();
                return Ok(Some(end));
            }
        }
    }

    /// The line that begins with the next element, and where it ends.
    fn line<'a>(&mut self, buf: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, Broken> {
        let from = self.at + 1;
        let begin = self.searched.max(from);
        let found = buf[begin.min(buf.len())..].iter().position(|c| *c == b'\r').map(|at| begin + at);
        self.searched = found.unwrap_or(buf.len());
        if self.searched.saturating_sub(from) > MAX_LINE {
            return Err(Broken::Line);
        }
        let Some(end) = found else { return Ok(None) };
        match buf.get(end + 1) {
            Some(b'\n') => Ok(Some((&buf[from..end], end + 2))),
            Some(_) => Err(Broken::Malformed),
            None => Ok(None),
        }
    }

    /// An element has come: whether it was the last one.
    fn is_whole(&mut self) -> bool {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// How many bytes follow a string's length.
fn string(text: &[u8], limits: &Limits) -> Result<usize, Broken> {
    match length(text, limits.string) {
        Some(length) => Ok(length.map_or(0, |length| length + 2)),
        None if is_number(text) => Err(Broken::TooLong(limits.string)),
        None => Err(Broken::String),
    }
}

/// How many elements follow an array's length, pairs counting as one.
fn items(text: &[u8], limits: &Limits) -> Result<usize, Broken> {
    match length(text, limits.items) {
        Some(count) => Ok(count.unwrap_or(0)),
        None if is_number(text) => Err(Broken::TooMany(limits.items)),
        None => Err(Broken::Items),
    }
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bounds::{REPLY, frame};
    use proptest::prelude::*;

    /// What comes of it in pieces of so many bytes, and how many bytes were looked at for the end of a line.
    fn in_pieces(bytes: &[u8], piece: usize) -> Result<Option<usize>, Broken> {
        let mut scan = Scan::default();
        for end in (0..bytes.len()).step_by(piece).chain([bytes.len()]) {
            if let Some(end) = scan.end(&bytes[..end], &REPLY)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_reply_in_single_bytes_is_found_as_in_one() {
        let reply = b"%1\r\n+a\r\n*3\r\n$3\r\nx\r\n\r\n$-1\r\n*0\r\n:1\r\n";
        assert_eq!((in_pieces(reply, 1), in_pieces(reply, 100)), (Ok(Some(30)), Ok(Some(30))));
        assert_eq!(in_pieces(&reply[..29], 1), Ok(None));
    }

    #[test]
    fn what_is_over_the_limit_is_refused_when_it_is_announced() {
        assert_eq!(in_pieces(b"$60000000\r\n", 1), Err(Broken::TooLong(REPLY.string)));
        assert_eq!(in_pieces(b"$99999999999999999999\r\n", 1), Err(Broken::TooLong(REPLY.string)));
        assert_eq!(in_pieces(b"*65537\r\n", 1), Err(Broken::TooMany(REPLY.items)));
        let nested = "*2000\r\n".repeat(8) + &"*60000\r\n".repeat(2);
        assert!(matches!(in_pieces(nested.as_bytes(), 1), Err(Broken::Depth | Broken::TooMany(_))));
        let arrays = "*200\r\n*1000\r\n";
        assert_eq!(in_pieces(arrays.as_bytes(), 3), Ok(None));
        assert_eq!(in_pieces(&[b'+'; 70_000], 1000), Err(Broken::Line));
        let strings = "*3\r\n".to_owned() + &format!("${}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20)).repeat(3);
        assert_eq!(in_pieces(strings.as_bytes(), 50_000), Err(Broken::TooLong(REPLY.total)));
    }

    /// A megabyte in single bytes: what begins anew at each would look at half a million megabytes, which takes minutes.
    #[test]
    fn many_small_pieces_cost_no_more_than_one() {
        let elements = "*60000\r\n".to_owned() + &"+0123456789\r\n".repeat(60_000);
        assert_eq!(in_pieces(elements.as_bytes(), 1), Ok(Some(elements.len())));
        let line = "+".to_owned() + &"x".repeat(60_000) + "\r\n";
        assert_eq!(in_pieces(line.as_bytes(), 1), Ok(Some(line.len())));
    }

    proptest! {
        #[test]
        fn it_ends_where_the_reader_does(text in "([*$+:%>_=][0-9-]{0,2}\r\n[a-c]{0,3}(\r\n)?){0,12}", piece in 1..9_usize) {
            match (in_pieces(text.as_bytes(), piece), frame(text.as_bytes(), &REPLY)) {
                (Ok(Some(end)), Ok(found)) => prop_assert_eq!(found.map(|(_, end)| end), Some(end)),
                // What is malformed inside is left to the reader, once it is there.
                (Ok(Some(_)), Err(_)) | (Err(_), Err(_)) | (Ok(None), Err(_)) => {}
                (scanned, found) => prop_assert!(scanned == Ok(None) && found == Ok(None), "{scanned:?} {found:?}"),
            }
        }
    }
}
