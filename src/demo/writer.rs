//! An application: it asks DNS where the master is, and writes there, a number at a time.

use super::dns::Dns;
use super::ledger::KEPT;
use super::redis::{self, Client};
use super::watch::{Eyes, Seen};
use consentinel_resolver::shared::Reply;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The list that the numbers go to.
const KEY: &str = "demo:writes";
/// Between two writes.
const PERIOD: Duration = Duration::from_millis(10);
/// Between two questions, while nobody takes writes.
const PAUSE: Duration = Duration::from_millis(5);
/// After so long without an answer DNS is asked again.
const DOUBT: Duration = Duration::from_millis(20);
/// For one answer. Confirmations are waited for half as long.
const PATIENCE: Duration = Duration::from_millis(250);
const CONFIRMATION: &str = "125";
/// How often the list is cut to what is kept.
const CUT: u64 = 1000;

/// Writes until it is told to rest.
pub(super) struct Writer {
    dns: SocketAddr,
    eyes: Eyes,
    resting: Rc<Cell<bool>>,
    number: u64,
}

impl Writer {
    /// One that asks that server where to write.
    pub(super) fn new(dns: SocketAddr, eyes: Eyes, resting: Rc<Cell<bool>>) -> Self {
        Writer { dns, eyes, resting, number: 0 }
    }

    /// Writes on.
    pub(super) async fn run(mut self) {
        while !self.resting.get() {
            if let Err(error) = self.write_to_the_master().await
                && !self.eyes.see(Seen::NotWritten(error.to_string()))
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes to whom DNS names, until that one takes no more.
    async fn write_to_the_master(&mut self) -> Result<()> {
        let answer = Dns::new(self.dns, PATIENCE).await?.ask().await;
        let port = answer.port();
        self.eyes.see(Seen::Dns(answer));
        let port = port.ok_or_else(|| Error::other("DNS names no master"))?;
        let mut client = Client::connect(port, PATIENCE).await?;
        while !self.resting.get() {
            // A number that failed is not tried again: it may have been written.
            self.number += 1;
            self.write(&mut client, port).await?;
            tokio::time::sleep(PERIOD).await;
        }
        Ok(())
    }

    /// Writes a number, and waits a little until a replica has it, too.
    async fn write(&self, client: &mut Client, port: u16) -> Result<()> {
        let (text, kept) = (self.number.to_string(), format!("-{KEPT}"));
        let (push, wait, cut) =
            (["RPUSH", KEY, &text], ["WAIT", "1", CONFIRMATION], ["LTRIM", KEY, &kept, "-1"]);
        if self.number.is_multiple_of(CUT) {
            client.call(&cut).await?;
        }
        client.send(&[&push, &wait]).await?;
        let answer = tokio::select! {
            answer = client.answer() => answer?,
            () = self.moved(port) => return Err(Error::other("DNS names another master now")),
        };
        let at = Instant::now();
        match answer {
            Reply::Integer(_) => {}
            refusal @ Reply::Error(_) => return Err(Error::other(refusal.to_string())),
            other => return Err(Error::other(format!("no answer to a write: {other:?}"))),
        }
        let replicas = client.answer().await;
        let confirmed = matches!(replicas, Ok(Reply::Integer(1..)));
        self.eyes.see_at(at, Seen::Wrote { port, number: self.number, confirmed });
        replicas.map(drop)
    }

    /// Returns when DNS names another master than that one: whoever waits for a server that hangs need not wait on.
    async fn moved(&self, port: u16) {
        loop {
            tokio::time::sleep(DOUBT).await;
            let answer = match Dns::new(self.dns, PATIENCE).await {
                Ok(dns) => dns.ask().await.port(),
                Err(_) => None,
            };
            if answer.is_some_and(|named| named != port) {
                return;
            }
        }
    }
}

/// All numbers that a server has.
pub(super) async fn read(port: u16) -> Result<BTreeSet<u64>> {
    let list = redis::call(port, 4 * PATIENCE, &["LRANGE", KEY, "0", "-1"]).await?;
    Ok(list.items().iter().filter_map(|item| item.text()?.parse().ok()).collect())
}
