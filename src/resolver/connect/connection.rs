//! What `connect` hands out.

use crate::Master;
use std::fmt::{self, Debug};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection to the master, authenticated, over which nothing has been said but that it is the master.
///
/// It reads and writes by tokio's [`AsyncRead`] and [`AsyncWrite`]: RESP, from the first byte on.
///
/// ```no_run
/// use consentinel_resolver::Resolver;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::builder("redis.service.consul").build()?;
/// let mut connection = resolver.connect().await?;
/// connection.write_all(b"INCR visits\r\n").await?;
/// let mut answer = [0; 64];
/// let length = connection.read(&mut answer).await?;
/// # Ok(()) }
/// ```
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) master: Arc<Master>,
}

pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Connection {
    /// Whom it leads to, as it was named when the connection was made.
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::ConnectError> {
    /// let connection = resolver.connect().await?;
    /// println!("{} by epoch {:?}", connection.master().addr, connection.master().epoch);
    /// # Ok(()) }
    /// ```
    pub fn master(&self) -> &Arc<Master> {
        &self.master
    }

    /// Whether it is encrypted.
    ///
    /// ```no_run
    /// # async fn example(resolver: consentinel_resolver::Resolver) -> Result<(), consentinel_resolver::ConnectError> {
    /// assert!(!resolver.connect().await?.is_tls(), "only with Builder::tls");
    /// # Ok(()) }
    /// ```
    pub fn is_tls(&self) -> bool {
        match self.stream {
            Stream::Plain(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(_) => true,
        }
    }
}

impl Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("master", &self.master).field("tls", &self.is_tls()).finish()
    }
}

macro_rules! each {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match &mut $self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_shutdown, cx)
    }
}
