//! The task of one connection: it turns what is queued into bytes, and bytes into inputs.

use super::link_state::{Expected, LinkState};
use crate::daemon::calls::Awaited;
use crate::daemon::handle::Handle;
use crate::net::bounds::{self, Broken, Limits};
use crate::net::scan::Scan;
use crate::net::stream::Stream;
use crate::net::tls::{Tls, explain};
use crate::net::wire::{self, Frame};
use crate::server::Owner;
use bytes::{Buf, BytesMut};
use consentinel_core::{HELLO_CHANNEL, Hello, Input, LinkError, LinkId, LinkKind, LinkUp, Reply};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tracing::debug;

/// Who sends more than this at once lets others come in between.
const FAIR_SHARE: usize = 64 << 10;

/// What a message costs besides its bytes: a server that says many small ones has had its share sooner.
const EACH: usize = 64;

/// Why a sign of life does not count.
const OVER_LIMITS: &str = "its last connection ended by an answer over the limits";

/// No hello is longer.
const MAX_HELLO: usize = 4096;

/// Runs until the driver gives the connection up (`Ok`) or it is lost (`Err`).
pub(super) async fn run(state: &LinkState, tls: Option<Tls>, driver: &Handle) -> Result<(), LinkError> {
    let (link, to) = (state.link, state.to);
    let secured = tls.is_some();
    // Most of its life the task is in the loop below: what opens the connection takes its room only meanwhile.
    let opened = tokio::select! {
        biased;
        () = state.bell.given_up() => return Ok(()),
        opened = Box::pin(open(to, tls, driver)) => opened?,
    };
    let (stream, local) = opened;
    state.local.set(Some(local));
    let to = secured.then_some(to);
    let is_believed = Cell::new(!driver.is_doubted(state.to));
    let (input, scan) = (BytesMut::new(), Scan::default());
    let mut connection = Connection { to, stream, input, scan, messages: 0, is_believed, state, driver };
    driver.input(Input::Link { link, up: Ok(LinkUp { local }) });
    loop {
        if poll_fn(|cx| connection.poll(cx)).await? == Progress::GivenUp {
            return Ok(());
        }
        // Of those that have more to say one goes on at a time, so that ten that flood us delay the others no more than one.
        driver.others_first().await;
    }
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
enum Progress {
    /// It has had its share.
    Over,
    /// The driver has given it up.
    GivenUp,
}

/// An open connection.
struct Connection<'a> {
    /// The address, until the other side's TLS has proved to be well.
    to: Option<SocketAddr>,
    stream: Stream,
    /// What was read and is not a whole message yet.
    input: BytesMut,
    /// How far that was looked at.
    scan: Scan,
    /// Messages that have come since the turn began.
    messages: usize,
    /// Whether a sign of life counts. Where the last connection ended by an answer over the limits, it does not before
    /// one that is within them.
    is_believed: Cell<bool>,
    state: &'a LinkState,
    driver: &'a Handle,
}

impl Connection<'_> {
    /// Writes what there is to write and hands over what there is to read, until nothing is left of either.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, LinkError>> {
        self.state.bell.listen(cx);
        let mut done = 0;
        self.messages = 0;
        loop {
            if self.state.bell.is_given_up() {
                return Poll::Ready(Ok(Progress::GivenUp));
            }
            self.write(cx)?;
            if done + self.messages * EACH > FAIR_SHARE {
                return Poll::Ready(Ok(Progress::Over));
            }
            match self.stream.poll_fill(cx, &mut self.input, self.driver.buffers()) {
                Poll::Ready(Ok(length)) => done += length,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lost(&error))),
                Poll::Pending => return Poll::Pending,
            }
            self.driver.heard(self.state);
            if let Some(to) = self.to.take() {
                self.driver.praise(to);
            }
            while let Some(input) = self.next_input()? {
                self.driver.input(input);
                if self.state.bell.is_given_up() {
                    return Poll::Ready(Ok(Progress::GivenUp));
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
        let mut queue = self.state.queue.borrow_mut();
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
            let limits = self.limits();
            let end = self.scan.end(&self.input, limits).map_err(|broken| self.broken(&broken))?;
            let Some(end) = end else { return Ok(None) };
            let frame = wire::whole(&self.input[..end], limits).map_err(|broken| self.broken(&broken))?;
            self.messages += 1;
            let input = match &frame {
                Frame::Push(items) => self.pushed(items)?,
                // In RESP2 a subscription looks like any other answer.
                Frame::Array(items) if self.state.kind == LinkKind::PubSub => match published(items) {
                    Some(text) => hello(self.state.link, &text),
                    None => self.answer(&frame)?,
                },
                frame => self.answer(frame)?,
            };
            self.input.advance(end);
            if input.is_some() {
                return Ok(input);
            }
        }
    }

    /// How much may come next.
    fn limits(&self) -> &'static Limits {
        match self.state.queue.borrow().expected.front() {
            Some(Expected::Reply(_, _, awaited)) => awaited.limits(),
            _ => &bounds::REPLY,
        }
    }

    fn broken(&self, broken: &Broken) -> LinkError {
        let text = broken.to_string();
        match broken {
            Broken::TooLong(_) | Broken::TooMany(_) => self.over_limits(text),
            _ => LinkError::Protocol(text),
        }
    }

    /// An answer that is not read.
    fn over_limits(&self, what: String) -> LinkError {
        self.driver.doubt(self.state.to, &what);
        LinkError::Protocol(what)
    }

    /// The reply, as far as it counts.
    fn believed(&self, reply: Reply) -> Reply {
        match reply {
            reply if self.is_believed.get() => reply,
            // The core waits for an answer to each of its calls.
            Reply::Pong => Reply::Error(OVER_LIMITS.to_owned()),
            Reply::Info(_) | Reply::Down { .. } => {
                self.is_believed.set(true);
                self.driver.believe(self.state.to);
                reply
            }
            other => other,
        }
    }

    /// What a frame means that answers a call; nothing while more of its kind must follow.
    fn answer(&self, frame: &Frame<'_>) -> Result<Option<Input>, LinkError> {
        let mut queue = self.state.queue.borrow_mut();
        match queue.expected.pop_front() {
            Some(Expected::Reply(link, call, awaited)) => {
                if let Some(what) = awaited.refuse(frame) {
                    return Err(self.over_limits(what));
                }
                match awaited.take(frame) {
                    Ok(reply) => Ok(Some(Input::Reply { link, call, reply: self.believed(reply) })),
                    Err(still) => {
                        queue.expected.push_front(Expected::Reply(link, call, still));
                        Ok(None)
                    }
                }
            }
            Some(Expected::Subscribed(link, call)) => {
                let (Frame::Error(_), Ok(reply)) = (frame, Awaited::Done.take(frame)) else {
                    // It said that it speaks RESP3, and answers in another way.
                    drop(queue);
                    self.driver.shun(self.state.to);
                    return Err(unexpected());
                };
                Ok(Some(Input::Reply { link, call, reply }))
            }
            Some(Expected::Hello) => {
                drop(queue);
                self.driver.on_hello(self.state.link, is_resp3(frame));
                Ok(None)
            }
            // It may not even do that, and goes on saying what nobody listens to.
            Some(Expected::Unsubscribed) if matches!(frame, Frame::Error(_)) => Ok(None),
            Some(Expected::Unsubscribed) | None => Err(unexpected()),
        }
    }

    /// What a server says without being asked, and of subscriptions.
    fn pushed(&self, items: &[Frame<'_>]) -> Result<Option<Input>, LinkError> {
        let kind = match items.first() {
            Some(Frame::Bulk(kind)) => *kind,
            _ => return Ok(None),
        };
        let mut queue = self.state.queue.borrow_mut();
        match (kind, queue.expected.front()) {
            (b"message", _) => {
                let guest = self.state.guest.get();
                Ok(guest.zip(published(items)).and_then(|(guest, text)| hello(guest, &text)))
            }
            (b"subscribe", Some(Expected::Subscribed(link, call))) => {
                let reply = Input::Reply { link: *link, call: *call, reply: Reply::Ok };
                queue.expected.pop_front();
                Ok(Some(reply))
            }
            (b"unsubscribe", Some(Expected::Unsubscribed)) => {
                queue.expected.pop_front();
                Ok(None)
            }
            (b"subscribe" | b"unsubscribe", _) => Err(unexpected()),
            // Of what it says besides we have asked for nothing.
            _ => Ok(None),
        }
    }
}

/// Whether that is how a server answers HELLO 3 that speaks it from now on.
fn is_resp3(frame: &Frame<'_>) -> bool {
    let Frame::Array(fields) = frame else { return false };
    fields.chunks_exact(2).any(|pair| pair == [Frame::Bulk(b"proto"), Frame::Integer(3)])
}

fn unexpected() -> LinkError {
    LinkError::Protocol("an answer that nobody asked for".into())
}

/// The payload, when it is a message on the hello channel.
fn published(items: &[Frame<'_>]) -> Option<String> {
    match items {
        [Frame::Bulk(b"message"), Frame::Bulk(channel), Frame::Bulk(payload)]
            if *channel == HELLO_CHANNEL.as_bytes() && payload.len() <= MAX_HELLO =>
        {
            Some(String::from_utf8_lossy(payload).into_owned())
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn speaks(answer: &[u8]) -> bool {
        let (frame, _) = wire::reply(answer).expect("well formed").expect("complete");
        is_resp3(&frame)
    }

    #[test]
    fn only_who_says_so_speaks_resp3() {
        assert!(speaks(b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"));
        assert!(!speaks(b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:2\r\n"));
        assert!(!speaks(b"-ERR unknown command 'HELLO'\r\n"));
        assert!(!speaks(b"+OK\r\n"));
    }
}
