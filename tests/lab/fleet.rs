//! A master with more replicas than this machine would like to run: they answer a sentinel, and hold no data.

use crate::command::take_command;
use crate::{Extra, Folder, Program, Sentinel, free_port};
use std::io::Result;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc, watch};

/// How far the master's history has come.
const OFFSET: u64 = 1_000_000;

/// A subscriber that has more messages before it misses some.
const UNREAD: usize = 64;

/// Servers that are tasks of this process. The first is the master at the start.
pub struct Fleet {
    /// Where they listen.
    pub ports: Vec<u16>,
    shared: Arc<Shared>,
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
    /// What is published goes to its subscribers: a sentinel renews a subscription that brings nothing.
    published: broadcast::Sender<String>,
    /// `None` when it was killed.
    tasks: Option<Tasks>,
}

/// The listener and the clients of a server. They end when `stop` goes, and hold the other end of `ended` until then.
struct Tasks {
    stop: watch::Sender<()>,
    ended: mpsc::Receiver<()>,
}

/// What each of these tasks holds.
#[derive(Clone)]
struct Task {
    shared: Arc<Shared>,
    port: u16,
    stop: watch::Receiver<()>,
    _ended: mpsc::Sender<()>,
}

/// One thread for the servers of all fleets: a thread for each connection would be thousands.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build();
        runtime.expect("a thread can be started")
    })
}

impl Fleet {
    /// Starts a master and so many replicas.
    pub fn start(replicas: usize) -> Fleet {
        let _runtime = runtime().enter();
        let ports: Vec<_> = (0..=replicas).map(|_| free_port()).collect();
        let shared = Arc::<Shared>::default();
        for (number, port) in ports.iter().copied().enumerate() {
            let listener =
                std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
            listener.set_nonblocking(true).expect("a listener can be told not to block");
            let listener = TcpListener::from_std(listener).expect("the runtime takes it");
            let (stop, stopped) = watch::channel(());
            let (running, ended) = mpsc::channel(1);
            let task = Task { shared: shared.clone(), port, stop: stopped, _ended: running };
            let follows = (number > 0).then_some(ports[0]);
            let tasks = Some(Tasks { stop, ended });
            let published = broadcast::Sender::new(UNREAD);
            shared.lock().push(Server { port, follows, lag: 0, published, tasks });
            runtime().spawn(accept(listener, task));
        }
        Fleet { ports, shared }
    }

    /// Ends a server: its connections break, and nobody listens any more.
    pub fn kill(&self, server: usize) {
        let tasks = self.shared.lock()[server].tasks.take();
        tasks.into_iter().for_each(Tasks::end);
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

/// As many sentinels as are to be, which know each other from the start and watch all of these masters, m0, m1 and so on.
pub fn sentinels_of(
    fleets: &[Fleet],
    count: usize,
    down_after: Duration,
    (folder, program, extra): (&Folder, &Program, &Extra),
) -> Vec<Sentinel> {
    let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
    let id = |at: usize| format!("{at}").repeat(40);
    let down_after = down_after.as_millis();
    let start = |at: usize| {
        let mut config = format!("sentinel myid {}\n", id(at));
        for (number, fleet) in fleets.iter().enumerate() {
            config += &format!(
                "sentinel monitor m{number} 127.0.0.1 {} 2\nsentinel down-after-milliseconds m{number} {down_after}\n",
                fleet.ports[0],
            );
            for other in (0..count).filter(|other| *other != at) {
                let (port, id) = (ports[other], id(other));
                config += &format!("sentinel known-sentinel m{number} 127.0.0.1 {port} {id}\n");
            }
        }
        Sentinel::start_at(folder, program.clone(), ports[at], &config, extra.clone())
    };
    (0..count).map(start).collect()
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..self.ports.len()).for_each(|server| self.kill(server));
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
            let replicas = servers.iter().filter(|it| it.follows == Some(port) && it.tasks.is_some());
            for (number, replica) in replicas.enumerate() {
                let (port, offset) = (replica.port, OFFSET - replica.lag);
                text +=
                    &format!("slave{number}:ip=127.0.0.1,port={port},state=online,offset={offset},lag=0\r\n");
            }
            return text;
        };
        let up = servers.iter().any(|it| it.port == master && it.tasks.is_some());
        let link = if up { "up" } else { "down\r\nmaster_link_down_since_seconds:1" };
        head + &format!(
            "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:{master}\r\nmaster_link_status:{link}\r\n\
             slave_repl_offset:{offset}\r\nslave_priority:100\r\nmaster_repl_offset:{offset}\r\n"
        )
    }

    fn published(&self, port: u16) -> broadcast::Sender<String> {
        let servers = self.lock();
        servers.iter().find(|server| server.port == port).expect("it is one of us").published.clone()
    }

    fn follow(&self, port: u16, words: &[String]) {
        let mut servers = self.lock();
        let server = servers.iter_mut().find(|server| server.port == port).expect("it is one of us");
        server.follows = words.get(2).and_then(|port| port.parse().ok());
    }
}

impl Tasks {
    fn end(mut self) {
        drop(self.stop);
        while self.ended.blocking_recv().is_some() {}
    }
}

/// Lets clients in, until the server ends.
async fn accept(listener: TcpListener, mut task: Task) {
    loop {
        tokio::select! {
            _ = task.stop.changed() => return,
            client = listener.accept() => {
                let Ok((stream, _)) = client else { continue };
                tokio::spawn(answer(stream, task.clone()));
            }
        }
    }
}

/// Answers one client until it goes, or the server ends.
async fn answer(stream: TcpStream, mut task: Task) {
    let (port, shared) = (task.port, task.shared.clone());
    tokio::select! {
        _ = task.stop.changed() => {}
        _ = serve(stream, port, &shared) => {}
    }
}

async fn serve(mut stream: TcpStream, port: u16, shared: &Shared) -> Result<()> {
    let mut arrived = Vec::new();
    let mut queue: Option<Vec<Vec<String>>> = None;
    let published = shared.published(port);
    let mut messages: Option<broadcast::Receiver<String>> = None;
    loop {
        let Some(words) = take_command(&mut arrived)? else {
            tokio::select! {
                count = stream.read_buf(&mut arrived) => if count? == 0 {
                    return Ok(());
                },
                message = next(&mut messages) => stream.write_all(message.as_bytes()).await?,
            }
            continue;
        };
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
            ("PING", None) if messages.is_some() => "*2\r\n$4\r\npong\r\n$0\r\n\r\n".into(),
            ("PING", None) => "+PONG\r\n".into(),
            ("PUBLISH", None) => {
                let message = format!("*3\r\n$7\r\nmessage\r\n{}{}", bulk(&words[1]), bulk(&words[2]));
                format!(":{}\r\n", published.send(message).unwrap_or(0))
            }
            ("SUBSCRIBE", None) => {
                messages = Some(published.subscribe());
                format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{}\r\n:1\r\n", words[1].len(), words[1])
            }
            _ => "+OK\r\n".into(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// What is published next. It never comes for a client without a subscription.
async fn next(messages: &mut Option<broadcast::Receiver<String>>) -> String {
    let Some(messages) = messages else { return std::future::pending().await };
    loop {
        match messages.recv().await {
            Ok(message) => return message,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}
