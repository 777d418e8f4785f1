//! A connection to a server or a daemon of the demo.

use crate::net::wire::{self, Frame};
use bytes::BytesMut;
use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A reply that has been taken off the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string, simple or not.
    Text(String),
    /// A refusal.
    Error(String),
    /// A number.
    Integer(i64),
    /// Nothing.
    Null,
    /// More of them.
    Array(Vec<Value>),
}

impl Value {
    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub(super) fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }
}

impl From<&Frame<'_>> for Value {
    fn from(frame: &Frame<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match frame {
            Frame::Simple(bytes) | Frame::Bulk(bytes) => Value::Text(text(bytes)),
            Frame::Error(bytes) => Value::Error(text(bytes)),
            Frame::Integer(number) => Value::Integer(*number),
            Frame::Null => Value::Null,
            Frame::Array(items) | Frame::Push(items) => Value::Array(items.iter().map(Value::from).collect()),
        }
    }
}

/// A connection to a port of this machine.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    read: BytesMut,
    patience: Duration,
}

impl Client {
    /// Connects. This and every later answer may take that long.
    pub(super) async fn connect(port: u16, patience: Duration) -> Result<Client> {
        let stream = within(patience, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, read: BytesMut::new(), patience })
    }

    /// Sends a command and reads its answer. After an error the connection is of no use any more.
    pub(super) async fn call(&mut self, words: &[&str]) -> Result<Value> {
        let patience = self.patience;
        within(patience, async {
            self.send(&[words]).await?;
            self.next().await
        })
        .await
    }

    /// Sends commands in one go.
    pub(super) async fn send(&mut self, commands: &[&[&str]]) -> Result<()> {
        let mut out = BytesMut::new();
        commands.iter().for_each(|words| wire::write_command(&mut out, words));
        self.stream.write_all(&out).await
    }

    /// The next answer, within the patience that was said at the beginning.
    pub(super) async fn answer(&mut self) -> Result<Value> {
        within(self.patience, self.next()).await
    }

    /// The next answer or message, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Value> {
        loop {
            let broken = |error| Error::new(ErrorKind::InvalidData, format!("{error}"));
            let found = wire::reply(&self.read).map_err(broken)?;
            if let Some((value, length)) = found.map(|(frame, length)| (Value::from(&frame), length)) {
                let _ = self.read.split_to(length);
                return Ok(value);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// One command over a connection of its own.
pub(super) async fn call(port: u16, patience: Duration, words: &[&str]) -> Result<Value> {
    Client::connect(port, patience).await?.call(words).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
