//! Hosts with real addresses, for the examples that lead to a master which is always at the same port.

use crate::{PATIENCE, ours};
use consentinel_lab::{Folder, GROUP, Hosts, Process, Program, cached, eventually, installed};
use std::path::{Path, PathBuf};

/// The host of the applications.
pub(crate) const APPLICATION: usize = 2;

/// Two hosts with a server and a sentinel each, and one with the third sentinel and the applications. The first is the master at the
/// start.
pub(crate) struct HostStage {
    pub(crate) hosts: Hosts,
    servers: Vec<Option<Process>>,
    _sentinels: Vec<Process>,
    /// Dropped last, when nobody writes into it any more.
    pub(crate) folder: Folder,
}

impl HostStage {
    /// All of it, with these lines in each sentinel's configuration and these words besides.
    pub(crate) fn set(
        program: &Program,
        lines: &str,
        words: &[&str],
        environment: &[(String, String)],
    ) -> HostStage {
        let folder = Folder::new();
        let hosts = Hosts::new(&folder, 3);
        let master = hosts.all[0].address;
        let sentinel = |number: usize| {
            let host = &hosts.all[number];
            let home = folder.sub(&format!("sentinel-{number}"));
            let config = home.join("sentinel.conf");
            let text = format!(
                "port 26379\ndir {}\nsentinel monitor {GROUP} {master} 6379 2\n\
                 sentinel down-after-milliseconds {GROUP} 1000\nsentinel failover-timeout {GROUP} 10000\n{lines}",
                home.display()
            );
            std::fs::write(&config, text).expect("the folder is ours");
            let config = config.display().to_string();
            let words: Vec<_> = [config.as_str()].into_iter().chain(words.iter().copied()).collect();
            host.start(&program.path(), &words, environment, &home.join("log"))
        };
        let servers: Vec<_> = (0..2).map(|number| Some(server(&hosts, &folder, number, 0))).collect();
        let sentinels: Vec<_> = (0..3).map(sentinel).collect();
        let stage = HostStage { servers, hosts, _sentinels: sentinels, folder };
        stage.wait_until_settled(0);
        stage
    }

    /// Ours, which answer DNS at the usual place.
    pub(crate) fn with_dns() -> HostStage {
        HostStage::set(&ours(), "", &["--dns", "127.0.0.1:8600"], &[])
    }

    /// Waits until the server of that host is the master of everybody, and the other one follows it.
    pub(crate) fn wait_until_settled(&self, master: usize) {
        let follows = |server: usize| {
            let role = self.hosts.all[server].says("redis-cli ROLE")?;
            let expected = if server == master { "master" } else { "connected" };
            role.lines().any(|word| word == expected).then_some(())
        };
        self.wait_until_named(master, &[0, 1, 2]);
        eventually("the servers know their roles", PATIENCE, || (0..2).try_for_each(follows));
        for sentinel in &self.hosts.all {
            eventually("every sentinel knows everybody", PATIENCE, || {
                let view = sentinel.says(&format!("redis-cli -p 26379 SENTINEL MASTER {GROUP}"))?;
                let words: Vec<_> = view.lines().collect();
                let has = |name: &str, value: &str| words.windows(2).any(|pair| pair == [name, value]);
                (has("flags", "master") && has("num-slaves", "1") && has("num-other-sentinels", "2"))
                    .then_some(())
            });
        }
    }

    /// Waits until these sentinels name the server of that host as the master.
    pub(crate) fn wait_until_named(&self, master: usize, sentinels: &[usize]) {
        let address = self.hosts.all[master].address.to_string();
        let ask = format!("redis-cli -p 26379 SENTINEL GET-MASTER-ADDR-BY-NAME {GROUP}");
        eventually("the sentinels name the master", PATIENCE, || {
            let names = |sentinel: &usize| {
                let said = self.hosts.all[*sentinel].says(&ask)?;
                said.lines().eq([address.as_str(), "6379"]).then_some(())
            };
            sentinels.iter().try_for_each(names)
        });
    }

    /// SIGKILL for the server of that host.
    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].take().expect("it runs").kill();
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self, server: usize) {
        self.servers[server].as_ref().expect("it runs").pause();
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, server: usize) {
        self.servers[server].as_ref().expect("it runs").resume();
    }

    /// Starts a server again, as a replica of the other one.
    pub(crate) fn restart(&mut self, server: usize) {
        self.servers[server] = Some(self::server(&self.hosts, &self.folder, server, 1 - server));
    }

    /// A client that knows one address and nothing else, as it is shipped, on the host of the applications; it writes already.
    pub(crate) fn client(&self, address: &str) -> Follower {
        let file = example("clients/redis_py_address.py").display().to_string();
        self.follower(address, &cached("venv/bin/python"), &[&file, address])
    }

    /// The same, where the host's resolver is at that address.
    pub(crate) fn client_by_name(&self, name: &str, resolver: &str) -> Follower {
        let config = self.folder.path().join("resolv.conf");
        std::fs::write(&config, format!("nameserver {resolver}\n")).expect("the folder is ours");
        let (config, file) =
            (config.display().to_string(), example("clients/redis_py_address.py").display().to_string());
        let python = cached("venv/bin/python").display().to_string();
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        self.follower(name, Path::new("unshare"), &["-m", "sh", "-c", script, &config, &python, &file, name])
    }

    fn follower(&self, name: &str, program: &Path, args: &[&str]) -> Follower {
        // A log for each.
        let mut logs = (1..).map(|number| self.folder.path().join(format!("client {number} of {name}")));
        let log = logs.find(|log| !log.exists()).expect("there are numbers enough");
        let environment = [("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned())];
        let process = self.hosts.all[APPLICATION].start(program, args, &environment, &log);
        let mut follower = Follower { name: name.to_owned(), process };
        eventually("the client writes", PATIENCE, || {
            assert!(follower.process.exit_status().is_none(), "it has ended");
            follower.process.log().contains("writing to port 6379\n").then_some(())
        });
        follower
    }

    /// Starts a program on the host of the applications; it is ready when that port takes connections.
    pub(crate) fn start(&self, program: &Path, args: &[&str], port: u16) -> Process {
        let name = program.file_name().expect("it has a name").to_string_lossy().into_owned();
        let host = &self.hosts.all[APPLICATION];
        let process = host.start(program, args, &[], &self.folder.path().join(name));
        eventually("it listens", PATIENCE, || {
            host.says(&format!("ss -Hltn 'sport = :{port}'")).filter(|lines| !lines.is_empty())
        });
        process
    }
}

fn server(hosts: &Hosts, folder: &Folder, number: usize, follows: usize) -> Process {
    let home = folder.sub(&format!("redis-{number}"));
    let dir = home.display().to_string();
    let master = hosts.all[follows].address.to_string();
    let mut words =
        vec!["--dir", &dir, "--protected-mode", "no", "--save", "", "--repl-diskless-sync-delay", "0"];
    if follows != number {
        words.extend(["--replicaof", &master, "6379"]);
    }
    hosts.all[number].start(&installed("redis-server"), &words, &[], &home.join("log"))
}

/// A client that ends when it has followed.
pub(crate) struct Follower {
    name: String,
    process: Process,
}

impl Follower {
    /// Waits until it has written to another server for a while.
    pub(crate) fn has_followed(mut self, what: &str) {
        let status = self.process.wait_for_exit(PATIENCE * 2);
        let said = self.process.log();
        assert!(status.success(), "{said}");
        let (test, last) = (std::thread::current(), said.lines().last().unwrap_or_default());
        println!("{}: {}, {what}: {last}", test.name().unwrap_or_default(), self.name);
    }
}

/// Where a file of `docs/examples` is.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(name)
}
