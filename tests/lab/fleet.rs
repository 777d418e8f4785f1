//! A master with more replicas than this machine would like to run: they answer a sentinel, and hold no data.

use crate::free_port;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at whether somebody wants to connect.
const PERIOD: Duration = Duration::from_millis(5);
/// How far the master's history has come.
const OFFSET: u64 = 1_000_000;

/// Servers in threads of this process. The first is the master at the start.
pub struct Fleet {
    /// Where they listen.
    pub ports: Vec<u16>,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    servers: Mutex<Vec<Server>>,
}

struct Server {
    port: u16,
    follows: Option<u16>,
    /// By how many bytes it is behind.
    lag: u64,
    /// Gone when it was killed.
    listener: Option<TcpListener>,
    clients: Vec<TcpStream>,
}

impl Fleet {
    /// Starts a master and so many replicas.
    pub fn start(replicas: usize) -> Fleet {
        let ports: Vec<_> = (0..=replicas).map(|_| free_port()).collect();
        let server = |(number, port): (usize, &u16)| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).expect("the port was free");
            listener.set_nonblocking(true).expect("a listener can be told not to block");
            let follows = (number > 0).then_some(ports[0]);
            Server { port: *port, follows, lag: 0, listener: Some(listener), clients: Vec::new() }
        };
        let servers = Mutex::new(ports.iter().enumerate().map(server).collect());
        let shared = Arc::new(Shared { servers });
        let listener = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&shared)
        });
        Fleet { ports, shared, listener: Some(listener) }
    }

    /// Ends a server: its connections break, and nobody listens any more.
    pub fn kill(&self, server: usize) {
        self.shared.lock()[server].end();
    }

    /// The server that is master, as far as it knows.
    pub fn is_master(&self, server: usize) -> bool {
        self.shared.lock()[server].follows.is_none()
    }

    /// From now on a replica is so many bytes behind.
    pub fn lag(&self, server: usize, bytes: u64) {
        self.shared.lock()[server].lag = bytes;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Server>> {
        self.servers.lock().expect("nobody panics while holding it")
    }

    /// INFO of the server on that port.
    fn info(&self, port: u16) -> String {
        let servers = self.lock();
        let Some(server) = servers.iter().find(|server| server.port == port) else { return String::new() };
        let head = format!("# Server\r\nrun_id:{port:040}\r\n# Replication\r\nmaster_replid:{:040}\r\n", 1);
        let offset = OFFSET - server.lag;
        let Some(master) = server.follows else {
            let mut text = head + &format!("role:master\r\nmaster_repl_offset:{OFFSET}\r\n");
            let replicas = servers.iter().filter(|it| it.follows == Some(port) && it.listener.is_some());
            for (number, replica) in replicas.enumerate() {
                let (port, offset) = (replica.port, OFFSET - replica.lag);
                text +=
                    &format!("slave{number}:ip=127.0.0.1,port={port},state=online,offset={offset},lag=0\r\n");
            }
            return text;
        };
        let up = servers.iter().any(|it| it.port == master && it.listener.is_some());
        let link = if up { "up" } else { "down\r\nmaster_link_down_since_seconds:1" };
        head + &format!(
            "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{master}\r\nmaster_link_status:{link}\r\n\
             slave_repl_offset:{offset}\r\nslave_priority:100\r\nmaster_repl_offset:{offset}\r\n"
        )
    }

    fn follow(&self, port: u16, words: &[String]) {
        let mut servers = self.lock();
        let server = servers.iter_mut().find(|server| server.port == port).expect("it is one of us");
        server.follows = words.get(2).and_then(|port| port.parse().ok());
    }
}

impl Server {
    fn end(&mut self) {
        self.listener = None;
        for client in self.clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

/// Lets clients in, until all servers have ended.
fn accept(shared: &Arc<Shared>) {
    loop {
        let mut servers = shared.lock();
        if servers.iter().all(|server| server.listener.is_none()) {
            return;
        }
        for server in servers.iter_mut() {
            while let Some((stream, _)) = server.listener.as_ref().and_then(|it| it.accept().ok()) {
                let (shared, port) = (shared.clone(), server.port);
                let Ok(copy) = stream.try_clone() else { continue };
                server.clients.push(copy);
                std::thread::spawn(move || serve(stream, port, &shared));
            }
        }
        drop(servers);
        std::thread::sleep(PERIOD); // between two polls
    }
}

/// Answers one client until it goes, or the server ends.
fn serve(stream: TcpStream, port: u16, shared: &Shared) -> Result<()> {
    stream.set_nonblocking(false)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut queue: Option<Vec<Vec<String>>> = None;
    let mut subscribed = false;
    loop {
        let words = command(&mut input)?;
        let name = words[0].to_ascii_uppercase();
        let answer = match (name.as_str(), &mut queue) {
            ("MULTI", _) => {
                queue = Some(Vec::new());
                "+OK\r\n".into()
            }
            ("EXEC", queued) => {
                let queued = queued.take().unwrap_or_default();
                let moves = queued.iter().filter(|words| words[0].eq_ignore_ascii_case("SLAVEOF"));
                moves.for_each(|words| shared.follow(port, words));
                format!("*{}\r\n{}", queued.len(), "+OK\r\n".repeat(queued.len()))
            }
            (_, Some(queued)) => {
                queued.push(words);
                "+QUEUED\r\n".into()
            }
            ("INFO", None) => {
                let info = shared.info(port);
                format!("${}\r\n{info}\r\n", info.len())
            }
            ("PING", None) if subscribed => "*2\r\n$4\r\npong\r\n$0\r\n\r\n".into(),
            ("PING", None) => "+PONG\r\n".into(),
            ("PUBLISH", None) => ":0\r\n".into(),
            ("SUBSCRIBE", None) => {
                subscribed = true;
                format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{}\r\n:1\r\n", words[1].len(), words[1])
            }
            _ => "+OK\r\n".into(),
        };
        out.write_all(answer.as_bytes())?;
    }
}

/// Reads a command: an array of strings, at least one.
pub(crate) fn command(input: &mut BufReader<TcpStream>) -> Result<Vec<String>> {
    let count = number(input, '*')?;
    let words = (0..count).map(|_| {
        let mut bytes = vec![0; number(input, '$')? + 2];
        input.read_exact(&mut bytes)?;
        bytes.truncate(bytes.len() - 2);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    let words: Vec<_> = words.collect::<Result<_>>()?;
    if words.is_empty() { Err(ErrorKind::InvalidData.into()) } else { Ok(words) }
}

fn number(input: &mut BufReader<TcpStream>, kind: char) -> Result<usize> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let digits = line.trim_end().strip_prefix(kind).and_then(|digits| digits.parse().ok());
    digits.filter(|count| *count <= 1 << 20).ok_or_else(|| Error::new(ErrorKind::InvalidData, line))
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.lock().iter_mut().for_each(Server::end);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
