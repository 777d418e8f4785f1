//! What holds for every configuration and every state, without a disk.

use super::source::{Layer, Source};
use super::*;
use std::path::Path;

/// All that a configuration makes of us.
type Understood = (Settings, Durable, Option<PathBuf>);

/// As at the start, but without a look at the disk: nothing is included, no directory entered.
fn understand(bytes: &[u8], state: Option<&[u8]>) -> Result<Understood, ConfigError> {
    let Source { mut directives, .. } = source::parse(Path::new("s.conf"), bytes, Layer::File)?;
    let mut settings = Settings::default();
    for directive in directives.iter().filter(|directive| directive.words[0] != "sentinel") {
        settings.apply(&directive.words).map_err(|wrong| directive.error(wrong))?;
    }
    let mut remembered = recovery::Evidence::of(bytes, &directives, Layer::File);
    if let Some(state) = state {
        let source = source::parse(Path::new("state"), state, Layer::State)?;
        remembered = recovery::Evidence::of(state, &source.directives, Layer::State);
        take_settings(&source.directives, &mut settings)?;
        directives.extend(source.directives);
    }
    let Reader { mut durable, state_file, .. } = read_sentinel(&directives, &|_| None)?;
    remembered.make_good(&mut durable);
    Ok((settings, durable, state_file.map(PathBuf::from)))
}

/// An error can be shown: it says what it is, and is no longer than a screen or two.
fn presentable(error: &ConfigError) {
    let text = error.to_string();
    assert!(text.contains("FATAL CONFIG FILE ERROR") && text.len() < 20_000, "{} bytes", text.len());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
}

/// What is read from a configuration is what is read from it after it was written back; and what was written back once is
/// written back the same ever after. Lines of the operator stay.
pub(crate) fn configuration(bytes: &[u8]) {
    let (settings, durable, _) = match understand(bytes, None) {
        Ok(understood) => understood,
        Err(error) => return presentable(&error),
    };
    let written = render::into_configuration(bytes, &Durable::default(), &durable, None, None, None);
    let (settings_again, again, _) = understand(&written, None).expect("what we write, we read");
    assert_eq!((&settings, &durable), (&settings_again, &again));
    let twice = render::into_configuration(&written, &Durable::default(), &again, None, None, None);
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&twice));
    let mut lines = written.split(|c| *c == b'\n');
    for line in bytes.split(|c| *c == b'\n') {
        let ours =
            source::words_of(line).is_ok_and(|words| words.first().is_some_and(|word| word == "sentinel"));
        assert!(ours || lines.any(|kept| kept == line), "a line is gone: {}", String::from_utf8_lossy(line));
    }
}

/// A configuration, a line of `===`, and a state: what a state file holds is what is read from it again.
pub(crate) fn state(bytes: &[u8]) {
    const BETWEEN: &[u8] = b"\n===\n";
    let middle = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN);
    let (configuration, state) = match middle {
        Some(at) => (&bytes[..at + 1], &bytes[at + BETWEEN.len()..]),
        None => (bytes, &b""[..]),
    };
    let Ok((_, base, _)) = understand(configuration, None) else { return };
    let (_, durable, _) = match understand(configuration, Some(state)) {
        Ok(understood) => understood,
        Err(error) => return presentable(&error),
    };
    let written = render::as_state_file(&base, &durable, None, None);
    let (_, again, _) = understand(configuration, Some(&written)).expect("what we write, we read");
    assert_eq!(again, durable, "{}", String::from_utf8_lossy(&written));
    for (name, group) in &durable.groups {
        assert!(group.leader_epoch <= durable.current_epoch, "{name} has voted in the future");
    }
}
