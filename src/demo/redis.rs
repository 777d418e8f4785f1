//! A connection to a server or a daemon of the demo.

use consentinel_resolver::shared::{MAX_ANSWER, Reply, Wire};
use std::io::{ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;
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

impl From<Reply> for Value {
    fn from(reply: Reply) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match reply {
            Reply::Simple(bytes) | Reply::Bulk(bytes) => Value::Text(text(bytes)),
            Reply::Error(bytes) => Value::Error(text(bytes)),
            Reply::Integer(number) => Value::Integer(number),
            Reply::Nil => Value::Null,
            Reply::Array(items) => Value::Array(items.into_iter().map(Value::from).collect()),
        }
    }
}

/// A connection to a port of this machine.
#[derive(Debug)]
pub(super) struct Client {
    wire: Wire<TcpStream>,
    patience: Duration,
}

impl Client {
    /// Connects. This and every later answer may take that long.
    pub(super) async fn connect(port: u16, patience: Duration) -> Result<Client> {
        let stream = within(patience, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Client { wire: Wire::new(stream, MAX_ANSWER), patience })
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
        self.wire.send(commands).await
    }

    /// The next answer, within the patience that was said at the beginning.
    pub(super) async fn answer(&mut self) -> Result<Value> {
        within(self.patience, self.next()).await
    }

    /// The next answer or message, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Value> {
        self.wire.read().await.map(Value::from)
    }
}

/// One command over a connection of its own.
pub(super) async fn call(port: u16, patience: Duration, words: &[&str]) -> Result<Value> {
    Client::connect(port, patience).await?.call(words).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
