//! A server, and the ways to it: none, haproxy, and ours.

use consentinel_lab::{
    Client, Extra, Folder, GROUP, Process, Program, Redis, Sentinel, Serving, eventually, free_port,
};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// A way to the server.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// Who carries the bytes; nobody when the client is connected to the server.
    process: Option<Process>,
}

/// All of it.
pub(crate) struct Stage {
    ways: [Way; 3],
    _redis: Redis,
    _sentinel: Sentinel,
    _folder: Folder,
}

impl Stage {
    /// Starts everything.
    pub(crate) fn start() -> Stage {
        let folder = Folder::new();
        let serving = Serving { lines: vec!["maxclients 12000".into()], ..Serving::default() };
        let redis = Redis::start_new(&folder, &serving, None);
        let dns = free_port();
        let config = format!("sentinel monitor {GROUP} 127.0.0.1 {} 1\n", redis.port);
        let program = PathBuf::from(env!("CARGO_BIN_EXE_consentinel"));
        let extra = Extra::default().args(&["--dns", &format!("127.0.0.1:{dns}")]);
        let sentinel = Sentinel::start_new(&folder, Program::Ours(program.clone()), &config, extra);
        let direct = Way { name: "direct", port: redis.port, process: None };
        let ways = [direct, haproxy(&folder, redis.port), ours(&folder, &program, dns)];
        for way in &ways {
            eventually(&format!("{} leads there", way.name), LONG, || {
                let mut client = Client::connect(way.port, Duration::from_secs(1)).ok()?;
                client.call(&["PING"]).ok()?.text().filter(|text| *text == "PONG").map(drop)
            });
        }
        Stage { ways, _redis: redis, _sentinel: sentinel, _folder: folder }
    }

    /// All ways, each round another one first.
    pub(crate) fn ways(&self, round: usize) -> impl Iterator<Item = &Way> {
        (0..3).map(move |at| &self.ways[(at + round) % 3])
    }

    /// Those that lead over somebody.
    pub(crate) fn proxies(&self) -> [&Way; 2] {
        [&self.ways[1], &self.ways[2]]
    }
}

/// As one would set it up for this: one thread for each core, TCP, and no time limit for idle clients.
fn haproxy(folder: &Folder, server: u16) -> Way {
    let port = free_port();
    let config = format!(
        "global\n  maxconn 9900\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  timeout server 1h\n\
         listen redis\n  bind 127.0.0.1:{port}\n  server master 127.0.0.1:{server}\n"
    );
    let home = folder.sub("haproxy");
    let process = Process::haproxy(&home, &config);
    Way { name: "haproxy", port, process: Some(process) }
}

fn ours(folder: &Folder, program: &Path, dns: u16) -> Way {
    let port = free_port();
    let words = format!("proxy --listen 127.0.0.1:{port} --dns 127.0.0.1:{dns} redis.service.consul");
    let words: Vec<&str> = words.split(' ').collect();
    let process = Process::start(program, &words, &folder.sub("proxy").join("log"));
    Way { name: "consentinel proxy", port, process: Some(process) }
}

impl Way {
    /// Processor time that whoever carries the bytes has used, in all of its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let Some(process) = &self.process else { return Duration::ZERO };
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs");
        let nanos = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Its resident memory, in kilobytes.
    pub(crate) fn memory(&self) -> u64 {
        let pid = self.process.as_ref().map_or(0, Process::pid);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.expect("the kernel tells the memory in kilobytes")
    }

    /// Gives the key that redis-benchmark asks for a value of so many bytes.
    pub(crate) fn fill(&self, bytes: usize) {
        let mut client = Client::connect(self.port, LONG).expect("it leads there");
        let reply = client.call(&["SET", "key:__rand_int__", &"x".repeat(bytes)]).expect("an answer");
        assert_eq!(reply.text(), Some("OK"));
    }

    /// One connection that has been used.
    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut [0; 7])?;
        Ok(stream)
    }
}
