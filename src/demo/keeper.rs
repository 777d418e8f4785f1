//! The demo's folder, and the process that removes it.
//!
//! The demo removes its folder when it ends. For the case that it is killed there is a keeper: a process that holds the
//! other end of a pipe, and removes the folder, and gives the terminal its old face back, when the pipe closes.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The word behind `demo` that makes this process the keeper of the folder that follows.
pub(super) const WORD: &str = "--keeper";

/// Says to the keeper that the terminal shows the demo's screen, and that it shows it no more.
const SCREEN: &str = "screen";
const NO_SCREEN: &str = "no screen";

/// How long the demo's processes may take to die with it: they write into the folder until then.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until the demo is gone, and tidies up behind it.
pub(super) fn keep(words: &[OsString]) -> ExitCode {
    let [folder] = words else {
        eprintln!("consentinel demo {WORD}: name the folder");
        return ExitCode::FAILURE;
    };
    let mut screen = false;
    for line in io::stdin().lock().lines() {
        match line.as_deref() {
            Ok(SCREEN) => screen = true,
            Ok(NO_SCREEN) => screen = false,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    if screen {
        // The terminal may be gone as well.
        let _ = io::stdout().write_all(super::terminal::LEAVE.as_bytes()).and_then(|()| io::stdout().flush());
    }
    match remove(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Removes the folder, even if somebody writes into it for a little while yet.
fn remove(folder: &Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match std::fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(PAUSE), // between two tries
        }
    }
}

/// A temporary folder with its keeper. Both go away with it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Folder {
    /// Makes one that nobody else can look into.
    pub(super) fn new() -> Result<Folder, String> {
        let parent = std::env::temp_dir();
        let wrong =
            |error| format!("no folder can be made in {}: {error}; TMPDIR names another", parent.display());
        let path = make(&parent).map_err(wrong)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("consentinel").args(["demo", WORD]).arg(&path).current_dir("/");
        let output = if io::stdout().is_terminal() { Stdio::inherit() } else { Stdio::null() };
        command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null());
        // What ends the demo from the terminal must not end its keeper.
        command.process_group(0);
        match command.spawn() {
            Ok(mut keeper) => Ok(Folder { path, pipe: keeper.stdin.take(), keeper }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(format!("the keeper of {} cannot be started: {error}", path.display()))
            }
        }
    }

    /// Makes a folder in it.
    pub(super) fn sub(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(format!("the folder {} cannot be made: {error}", path.display())),
        }
    }

    /// Tells the keeper whether the terminal shows the demo's screen.
    pub(super) fn on_screen(&mut self, shown: bool) {
        if let Some(pipe) = &mut self.pipe {
            // A keeper that somebody has killed keeps nothing; the demo goes on.
            let _ = writeln!(pipe, "{}", if shown { SCREEN } else { NO_SCREEN });
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = remove(&self.path);
        self.pipe = None;
        let _ = self.keeper.wait();
    }
}

fn make(parent: &Path) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let path = parent.join(format!("consentinel-demo-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            // Left by somebody with our number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => return Err(error),
        }
    }
}
