//! Connections to servers and peers: one task each, which turns calls into bytes and bytes into inputs.

use super::bell::Bell;
use super::calls::{self, Awaited};
use super::handle::Handle;
use super::numbered::Numbered;
use super::stream::Stream;
use super::tls::{Tls, explain};
use super::wire::{self, Frame};
use bytes::{Buf, BytesMut};
use consentinel_core::{CallId, Command, HELLO_CHANNEL, Hello, Input, LinkError, LinkId, LinkKind, LinkUp};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tracing::{debug, warn};

/// Calls that may wait for one connection. The core bounds how long it waits; this only bounds memory.
const MAX_QUEUED: usize = 16_384;

/// Addresses about which complaints are remembered.
const MAX_COMPLAINTS: usize = 4096;

/// Connections that send before others come in between.
const SENDERS: usize = 16;

/// Who sends more than this at once lets others come in between.
const FAIR_SHARE: usize = 64 << 10;

/// The connections that the core has asked for and not given up.
pub(super) struct Links {
    tls: Tls,
    /// What was last said about the TLS of an address.
    complaints: BTreeMap<SocketAddr, String>,
    lines: Numbered<LinkId, Rc<Line>>,
    /// Those that have something to send, and were not told to yet.
    waiting: VecDeque<Rc<Line>>,
}

/// What the driver shares with the task of a connection.
struct Line {
    bell: Bell,
    /// Whether it is among those that wait.
    waits: Cell<bool>,
    queue: RefCell<Queue>,
    renames: Arc<BTreeMap<String, String>>,
}

/// What is under way on a connection.
#[derive(Default)]
struct Queue {
    output: BytesMut,
    awaited: VecDeque<(CallId, Awaited)>,
}

impl Links {
    /// No connections yet.
    pub(super) fn new(tls: Tls) -> Self {
        Links { tls, complaints: BTreeMap::new(), lines: Numbered::default(), waiting: VecDeque::new() }
    }

    /// Tells the operator what is wrong with the TLS of an address, once and not at each attempt.
    pub(super) fn complain(&mut self, to: SocketAddr, text: String) {
        if self.complaints.get(&to) == Some(&text) {
            return;
        }
        warn!("no TLS with {to}: {text}");
        if self.complaints.len() >= MAX_COMPLAINTS {
            self.complaints.clear();
        }
        self.complaints.insert(to, text);
    }

    /// An address is well: what was said about it may be said again.
    pub(super) fn praise(&mut self, to: SocketAddr) {
        self.complaints.remove(&to);
    }

    /// Starts to open a connection; what happens to it is told to the driver.
    pub(super) fn connect(
        &mut self,
        link: LinkId,
        to: SocketAddr,
        kind: LinkKind,
        renames: Arc<BTreeMap<String, String>>,
        driver: Handle,
    ) {
        let line =
            Line { bell: Bell::default(), waits: Cell::new(false), queue: RefCell::default(), renames };
        let line = Rc::new(line);
        self.lines.insert(link, line.clone());
        let tls = self.tls.is_outward().then(|| self.tls.clone());
        tokio::task::spawn_local(async move {
            let ended = match run(link, to, kind, &line, tls, &driver).await {
                Ok(()) => return,
                Err(error) => error,
            };
            driver.input(Input::Link { link, up: Err(ended) });
        });
    }

    /// Closes a connection, or gives it up.
    pub(super) fn disconnect(&mut self, link: LinkId) {
        if let Some(line) = self.lines.remove(&link) {
            line.bell.give_up();
        }
    }

    /// A connection was lost: nothing is left to close.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.lines.remove(&link);
    }

    /// Sends a command. False when so many wait already that the connection must be given up.
    #[must_use]
    pub(super) fn call(&mut self, link: LinkId, call: CallId, command: &Command) -> bool {
        let Some(line) = self.lines.get(&link) else { return true };
        let mut queue = line.queue.borrow_mut();
        if queue.awaited.len() >= MAX_QUEUED {
            drop(queue);
            self.disconnect(link);
            return false;
        }
        let awaited = calls::encode(command, &line.renames, &mut queue.output);
        queue.awaited.push_back((call, awaited));
        if !line.waits.replace(true) {
            self.waiting.push_back(line.clone());
        }
        true
    }

    /// Whether anything is to be sent.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets all connections send, if they are few.
    pub(super) fn ring_few(&mut self) {
        if self.waiting.len() <= SENDERS {
            self.ring_some();
        }
    }

    /// Lets some connections send. With a thousand masters a thousand pings may be due at once: clients come in between.
    pub(super) fn ring_some(&mut self) {
        let some = self.waiting.len().min(SENDERS);
        for line in self.waiting.drain(..some) {
            line.waits.set(false);
            line.bell.ring();
        }
    }
}

/// Runs until the driver gives the connection up (`Ok`) or it is lost (`Err`).
async fn run(
    link: LinkId,
    to: SocketAddr,
    kind: LinkKind,
    line: &Line,
    tls: Option<Tls>,
    driver: &Handle,
) -> Result<(), LinkError> {
    let secured = tls.is_some();
    // Most of its life the task is in the loop below: what opens the connection takes its room only meanwhile.
    let opened = tokio::select! {
        biased;
        () = given_up(&line.bell) => return Ok(()),
        opened = Box::pin(open(to, tls, driver)) => opened?,
    };
    let (stream, local) = opened;
    let subscribed = kind == LinkKind::PubSub;
    let to = secured.then_some(to);
    let mut connection = Connection { link, to, subscribed, stream, input: BytesMut::new(), line, driver };
    driver.input(Input::Link { link, up: Ok(LinkUp { local }) });
    loop {
        if poll_fn(|cx| connection.poll(cx)).await? == Turn::GivenUp {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

async fn given_up(bell: &Bell) {
    poll_fn(|cx| {
        bell.listen(cx);
        if bell.is_given_up() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

async fn open(to: SocketAddr, tls: Option<Tls>, driver: &Handle) -> Result<(Stream, IpAddr), LinkError> {
    let stream = TcpStream::connect(to).await.map_err(|error| refused(&error))?;
    let local = prepare(&stream).map_err(|error| LinkError::Unreachable(error.to_string()))?;
    let Some(tls) = tls else { return Ok((Stream::Tcp(stream), local)) };
    match tls.connect(to.ip(), stream).await {
        Ok(stream) => Ok((Stream::Outward(Box::new(stream)), local)),
        Err(error) => {
            let why = explain(&error).unwrap_or_else(|| error.to_string());
            driver.complain(to, why.clone());
            Err(LinkError::Unreachable(why))
        }
    }
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

/// Why a connection leaves its turn.
#[derive(PartialEq, Eq)]
enum Turn {
    /// It has had its share.
    Over,
    /// The driver has given it up.
    GivenUp,
}

/// An open connection.
struct Connection<'a> {
    link: LinkId,
    /// The address, until the other side's TLS has proved to be well.
    to: Option<SocketAddr>,
    subscribed: bool,
    stream: Stream,
    /// What was read and is not a whole message yet.
    input: BytesMut,
    line: &'a Line,
    driver: &'a Handle,
}

impl Connection<'_> {
    /// Writes what there is to write and hands over what there is to read, until nothing is left of either.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, LinkError>> {
        self.line.bell.listen(cx);
        let mut done = 0;
        loop {
            if self.line.bell.is_given_up() {
                return Poll::Ready(Ok(Turn::GivenUp));
            }
            self.write(cx)?;
            if done > FAIR_SHARE {
                return Poll::Ready(Ok(Turn::Over));
            }
            match self.stream.poll_fill(cx, &mut self.input, self.driver.buffers()) {
                Poll::Ready(Ok(length)) => done += length,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lost(&error))),
                Poll::Pending => return Poll::Pending,
            }
            if let Some(to) = self.to.take() {
                self.driver.praise(to);
            }
            while let Some(input) = self.next_input()? {
                self.driver.input(input);
                if self.line.bell.is_given_up() {
                    return Poll::Ready(Ok(Turn::GivenUp));
                }
            }
            self.driver.buffers().give(&mut self.input);
        }
    }

    /// A server that does not like our certificate says so after the handshake.
    fn lost(&self, error: &io::Error) -> LinkError {
        if let (Some(to), Some(why)) = (self.to, explain(error)) {
            self.driver.complain(to, why);
        }
        LinkError::Closed
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        let mut queue = self.line.queue.borrow_mut();
        match self.stream.poll_drain(cx, &mut queue.output) {
            Poll::Ready(Ok(())) => {
                // Idle connections hold no memory: there may be thousands.
                queue.output = BytesMut::new();
                Ok(())
            }
            Poll::Ready(Err(_)) => Err(LinkError::Closed),
            Poll::Pending => Ok(()),
        }
    }

    /// What the bytes read so far mean, one after the other.
    fn next_input(&mut self) -> Result<Option<Input>, LinkError> {
        loop {
            let Some((frame, end)) =
                wire::reply(&self.input).map_err(|error| LinkError::Protocol(error.to_string()))?
            else {
                return Ok(None);
            };
            let input = match self.subscribed.then(|| published(&frame)).flatten() {
                Some(text) => hello(self.link, &text),
                None => self.answer(&frame)?,
            };
            self.input.advance(end);
            if input.is_some() {
                return Ok(input);
            }
        }
    }

    /// What a frame means that answers a call; nothing while more of its kind must follow.
    fn answer(&self, frame: &Frame<'_>) -> Result<Option<Input>, LinkError> {
        let mut queue = self.line.queue.borrow_mut();
        let Some((call, awaited)) = queue.awaited.pop_front() else {
            return Err(LinkError::Protocol("an answer that nobody asked for".into()));
        };
        Ok(match awaited.take(frame) {
            Ok(reply) => Some(Input::Reply { link: self.link, call, reply }),
            Err(still) => {
                queue.awaited.push_front((call, still));
                None
            }
        })
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
