//! Servers that do to a sentinel what a broken or hostile one can.

use crate::command::take_command;
use crate::free_port;
use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at whether somebody wants to connect.
const PERIOD: Duration = Duration::from_millis(5);

/// What it answers to INFO. All else it answers as a server would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// 60 MB.
    Huge,
    /// Nearly 2 MB of lines of two letters.
    ManyLines,
    /// Twenty thousand replicas.
    ManyReplicas,
    /// A megabyte, in pieces of 16 bytes.
    SmallPieces,
    /// Messages that nobody asked for, without end.
    Pushes,
    /// Arrays within arrays.
    Nested,
    /// A line without an end.
    EndlessLine,
    /// Nearly 2 MB that are no text.
    NoText,
    /// An array of as many elements as there is room for.
    ManyElements,
    /// One line of nearly 2 MB.
    LongLine,
}

impl Harm {
    /// All of them.
    pub const ALL: [Harm; 10] = [
        Harm::Huge,
        Harm::ManyLines,
        Harm::ManyReplicas,
        Harm::SmallPieces,
        Harm::Pushes,
        Harm::Nested,
        Harm::EndlessLine,
        Harm::NoText,
        Harm::ManyElements,
        Harm::LongLine,
    ];

    fn answer(self) -> Vec<u8> {
        let role = "role:master\r\n";
        match self {
            Harm::Huge => bulk(&vec![b'x'; 60_000_000]),
            Harm::ManyLines => bulk(&[role.as_bytes(), &b"a:\n".repeat(600_000)].concat()),
            Harm::ManyReplicas => {
                let line = |at: u32| {
                    format!("slave{at}:ip=127.0.0.1,port={},state=online,offset=1,lag=0\r\n", 1 + at % 900)
                };
                bulk((role.to_owned() + &(0..20_000).map(line).collect::<String>()).as_bytes())
            }
            Harm::SmallPieces => bulk(&vec![b'x'; 1_000_000]),
            Harm::Pushes => b">1\r\n+x\r\n".repeat(100_000),
            Harm::Nested => b"*1\r\n".repeat(100_000),
            Harm::EndlessLine => vec![b'+'; 10_000_000],
            Harm::NoText => bulk(&vec![0xff; 2_000_000]),
            Harm::ManyElements => [b"*65000\r\n".to_vec(), b"_\r\n".repeat(65_000)].concat(),
            Harm::LongLine => bulk(&[role.as_bytes(), b"db0:", &b"keys=1,".repeat(280_000)].concat()),
        }
    }

    fn write(self, stream: &mut TcpStream, answer: &[u8], over: &AtomicBool) -> Result<()> {
        match self {
            Harm::SmallPieces => answer.chunks(16).try_for_each(|piece| stream.write_all(piece)),
            Harm::Pushes => loop {
                if over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                stream.write_all(answer)?;
            },
            _ => stream.write_all(answer),
        }
    }
}

/// One such server, in threads of this process.
pub struct Hostile {
    /// Where it listens.
    pub port: u16,
    /// What it does.
    pub harm: Harm,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    asked: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

impl Hostile {
    /// Starts one.
    pub fn start(harm: Harm) -> Hostile {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
        listener.set_nonblocking(true).expect("a listener can be told not to block");
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, harm, &shared)
        });
        Hostile { port, harm, shared, listener: Some(thread) }
    }

    /// How often it was asked for INFO.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

fn accept(listener: &TcpListener, harm: Harm, shared: &Arc<Shared>) {
    let answer: Arc<[u8]> = harm.answer().into();
    while !shared.is_over.load(Ordering::Relaxed) {
        while let Ok((stream, _)) = listener.accept() {
            let (Ok(()), Ok(()), Ok(copy)) =
                (stream.set_nonblocking(false), stream.set_nodelay(true), stream.try_clone())
            else {
                continue;
            };
            shared.streams.lock().expect("nobody panics while holding it").push(copy);
            let (shared, answer) = (shared.clone(), answer.clone());
            // It ends when its connection does, which the drop closes.
            std::thread::spawn(move || serve(stream, harm, &answer, &shared));
        }
        std::thread::sleep(PERIOD); // between two polls
    }
}

fn serve(mut stream: TcpStream, harm: Harm, answer: &[u8], shared: &Shared) {
    let (mut arrived, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let said = match take_command(&mut arrived) {
            Ok(Some(words)) => match words[0].to_ascii_uppercase().as_str() {
                "INFO" => {
                    shared.asked.fetch_add(1, Ordering::Relaxed);
                    harm.write(&mut stream, answer, &shared.is_over)
                }
                "PING" => stream.write_all(b"+PONG\r\n"),
                "HELLO" => stream.write_all(b"-ERR unknown command\r\n"),
                "SUBSCRIBE" => {
                    stream.write_all(b"*3\r\n$9\r\nsubscribe\r\n$18\r\n__sentinel__:hello\r\n:1\r\n")
                }
                _ => stream.write_all(b"+OK\r\n"),
            },
            Ok(None) => match stream.read(&mut chunk) {
                Ok(length @ 1..) => {
                    arrived.extend_from_slice(&chunk[..length]);
                    Ok(())
                }
                _ => break,
            },
            Err(_) => break,
        };
        if said.is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for stream in self.shared.streams.lock().expect("nobody panics while holding it").iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
