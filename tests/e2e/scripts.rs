//! Scripts of the operator.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Cluster, Extra, Folder, GROUP, Program, Sentinel, Setup, Value, eventually};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// It notes in the folder where it runs how it was called and what it has open, and then does what is asked there.
const SCRIPT: &str = r#"#!/bin/sh
ls -l /proc/self/fd >fds.$$
echo "$#|$1|$2|$3|$4|$5|$6|$7" >call.$$ && mv call.$$ run.$$
[ -e hang ] && exec sleep 600
[ -e exit ] && exit "$(cat exit)"
exit 0
"#;

fn script(folder: &Folder) -> String {
    let path = folder.path().join("script");
    std::fs::write(&path, SCRIPT).expect("the folder is ours");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("the script is ours");
    path.display().to_string()
}

/// The files in a sentinel's folder whose names begin like this.
fn files(sentinel: &Sentinel, start: &str) -> Vec<String> {
    let entries = std::fs::read_dir(sentinel.folder()).expect("the folder is ours").flatten();
    let fits = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    fits.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect()
}

/// How the script was called, in no order.
fn calls(sentinel: &Sentinel) -> Vec<String> {
    let mut calls = files(sentinel, "run.");
    calls.iter_mut().for_each(|call| *call = call.trim().trim_end_matches('|').to_owned());
    calls.sort();
    calls
}

/// What the notification script is to be told: every event that was logged as a warning.
fn warnings(sentinel: &Sentinel) -> Vec<String> {
    let log = sentinel.log();
    let lines = log.lines().filter_map(|line| line.split_once(" # ")).map(|(_, event)| event);
    let events =
        lines.filter(|event| event.starts_with(['+', '-'])).filter_map(|event| event.split_once(' '));
    let mut calls: Vec<_> = events.map(|(name, payload)| format!("2|{name}|{payload}")).collect();
    calls.sort();
    calls
}

#[test]
fn a_failover_is_told_to_our_scripts() {
    a_failover_is_told_to_the_scripts(&three_daemons());
}

#[test]
fn a_failover_is_told_to_scripts_of_originals_and_ours_alike() {
    let mut setup = Setup::new(vec![Program::Original, ours(), ours()]);
    setup.down_after = super::mixed::DOWN_AFTER;
    a_failover_is_told_to_the_scripts(&setup);
}

fn a_failover_is_told_to_the_scripts(setup: &Setup) {
    let folder = Folder::new();
    let script = script(&folder);
    let extra = Extra::default()
        .line(&format!("sentinel notification-script {GROUP} {script}"))
        .line(&format!("sentinel client-reconfig-script {GROUP} {script}"));
    let mut cluster = Cluster::start(&setup.clone().with(&extra));
    let ports = |cluster: &Cluster, new: usize| [0, new].map(|number| cluster.redis[number].port);
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let [from, to] = ports(&cluster, new);
    let mut roles = Vec::new();
    for sentinel in &cluster.sentinels {
        let reconfigured = |role: &str| format!("7|{GROUP}|{role}|start|127.0.0.1|{from}|127.0.0.1|{to}");
        let role = eventually("the client-reconfig-script was called", PATIENCE, || {
            let calls = calls(sentinel);
            ["leader", "observer"].into_iter().find(|role| calls.contains(&reconfigured(role)))
        });
        eventually("the notification script was told every warning, once", PATIENCE, || {
            let calls = calls(sentinel);
            let told: Vec<_> = calls.iter().filter(|call| call.starts_with("2|")).cloned().collect();
            (told == warnings(sentinel) && calls.len() == told.len() + 1).then_some(())
        });
        let down = format!("2|+sdown|master {GROUP} 127.0.0.1 {from}");
        assert!(role == "observer" || calls(sentinel).contains(&down), "{:?}", calls(sentinel));
        roles.push(role);
        they_inherit_nothing(sentinel);
    }
    roles.sort_unstable();
    assert_eq!(roles, ["leader", "observer", "observer"]);
}

/// They have open what `ls` needs, and nothing else: neither what the daemon opened, nor what it was given open. The
/// original passes the latter on, as this test does.
fn they_inherit_nothing(sentinel: &Sentinel) {
    let listing = Command::new("ls").args(["-l", "/proc/self/fd"]).stdin(Stdio::null()).output();
    let ours = match sentinel.program {
        Program::Ours(_) => ["0", "1", "2", "3"].map(str::to_owned).into(),
        _ => numbers(&String::from_utf8_lossy(&listing.expect("there is ls").stdout)),
    };
    for listing in files(sentinel, "fds.") {
        assert_eq!(numbers(&listing), ours, "{listing}");
        assert!(!listing.contains(" -> socket:") && listing.contains(" 0 -> /dev/null"), "{listing}");
    }
}

/// The descriptors of a listing.
fn numbers(listing: &str) -> BTreeSet<String> {
    let left = listing.lines().filter_map(|line| Some(line.split_once(" -> ")?.0));
    left.filter_map(|left| left.rsplit(' ').next()).map(str::to_owned).collect()
}

#[test]
fn scripts_of_the_original_are_repeated_and_killed() {
    scripts_are_repeated_and_killed(Program::Original);
}

#[test]
fn scripts_of_ours_are_repeated_and_killed_alike() {
    scripts_are_repeated_and_killed(ours());
}

fn scripts_are_repeated_and_killed(program: Program) {
    let folder = Folder::new();
    let notify = format!("sentinel notification-script {GROUP} {}", script(&folder));
    let mut setup = Setup::new(vec![program]).with(&Extra::default().line(&notify));
    (setup.replicas, setup.quorum) = (0, 1);
    let cluster = Cluster::start(&setup);
    let sentinel = &cluster.sentinels[0];
    let events = sentinel.events();
    let tell = |words: &[&str]| {
        let reply = sentinel.call(words).expect("it answers");
        assert_eq!(reply.text(), Some("OK"), "{words:?}: {reply:?}");
    };
    let cause_one = || tell(&["SENTINEL", "SET", GROUP, "quorum", "1"]);
    let script_is_to = |name: &str, text: &str| {
        std::fs::write(sentinel.folder().join(name), text).expect("the folder is ours");
    };
    let told = |what: &str| calls(sentinel).iter().filter(|call| call.contains(what)).count();
    let info = |field: &str| {
        let info = sentinel.call(&["INFO", "sentinel"]).expect("it answers");
        let lines = info.text().unwrap_or_default().to_owned();
        lines.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.parse::<u32>().ok())
    };
    let pending = || sentinel.call(&["SENTINEL", "PENDING-SCRIPTS"]).expect("it answers");
    eventually("the first warnings are told", PATIENCE, || {
        (pending().items().is_empty() && told("+monitor") == 1).then_some(())
    });
    tell(&["SENTINEL", "DEBUG", "script-retry-delay", "200"]);

    script_is_to("exit", "1");
    cause_one();
    eventually("a script that exits with 1 waits to be run again", PATIENCE, || {
        let pending = pending();
        let [job] = pending.items() else { return None };
        let number = |name: &str| field(job, name).and_then(|value| value.parse::<u64>().ok());
        let waits = field(job, "flags").as_deref() == Some("scheduled");
        (waits
            && number("retry-num")? > 1
            && number("run-delay")? > 0
            && field(job, "pid").as_deref() == Some("0"))
        .then_some(())
    });
    assert_eq!((info("sentinel_running_scripts"), info("sentinel_scripts_queue_length")), (Some(0), Some(1)));
    script_is_to("exit", "0");
    eventually("it is done when it exits with 0", PATIENCE, || pending().items().is_empty().then_some(()));
    assert!(told("+set") > 2, "it was run again");

    let before = told("+set");
    script_is_to("exit", "2");
    cause_one();
    let failed = events.expect("-script-error", PATIENCE);
    assert!(failed.payload.ends_with("/script 0 2"), "{}", failed.payload);
    assert!(pending().items().is_empty());
    assert_eq!(told("+set"), before + 1, "it is not run again");

    tell(&["SENTINEL", "DEBUG", "script-max-runtime", "1000"]);
    script_is_to("hang", "");
    cause_one();
    eventually("it runs", PATIENCE, || {
        let pending = pending();
        let [job] = pending.items() else { return None };
        let pid: u32 = field(job, "pid")?.parse().ok()?;
        let runs = field(job, "flags").as_deref() == Some("running");
        let is_it = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok();
        (runs && is_it() && field(job, "run-time").is_some()).then_some(())
    });
    assert_eq!((info("sentinel_running_scripts"), info("sentinel_scripts_queue_length")), (Some(1), Some(1)));
    let killed = events.expect("-script-timeout", PATIENCE);
    assert!(killed.payload.contains("/script "), "{}", killed.payload);
    std::fs::remove_file(sentinel.folder().join("hang")).expect("the file is ours");
    script_is_to("exit", "0");
    eventually("one that was killed is run again", PATIENCE, || pending().items().is_empty().then_some(()));
    assert_eq!(told("+set"), before + 3);
    they_inherit_nothing(sentinel);
}

/// Once it says what it knows, starts a process of its own, and hangs.
const SPYING: &str = "#!/bin/sh\nmkdir once 2>/dev/null || exit 0\nenv >env.part\nsleep 600 & echo $! >child\nmv env.part env\nwait\n";

#[test]
fn a_script_knows_no_token_and_what_it_has_started_ends_with_it() {
    let folder = Folder::new();
    let path = folder.path().join("script");
    std::fs::write(&path, SPYING).expect("the folder is ours");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("the script is ours");
    let extra = Extra::default()
        .variable("CONSUL_HTTP_TOKEN", "top-secret")
        .variable("HARMLESS", "passed on")
        .line(&format!("sentinel notification-script {GROUP} {}", path.display()));
    let mut setup = Setup::new(vec![ours()]).with(&extra);
    (setup.replicas, setup.quorum) = (0, 1);
    let mut cluster = Cluster::start(&setup);
    let sentinel = &cluster.sentinels[0];
    let told = sentinel.call(&["SENTINEL", "DEBUG", "script-max-runtime", "1000"]);
    assert_eq!(told.as_ref().and_then(Value::text), Some("OK"));
    let events = sentinel.events();
    cluster.redis[0].kill();
    let sentinel = &cluster.sentinels[0];
    let read = |name: &str| std::fs::read_to_string(sentinel.folder().join(name)).ok();
    let environment = eventually("a script says what it knows", PATIENCE, || read("env"));
    assert!(environment.contains("HARMLESS=passed on"), "{environment}");
    assert!(!environment.contains("top-secret"), "{environment}");
    let child: u32 = read("child").and_then(|text| text.trim().parse().ok()).expect("it says its child");
    events.expect("-script-timeout", PATIENCE);
    eventually("what it has started has ended", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
        stat.map_or(Some(()), |stat| stat.contains(") Z ").then_some(()))
    });
}

fn field(job: &Value, name: &str) -> Option<String> {
    let at = job.items().iter().position(|item| item.text() == Some(name))?;
    match job.items().get(at + 1)? {
        Value::Int(number) => Some(number.to_string()),
        other => other.text().map(str::to_owned),
    }
}
