//! A process of the demo, which never outlives it.
//!
//! It is started through this very program (`consentinel demo --actor`): that asks the kernel to be killed when its
//! parent dies, however the parent dies, and then becomes the program that is meant. So nothing is left running even
//! when the demo itself is killed and cannot tidy up.

use rustix::process::{Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use tokio::process::{Child, Command};

/// The word behind `demo` that makes this process an actor: its parent's number, the program and its words follow.
pub(super) const WORD: &str = "--actor";

/// Becomes the program; returns only when it cannot.
pub(super) fn become_actor(words: &[OsString]) -> ExitCode {
    let [parent, program, words @ ..] = words else {
        eprintln!("consentinel demo {WORD}: name the parent and the program");
        return ExitCode::FAILURE;
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("consentinel demo: the kernel does not promise to end this process with the demo: {error}");
        return ExitCode::FAILURE;
    }
    // It may have died before the kernel was asked.
    let present = rustix::process::getppid().map(|pid| pid.as_raw_pid().to_string());
    if present.as_deref() != parent.to_str() {
        return ExitCode::FAILURE;
    }
    let error = std::process::Command::new(program).args(words).exec();
    eprintln!("consentinel demo: cannot start {}: {error}", program.display());
    ExitCode::FAILURE
}

/// What an actor is.
#[derive(Debug)]
pub(super) struct Part {
    /// As the demo calls it: `redis 30001`, `daemon A`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its words.
    pub words: Vec<OsString>,
    /// Where what it prints goes.
    pub log: PathBuf,
}

/// A process of the demo, running or not. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Actor {
    part: Part,
    child: Option<Child>,
}

impl Actor {
    /// One that does not run yet.
    pub(super) fn new(part: Part) -> Self {
        Actor { part, child: None }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.part.name
    }

    /// Its number, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Starts it, for the first time or again.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let started = self.spawn();
        started.map_err(|error| format!("{} cannot be started: {error}", self.part.name))
    }

    fn spawn(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.part.log)?;
        // This program as it runs, also when its file has been built anew meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("consentinel").args(["demo", WORD]).arg(std::process::id().to_string());
        command.arg(&self.part.program).args(&self.part.words);
        for (name, _) in std::env::vars_os() {
            // Nothing of whatever Consul or supervisor there is around the demo.
            if name.to_string_lossy().starts_with("CONSUL_") || name == "NOTIFY_SOCKET" {
                command.env_remove(name);
            }
        }
        if let Some(folder) = self.part.log.parent() {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        // A group of its own: Ctrl-C in the terminal is the demo's business.
        command.process_group(0).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// How it ended, if it has, without being asked to.
    pub(super) fn has_exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Sends a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.raw_pid() {
            // It may have exited already.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL to it and whatever it started; returns when it is gone.
    pub(super) async fn kill(&mut self) {
        if let Some(pid) = self.raw_pid() {
            // The group is there as long as we have not waited for its head.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait().await;
        }
    }

    fn raw_pid(&self) -> Option<Pid> {
        self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    /// The last lines that it has printed.
    pub(super) fn last_words(&self, lines: usize) -> String {
        let text = String::from_utf8_lossy(&std::fs::read(&self.part.log).unwrap_or_default()).into_owned();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| format!("    {line}\n")).collect()
    }
}
