//! `just demo` on a machine that lacks something: it says what, and how to have it.

use consentinel_lab::Folder;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What the script itself is made of.
const TOOLS: [&str; 9] = ["bash", "dirname", "sed", "sort", "head", "cat", "mktemp", "rm", "mkdir"];

/// A machine whose PATH has the usual tools, and the programs that are put there.
struct Machine(Folder);

impl Machine {
    fn new() -> Machine {
        let folder = Folder::new();
        let path = std::env::var_os("PATH").expect("there is a PATH");
        for tool in TOOLS {
            let found = std::env::split_paths(&path).map(|dir| dir.join(tool)).find(|file| file.is_file());
            symlink(found.expect("every machine has it"), folder.path().join(tool))
                .expect("the folder is ours");
        }
        Machine(folder)
    }

    /// Puts a program there.
    fn with(self, name: &str, script: &str) -> Machine {
        let file = self.0.path().join(name);
        std::fs::write(&file, format!("#!/usr/bin/env bash\n{script}\n")).expect("the folder is ours");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("the file is ours");
        self
    }

    /// Fails, and says why.
    fn fails(&self, script: &str) -> String {
        let Output { status, stdout, stderr } = Command::new(self.0.path().join("bash"))
            .arg(Path::new(ROOT).join(script))
            .env("PATH", self.0.path())
            .env("HOME", self.0.path())
            .env_remove("XDG_CACHE_HOME")
            .output()
            .expect("there is bash");
        let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{said}");
        said.into_owned()
    }
}

#[test]
fn without_a_rust_that_can_build_it_the_demo_says_how_to_have_one() {
    let none = Machine::new();
    let old = Machine::new().with("cargo", "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'");
    let empty = Machine::new().with("cargo", "echo 'no default toolchain is configured' >&2; exit 1");
    for (machine, reason) in [
        (&none, "or later is missing (there is no cargo on PATH)"),
        (&old, "Rust 1.63 is too old, it must be "),
        (&empty, "cargo does not run: no default toolchain is configured"),
    ] {
        for script in ["tests/demo.sh", "tests/rust.sh"] {
            let said = machine.fails(script);
            assert!(said.contains(reason), "{said}");
            for way in ["apt-get install cargo-web rustc-web", "https://rustup.rs", "docker compose up"] {
                assert!(said.contains(way), "{said}");
            }
        }
    }
}

/// The version that is asked for is the one of Cargo.toml, compared by number: 1.100 is later than 1.88.
#[test]
fn a_rust_that_is_new_enough_needs_a_c_compiler_too() {
    for version in [env!("CARGO_PKG_RUST_VERSION"), "1.100.0"] {
        let machine = Machine::new().with("cargo", &format!("echo 'cargo {version}.0 (0123456 2026-01-01)'"));
        let said = machine.fails("tests/demo.sh");
        assert!(said.contains("a C compiler is missing") && said.contains("libc6-dev"), "{said}");
    }
}

#[test]
fn without_a_redis_server_that_could_be_fetched_the_demo_says_what_to_install() {
    let machine =
        Machine::new().with("cargo", "echo 'cargo 1.100.0 (0123456 2027-01-01)'").with("cc", "exit 1");
    let said = machine.fails("tests/demo.sh");
    for part in
        ["there is no redis-server here", "no apt-get here", "Install redis-server", "--redis-server PROGRAM"]
    {
        assert!(said.contains(part), "{said}");
    }
}
