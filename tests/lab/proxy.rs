//! A place between two programs at which they can be cut from each other.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::free_port;

/// Between two looks at whether somebody wants to connect, or whether it is over.
const PERIOD: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything passes.
    Open,
    /// Connections stay open, and nothing passes: as if every packet were lost.
    Held,
    /// Nobody listens, and all connections are broken.
    Cut,
    /// It is being dropped.
    Over,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Both ends of every connection, so that they can be broken.
    open: Mutex<Vec<TcpStream>>,
    /// What has been held back since it is held.
    held: Mutex<String>,
}

impl Shared {
    fn state(&self) -> State {
        *self.state.lock().expect("nobody panics while holding it")
    }

    fn set(&self, state: State) {
        *self.state.lock().expect("nobody panics while holding it") = state;
        self.changed.notify_all();
    }

    fn wait_while_held(&self, bytes: &[u8]) {
        if self.state() == State::Held {
            *self.held.lock().expect("nobody panics while holding it") += &String::from_utf8_lossy(bytes);
        }
        let state = self.state.lock().expect("nobody panics while holding it");
        let held = |state: &mut State| *state == State::Held;
        drop(self.changed.wait_while(state, held).expect("nobody panics while holding it"));
    }

    fn break_all(&self) {
        for stream in self.open.lock().expect("nobody panics while holding it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Listens on loopback and carries every connection on to somebody else, as long as it is let.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one in front of that address.
    pub fn start(to: SocketAddr) -> Proxy {
        let port = free_port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
            open: Mutex::default(),
            held: Mutex::default(),
        });
        let listening = listen(port);
        let listener = std::thread::spawn({
            let shared = shared.clone();
            move || serve(port, to, listening, &shared)
        });
        Proxy { port, shared, listener: Some(listener) }
    }

    /// Where to connect to, as an address that Consul's tools understand.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on every packet is lost: connections stay open, and nothing passes, in either direction.
    pub fn hold(&self) {
        self.shared.held.lock().expect("nobody panics while holding it").clear();
        self.shared.set(State::Held);
    }

    /// Whether something with that text in it has been held back since [`Proxy::hold`].
    pub fn has_held(&self, text: &str) -> bool {
        self.shared.held.lock().expect("nobody panics while holding it").contains(text)
    }

    /// From now on nobody listens; all connections are broken.
    pub fn cut(&self) {
        self.shared.set(State::Cut);
        self.shared.break_all();
    }

    /// Everything passes again, also what was held.
    pub fn heal(&self) {
        self.shared.set(State::Open);
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
    listener.set_nonblocking(true).expect("a listener can be told not to block");
    listener
}

fn serve(port: u16, to: SocketAddr, listening: TcpListener, shared: &Arc<Shared>) {
    let mut listener = Some(listening);
    loop {
        match shared.state() {
            State::Over => return,
            State::Cut => listener = None,
            State::Held | State::Open => {
                let listener = listener.get_or_insert_with(|| listen(port));
                while let Ok((near, _)) = listener.accept() {
                    carry(near, to, shared);
                }
            }
        }
        std::thread::sleep(PERIOD); // between two polls
    }
}

fn carry(near: TcpStream, to: SocketAddr, shared: &Arc<Shared>) {
    let ends = || -> std::io::Result<_> {
        near.set_nonblocking(false)?;
        near.set_nodelay(true)?;
        let far = TcpStream::connect(to)?;
        far.set_nodelay(true)?;
        let copies = [near.try_clone()?, far.try_clone()?];
        let threads = [(near.try_clone()?, far.try_clone()?), (far, near.try_clone()?)];
        Ok((copies, threads))
    };
    let Ok((copies, threads)) = ends() else { return };
    shared.open.lock().expect("nobody panics while holding it").extend(copies);
    for (from, into) in threads {
        let shared = shared.clone();
        std::thread::spawn(move || pump(from, into, &shared));
    }
    if shared.state() == State::Cut {
        shared.break_all(); // it was cut in between
    }
}

fn pump(mut from: TcpStream, mut into: TcpStream, shared: &Shared) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        shared.wait_while_held(&buffer[..length]);
        if into.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    shared.wait_while_held(&[]);
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(State::Over);
        self.shared.break_all();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eventually, poll_until};

    const PATIENCE: Duration = Duration::from_secs(10);
    const A_MOMENT: Duration = Duration::from_millis(100);

    /// Somebody who sends back what he gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let mut copy = stream.try_clone().expect("a socket can be duplicated");
                    std::io::copy(&mut stream, &mut copy)
                });
            }
        });
        address
    }

    fn says(stream: &mut TcpStream, word: &[u8; 4]) -> Option<[u8; 4]> {
        stream.write_all(word).ok()?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    }

    #[test]
    fn it_holds_what_it_carries_breaks_it_and_carries_again() {
        let proxy = Proxy::start(echo());
        let connect = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).ok()?;
            stream.set_read_timeout(Some(A_MOMENT)).ok()?;
            Some(stream)
        };
        let mut stream = connect().expect("it listens");
        assert_eq!(says(&mut stream, b"ping"), Some(*b"ping"));

        proxy.hold();
        assert_eq!(says(&mut stream, b"held"), None);
        assert!(proxy.has_held("held") && !proxy.has_held("ping"));
        proxy.heal();
        let mut answer = [0; 4];
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        stream.read_exact(&mut answer).expect("what was held arrives");
        assert_eq!(&answer, b"held");

        proxy.cut();
        assert_eq!(says(&mut stream, b"lost"), None);
        eventually("nobody listens", PATIENCE, || connect().is_none().then_some(()));
        proxy.heal();
        let mut again = eventually("it listens again", PATIENCE, connect);
        let answer = poll_until(PATIENCE, || says(&mut again, b"back"));
        assert_eq!(answer, Some(*b"back"));
    }
}
