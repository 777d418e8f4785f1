//! Servers for the unit tests, which answer what a test tells them to.

use crate::resp::{MAX_ANSWER, Reply, parse};
use crate::testing::{MASTER, PATIENCE};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await; // between two looks
    }
}

/// What a server does with a command.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(String),
    Close,
    Silence,
}

pub(crate) fn say(text: &str) -> Act {
    Act::Say(text.into())
}

type Script = Arc<dyn Fn(&str) -> Act + Send + Sync>;

/// A server that says that it is master, and to everything else what it is told to; it keeps what it was asked.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let addr = listener.local_addr().expect("it is bound");
        let (asked, open, script): (Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>, Script) =
            (Arc::default(), Arc::default(), Arc::new(script));
        let task = tokio::spawn({
            let (asked, open) = (asked.clone(), open.clone());
            async move {
                let mut all = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    open.fetch_add(1, Ordering::Relaxed);
                    let (asked, open, script) = (asked.clone(), open.clone(), script.clone());
                    all.spawn(async move {
                        serve(stream, &asked, &script).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        });
        Server { addr, asked, open, task }
    }

    /// What it was asked, but for what every connection begins with.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics while holding it").clone()
    }

    /// How many connections it has.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>, script: &Script) {
    let mut buffer = Vec::new();
    loop {
        while let Ok(Some((command, length))) = parse(&buffer, MAX_ANSWER) {
            buffer.drain(..length);
            let words: Vec<_> = command.items().iter().filter_map(Reply::text).collect();
            let act = match words[0] {
                "ROLE" => say(MASTER),
                "PING" => say("+PONG\r\n"),
                "AUTH" | "CLIENT" | "SELECT" => say("+OK\r\n"),
                _ => {
                    let line = words.join(" ");
                    asked.lock().expect("nobody panics while holding it").push(line.clone());
                    script(&line)
                }
            };
            match act {
                Act::Say(text) if stream.write_all(text.as_bytes()).await.is_ok() => {}
                Act::Silence => {}
                Act::Say(_) | Act::Close => return,
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}
