//! A server that says that it speaks RESP3, and then answers subscriptions as in RESP2.

use crate::command::take_command;
use crate::free_port;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at whether somebody wants to connect.
const PERIOD: Duration = Duration::from_millis(5);

/// A master without replicas, in threads of this process.
pub struct Pretender {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// A connection that somebody has made to it.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Whether it is still there.
    pub is_open: bool,
    /// The names of the commands that came, in capitals.
    pub commands: Vec<String>,
}

impl Visitor {
    /// How often that command came.
    pub fn said(&self, command: &str) -> usize {
        self.commands.iter().filter(|name| *name == command).count()
    }
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: TcpStream,
    visitor: Visitor,
    /// The channel that it has subscribed to.
    channel: Option<String>,
}

impl Pretender {
    /// Starts one.
    pub fn start() -> Pretender {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
        listener.set_nonblocking(true).expect("a listener can be told not to block");
        let shared = Arc::new(Shared::default());
        let listener = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Pretender { port, shared, listener: Some(listener) }
    }

    /// All who have ever connected, the first one first.
    pub fn visitors(&self) -> Vec<Visitor> {
        self.shared.lock().iter().map(|connection| connection.visitor.clone()).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().expect("nobody panics while holding it")
    }

    /// Answers a command. What is published is told to all subscribers first.
    fn answer(&self, number: usize, words: &[String]) -> Result<()> {
        let mut connections = self.lock();
        let name = words[0].to_ascii_uppercase();
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        let answer = match name.as_str() {
            "HELLO" => "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n".into(),
            "INFO" => bulk(
                "# Server\r\nrun_id:0123456789012345678901234567890123456789\r\n# Replication\r\nrole:master\r\n",
            ),
            "PING" if connections[number].channel.is_some() => format!("*2\r\n{}{}", bulk("pong"), bulk("")),
            "PING" => "+PONG\r\n".into(),
            "SUBSCRIBE" => {
                connections[number].channel = Some(word(1));
                format!("*3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(&word(1)))
            }
            "PUBLISH" => {
                let message = format!("*3\r\n{}{}{}", bulk("message"), bulk(&word(1)), bulk(&word(2)));
                let hears = |it: &&mut Connection| it.channel.as_ref() == Some(&word(1));
                let mut count = 0;
                for connection in connections.iter_mut().filter(hears) {
                    // Who has gone meanwhile is noticed elsewhere.
                    count += usize::from(connection.stream.write_all(message.as_bytes()).is_ok());
                }
                format!(":{count}\r\n")
            }
            _ => "+OK\r\n".into(),
        };
        connections[number].visitor.commands.push(name);
        connections[number].stream.write_all(answer.as_bytes())
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Lets everybody in until it is over.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.is_over.load(Ordering::Relaxed) {
        while let Ok((stream, _)) = listener.accept() {
            let (Ok(()), Ok(copy)) = (stream.set_nonblocking(false), stream.try_clone()) else { continue };
            let mut connections = shared.lock();
            let visitor = Visitor { is_open: true, commands: Vec::new() };
            connections.push(Connection { stream, visitor, channel: None });
            let (shared, number) = (shared.clone(), connections.len() - 1);
            std::thread::spawn(move || {
                let mut arrived = Vec::new();
                while let Ok(words) = read_command(&copy, &mut arrived)
                    && shared.answer(number, &words).is_ok()
                {}
                let connection = &mut shared.lock()[number];
                (connection.visitor.is_open, connection.channel) = (false, None);
            });
        }
        std::thread::sleep(PERIOD); // between two polls
    }
}

fn read_command(mut stream: &TcpStream, arrived: &mut Vec<u8>) -> Result<Vec<String>> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(words) = take_command(arrived)? {
            return Ok(words);
        }
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => arrived.extend_from_slice(&chunk[..length]),
        }
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for connection in self.shared.lock().iter() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}
