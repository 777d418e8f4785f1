//! The boundaries between the rooms, as the table in docs/architecture.md draws them, and where CONTRIBUTING.md says that rules are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates of the workspace: the compiler holds their boundaries.
const CRATES: [&str; 5] = ["core", "publisher", "resolver", "sim", "main"];

/// Lines that a source file has at most, as CONTRIBUTING.md says.
const LONGEST: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms from the top down.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the document is there");
    let row = |line: &str| Some(line.strip_prefix("| `src/")?.split_once('`')?.0.to_owned());
    text.lines().filter_map(row).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
            false => {}
        }
    }
}

/// What a file of the program imports from the crate's root, without its tests.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        let list = part.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(list, _)| list);
        for item in list.unwrap_or(part).split(',').take(if list.is_some() { usize::MAX } else { 1 }) {
            let name: String =
                item.trim().chars().take_while(|it| it.is_ascii_lowercase() || *it == '_').collect();
            names.insert(name);
        }
    }
    names.remove("");
    names
}

#[test]
fn no_room_uses_one_that_stands_above_it() {
    let rooms = rooms();
    let rank = |room: &str| rooms.iter().position(|it| it == room);
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(root().join("src")).expect("it is in there");
        let parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let room = parts[0].trim_end_matches(".rs");
        let is_test = parts.iter().any(|part| part == "tests" || part == "tests.rs" || part == "fuzzing.rs");
        if CRATES.contains(&room) || room == "lib" || is_test {
            continue;
        }
        let Some(own) = rank(room) else {
            wrong.push(format!("src/{room} is not in the table of docs/architecture.md"));
            continue;
        };
        for other in imports(&fs::read_to_string(file).expect("it can be read")) {
            let Some(its) = rank(&other).filter(|_| other != room) else { continue };
            if its > own {
                continue;
            }
            wrong.push(format!("{}: uses {other}, which stands above {room}", inside.display()));
        }
    }
    assert!(files.len() > 200, "only {} files were found", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each rule has one home, which can be found by its name.
#[test]
fn every_rule_is_where_the_table_says() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("the document is there");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rule, file, function] = cells.as_slice() else { return None };
        let quoted = |cell: &&str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        Some(((*rule).to_owned(), quoted(file)?, quoted(function)?))
    });
    let rows: Vec<(String, String, String)> = rows.collect();
    assert!(rows.len() >= 40, "only {} rules", rows.len());
    for (rule, file, function) in rows {
        let code = fs::read_to_string(root().join(&file)).unwrap_or_default();
        let there = [format!("fn {function}("), format!("fn {function}<")].iter().any(|it| code.contains(it));
        assert!(there, "{rule}: there is no fn {function} in {file}");
    }
}

/// A file that the document leads to exists.
#[test]
fn every_file_of_the_architecture_is_there() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the document is there");
    let is_file = |part: &&str| part.starts_with("src/") && part.ends_with(".rs");
    let named: Vec<&str> = text.split('`').filter(is_file).collect();
    assert!(named.len() > 40, "only {} files", named.len());
    let gone: Vec<_> = named.iter().filter(|file| !root().join(file).is_file()).collect();
    assert!(gone.is_empty(), "docs/architecture.md names {gone:?}");
}

/// Past that length a file has a second subject. Its tests are not counted.
#[test]
fn no_file_is_too_long_to_be_read_at_one_go() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let length = |file: &Path| {
        let text = fs::read_to_string(file).expect("it can be read");
        text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count()
    };
    let long: Vec<_> = files.iter().filter(|file| length(file) >= LONGEST).collect();
    assert!(long.is_empty(), "{LONGEST} lines or more, without tests: {long:#?}");
}

#[test]
fn imports_are_found_wherever_they_are_written() {
    let text = "use crate::net::wire;\nuse crate::{clock, log::line};\nfn f() { crate::http::open() } // crate::dns\n\
                #[cfg(test)]\nmod tests {\nuse crate::demo;\n";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["clock", "http", "log", "net"]);
}
