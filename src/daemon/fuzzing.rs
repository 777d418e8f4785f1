//! What holds for any bytes, whoever sent or wrote them. `just fuzz` looks for bytes for which it does not hold; the
//! tests go through those that were kept, and through some that look like them.

use crate::acl::has_space;
use crate::config::{self, Settings};
use crate::daemon::calls::Awaited;
use crate::net::bounds;
use crate::net::scan::Scan;
use crate::net::wire::{self, Frame};
use crate::server;
use crate::server::acl::Acl;
use bytes::BytesMut;
use consentinel_core::{Hello, Info};

/// A configuration file.
pub fn configuration(bytes: &[u8]) {
    config::fuzzing::configuration(bytes);
}

/// A configuration file and a state file.
pub fn state(bytes: &[u8]) {
    config::fuzzing::state(bytes);
}

/// What a client sends.
pub fn commands(bytes: &[u8]) {
    server::fuzzing::serve(bytes);
    let mut rest = bytes;
    while let Ok(Some((words, length))) = wire::command(rest, false) {
        assert!((1..=rest.len()).contains(&length), "{length} of {}", rest.len());
        // It was not complete a byte earlier.
        assert!(matches!(wire::command(&rest[..length - 1], false), Ok(None)), "{:?}", &rest[..length]);
        let words: Vec<&str> = words.iter().map(|word| &**word).collect();
        if !words.is_empty() {
            let mut written = BytesMut::new();
            wire::write_command(&mut written, &words);
            let (again, all) =
                wire::command(&written, false).expect("it is well formed").expect("it is complete");
            assert_eq!(all, written.len());
            assert!(again.iter().map(|word| &**word).eq(words.iter().copied()));
        }
        rest = &rest[length..];
    }
}

/// The rules of a user: `name rule rule ...`.
pub fn acl(bytes: &[u8]) {
    let mut words = bytes.split(|c| *c == b' ');
    let name = words.next().unwrap_or_default();
    let rules: Vec<&[u8]> = words.collect();
    // The configuration is text, and so are users that are to be written there; ACL SETUSER takes no spaces in a name.
    if std::str::from_utf8(bytes).is_err() || name.is_empty() || has_space(name) {
        return;
    }
    let mut acl = Acl::new(&Settings::default()).expect("no users, no mistake");
    if acl.set_user(name, &rules).is_err() {
        return;
    }
    // What is written into the configuration makes the same users.
    let lines = acl.lines().expect("there is no file of users");
    let mut settings = Settings::default();
    for line in &lines {
        let words = config::split(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        settings.apply(&words).unwrap_or_else(|wrong| panic!("{}: {line}", wrong.what));
    }
    let again =
        Acl::new(&settings).expect("every line was right").lines().expect("there is no file of users");
    // A default user that was read has a flag more, of no meaning here, as in the original.
    let without_it = |lines: &[String]| {
        lines.iter().map(|line| line.replacen(" sanitize-payload", "", 1)).collect::<Vec<_>>()
    };
    assert_eq!(without_it(&again), without_it(&lines));
}

/// What a server or a peer answers.
pub fn replies(bytes: &[u8]) {
    let mut awaited = [Awaited::Done, Awaited::Pong, Awaited::Info, Awaited::Down, Awaited::Exec(5)];
    let mut rest = bytes;
    let mut scan = Scan::default();
    while let Ok(Some((frame, length))) = wire::reply(rest) {
        // In pieces of a byte it ends there, too, unless it is over a limit of the whole.
        let ends: Vec<_> = (0..=length).map(|end| scan.end(&rest[..end], &bounds::REPLY)).collect();
        let refused = ends.iter().any(Result::is_err);
        assert!(refused || ends[length] == Ok(Some(length)), "{:?}", &rest[..length]);
        assert!(refused || ends[..length].iter().all(|end| *end == Ok(None)), "{:?}", &rest[..length]);
        if refused {
            return;
        }
        assert!((1..=rest.len()).contains(&length), "{length} of {}", rest.len());
        assert!(matches!(wire::reply(&rest[..length - 1]), Ok(None)), "{:?}", &rest[..length]);
        assert!(depth(&frame) <= 64, "nested without end");
        for awaited in &mut awaited {
            if let Err(still) = awaited.take(&frame) {
                *awaited = still;
            }
        }
        rest = &rest[length..];
    }
}

fn depth(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Array(items) | Frame::Push(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What another sentinel says of itself.
pub fn hello(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(hello) = Hello::parse(&text) {
        assert_eq!(Hello::parse(&hello.to_string()).as_ref(), Ok(&hello));
        assert!(hello.to_string().len() <= 2048, "it fits into a line");
    }
}

/// What somebody asks over DNS.
pub fn dns(bytes: &[u8]) {
    crate::dns::fuzzing::answer(bytes);
}

/// What a server says of itself.
pub fn info(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let info = Info::parse(&text);
    let named = |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|c| c.is_ascii_graphic());
    assert!(info.run_id.as_ref().is_none_or(|id| named(id.as_str())), "{:?}", info.run_id);
    assert!(info.replicas.len() <= text.lines().count());
}

#[cfg(test)]
mod tests {
    use super::*;
    use consentinel_core::Rng;

    /// How many variations of each kept input are tried.
    const VARIATIONS: u64 = 300;

    /// Goes through what was kept for a target, and through variations of it; which ones, is always the same.
    fn go_through(target: &str, check: fn(&[u8])) {
        let folder = format!("{}/tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .map(|entry| entry.expect("the folder is readable").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{folder} is empty");
        let inputs: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("it is readable")).collect();
        for (number, input) in inputs.iter().enumerate() {
            check(input);
            let mut rng = Rng::new(number as u64 + 1);
            for _ in 0..VARIATIONS {
                check(&varied(input, &inputs, &mut rng));
            }
        }
    }

    fn varied(input: &[u8], others: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64 + 1) as usize;
            match rng.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, rng.below(256) as u8),
                2 if at < bytes.len() => bytes[at] = rng.below(256) as u8,
                3 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                4 if at < bytes.len() => drop(bytes.drain(at..(at + 9).min(bytes.len()))),
                _ => {
                    let other = &others[rng.below(others.len() as u64) as usize];
                    let from = rng.below(other.len() as u64 + 1) as usize;
                    let to = (from + 40).min(other.len());
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        bytes
    }

    #[test]
    fn kept_configurations() {
        go_through("configuration", configuration);
    }

    #[test]
    fn kept_states() {
        go_through("state", state);
    }

    #[test]
    fn kept_commands() {
        go_through("commands", commands);
    }

    #[test]
    fn kept_users() {
        go_through("acl", acl);
    }

    #[test]
    fn kept_replies() {
        go_through("replies", replies);
    }

    #[test]
    fn kept_hellos() {
        go_through("hello", hello);
    }

    #[test]
    fn kept_questions() {
        go_through("dns", dns);
    }

    #[test]
    fn kept_infos() {
        go_through("info", info);
    }
}
