//! The bytes of a connection, however they travel; and buffers for them.

use bytes::BytesMut;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// What is read at once, as in the original.
const CHUNK: usize = 16 << 10;

/// Buffers larger than this are not kept for others.
const KEPT: usize = 128 << 10;

/// A connection that stands.
pub(crate) enum Stream {
    /// In the clear.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
    /// From a client that came over TLS.
    Inward(Box<server::TlsStream<TcpStream>>),
    /// To a server or a peer over TLS.
    Outward(Box<client::TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $do:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $do,
            Stream::Unix($stream) => $do,
            Stream::Inward($stream) => $do,
            Stream::Outward($stream) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Stream {
    /// The number of its descriptor.
    pub(crate) fn descriptor(&self) -> i32 {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Inward(stream) => stream.as_raw_fd(),
            Stream::Outward(stream) => stream.as_raw_fd(),
        }
    }

    /// Its descriptor, to set options of.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Inward(stream) => stream.get_ref().0.as_fd(),
            Stream::Outward(stream) => stream.get_ref().0.as_fd(),
        }
    }

    /// Reads something behind what is in the buffer already. While there is nothing to read, no buffer is held: idle
    /// connections are many. An end of the stream is an error.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let borrowed = input.capacity() == 0;
        if borrowed {
            *input = buffers.take();
        }
        input.reserve(CHUNK);
        // A reader that gets less than it has room for is not asked again before there is more.
        let length = pin!(self.read_buf(input)).poll(cx);
        if borrowed && length.is_pending() {
            buffers.give(input);
        }
        match ready!(length)? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            length => Poll::Ready(Ok(length)),
        }
    }

    /// Writes as much as the other side takes now. Ready when all is written.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, output: &mut BytesMut) -> Poll<io::Result<()>> {
        while !output.is_empty() {
            let written = ready!(Pin::new(&mut *self).poll_write(cx, output))?;
            if written == output.len() {
                output.clear();
            } else {
                bytes::Buf::advance(output, written);
            }
        }
        Pin::new(self).poll_flush(cx)
    }
}

/// Buffers that whoever reads or writes at the moment shares with all others.
#[derive(Default)]
pub(crate) struct Buffers {
    spare: Cell<[Option<BytesMut>; 2]>,
}

impl Buffers {
    /// An empty buffer, most likely with room.
    pub(crate) fn take(&self) -> BytesMut {
        let mut spare = self.spare.take();
        let buffer = spare.iter_mut().find_map(Option::take).unwrap_or_default();
        self.spare.set(spare);
        buffer
    }

    /// Takes a buffer back when it is empty, and leaves one in its place that holds no memory.
    pub(crate) fn give(&self, buffer: &mut BytesMut) {
        if !buffer.is_empty() || buffer.capacity() == 0 {
            return;
        }
        let buffer = std::mem::take(buffer);
        let mut spare = self.spare.take();
        if buffer.capacity() <= KEPT
            && let Some(slot) = spare.iter_mut().find(|slot| slot.is_none())
        {
            *slot = Some(buffer);
        }
        self.spare.set(spare);
    }
}
