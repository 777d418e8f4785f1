//! What the tests of `consentinel proxy` have in common.

use crate::{PATIENCE, ours};
use consentinel_lab::{
    Client, Extra, Folder, GROUP, Process, Redis, Sentinel, Serving, Value, eventually, free_port,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{ExitStatus, Output};
use std::time::Duration;

pub(crate) const SERVICE: &str = "redis.service.consul";

/// A proxy that runs.
pub(crate) struct ProxyRun {
    /// Where it leads to the master.
    pub(crate) port: u16,
    /// Where it leads to the replicas.
    pub(crate) replicas: u16,
    /// Where it shows metrics.
    pub(crate) http: u16,
    log: PathBuf,
    process: Process,
}

impl ProxyRun {
    /// Starts one that asks this name server, with these words besides; returns when it says that it is ready.
    pub(crate) fn start(folder: &Folder, name_server: SocketAddr, words: &[&str]) -> ProxyRun {
        let [port, replicas, http] = [(); 3].map(|()| free_port());
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut args = vec!["proxy".to_owned(), SERVICE.to_owned()];
        let usual = [
            ("--listen", at(port)),
            ("--replicas", at(replicas)),
            ("--http", at(http)),
            ("--dns", name_server.to_string()),
        ];
        args.extend(usual.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        args.extend(words.iter().map(|word| (*word).to_owned()));
        let log = folder.sub(&format!("proxy-{port}")).join("log");
        let process = Process::start(&ours().path(), &args, &log);
        let proxy = ProxyRun { port, replicas, http, log, process };
        proxy.says("ready");
        proxy
    }

    /// The same, once it knows the master.
    pub(crate) fn leading(folder: &Folder, name_server: SocketAddr, words: &[&str]) -> ProxyRun {
        let proxy = ProxyRun::start(folder, name_server, words);
        proxy.is_healthy();
        proxy
    }

    pub(crate) fn is_healthy(&self) {
        eventually("the proxy knows a master", PATIENCE, || {
            (get(self.http, "/health").0 == 200).then_some(())
        });
    }

    /// Waits until the log has it.
    pub(crate) fn says(&self, text: &str) {
        eventually(&format!("the proxy says '{text}'"), PATIENCE, || self.log().contains(text).then_some(()));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A client of the master.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port, PATIENCE).expect("the proxy lets clients in")
    }

    /// To which server a new client of the master is led.
    pub(crate) fn leads_to(&self) -> Option<u16> {
        port_of(&mut Client::connect(self.port, PATIENCE).ok()?)
    }

    /// A number of /metrics.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        metric(self.http, name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn signal(&self, name: Signal) {
        send_signal(self.process.pid(), name);
    }

    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.process.wait_for_exit(PATIENCE)
    }

    /// Its resident memory, in kilobytes.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.expect("the kernel tells the memory in kilobytes")
    }
}

pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has a number");
    kill_process(pid, signal).expect("it runs");
}

/// A number of a proxy's metrics.
pub(crate) fn metric(port: u16, name: &str) -> f64 {
    let (_, text) = get(port, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name}:\n{text}"))
}

/// Status and content; 0 when nobody answers.
pub(crate) fn get(port: u16, path: &str) -> (u16, String) {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = ask().unwrap_or_default();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The port of the server at the other end.
pub(crate) fn port_of(client: &mut Client) -> Option<u16> {
    let reply = client.call(&["CONFIG", "GET", "port"]).ok()?;
    reply.items().get(1)?.text()?.parse().ok()
}

/// Waits until the other end has ended it.
pub(crate) fn ends(client: &mut Client) {
    assert!(client.read().is_err(), "it is cut, and nothing is said");
}

/// One line that is sent without being asked for.
pub(crate) fn farewell(port: u16) -> String {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it is let in");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// A master, alone with one daemon that answers DNS.
pub(crate) struct Alone {
    pub(crate) redis: Redis,
    sentinel: Sentinel,
    pub(crate) dns: SocketAddr,
    pub(crate) folder: Folder,
}

impl Alone {
    pub(crate) fn start() -> Alone {
        Alone::start_with(&Serving::default())
    }

    pub(crate) fn start_with(serving: &Serving) -> Alone {
        let folder = Folder::new();
        let redis = Redis::start_new(&folder, serving, None);
        let dns = super::dns::local();
        let password = serving.password.as_ref();
        let password =
            password.map(|word| format!("sentinel auth-pass {GROUP} {word}\n")).unwrap_or_default();
        let config = format!(
            "sentinel monitor {GROUP} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {GROUP} 1000\n{password}",
            redis.port
        );
        let extra = Extra::default().args(&["--dns", &dns.to_string()]);
        let sentinel = Sentinel::start_new(&folder, ours(), &config, extra);
        super::dns::is_named(dns, redis.port);
        Alone { redis, sentinel, dns, folder }
    }

    /// From now on the master may be busy for a while.
    pub(crate) fn be_patient(&self) {
        let set = ["SENTINEL", "SET", GROUP, "down-after-milliseconds", "30000"];
        assert_eq!(self.sentinel.call(&set), Some(ok()));
    }

    pub(crate) fn proxy(&self, words: &[&str]) -> ProxyRun {
        ProxyRun::leading(&self.folder, self.dns, words)
    }
}

/// Runs the proxy with words that it does not like.
pub(crate) fn refused(words: &[&str]) -> Output {
    let output = std::process::Command::new(ours().path()).arg("proxy").args(words).output();
    output.expect("the program is there")
}

pub(crate) fn ok() -> Value {
    Value::Simple("OK".into())
}

/// Long enough that what must not happen would have.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);
