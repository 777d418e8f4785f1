//! A client's command, as a server of the lab reads it: an array of strings.

use std::io::{Error, ErrorKind, Result};

const LONGEST: usize = 1 << 20;

/// Takes the first command off what has arrived. `None` while it is not complete.
pub(crate) fn take_command(arrived: &mut Vec<u8>) -> Result<Option<Vec<String>>> {
    let mut rest = arrived.as_slice();
    let Some(count) = take_number(&mut rest, b'*')? else { return Ok(None) };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some(length) = take_number(&mut rest, b'$')? else { return Ok(None) };
        let Some((word, behind)) = rest.split_at_checked(length + 2) else { return Ok(None) };
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
        rest = behind;
    }
    let taken = arrived.len() - rest.len();
    arrived.drain(..taken);
    if words.is_empty() { Err(ErrorKind::InvalidData.into()) } else { Ok(Some(words)) }
}

fn take_number(rest: &mut &[u8], kind: u8) -> Result<Option<usize>> {
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 2..];
    let digits = line.strip_prefix(char::from(kind)).and_then(|digits| digits.parse().ok());
    let number = digits.filter(|number| *number <= LONGEST);
    number.map(Some).ok_or_else(|| Error::new(ErrorKind::InvalidData, line))
}
