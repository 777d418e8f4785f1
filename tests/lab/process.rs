//! A process with a log.

use crate::redis::find_on_path;
use crate::resolver::installed;
use crate::wait::eventually;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A process that was started here. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts haproxy with that configuration; its file and its log are in that folder.
    pub fn haproxy(home: &Path, config: &str) -> Process {
        let file = home.join("haproxy.cfg");
        std::fs::write(&file, config).expect("the folder is ours");
        Process::start(
            &installed("haproxy"),
            &["-db".as_ref(), "-f".as_ref(), file.as_os_str()],
            &home.join("log"),
        )
    }

    /// Starts a program; both its outputs are appended to the log. Where `setpriv` is there, the kernel kills it when
    /// this process is killed and cannot do so itself. Of what the environment says about a Consul nothing reaches it.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S], log: &Path) -> Process {
        Process::start_with(program, args, &[], log)
    }

    /// The same, with more in its environment.
    pub fn start_with<S: AsRef<OsStr>>(
        program: &Path,
        args: &[S],
        environment: &[(String, String)],
        log: &Path,
    ) -> Process {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let errors = file.try_clone().expect("a file handle can be duplicated");
        let mut command = match find_on_path(&["setpriv"]) {
            Some(setpriv) => Command::new(setpriv),
            None => Command::new(program),
        };
        if command.get_program() != program {
            command.args(["--pdeathsig", "KILL"]).arg(program);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CONSUL_") {
                command.env_remove(name);
            }
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let child =
            command.args(args).stdin(Stdio::null()).stdout(file).stderr(errors).spawn().unwrap_or_else(
                |error| panic!("cannot start {}: {error}; did `just deps` run?", program.display()),
            );
        Process { child, log: log.to_owned() }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; returns when it has exited.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit(Duration::from_secs(10))
    }

    /// SIGSTOP: it stands still with its connections open. A thread may run on for a moment; that is waited for.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        eventually("it stands still", Duration::from_secs(10), || self.stands_still().then_some(()));
    }

    fn stands_still(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else { return true };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name, in parentheses, may hold anything; the state follows it. A thread that has ended stands still, too.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
        })
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits until it exits by itself.
    pub fn wait_for_exit(&mut self, within: Duration) -> ExitStatus {
        let name = self.log.display().to_string();
        eventually(&format!("the exit of the process that logs to {name}"), within, || self.exit_status())
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // It may have exited already.
        let _ = kill_process(pid, signal);
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(last_lines())..].join("\n");
            eprintln!("--- the end of {}:\n{tail}", self.log.display());
        }
    }
}

/// As many files as this process, and those that it starts from now on, may have open at all.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum it is allowed");
}

/// How much of a log a panic prints: `LAB_LOG_LINES=1000 just e2e ...` for more.
fn last_lines() -> usize {
    std::env::var("LAB_LOG_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(25)
}
