//! Connections to servers and peers: one task each, which turns calls into bytes and bytes into inputs.

use super::calls::{self, Awaited};
use super::wire::{self, Frame};
use bytes::{Buf, BytesMut};
use consentinel_core::{CallId, Command, HELLO_CHANNEL, Hello, Input, LinkError, LinkId, LinkKind, LinkUp};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::debug;

/// Calls that may wait for one connection. The core bounds how long it waits; this only bounds memory.
const MAX_QUEUED: usize = 16_384;

/// The connections that the core has asked for and not given up.
pub(super) struct Links {
    tasks: HashMap<LinkId, Task>,
    inputs: mpsc::Sender<Input>,
}

struct Task {
    calls: mpsc::Sender<(CallId, Box<Command>)>,
    abort: AbortHandle,
}

impl Links {
    /// No connections yet; what happens to them is told to `inputs`.
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Links { tasks: HashMap::new(), inputs }
    }

    /// Starts to open a connection.
    pub(super) fn connect(
        &mut self,
        link: LinkId,
        to: SocketAddr,
        kind: LinkKind,
        renames: Arc<BTreeMap<String, String>>,
    ) {
        let (calls, receiver) = mpsc::channel(MAX_QUEUED);
        let inputs = self.inputs.clone();
        let task = tokio::spawn(async move {
            let ended = match run(link, to, kind, &renames, receiver, &inputs).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let _ = inputs.send(Input::Link { link, up: Err(ended) }).await;
        });
        self.tasks.insert(link, Task { calls, abort: task.abort_handle() });
    }

    /// Closes a connection, or gives it up.
    pub(super) fn disconnect(&mut self, link: LinkId) {
        if let Some(task) = self.tasks.remove(&link) {
            task.abort.abort();
        }
    }

    /// A connection was lost: nothing is left to close.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.tasks.remove(&link);
    }

    /// Sends a command. False when so many wait already that the connection must be given up.
    #[must_use]
    pub(super) fn call(&mut self, link: LinkId, call: CallId, command: Command) -> bool {
        let Some(task) = self.tasks.get(&link) else { return true };
        match task.calls.try_send((call, Box::new(command))) {
            // A task that has ended reports so itself.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.disconnect(link);
                false
            }
        }
    }
}

/// Runs until the core gives the connection up (`Ok`) or it is lost (`Err`).
async fn run(
    link: LinkId,
    to: SocketAddr,
    kind: LinkKind,
    renames: &BTreeMap<String, String>,
    mut calls: mpsc::Receiver<(CallId, Box<Command>)>,
    inputs: &mpsc::Sender<Input>,
) -> Result<(), LinkError> {
    let stream = TcpStream::connect(to).await.map_err(|error| refused(&error))?;
    let local = prepare(&stream).map_err(|error| LinkError::Unreachable(error.to_string()))?;
    let mut connection = Connection {
        link,
        subscribed: kind == LinkKind::PubSub,
        input: BytesMut::new(),
        output: BytesMut::new(),
        awaited: VecDeque::new(),
    };
    send(inputs, Input::Link { link, up: Ok(LinkUp { local }) }).await?;
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some((call, command)) = call else { return Ok(()) };
                connection.push(call, &command, renames);
                while let Ok((call, command)) = calls.try_recv() {
                    connection.push(call, &command, renames);
                }
                connection.write(&stream)?;
            }
            ready = stream.readable() => {
                ready.map_err(|_| LinkError::Closed)?;
                connection.read(&stream)?;
                while let Some(input) = connection.next_input()? {
                    send(inputs, input).await?;
                }
            }
            ready = stream.writable(), if !connection.output.is_empty() => {
                ready.map_err(|_| LinkError::Closed)?;
                connection.write(&stream)?;
            }
        }
    }
}

/// The loop has gone when nobody takes the input: then nobody hears of the error either.
async fn send(inputs: &mpsc::Sender<Input>, input: Input) -> Result<(), LinkError> {
    inputs.send(input).await.map_err(|_| LinkError::Closed)
}

fn prepare(stream: &TcpStream) -> io::Result<IpAddr> {
    stream.set_nodelay(true)?;
    Ok(stream.local_addr()?.ip().to_canonical())
}

fn refused(error: &io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused,
        _ => LinkError::Unreachable(error.to_string()),
    }
}

/// An open connection with what is under way on it.
struct Connection {
    link: LinkId,
    subscribed: bool,
    input: BytesMut,
    output: BytesMut,
    awaited: VecDeque<(CallId, Awaited)>,
}

impl Connection {
    fn push(&mut self, call: CallId, command: &Command, renames: &BTreeMap<String, String>) {
        let awaited = calls::encode(command, renames, &mut self.output);
        self.awaited.push_back((call, awaited));
    }

    fn write(&mut self, stream: &TcpStream) -> Result<(), LinkError> {
        while !self.output.is_empty() {
            match stream.try_write(&self.output) {
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(LinkError::Closed),
            }
        }
        // Idle connections hold no memory: there may be thousands.
        self.output = BytesMut::new();
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream) -> Result<(), LinkError> {
        self.input.reserve(4096);
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(LinkError::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(LinkError::Closed),
        }
    }

    /// What the bytes read so far mean, one after the other.
    fn next_input(&mut self) -> Result<Option<Input>, LinkError> {
        loop {
            let Some((frame, end)) =
                wire::reply(&self.input).map_err(|error| LinkError::Protocol(error.to_string()))?
            else {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Ok(None);
            };
            let input = match self.subscribed.then(|| published(&frame)).flatten() {
                Some(text) => hello(self.link, &text),
                None => match self.awaited.pop_front() {
                    None => return Err(LinkError::Protocol("an answer that nobody asked for".into())),
                    Some((call, awaited)) => match awaited.take(&frame) {
                        Ok(reply) => Some(Input::Reply { link: self.link, call, reply }),
                        Err(still) => {
                            self.awaited.push_front((call, still));
                            None
                        }
                    },
                },
            };
            self.input.advance(end);
            if input.is_some() {
                return Ok(input);
            }
        }
    }
}

/// The payload, when the frame is a message on the hello channel.
fn published(frame: &Frame<'_>) -> Option<String> {
    match frame {
        Frame::Array(items) => match items.as_slice() {
            [Frame::Bulk(b"message"), Frame::Bulk(channel), Frame::Bulk(payload)]
                if *channel == HELLO_CHANNEL.as_bytes() =>
            {
                Some(String::from_utf8_lossy(payload).into_owned())
            }
            _ => None,
        },
        _ => None,
    }
}

fn hello(link: LinkId, text: &str) -> Option<Input> {
    match Hello::parse(text) {
        Ok(hello) => Some(Input::Hello { link: Some(link), hello }),
        Err(error) => {
            debug!("a hello is dropped: {error}");
            None
        }
    }
}
