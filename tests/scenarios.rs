//! The stories in `tests/scenarios`: each is told again, and its transcript compared with the one that is kept below
//! the line `---`. With `UPDATE_SCENARIOS=1` the new transcripts are written instead.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const RULE: &str = "\n---\n";

#[test]
fn every_story_goes_as_it_is_written() {
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some_and(|value| value == "1");
    let stories = stories();
    assert!(stories.len() >= 25, "only {} stories were found", stories.len());
    let complaints: Vec<String> = stories.iter().filter_map(|path| check(path, update).err()).collect();
    assert!(complaints.is_empty(), "{}\nIf that is meant: just scenarios-update", complaints.join("\n"));
}

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(&folder).expect("the folder of the stories is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths
}

fn check(path: &Path, update: bool) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let (story, expected) = text.split_once(RULE).unwrap_or((text.trim_end(), ""));
    let actual = consentinel_sim::scenario::run(story).map_err(|error| format!("{name}, {error}"))?;
    if actual == expected {
        return Ok(());
    }
    if update {
        return fs::write(path, format!("{story}{RULE}{actual}")).map_err(|error| format!("{name}: {error}"));
    }
    Err(format!("{name} goes another way:\n{}", difference(expected, &actual)))
}

/// The lines that went and those that came, with nothing around them.
fn difference(before: &str, after: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // The longest common subsequence, from the end to the beginning.
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            let _ = writeln!(text, "- {}", a[i]);
            i += 1;
        } else {
            let _ = writeln!(text, "+ {}", b[j]);
            j += 1;
        }
    }
    text
}
