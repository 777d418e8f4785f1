//! The bytes of a connection, both ways.
//!
//! What was read is written at once, out of a buffer that all connections of a thread share: one that is idle has none.
//! Only what the other side does not take now is kept for it, and nothing more is read until that is gone.

use super::counters::Counters;
use super::route::{Cut, Place, Route};
use crate::net::stream::Stream;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Reads of one connection before others have their turn.
const TURNS: usize = 16;

/// The buffer of a thread.
pub(super) type Shared = Rc<RefCell<Box<[u8]>>>;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client had enough.
    Client,
    /// The server had enough; or was lost, with an error.
    Server(Option<io::Error>),
    /// Its route was cut.
    Cut(Cut),
}

/// A connection that stands, both ends of it.
pub(super) struct Pump {
    client: Stream,
    server: Stream,
    up: Half,
    down: Half,
    route: Rc<Route>,
    place: Place,
    buffer: Shared,
    counters: Arc<Counters>,
}

/// One direction.
#[derive(Default)]
struct Half {
    /// What was read and could not be written yet, and how much of it has been written since.
    rest: Vec<u8>,
    written: usize,
    /// Something may still be in the writer's own buffers.
    unflushed: bool,
    /// No more will come.
    ended: bool,
    /// That has been passed on.
    closed: bool,
}

/// Which side an error belongs to.
enum Side {
    From(io::Error),
    To(io::Error),
}

impl Pump {
    /// Between those two, along that route.
    pub(super) fn new(
        client: Stream,
        server: Stream,
        route: Rc<Route>,
        buffer: Shared,
        counters: Arc<Counters>,
    ) -> Pump {
        let (up, down, place) = (Half::default(), Half::default(), Place::default());
        Pump { client, server, up, down, route, place, buffer, counters }
    }

    /// What is left of it: the client, and the server.
    pub(super) fn into_ends(mut self) -> (Stream, Stream) {
        self.route.leave(&mut self.place);
        (self.client, self.server)
    }

    /// Carries bytes until it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(why) = self.route.is_cut() {
            return Poll::Ready(End::Cut(why));
        }
        self.route.register(&mut self.place, cx.waker());
        let mut buffer = self.buffer.borrow_mut();
        let Pump { client, server, up, down, counters, .. } = self;
        if !up.closed {
            match up.poll(cx, client, server, &mut buffer, &counters.bytes_up) {
                Poll::Ready(Err(Side::From(_))) => return Poll::Ready(End::Client),
                Poll::Ready(Err(Side::To(error))) => return Poll::Ready(End::Server(Some(error))),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        match down.poll(cx, server, client, &mut buffer, &counters.bytes_down) {
            Poll::Ready(Err(Side::From(error))) => Poll::Ready(End::Server(Some(error))),
            Poll::Ready(Err(Side::To(_))) => Poll::Ready(End::Client),
            // Nothing that a client sends is of use to a server that has gone.
            Poll::Ready(Ok(())) if self.up.closed => Poll::Ready(End::Client),
            Poll::Ready(Ok(())) => Poll::Ready(End::Server(None)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Half {
    /// Ready when the end of one side has been passed on to the other.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        buffer: &mut [u8],
        count: &AtomicU64,
    ) -> Poll<Result<(), Side>> {
        for _ in 0..TURNS {
            if !self.rest.is_empty() {
                ready!(self.poll_rest(cx, to)).map_err(Side::To)?;
            }
            if self.unflushed {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Side::To)?;
                self.unflushed = false;
            }
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Side::To)?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut read)).map_err(Side::From)?;
            let bytes = read.filled();
            match bytes.len() {
                0 => self.ended = true,
                length => {
                    count.fetch_add(length as u64, Ordering::Relaxed);
                    self.pass_on(cx, to, bytes).map_err(Side::To)?;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is taken now, and keeps the rest.
    fn pass_on(&mut self, cx: &mut Context<'_>, to: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
        self.unflushed = matches!(to, Stream::Outward(_));
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.rest = bytes.to_vec();
                    self.written = 0;
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        while self.written < self.rest.len() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.rest[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        // Its memory goes with it.
        self.rest = Vec::new();
        Poll::Ready(Ok(()))
    }
}
