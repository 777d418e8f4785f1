//! Passwords, of which only the hash is kept.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;

/// A password of so many digits that nobody can guess; nothing when the system gives no chance.
pub(crate) fn generate(digits: usize) -> Option<String> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    Some(text)
}

/// The SHA-256 of a password.
#[derive(Clone, Copy, Eq)]
pub(crate) struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// The hash of a password.
    pub(crate) fn of(password: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, password).as_ref());
        PasswordHash(hash)
    }

    /// The hash that is written as 64 digits, none of them in upper case.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(PasswordHash(hash))
    }
}

/// Takes a time that does not tell how much is the same.
impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash is nearly as good as a password to somebody with time.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = PasswordHash::of(b"sesame");
        assert_eq!(PasswordHash::parse(hash.to_string().as_bytes()), Some(hash));
        assert_eq!(hash.to_string(), "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272");
        assert_eq!(PasswordHash::parse(hash.to_string().to_uppercase().as_bytes()), None);
        assert_eq!(PasswordHash::parse(b"d0"), None);
    }
}
