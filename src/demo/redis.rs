//! A connection to a server or a daemon of the demo.

use consentinel_resolver::shared::{MAX_ANSWER, Reply, Wire};
use std::io::{ErrorKind, Result};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;

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
    pub(super) async fn call(&mut self, words: &[&str]) -> Result<Reply> {
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
    pub(super) async fn answer(&mut self) -> Result<Reply> {
        within(self.patience, self.next()).await
    }

    /// The next answer or message, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Reply> {
        self.wire.read().await
    }
}

/// One command over a connection of its own.
pub(super) async fn call(port: u16, patience: Duration, words: &[&str]) -> Result<Reply> {
    Client::connect(port, patience).await?.call(words).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
