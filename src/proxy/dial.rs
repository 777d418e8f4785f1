//! Dials a server: a connection, TLS where that is spoken, and a look at its role.

use super::role::Said;
use crate::net::stream::Stream;
use crate::net::tls::Asker;
use crate::net::tls::explain as tls_trouble;
use consentinel_core::Role;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How servers are reached.
pub(super) struct Dialer {
    /// For the connection, for the handshake, and for the role: each.
    pub(super) patience: Duration,
    /// TLS, where that is spoken; another one after each SIGHUP.
    pub(super) tls: Option<Mutex<Arc<Asker>>>,
}

/// Why a server cannot be led to.
#[derive(Debug)]
pub(super) enum DialError {
    /// It is not reached.
    Connect(io::Error),
    /// TLS does not come about.
    Tls(io::Error),
    /// It does not answer ROLE.
    Role(io::Error),
    /// It is not what it should be.
    Not(&'static str, String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Connect(error) => write!(f, "cannot be reached: {error}"),
            DialError::Tls(error) => match tls_trouble(error) {
                Some(text) => write!(f, "no TLS: {text}"),
                None => write!(f, "no TLS: {error}"),
            },
            DialError::Role(error) => write!(f, "does not answer ROLE: {error}"),
            DialError::Not(what, said) => write!(f, "is no {what}: to ROLE it says {said}"),
        }
    }
}

impl Dialer {
    /// Connects.
    pub(super) async fn dial(&self, addr: SocketAddr) -> Result<Stream, DialError> {
        let stream = within(self.patience, TcpStream::connect(addr)).await.map_err(DialError::Connect)?;
        super::sockets::prepare(&stream).map_err(DialError::Connect)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(stream)) };
        let asker = tls.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let stream = within(self.patience, asker.connect(stream)).await.map_err(DialError::Tls)?;
        Ok(Stream::Outward(Box::new(stream)))
    }

    /// Asks for the role, before any client does: true when it is the wanted one, false when it is not told.
    pub(super) async fn verify(&self, stream: &mut Stream, wanted: Role) -> Result<bool, DialError> {
        let said = within(self.patience, ask_role(stream)).await.map_err(DialError::Role)?;
        match said {
            Said::Role(role) if role == wanted => Ok(true),
            Said::Role(role) => Err(DialError::Not(wanted.name(), role.name().to_owned())),
            Said::NotNow(text) => Err(DialError::Not(wanted.name(), text)),
            Said::NotTold => Ok(false),
        }
    }

    /// Uses other certificates from now on.
    pub(super) fn replace_tls(&self, asker: Asker) {
        if let Some(tls) = &self.tls {
            *tls.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(asker);
        }
    }
}

async fn within<T>(patience: Duration, act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(patience, act).await {
        Ok(result) => result,
        Err(_) => {
            let text = format!("no answer within {} ms", patience.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

/// Every byte of the reply is taken off the connection: the client's own come next.
async fn ask_role(stream: &mut Stream) -> io::Result<Said> {
    stream.write_all(b"*1\r\n$4\r\nROLE\r\n").await?;
    stream.flush().await?;
    let mut reply = super::role::Reply::default();
    let mut chunk = [0; 512];
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(said) = reply.take(&chunk[..length])? {
            return Ok(said);
        }
    }
}
