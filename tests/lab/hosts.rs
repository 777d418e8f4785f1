//! Hosts of a network that only one test knows: network namespaces at a bridge, with addresses of 198.18.0.0/15.

use crate::process::Process;
use crate::redis::on_path;
use crate::{Folder, eventually};
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The interface of each host.
pub const INTERFACE: &str = "eth0";

/// A network with so many hosts, the same addresses in every test: nobody else sees them. It is gone when the last program in
/// it has ended.
#[derive(Debug)]
pub struct Hosts {
    /// The hosts.
    pub all: Vec<Host>,
    switch: Process,
}

/// A host, whose network is its own and whose files are the machine's.
#[derive(Debug)]
pub struct Host {
    /// Where it is.
    pub address: Ipv4Addr,
    /// Lives as long as the host.
    holder: Process,
}

impl Hosts {
    /// Makes the network: 198.18.77.1 and so on.
    pub fn new(folder: &Folder, count: u8) -> Hosts {
        let switch = namespace(folder, "switch", None);
        run(&switch, "ip link add bridge type bridge forward_delay 0 && ip link set bridge up");
        let all = (1..=count).map(|number| Host::plug_in(folder, &switch, number)).collect();
        Hosts { all, switch }
    }

    /// Pulls the host's cable; its programs go on.
    pub fn cut(&self, host: usize) {
        run(&self.switch, &format!("ip link set port{} down", host + 1));
    }

    /// Puts it back.
    pub fn heal(&self, host: usize) {
        run(&self.switch, &format!("ip link set port{} up", host + 1));
    }
}

impl Host {
    fn plug_in(folder: &Folder, switch: &Process, number: u8) -> Host {
        let holder = namespace(folder, &format!("host-{number}"), Some(switch));
        let address = Ipv4Addr::new(198, 18, 77, number);
        run(
            switch,
            &format!(
                "ip link add port{number} type veth peer name {INTERFACE} netns {} \
                 && ip link set port{number} master bridge && ip link set port{number} up",
                holder.pid()
            ),
        );
        run(
            &holder,
            &format!(
                "ip link set lo up && ip address add {address}/24 dev {INTERFACE} && ip link set {INTERFACE} up"
            ),
        );
        Host { address, holder }
    }

    /// Starts a program there.
    pub fn start(
        &self,
        program: &Path,
        args: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Process {
        let (nsenter, mut words) = within(&self.holder);
        words.push(program.into());
        words.extend(args.iter().map(OsString::from));
        Process::start_with(&nsenter, &words, environment, log)
    }

    /// Runs a line of shell there, to its end.
    pub fn shell(&self, line: &str) -> Output {
        shell(&self.holder, line)
    }

    /// What a line of shell prints there; nothing when it fails.
    pub fn says(&self, line: &str) -> Option<String> {
        let output = self.shell(line);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A process in a network of its own, which does nothing. Whoever is not root becomes root in a user namespace, which belongs to
/// the switch and is shared by all hosts.
fn namespace(folder: &Folder, name: &str, switch: Option<&Process>) -> Process {
    let own_user = switch.is_none() && !is_root();
    let (mut program, mut words) = (on_path(&["unshare"]), vec![]);
    if let Some(switch) = switch.filter(|_| !is_root()) {
        words.extend([user_of(switch), "--preserve-credentials".into(), program.into()]);
        program = on_path(&["nsenter"]);
    }
    let more = [if own_user { "-rn" } else { "-n" }, "sleep", "infinity"];
    words.extend(more.map(OsString::from));
    let mut process = Process::start(&program, &words, &folder.path().join(name));
    let network = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    eventually("there is a network namespace", PATIENCE, || {
        assert!(process.exit_status().is_none(), "namespaces cannot be made here: {}", process.log());
        let own = network(process.pid())?;
        (Some(own) != network(std::process::id())).then_some(())
    });
    process
}

fn user_of(holder: &Process) -> OsString {
    format!("--user=/proc/{}/ns/user", holder.pid()).into()
}

/// The program, and the first of its words, that run another one in that network.
fn within(holder: &Process) -> (PathBuf, Vec<OsString>) {
    let mut words = vec![format!("--net=/proc/{}/ns/net", holder.pid()).into()];
    if !is_root() {
        words.extend([user_of(holder), "--preserve-credentials".into()]);
    }
    (on_path(&["nsenter"]), words)
}

fn shell(holder: &Process, line: &str) -> Output {
    let (nsenter, words) = within(holder);
    let mut command = Command::new(nsenter);
    let output = command.args(words).args(["sh", "-c", line]).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {line}: {error}; did `just deps` run?"))
}

fn run(holder: &Process, line: &str) {
    let Output { status, stderr, .. } = shell(holder, line);
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
