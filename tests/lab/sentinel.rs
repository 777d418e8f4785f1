//! A sentinel: the real one, or ours.

use crate::events::Events;
use crate::process::Process;
use crate::release::Release;
use crate::resp::{Client, Fields, Value};
use crate::wait::eventually;
use crate::{Folder, GROUP, Names, free_port};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Which program is the sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// redis-sentinel, as the machine has it.
    Original,
    /// Another release of the original.
    Other(Release),
    /// The daemon built here.
    Ours(PathBuf),
}

impl Program {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        match self {
            Program::Original => Release::Machine.sentinel(),
            Program::Other(release) => release.sentinel(),
            Program::Ours(path) => path.clone(),
        }
    }
}

/// What one sentinel is started with, besides what all are.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Words on its command line, after the configuration file.
    pub args: Vec<String>,
    /// Lines of its configuration.
    pub lines: Vec<String>,
    /// Names and values of its environment.
    pub environment: Vec<(String, String)>,
    /// What it asks its clients for, and tells the other sentinels.
    pub password: Option<String>,
    /// The host names that it knows, where they are not the machine's.
    pub names: Option<Names>,
    /// How many files it may have open.
    pub files: Option<u32>,
}

impl Extra {
    /// `--consul <address>`
    pub fn consul(address: &str) -> Extra {
        Extra { args: vec!["--consul".into(), address.into()], ..Extra::default() }
    }

    /// With one more line of configuration.
    pub fn line(mut self, line: &str) -> Extra {
        self.lines.push(line.into());
        self
    }

    /// With a password for all sentinels.
    pub fn password(mut self, word: &str) -> Extra {
        self.password = Some(word.into());
        self.line(&format!("requirepass {word}")).line(&format!("sentinel sentinel-pass {word}"))
    }

    /// With more words on the command line.
    pub fn args(mut self, words: &[&str]) -> Extra {
        self.args.extend(words.iter().map(|word| String::from(*word)));
        self
    }

    /// With more in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Extra {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A sentinel, running or not.
#[derive(Debug)]
pub struct Sentinel {
    /// Where it listens.
    pub port: u16,
    /// What it is. To be changed only while it does not run.
    pub program: Program,
    /// What it is started with. The lines count only at the first start.
    pub extra: Extra,
    /// Its configuration before it first ran.
    first_config: String,
    folder: PathBuf,
    process: Option<Process>,
}

impl Sentinel {
    /// Starts one with the given lines in its configuration, besides port and folder.
    pub fn start_new(folder: &Folder, program: Program, config: &str, extra: Extra) -> Sentinel {
        Sentinel::start_at(folder, program, free_port(), config, extra)
    }

    /// The same, on a port that was free.
    pub fn start_at(folder: &Folder, program: Program, port: u16, config: &str, extra: Extra) -> Sentinel {
        let folder = folder.sub(&format!("sentinel-{port}"));
        let head = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.display());
        let more: String = extra.lines.iter().map(|line| format!("{line}\n")).collect();
        let first_config = head + config + &more;
        let mut sentinel = Sentinel { port, program, extra, first_config, folder, process: None };
        sentinel.start_anew();
        sentinel
    }

    /// Starts it with the configuration that it had at first, and so with another id and without a memory: as a container
    /// without a volume.
    pub fn start_anew(&mut self) {
        std::fs::write(self.config(), &self.first_config).expect("the folder is ours");
        self.start();
    }

    /// Starts it, for the first time or again, with its configuration as it was left.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let args: Vec<_> =
            [self.config().into()].into_iter().chain(self.extra.args.iter().map(OsString::from)).collect();
        let log = self.folder.join("log");
        let program = self.program.path();
        let (program, args) = match &self.extra.names {
            Some(names) => names.within(&program, &args),
            None => (program, args),
        };
        let (program, args) = match self.extra.files {
            Some(files) => {
                let words = [format!("--nofile={files}:{files}").into(), program.into()];
                (PathBuf::from("prlimit"), words.into_iter().chain(args).collect())
            }
            None => (program, args),
        };
        self.process = Some(Process::start_with(&program, &args, &self.extra.environment, &log));
        eventually("the sentinel answers", PATIENCE, || {
            assert!(!self.has_exited(), "it has ended:\n{}", self.log());
            self.call(&["PING"])
        });
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("sentinel.conf")
    }

    /// Its configuration, as it stands on disk.
    pub fn config_text(&self) -> String {
        std::fs::read_to_string(self.config()).expect("the configuration is readable")
    }

    /// The folder in which it lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.process.take().expect("it runs").terminate();
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.process.as_ref().expect("it runs").pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.as_ref().expect("it runs").resume();
    }

    /// Its resident memory, in kilobytes.
    pub fn memory(&self) -> u64 {
        let pid = self.process.as_ref().expect("it runs").pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.expect("the kernel tells the memory in kilobytes")
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        let pid = self.process.as_ref().expect("it runs").pid();
        std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
    }

    /// Whether it has exited by itself; after that it can be started again.
    pub fn has_exited(&mut self) -> bool {
        let exited = self.process.as_mut().is_some_and(|process| process.exit_status().is_some());
        if exited {
            self.process = None;
        }
        exited || self.process.is_none()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// One command over a connection of its own; nothing when nobody answers.
    pub fn call(&self, words: &[&str]) -> Option<Value> {
        self.client()?.call(words).ok()
    }

    /// A new connection; nothing when nobody answers.
    pub fn client(&self) -> Option<Client> {
        let client = Client::connect(self.port, Duration::from_secs(1)).ok()?;
        client.authenticated(self.extra.password.as_deref()).ok()
    }

    /// Subscribes to all of its events.
    pub fn events(&self) -> Events {
        Events::subscribe(self.port, self.extra.password.as_deref())
    }

    /// Its id.
    pub fn id(&self) -> String {
        let id = self.call(&["SENTINEL", "MYID"]);
        id.as_ref().and_then(Value::text).expect("a sentinel that runs has an id").to_owned()
    }

    /// The port of the master, by SENTINEL GET-MASTER-ADDR-BY-NAME.
    pub fn master_port(&self) -> Option<u16> {
        let reply = self.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        reply.items().get(1)?.text()?.parse().ok()
    }

    /// What it says of the master.
    pub fn master(&self) -> Fields {
        self.call(&["SENTINEL", "MASTER", GROUP]).map(|reply| reply.fields()).unwrap_or_default()
    }

    /// What it says of the replicas.
    pub fn replicas(&self) -> Vec<Fields> {
        self.list(&["SENTINEL", "REPLICAS", GROUP])
    }

    /// What it says of the other sentinels.
    pub fn sentinels(&self) -> Vec<Fields> {
        self.list(&["SENTINEL", "SENTINELS", GROUP])
    }

    fn list(&self, words: &[&str]) -> Vec<Fields> {
        self.call(words).map(|reply| reply.items().iter().map(Value::fields).collect()).unwrap_or_default()
    }
}
