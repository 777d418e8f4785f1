//! `daemonize yes`: we start ourselves once more, in a session of its own and without a terminal, wait until that one
//! says that it is ready, and end. What it has to complain about until then goes to whoever called us.

use super::supervisor;
use crate::config::Settings;
use crate::log;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// Says to the second one that it is the second, and whose.
const MARK: &str = "CONSENTINEL_BACKGROUND";

/// Says to the first one that the second is ready.
const READY: u8 = 6;

/// Where and as what we were started, before anything has changed it.
#[derive(Debug)]
pub(crate) struct Origin {
    program: OsString,
    words: Vec<OsString>,
    folder: Option<PathBuf>,
}

impl Origin {
    /// Now.
    pub(crate) fn new() -> Self {
        let mut words = std::env::args_os();
        let program = words.next().unwrap_or_default();
        Origin { program, words: words.collect(), folder: std::env::current_dir().ok() }
    }

    /// Starts the second one and waits until it is ready, or has ended. `input` is what was read from standard input.
    pub(crate) fn start_again(&self, input: Option<&[u8]>) -> io::Result<ExitCode> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(&self.program).args(&self.words).env(MARK, std::process::id().to_string());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            // It may have ended before it read all of it; then it tells why.
            let _ = pipe.write_all(input);
        }
        let mut said = Vec::new();
        if let Some(mut pipe) = child.stderr.take() {
            pipe.read_to_end(&mut said)?;
        }
        let ready = said.pop_if(|last| *last == READY).is_some();
        io::stderr().write_all(&said)?;
        if ready {
            return Ok(ExitCode::SUCCESS);
        }
        let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

/// Which of the two we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// Nobody wants us in the background.
    No,
    /// Somebody does, and we are not there.
    Wanted,
    /// We are the second one.
    There,
}

impl Background {
    /// Finds out.
    pub(crate) fn find(settings: &Settings) -> Background {
        // The mark is inherited by scripts; they are children of somebody else.
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_pid().to_string());
        let marked = std::env::var(MARK).ok().is_some_and(|mark| Some(mark) == parent);
        match settings.daemonize && !supervisor::is_there(settings) {
            true if marked => Background::There,
            true => Background::Wanted,
            false => Background::No,
        }
    }

    /// Leaves the terminal and whoever sits before it. First of all.
    pub(crate) fn leave_terminal(self) {
        if self == Background::There {
            // It fails only for who leads a session already, which is as good.
            let _ = rustix::process::setsid();
        }
    }

    /// Says that from now on nobody need wait for us.
    pub(crate) fn ready(self) -> io::Result<()> {
        if self == Background::There {
            // Whoever waits for us may look into the log at once.
            log::flush();
            // The first one may have been killed.
            let _ = io::stderr().write_all(&[READY]);
            let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            rustix::stdio::dup2_stderr(&nothing)?;
            rustix::stdio::dup2_stdin(&nothing)?;
        }
        Ok(())
    }
}
