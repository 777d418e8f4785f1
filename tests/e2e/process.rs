//! The daemon as a process: its names, its signals, the background, its supervisor, its log and its descriptors.

use crate::PATIENCE;
use consentinel_lab::{Client, Folder, GROUP, Redis, Serving, Value, eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const OURS: &str = env!("CARGO_BIN_EXE_consentinel");

/// A configuration in a folder of its own, and how to start a daemon with it.
struct Stage {
    folder: Folder,
    port: u16,
}

/// A daemon that is killed when the test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }

    fn exit(&mut self) -> ExitStatus {
        eventually("the daemon exits", PATIENCE, || self.0.try_wait().expect("the child is ours"))
    }
}

impl Stage {
    fn new(lines: &str) -> Stage {
        let stage = Stage { folder: Folder::new(), port: free_port() };
        let config =
            format!("port {}\nbind 127.0.0.1\ndir {}\n{lines}", stage.port, stage.folder.path().display());
        fs::write(stage.path("s.conf"), config).expect("the folder is ours");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The daemon under a name, with its outputs in files.
    fn command(&self, name: &str) -> Command {
        let link = self.path(name);
        symlink(OURS, &link).expect("the folder is ours");
        let file = |name| fs::File::create(self.path(name)).expect("the folder is ours");
        let mut command = Command::new(link);
        command.arg(self.path("s.conf")).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        command
    }

    fn start(&self, command: &mut Command) -> Daemon {
        let daemon = Daemon(command.spawn().expect("it can be started"));
        self.wait();
        daemon
    }

    fn wait(&self) {
        eventually("the sentinel answers", PATIENCE, || self.call(&["PING"]));
    }

    fn call(&self, words: &[&str]) -> Option<Value> {
        Client::connect(self.port, Duration::from_secs(1)).ok()?.call(words).ok()
    }
}

#[test]
fn it_takes_the_place_of_the_original_under_every_name() {
    for (name, words) in
        [("redis-sentinel", &[][..]), ("valkey-sentinel", &[]), ("redis-server", &["--sentinel"][..])]
    {
        let stage = Stage::new("");
        let mut daemon = stage.start(stage.command(name).args(words));
        let log = stage.text("out");
        for words in [
            "# oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n",
            "# Configuration loaded\n",
            &format!("* Running mode=sentinel, port={}.\n", stage.port),
            " Sentinel ID is ",
        ] {
            assert!(log.contains(words), "{words} is missing in {log}");
        }
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
        assert_eq!(stage.text("err"), "", "nothing is amiss");
    }
}

#[test]
fn the_version_is_told_in_the_words_of_whose_place_it_takes() {
    let stage = Stage::new("");
    let word = |name: &str| {
        let link = stage.path(name);
        symlink(OURS, &link).expect("the folder is ours");
        let output = Command::new(link).arg("-v").output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(word("redis-sentinel").starts_with("Redis server v=7.0.15 sha="));
    assert!(word("valkey-sentinel").starts_with("Valkey server v="));
    assert!(word("consentinel").starts_with("consentinel "));
}

/// What `/proc` says of a process: its parent and its session.
fn parent_and_session(pid: u32) -> (u32, u32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> =
        stat.rsplit(')').next().expect("a name in parentheses").split_whitespace().collect();
    (fields[1].parse().expect("a pid"), fields[3].parse().expect("a session"))
}

#[test]
fn in_the_background_it_is_ready_when_the_caller_goes_on_and_leaves_nothing_behind() {
    let stage = Stage::new("daemonize yes\npidfile daemon.pid\nlogfile daemon.log\n");
    let begun = Instant::now();
    let status = stage.command("redis-sentinel").status().expect("it can be started");
    assert!(status.success(), "{}", stage.text("err"));
    assert!(stage.call(&["PING"]).is_some(), "it is ready at once");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid: u32 = stage.text("daemon.pid").trim().parse().expect("the pidfile has a pid");
    let (parent, session) = parent_and_session(pid);
    assert!(parent != std::process::id() && session == pid, "{parent} {session}");
    for descriptor in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).expect("it is open");
        assert_eq!(target, Path::new("/dev/null"));
    }
    assert_eq!(stage.text("out") + &stage.text("err"), "");
    assert!(stage.text("daemon.log").contains("Running mode=sentinel"));
    let raw = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(raw, Signal::TERM).expect("it runs");
    eventually("the pidfile goes", PATIENCE, || (!stage.path("daemon.pid").exists()).then_some(()));
    eventually("it ends", PATIENCE, || stage.call(&["PING"]).is_none().then_some(()));
    assert!(stage.text("daemon.log").contains("Sentinel is now ready to exit, bye bye..."));
}

#[test]
fn what_goes_wrong_on_the_way_into_the_background_is_told_to_the_caller() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port();
    let stage = Stage::new(&format!("daemonize yes\npidfile daemon.pid\nport {port}\n"));
    let status = stage.command("redis-sentinel").status().expect("it can be started");
    assert_eq!(status.code(), Some(1));
    assert!(stage.text("err").contains("in use"), "{}", stage.text("err"));
    let stage = Stage::new("daemonize yes\nsentinel monitor shop 127.0.0.1 1\n");
    let status = stage.command("redis-sentinel").status().expect("it can be started");
    assert_eq!(status.code(), Some(1));
    assert!(stage.text("err").starts_with("\n*** FATAL CONFIG FILE ERROR"), "{}", stage.text("err"));
}

#[test]
fn more_configuration_is_read_from_standard_input_also_on_the_way_into_the_background() {
    use std::io::Write;
    let stage = Stage::new("");
    let lines =
        format!("pidfile {}\nsentinel monitor shop 127.0.0.1 1 1\n", stage.path("daemon.pid").display());
    let mut command = stage.command("redis-sentinel");
    command.args(["--daemonize", "yes", "-"]).stdin(Stdio::piped());
    let mut first = command.spawn().expect("it can be started");
    first.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    assert!(first.wait().expect("it ends").success(), "{}", stage.text("err"));
    let pid: i32 = stage.text("daemon.pid").trim().parse().expect("the pidfile has a pid");
    let masters = stage.call(&["SENTINEL", "MASTERS"]).expect("it is ready");
    assert_eq!(masters.items().len(), 1);
    eventually("it is written down", PATIENCE, || {
        stage.text("s.conf").contains("sentinel monitor shop 127.0.0.1 1 1\n").then_some(())
    });
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::TERM).expect("it runs");
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_ending() {
    let stage = Stage::new("supervised auto\n");
    let socket = UnixDatagram::bind(stage.path("notify")).expect("the folder is ours");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let hear = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = stage.command("redis-sentinel");
    command.env("NOTIFY_SOCKET", stage.path("notify")).env("WATCHDOG_USEC", "200000");
    let mut daemon = stage.start(&mut command);
    let info = stage.call(&["INFO", "server"]);
    assert!(
        info.as_ref().and_then(Value::text).is_some_and(|text| text.contains("process_supervised:systemd"))
    );
    let ready = hear();
    assert!(
        ready.contains("READY=1\n") && ready.contains(&format!("MAINPID={}\n", daemon.0.id())),
        "{ready}"
    );
    assert_eq!((hear(), hear()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));
    daemon.signal(Signal::TERM);
    eventually("it says that it ends", PATIENCE, || (hear() == "STOPPING=1").then_some(()));
    assert!(daemon.exit().success());
}

/// Whether a process stands still.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[test]
fn for_upstart_it_stands_still_when_it_is_ready() {
    for wanted in ["upstart", "auto"] {
        // What is supervised does not go into the background.
        let stage = Stage::new(&format!("supervised {wanted}\ndaemonize yes\n"));
        let mut command = stage.command("redis-sentinel");
        command.env("UPSTART_JOB", "sentinel").env("NOTIFY_SOCKET", stage.path("nobody"));
        let mut daemon = Daemon(command.spawn().expect("it can be started"));
        let pid = daemon.0.id();
        eventually("it stands still", PATIENCE, || is_stopped(pid).then_some(()));
        assert!(stage.text("out").contains("supervised by upstart, will stop to signal readiness."));
        // It listens already, and answers as soon as it may go on.
        let mut client = Client::connect(stage.port, PATIENCE).expect("it listens");
        client.send(&["PING"]).expect("the system takes it");
        assert!(is_stopped(pid));
        daemon.signal(Signal::CONT);
        assert_eq!(client.read().expect("it answers").text(), Some("PONG"));
        let info = stage.call(&["INFO", "server"]).expect("it answers");
        assert!(info.text().is_some_and(|text| text.contains("process_supervised:upstart")));
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
    }
}

#[test]
fn without_the_supervisor_that_was_wanted_it_starts_as_if_none_were() {
    for (wanted, line) in [("upstart", "UPSTART_JOB not found!"), ("systemd", "NOTIFY_SOCKET not found!")] {
        let stage = Stage::new(&format!("supervised {wanted}\nlogfile daemon.log\npidfile daemon.pid\n"));
        let mut command = stage.command("redis-sentinel");
        command.env_remove("UPSTART_JOB").env_remove("NOTIFY_SOCKET").args(["--daemonize", "yes"]);
        assert!(command.status().expect("it can be started").success(), "{}", stage.text("err"));
        let info = stage.call(&["INFO", "server"]).expect("it is ready, in the background");
        assert!(info.text().is_some_and(|text| text.contains("process_supervised:no")));
        assert!(stage.text("daemon.log").contains(line), "{}", stage.text("daemon.log"));
        let pid: i32 = stage.text("daemon.pid").trim().parse().expect("the pidfile has a pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::TERM).expect("it runs");
        eventually("it has gone", PATIENCE, || (!stage.path("daemon.pid").exists()).then_some(()));
    }
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew_and_signals_end_nothing() {
    let stage = Stage::new("logfile daemon.log\n");
    let mut daemon = stage.start(&mut stage.command("redis-sentinel"));
    let say = |master: &str| {
        let reply = stage.call(&["SENTINEL", "MONITOR", master, "127.0.0.1", "1", "1"]);
        assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"));
        let line = format!("+monitor master {master} ");
        eventually("it is logged", PATIENCE, || stage.text("daemon.log").contains(&line).then_some(()));
    };
    say("one");
    for (signal, master) in [(Signal::HUP, "two"), (Signal::USR1, "three"), (Signal::PIPE, "four")] {
        fs::rename(stage.path("daemon.log"), stage.path(master)).expect("the folder is ours");
        daemon.signal(signal);
        say(master);
    }
    assert!(stage.text("two").contains("+monitor master one ") && !stage.text("two").contains("three"));
    daemon.signal(Signal::INT);
    assert!(daemon.exit().success());
}

#[test]
fn every_line_of_a_log_for_machines_is_an_object() {
    let stage = Stage::new("sentinel monitor shop 127.0.0.1 1 1\n");
    let words = ["--log-format", "json", "--loglevel", "debug"];
    let mut daemon = stage.start(stage.command("redis-sentinel").args(words));
    stage.call(&["SENTINEL", "MONITOR", "second", "127.0.0.1", "1", "1"]).expect("it answers");
    daemon.signal(Signal::TERM);
    daemon.exit();
    let log = stage.text("out");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert!(lines.iter().all(|line| line["time"].is_string() && line["message"].is_string()));
    let monitor = lines.iter().find(|line| line["event"] == "+monitor").expect("it is there");
    assert_eq!((&monitor["master"], &monitor["ip"]), (&"shop".into(), &"127.0.0.1".into()));
    assert_eq!((&monitor["port"], &monitor["level"]), (&1.into(), &"warning".into()));
    let second = lines.iter().find(|line| line["event"] == "+monitor" && line["master"] == "second");
    let spans = &second.expect("it is there")["spans"];
    assert!(spans[0]["name"] == "command" && spans[0]["client"].is_u64(), "{spans}");
}

/// A master and a replica, watched by one sentinel alone.
fn pair(folder: &Folder) -> (Redis, Redis, String) {
    let master = Redis::start_new(folder, &Serving::default(), None);
    let replica = Redis::start_new(folder, &Serving::default(), Some(master.port));
    let lines = format!(
        "sentinel monitor {GROUP} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {GROUP} 1000\n\
         sentinel failover-timeout {GROUP} 5000\n",
        master.port
    );
    (master, replica, lines)
}

fn master_is(stage: &Stage, port: u16) {
    eventually("the sentinel names the new master", PATIENCE, || {
        let reply = stage.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
        (reply.items().get(1)?.text()? == port.to_string()).then_some(())
    });
}

fn has_replica(stage: &Stage) {
    eventually("the sentinel knows the replica", PATIENCE, || {
        let reply = stage.call(&["SENTINEL", "REPLICAS", GROUP])?;
        let fields = reply.items().first()?.fields();
        (fields.get("flags")? == "slave" && fields.get("master-link-status")? == "ok").then_some(())
    });
}

#[test]
fn a_log_that_nobody_reads_does_not_stall_a_failover() {
    let servers = Folder::new();
    let (mut master, replica, lines) = pair(&servers);
    let stage = Stage::new(&lines);
    let mut command = stage.command("redis-sentinel");
    // Nobody ever reads this pipe.
    let daemon = stage.start(command.stdout(Stdio::piped()));
    has_replica(&stage);
    let mut client = Client::connect(stage.port, PATIENCE).expect("it listens");
    // Far more than a pipe and the queue before it can hold.
    for number in 0..8000 {
        let number = (1000 + number % 2).to_string();
        let reply = client.call(&["SENTINEL", "SET", GROUP, "down-after-milliseconds", &number]);
        assert_eq!(reply.expect("it answers").text(), Some("OK"));
    }
    let begun = Instant::now();
    master.kill();
    master_is(&stage, replica.port);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    assert!(daemon.exit().success(), "it does not wait for the reader at its end, either");
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

#[test]
fn no_descriptor_is_left_behind_by_clients_and_failovers() {
    let servers = Folder::new();
    let (mut one, mut two, lines) = pair(&servers);
    let stage = Stage::new(&lines);
    let daemon = stage.start(&mut stage.command("redis-sentinel"));
    has_replica(&stage);
    let pid = daemon.0.id();
    let before = eventually("it comes to rest", PATIENCE, || {
        let count = descriptors(pid);
        std::thread::sleep(Duration::from_millis(200)); // between two looks that must agree
        (descriptors(pid) == count).then_some(count)
    });
    for _ in 0..3 {
        let clients: Vec<_> = (0..100).filter_map(|_| Client::connect(stage.port, PATIENCE).ok()).collect();
        assert_eq!(clients.len(), 100);
        // They are in the queue of the listening socket before they are taken in.
        eventually("all are taken in", PATIENCE, || (descriptors(pid) >= before + 100).then_some(()));
        one.kill();
        master_is(&stage, two.port);
        one.start();
        has_replica(&stage);
        std::mem::swap(&mut one, &mut two);
    }
    eventually("all that was opened is closed", PATIENCE, || (descriptors(pid) <= before).then_some(()));
    assert_eq!(stay_open(pid), [0; 0], "a script would inherit these");
}

/// The descriptors of a process, besides the three, that its children inherit.
fn stay_open(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs");
    let open = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path()).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let closes = u32::from_str_radix(flags.trim(), 8).ok()? & 0o2_000_000 != 0;
        (number > 2 && !closes).then_some(number)
    });
    open.collect()
}

#[test]
fn a_crash_on_request_loses_no_line_of_the_log() {
    let servers = Folder::new();
    let (mut master, _replica, lines) = pair(&servers);
    let stage = Stage::new(&lines);
    let mut daemon = stage.start(&mut stage.command("redis-sentinel"));
    has_replica(&stage);
    let reply = stage.call(&["SENTINEL", "SIMULATE-FAILURE", "crash-after-election"]);
    assert_eq!(reply.as_ref().and_then(Value::text), Some("OK"));
    master.kill();
    assert_eq!(daemon.exit().code(), Some(99));
    let log = stage.text("out");
    assert!(log.contains("# +try-failover master ") && log.contains("# +elected-leader master "), "{log}");
}

#[test]
fn whoever_insists_is_obeyed_at_once() {
    let stage = Stage::new("");
    let mut daemon = stage.start(&mut stage.command("redis-sentinel"));
    // Its folder is gone: the last save is tried for seconds.
    let aside = stage.folder.path().with_extension("aside");
    fs::rename(stage.folder.path(), &aside).expect("it is ours");
    fs::write(stage.folder.path(), "").expect("the place is free");
    let begun = Instant::now();
    daemon.signal(Signal::INT);
    let status = eventually("it stops", PATIENCE, || {
        daemon.signal(Signal::INT);
        daemon.0.try_wait().expect("the child is ours")
    });
    fs::remove_file(stage.folder.path()).expect("it is ours");
    fs::rename(&aside, stage.folder.path()).expect("it is ours");
    assert_eq!(status.code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
