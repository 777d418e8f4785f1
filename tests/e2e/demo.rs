//! `consentinel demo`, as whoever tries it for the first time sees it: in a pipe, on a terminal, ended in every way.

use crate::PATIENCE;
use consentinel_lab::{Dialogue, Folder, consul_program, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

const DAEMON: &str = env!("CARGO_BIN_EXE_consentinel");

/// A demo in a pipe. Its temporary files are in a folder of the test's.
struct Demo {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    said: String,
    folder: Folder,
}

impl Demo {
    fn start(words: &[&str]) -> Demo {
        let folder = Folder::new();
        let mut child = Command::new(DAEMON)
            .arg("demo")
            .args(words)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon was built");
        let output = child.stdout.take().map(BufReader::new);
        Demo { child, output, said: String::new(), folder }
    }

    fn with_consul(words: &[&str]) -> Demo {
        let consul = consul_program();
        let consul = consul.to_str().expect("its path is text");
        Demo::start(&[&["--consul", consul], words].concat())
    }

    /// Waits until it says that.
    fn hear(&mut self, text: &str) {
        let output = self.output.as_mut().expect("it is piped");
        while !self.said.contains(text) {
            let length = output.read_line(&mut self.said).expect("it says text");
            assert_ne!(length, 0, "it ended before it said {text:?}: {}", self.said);
        }
    }

    /// Waits until it has ended. How, and what it said; nothing of it may be left.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = std::mem::take(&mut self.said);
        self.output.take().expect("it is piped").read_to_string(&mut said).expect("it says text");
        let mut pipe = self.child.stderr.take().expect("it is piped");
        pipe.read_to_string(&mut said).expect("it says text");
        let status = self.child.wait().expect("it is ours");
        assert_eq!(left_behind(&self.folder), Vec::<String>::new(), "after {status}:\n{said}");
        (status, said)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits until as many of its processes run as belong to it, and returns them.
    fn all_up(&self, count: usize) -> Vec<(Pid, String)> {
        eventually("everything runs", PATIENCE, || {
            Some(processes(self.folder.path())).filter(|found| found.len() == count)
        })
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that work in a folder, or speak of it: their numbers and what they were started as.
fn processes(folder: &Path) -> Vec<(Pid, String)> {
    let folder = folder.to_str().expect("the lab's folders are text");
    let all = std::fs::read_dir("/proc").expect("there is a /proc").flatten();
    let of_folder = |entry: std::fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line =
            String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        let works_in = std::fs::read_link(entry.path().join("cwd")).ok()?;
        // A process that has ended and was not waited for yet has neither.
        (works_in.to_string_lossy().starts_with(folder) || line.contains(folder)).then_some((pid, line))
    };
    all.filter_map(of_folder).collect()
}

/// What a demo left of its processes and files.
fn left_behind(folder: &Folder) -> Vec<String> {
    let files = std::fs::read_dir(folder.path()).expect("it is the test's").flatten();
    let files = files
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.contains("consentinel-demo"));
    processes(folder.path()).into_iter().map(|(pid, line)| format!("{pid:?} {line}")).chain(files).collect()
}

/// A Redis server that does something of its own before it is one.
fn odd_server(folder: &Folder, first: &str) -> PathBuf {
    let path = folder.path().join("odd-redis-server");
    std::fs::write(&path, format!("#!/bin/sh\n{first}\nexec redis-server \"$@\"\n"))
        .expect("it is the test's");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is the test's");
    path
}

/// Asserts that the texts appear in that order.
fn in_order(said: &str, texts: &[&str]) {
    let mut rest = said;
    for text in texts {
        let at = rest.find(text).unwrap_or_else(|| panic!("no {text:?} (behind the one before) in\n{said}"));
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn it_proves_a_failover_in_consul_and_tells_it_line_by_line() {
    let (status, said) = Demo::with_consul(&["--auto"]).end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains('\x1b'), "a pipe is no terminal: {said}");
    in_order(
        &said,
        &[
            "three Redis servers",
            "Consul, in memory",
            "three daemons",
            "dig +short @127.0.0.1 -p 3",
            "dig says: 1 1 ",
            "killed: SIGKILL for",
            "+sdown",
            "+odown",
            "elected",
            "promoted",
            "back: ",
            "is a replica of",
            "Failover 1: ",
            "ms to the application's first write on the new master",
            "none is lost",
            "The answer followed, the old master came back as a replica, nothing was lost.",
        ],
    );
}

#[test]
fn two_at_once_need_no_consul_and_do_not_meet() {
    let both = [Demo::start(&["--auto", "--no-consul"]), Demo::start(&["--auto", "--no-consul"])];
    let mut dig_lines = Vec::new();
    for demo in both {
        let (status, said) = demo.end();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("Consul, in memory"), "{said}");
        let line =
            said.lines().find_map(|line| line.split_once("dig +short ")).expect("it tells the question").1;
        dig_lines.push(line.to_owned());
    }
    assert_ne!(dig_lines[0], dig_lines[1]);
}

/// A demo on a terminal of 80 columns, behind a shell that tells how it ended and whether the terminal is as it was. Its
/// temporary files are in the second folder.
struct OnTerminal {
    terminal: Dialogue,
    folder: Folder,
    _script: Folder,
}

impl OnTerminal {
    fn start() -> OnTerminal {
        // The shell's own words must not speak of the folder whose processes are looked for.
        let (folder, script) = (Folder::new(), Folder::new());
        let path = script.path().join("run.sh");
        let text = format!(
            "trap : INT; stty rows 24 cols 80; before=$(stty -g)\n\
             export TMPDIR={} TERM=xterm NO_COLOR=1 LC_ALL=C.UTF-8\n\
             {DAEMON} demo --consul {}; echo ended=$?\n\
             [ \"$before\" = \"$(stty -g)\" ] && echo terminal=same\n",
            folder.path().display(),
            consul_program().display()
        );
        std::fs::write(&path, text).expect("it is the test's");
        let command = format!("sh {}", path.display());
        let terminal = Dialogue::start(Path::new("script"), &["-qefc", &command, "/dev/null"]);
        OnTerminal { terminal, folder, _script: script }
    }
}

#[test]
fn on_a_terminal_keys_kill_and_bring_back() {
    let OnTerminal { mut terminal, folder, _script } = OnTerminal::start();
    terminal.hear("Press k to kill the master", PATIENCE);
    terminal.hear("hears A B", PATIENCE);
    terminal.say("k");
    terminal.hear("killed", PATIENCE);
    terminal.hear("r brings", PATIENCE);
    terminal.say("r");
    terminal.hear("is one after", PATIENCE);
    terminal.say("p");
    terminal.hear("SENTINEL FAILOVER", PATIENCE);
    terminal.hear("once more", PATIENCE);
    terminal.say("s");
    terminal.hear("stopped: it hangs", PATIENCE);
    terminal.hear("r brings", PATIENCE);
    terminal.say("k");
    terminal.hear("Failover 4", PATIENCE);
    terminal.hear("r brings", PATIENCE);
    terminal.say("x");
    terminal.hear("k kills the master, s stops it", PATIENCE);
    terminal.say("q");
    terminal.hear("\x1b[?1049l", PATIENCE);
    let told = terminal.hear("ended=0", PATIENCE);
    in_order(
        &told,
        &["Failover 1: ", "killed", "Failover 2: ", "ordered", "Failover 3: ", "stopped", "Failover 4: "],
    );
    terminal.hear("terminal=same", PATIENCE);
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn control_c_is_a_good_end() {
    let OnTerminal { mut terminal, folder, _script } = OnTerminal::start();
    terminal.hear("Press k to kill the master", PATIENCE);
    assert!(processes(folder.path()).len() > 7, "its processes are found");
    terminal.say("\x03");
    terminal.hear("\x1b[?1049l", PATIENCE);
    terminal.hear("ended=0", PATIENCE);
    terminal.hear("terminal=same", PATIENCE);
    assert_eq!(left_behind(&folder), Vec::<String>::new());
}

#[test]
fn a_terminal_gets_its_screen_back_even_from_a_demo_that_was_killed() {
    let OnTerminal { mut terminal, folder, _script } = OnTerminal::start();
    terminal.hear("Press k to kill the master", PATIENCE);
    let pid = std::fs::read_dir(folder.path()).expect("it is the test's").flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("consentinel-demo-")?.split('-').next()?.parse().ok()
    });
    let pid = pid.and_then(Pid::from_raw).expect("the folder's name tells the demo's number");
    kill_process(pid, Signal::KILL).expect("it runs");
    terminal.hear("\x1b[?1049l", PATIENCE);
    eventually("nothing is left", PATIENCE, || left_behind(&folder).is_empty().then_some(()));
}

#[test]
fn a_signal_ends_it_and_proves_nothing() {
    let demo = Demo::with_consul(&["--auto"]);
    // Three servers, three daemons, Consul and the keeper.
    demo.all_up(8);
    demo.signal(Signal::TERM);
    let (status, said) = demo.end();
    assert_eq!(status.code(), Some(128 + 15), "{said}");
}

#[test]
fn nothing_outlives_it_when_it_is_killed() {
    let mut demo = Demo::with_consul(&["--auto"]);
    demo.all_up(8);
    demo.signal(Signal::KILL);
    assert_eq!(demo.child.wait().expect("it is ours").signal(), Some(9));
    eventually("nothing is left", PATIENCE, || left_behind(&demo.folder).is_empty().then_some(()));
}

#[test]
fn a_closed_pipe_ends_it() {
    let mut demo = Demo::start(&["--no-consul"]);
    demo.all_up(7);
    drop(demo.output.take());
    let status = eventually("it ends", PATIENCE, || demo.child.try_wait().expect("it is ours"));
    assert_eq!(status.code(), Some(1), "it was to prove something");
    assert_eq!(left_behind(&demo.folder), Vec::<String>::new());
}

#[test]
fn a_redis_server_that_is_none_is_named_with_its_last_words() {
    let (status, said) = Demo::start(&["--auto", "--no-consul", "--redis-server", "/bin/cat"]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    // Of whichever of the three it was, the last lines of its configuration: a replica's has one more.
    in_order(
        &said,
        &["redis 3", "has ended by itself", "Its last words:", "bind 127.0.0.1", "appendonly yes"],
    );
    let (status, said) = Demo::start(&["--auto", "--no-consul", "--redis-server", "/nowhere/redis"]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("there is no /nowhere/redis") && said.contains("--redis-server PROGRAM"), "{said}");
}

#[test]
fn an_old_master_that_does_not_come_back_is_a_failure() {
    let scratch = Folder::new();
    // Every server starts once; whoever is started again hangs.
    let server = odd_server(&scratch, "[ -e started ] && exec sleep 600\ntouch started");
    let server = server.to_str().expect("it is text");
    let (status, said) =
        Demo::start(&["--auto", "--no-consul", "--deadline", "15", "--redis-server", server]).end();
    assert_eq!(status.code(), Some(1), "{said}");
    in_order(&said, &["Failover 1: ", "FAILED: the old master did not become a replica of the new one"]);
}

#[test]
fn an_answer_that_does_not_follow_is_a_failure() {
    let mut demo = Demo::with_consul(&["--auto", "--deadline", "20"]);
    demo.hear("killed: SIGKILL");
    let consul = processes(demo.folder.path()).into_iter().find(|(_, line)| line.contains("agent -dev"));
    kill_process(consul.expect("Consul runs").0, Signal::STOP).expect("it runs");
    let (status, said) = demo.end();
    assert_eq!(status.code(), Some(1), "{said}");
    in_order(&said, &["promoted", "Failover 1: ", "FAILED: DNS does not name the new master"]);
}
