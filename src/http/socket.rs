//! A connection as hyper wants to be given it, with an end to its patience: whoever does not take in what it was sent is
//! let go.

use super::permits::Permit;
use hyper::rt::ReadBufCursor;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// What is read at once. A request is hardly ever longer.
const CHUNK: usize = 4 << 10;

/// A connection.
pub(crate) struct Socket {
    stream: TcpStream,
    patience: Duration,
    /// Goes off when what is being sent was not taken in time. Nothing while nothing waits.
    stuck: Option<Pin<Box<Sleep>>>,
    /// Its place among the connections.
    _permit: Permit,
}

impl Socket {
    /// Whatever is sent over it must be taken within this time.
    pub(crate) fn new(stream: TcpStream, patience: Duration, permit: Permit) -> Self {
        Socket { stream, patience, stuck: None, _permit: permit }
    }

    fn poll_stuck<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk[..CHUNK.min(into.remaining())]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        into.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.poll_stuck(cx),
            written => written,
        }
    }

    /// Called when all of an answer, or of a piece of it, was written: the next one has its own time.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.stuck = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
